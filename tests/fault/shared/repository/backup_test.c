/* SPDX-License-Identifier: Apache-2.0
 *
 * A backup during which each request to the store fails in turn, or after which nothing goes any
 * more: it is published whole, or not at all with a clear error; the repository stays whole; and
 * the next backup uses what was stored already.
 */
#include "tests/harness/repository_probe.h"

#include "shared/store/fault/fault.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/snapshot_probe.h"

enum { CONTENTS_MAX = 100, PACK_BYTES = 200 };

/* What an earlier backup has stored, and what is new. */
static const char *const old_files[] = {"kept", "a file that stays as it is", "gone",
                                        "a file that will go", NULL};
static const char *const new_files[] = {
    "kept",
    "a file that stays as it is",
    "one",
    "a new file, long enough to fill packs together with the others: ......................",
    "two",
    "a second new file, which is as long as the first one: ................................",
    "three",
    "a third new file ............................................................ the end",
    "four",
    "a fourth new file: and with it there are some packs to be written before the index .",
    NULL};

static struct xb_store *made; /* with a snapshot of old_files */

static int make_once(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    made = probe_repository_store();
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(made);
    PROBE_OK(snapshot_write(repository, old_files, &snapshot, &err));
    return 0;
}

static int free_made(void **state)
{
    (void)state;
    xb_store_free(made);
    return 0;
}

/* ---- what is stored ---- */

struct stored {
    struct xb_content_info infos[CONTENTS_MAX];
    size_t count;
};

static int note_content(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct stored *stored = context;
    (void)err;
    assert_true(stored->count < CONTENTS_MAX);
    stored->infos[stored->count++] = *info;
    return 0;
}

static struct stored look(struct xb_repository *repository)
{
    struct stored stored = {.count = 0};
    PROBE_OK(xb_content_list(repository, -1, note_content, &stored, &err));
    return stored;
}

/* The repository is whole. The next backup works, and stores nothing that was there. */
static void check(struct xb_store *base, bool worked)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *next = NULL;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(base);
    size_t snapshots = snapshot_check_all(repository);
    assert_true(worked ? snapshots == 2 : snapshots == 1 || snapshots == 2);
    snapshot_check_contents(repository);
    struct stored before = look(repository);
    PROBE_OK(snapshot_write(repository, new_files, &next, &err));
    for (size_t i = 0; i < before.count; i++) {
        struct xb_content_info now;
        PROBE_OK(xb_content_stat(repository, &before.infos[i].id, &now, &err));
        assert_string_equal(now.pack, before.infos[i].pack);
        assert_int_equal(now.timestamp_s, before.infos[i].timestamp_s);
    }
    XB_CLEANUP(xb_repository_freep) struct xb_repository *again = probe_open(base);
    assert_int_equal(snapshot_check_all(again), snapshots + 1);
    snapshot_check_contents(again);
}

static int back_up(struct xb_store *store, const struct xb_clock *clock,
                   struct xb_repository **ret_used)
{
    struct xb_error why = XB_ERROR_INIT;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    const struct xb_repository_open_options options = {.clock = clock};
    int r =
        xb_repository_open_with(xb_store_ref(store), probe_keys(made), &options, &repository, &why);
    if (r == 0) {
        repository->format.pack_bytes_max = PACK_BYTES;
        r = snapshot_write(repository, new_files, &snapshot, &why);
    }
    assert_true(r == 0 || (why.code == r && why.text[0]));
    *ret_used = XB_TAKE(repository);
    return r;
}

/* ---- each request in turn ---- */

/* False when there was no nth call of that kind. */
static bool try_fault(const struct xb_fault_rule *rule)
{
    struct fake_clock ticks;
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    struct xb_repository *used = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *base = probe_copy(made);
    fake_clock_init(&ticks);
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
    PROBE_OK(xb_fault_add(fault, rule, &err));
    bool worked = back_up(faulty, &ticks.clock, &used) == 0;
    bool reached = xb_fault_count(fault, rule->call) >= rule->nth;
    assert_true(worked || reached);
    xb_fault_clear(fault);
    /* The same handle goes on, unless something of it was lost for good. */
    if (!worked && used && !xb_repository_failed(used)) {
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
        XB_CLEANUP(xb_store_freep) struct xb_store *as_left = probe_copy(base);
        check(as_left, worked);
        PROBE_OK(snapshot_write(used, new_files, &snapshot, &err));
    } else {
        check(base, worked);
    }
    xb_repository_free(used);
    xb_store_free(faulty);
    return reached;
}

static void every_request_fails_in_turn(void **state)
{
    (void)state;
    static const struct {
        enum xb_fault_call call;
        const char *name;
        uint64_t at_least;
    } calls[] = {
        {XB_FAULT_PUT, "put", 4},       {XB_FAULT_BEGIN, "begin", 4}, {XB_FAULT_WRITE, "write", 16},
        {XB_FAULT_COMMIT, "commit", 4}, {XB_FAULT_GET, "get", 4},     {XB_FAULT_STAT, "stat", 2},
        {XB_FAULT_DELETE, "delete", 2}, {XB_FAULT_LIST, "list", 4},
    };
    static const enum xb_fault_effect effects[] = {XB_FAULT_FAIL, XB_FAULT_LOSE_ANSWER};
    static const enum xb_error_kind kinds[] = {XB_ERR_IO, XB_ERR_RETRY, XB_ERR_FULL};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        uint64_t tries = 0;
        for (size_t e = 0; e < 2; e++) {
            for (size_t k = 0; k < 3; k++) {
                struct xb_fault_rule rule = {calls[i].call, effects[e], 1, NULL, kinds[k], 0};
                while (try_fault(&rule)) {
                    rule.nth++;
                }
                tries = rule.nth - 1;
            }
        }
        printf("%s: %d calls\n", calls[i].name, (int)tries);
        assert_true(tries >= calls[i].at_least);
    }
}

/* ---- the end ---- */

/* Dies at a change of the store: right before it is made, or right after. From then on nothing
 * works. */
struct killer {
    struct xb_fault *fault;
    int at, seen;
    bool after, dead;
};

static bool changes(enum hook_call call)
{
    return call == HOOK_PUT || call == HOOK_BEGIN || call == HOOK_COMMIT || call == HOOK_DELETE;
}

static void die(struct killer *killer)
{
    killer->dead = true;
    for (int call = 0; call < XB_FAULT_CALLS; call++) {
        const struct xb_fault_rule rule = {
            (enum xb_fault_call)call, XB_FAULT_FAIL, 0, NULL, XB_ERR_IO, 0};
        PROBE_OK(xb_fault_add(killer->fault, &rule, &err));
    }
}

static void before_change(struct hooks *hooks, enum hook_call call, const char *name,
                          struct xb_store *inner)
{
    struct killer *killer = hooks->context;
    (void)name;
    (void)inner;
    if (changes(call) && ++killer->seen == killer->at && !killer->after) {
        die(killer);
    }
}

static void after_change(struct hooks *hooks, enum hook_call call, const char *name,
                         struct xb_store *inner)
{
    struct killer *killer = hooks->context;
    (void)name;
    (void)inner;
    if (changes(call) && killer->seen == killer->at && killer->after && !killer->dead) {
        die(killer);
    }
}

static bool try_kill(int at, bool after)
{
    struct killer killer = {.at = at, .after = after};
    struct hooks hooks = {.before = before_change, .after = after_change, .context = &killer};
    struct fake_clock ticks;
    struct xb_store *faulty = NULL;
    struct xb_repository *used = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *base = probe_copy(made);
    fake_clock_init(&ticks);
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &killer.fault, &err));
    XB_CLEANUP(xb_store_freep) struct xb_store *mortal = hook_store_open(faulty, &hooks);
    bool worked = back_up(mortal, &ticks.clock, &used) == 0;
    xb_repository_free(used);
    check(base, worked);
    return killer.dead;
}

static void killed_at_every_change(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        int at = 1;
        while (try_kill(at, after)) {
            at++;
        }
        printf("killed %s each of %d changes\n", after ? "after" : "before", at - 1);
        assert_true(at > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_fails_in_turn),
        cmocka_unit_test(killed_at_every_change),
    };
    return cmocka_run_group_tests(tests, make_once, free_made);
}
