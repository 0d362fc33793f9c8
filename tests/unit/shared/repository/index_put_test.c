/* SPDX-License-Identifier: Apache-2.0
 *
 * An index is written under an epoch that is surely the present one: while what was listed is
 * valid, in shards where it is large, and taken back when the epoch moved on.
 */
#include "tests/harness/repository_probe.h"

#include "tests/harness/event_log.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/format_probe.h"
#include "tests/harness/maintenance.h"

enum { MINUTE_S = 60, CONTENTS = 40 };

/* What happens when: the nth of a kind of call makes time go by, or the epoch move on. */
struct plan {
    struct event_log log;
    enum hook_call call;
    const char *prefix;
    int at; /* which of them; 0: every one */
    int seen;
    int64_t minutes;
    int epochs;
};

static struct plan plan;
static struct hooks hooks;
static struct fake_clock ticks;
static struct xb_store *base;
static struct xb_store *store;
static struct xb_repository *repository;
static struct xb_content_id ids[CONTENTS];

static void happen(struct hooks *self, enum hook_call call, const char *name,
                   struct xb_store *inner)
{
    (void)self;
    if (plan.prefix && call == plan.call && strncmp(name, plan.prefix, strlen(plan.prefix)) == 0 &&
        (++plan.seen == plan.at || plan.at == 0)) {
        fake_clock_advance(&ticks, plan.minutes * MINUTE_S);
        hooks.mtime_shift_ns += plan.minutes * MINUTE_S * XB_NS_PER_S;
        for (int i = 0; i < plan.epochs; i++) {
            maintain_advance(inner);
        }
    }
}

static void record(struct hooks *self, enum hook_call call, const char *name,
                   struct xb_store *inner)
{
    (void)self;
    struct hooks log = {.context = &plan.log};
    event_record(&log, call, name, inner);
    happen(self, call, name, inner);
}

static int setup(void **state)
{
    (void)state;
    fake_clock_init(&ticks);
    plan = (struct plan){.prefix = NULL};
    hooks = (struct hooks){.after = record};
    base = probe_repository_store();
    store = hook_store_open(xb_store_ref(base), &hooks);
    repository = probe_open_at(store, &ticks.clock);
    plan.log.count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    xb_store_free(base);
    return 0;
}

static void write_some(int count)
{
    for (int i = 0; i < count; i++) {
        char text[40];
        snprintf(text, sizeof text, "content %d", i);
        ids[i] = probe_write(repository, i % 2 ? 'k' : 0, text).id;
    }
}

static void all_there(int count)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    for (int i = 0; i < count; i++) {
        char text[40];
        snprintf(text, sizeof text, "content %d", i);
        probe_holds(other, &ids[i], text);
    }
}

static int lists(void)
{
    return event_count(&plan.log, HOOK_LIST, "x");
}

/* ---- how long a state is valid ---- */

/* Five of twenty minutes may be gone when the writing begins; then it is looked at again. */
static void three_quarters_must_be_left(void **state)
{
    (void)state;
    static const struct {
        int64_t minutes;
        int lists;
    } cases[] = {{0, 2}, {4, 2}, {5, 2}, {6, 3}, {30, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)setup(state);
        write_some(2);
        /* The upload of the pack takes that long. */
        plan.call = HOOK_COMMIT;
        plan.prefix = "p";
        plan.at = 1;
        plan.minutes = cases[i].minutes;
        probe_flush(repository);
        assert_int_equal(lists(), cases[i].lists);
        all_there(2);
        (void)teardown(state);
    }
}

/* The interval is the repository's own. */
static void the_repository_says_how_long(void **state)
{
    (void)state;
    format_probe_change(base, "\"EpochRefreshFrequency\":1200000000000",
                        "\"EpochRefreshFrequency\":600000000000");
    fake_clock_advance(&ticks, 901);
    hooks.mtime_shift_ns = 901 * XB_NS_PER_S;
    write_some(2);
    plan.log.count = 0;
    plan.call = HOOK_COMMIT;
    plan.prefix = "p";
    plan.at = 1;
    plan.minutes = 4;
    probe_flush(repository);
    assert_int_equal(lists(), 3);
}

/* Between shards the time runs out: no put is started before the epoch is looked at again. */
static void no_put_after_the_end(void **state)
{
    (void)state;
    repository->shard_entries_max = 5;
    write_some(CONTENTS);
    plan.call = HOOK_PUT;
    plan.prefix = "xn";
    plan.at = 3;
    plan.minutes = 20;
    probe_flush(repository);
    assert_int_equal(lists(), 3);
    int third = event_find(&plan.log, 0, HOOK_PUT, "xn");
    third = event_find(&plan.log, third + 1, HOOK_PUT, "xn");
    third = event_find(&plan.log, third + 1, HOOK_PUT, "xn");
    int list = event_find(&plan.log, third, HOOK_LIST, "x");
    assert_true(list < event_find(&plan.log, third + 1, HOOK_PUT, "xn"));
    assert_int_equal(event_count(&plan.log, HOOK_DELETE, "x"), 0); /* the epoch is the same */
    all_there(CONTENTS);
}

/* A store whose listing takes longer than what it tells is valid: a clear error, no endless loop.
 */
static void a_listing_that_takes_too_long(void **state)
{
    (void)state;
    write_some(2);
    hooks.before = happen;
    hooks.after = NULL;
    plan.call = HOOK_LIST;
    plan.prefix = "x";
    plan.minutes = 20;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_RETRY, "takes longer");
    assert_true(plan.seen <= 12);
    assert_int_equal(probe_count(base, "xn"), 1);
    hooks.before = NULL;
}

/* What was loaded for longer than it is valid is listed once more before it is believed. */
static void an_index_that_takes_long_to_load(void **state)
{
    (void)state;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    (void)probe_write(other, 0, "others' work");
    probe_flush(other);
    plan.call = HOOK_GET;
    plan.prefix = "xn0_";
    plan.at = 1;
    plan.minutes = 21;
    PROBE_OK(xb_repository_refresh(repository, &err));
    assert_int_equal(lists(), 2);
    assert_int_equal(event_count(&plan.log, HOOK_GET, "xn0_"), 1); /* what is known is not */
    assert_true(probe_write(repository, 0, "others' work").existed);
}

/* The session grows too old between two shards: no further one is put. Those before were true when
 * they were put, and stay. */
static void no_put_of_an_old_session(void **state)
{
    (void)state;
    repository->shard_entries_max = 5;
    write_some(CONTENTS);
    plan.call = HOOK_PUT;
    plan.prefix = "xn";
    plan.at = 3;
    plan.minutes = 73 * 60;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_CONFLICT, "start again");
    assert_int_equal(event_count(&plan.log, HOOK_PUT, "xn"), 3);
    assert_int_equal(probe_count(base, "xn"), 1 + 3);
    assert_true(xb_repository_failed(repository));
}

/* The answer to the last put comes days later: it is committed, and the marker stays for whoever
 * looked at the index before. */
static void a_marker_of_a_long_session_stays(void **state)
{
    (void)state;
    write_some(2);
    plan.call = HOOK_PUT;
    plan.prefix = "xn";
    plan.at = 1;
    plan.minutes = 73 * 60;
    probe_flush(repository);
    assert_int_equal(probe_count(base, "s"), 1);
    all_there(2);
}

/* ---- shards ---- */

struct shard_check {
    uint32_t shards, shard;
    size_t entries;
};

static int check_entry(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct shard_check *check = context;
    (void)err;
    uint32_t shard = xb_index_shard(&entry->id, check->shards);
    assert_true(check->entries == 0 || shard == check->shard);
    check->shard = shard;
    check->entries++;
    return 0;
}

/* Each entry in the shard of its id's hash; as many blobs as every name says; all under one epoch.
 */
static void large_indexes_are_cut(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 3, 7, 39, 40, 41};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        (void)setup(state);
        maintain_advance(base);
        PROBE_OK(xb_repository_refresh(repository, &err));
        repository->shard_entries_max = limits[i];
        write_some(CONTENTS);
        probe_flush(repository);
        struct probe_names names = probe_list(base, "xn1_");
        uint32_t shards = (CONTENTS + limits[i] - 1) / limits[i];
        size_t total = 0;
        char suffix[40];
        snprintf(suffix, sizeof suffix, "-c%zu", names.count);
        assert_true(names.count <= shards); /* the empty ones are not there */
        assert_true(limits[i] < CONTENTS || names.count == 1);
        for (size_t k = 0; k < names.count; k++) {
            XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(100000);
            XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
            struct xb_names packs = {.count = 0};
            struct shard_check check = {.shards = shards};
            assert_string_equal(strrchr(names.names[k], '-'), suffix);
            PROBE_OK(xb_store_get(base, names.names[k], 0, XB_STORE_TO_END, &sealed, &err));
            PROBE_OK(xb_unseal_blob(repository->sealer, names.names[k], sealed.data, sealed.len,
                                    &plain, &err));
            PROBE_OK(xb_index_decode(plain.data, plain.len, 16, &packs, check_entry, &check, &err));
            total += check.entries;
            xb_names_free(&packs);
        }
        assert_int_equal(total, CONTENTS);
        probe_names_free(&names);
        all_there(CONTENTS);
        assert_true(probe_write(repository, 0, "content 0").existed);
        (void)teardown(state);
    }
}

/* The epoch moved while the time ran out between shards: the first ones are taken back, and all of
 * them go under the new one. */
static void all_shards_under_one_epoch(void **state)
{
    (void)state;
    for (int epochs = 1; epochs <= 3; epochs++) {
        (void)setup(state);
        repository->shard_entries_max = 5;
        write_some(CONTENTS);
        size_t old = probe_count(base, "xn0_");
        plan.call = HOOK_PUT;
        plan.prefix = "xn";
        plan.at = 3;
        plan.minutes = 20;
        plan.epochs = epochs;
        probe_flush(repository);
        char prefix[20];
        snprintf(prefix, sizeof prefix, "xn%d_", epochs);
        assert_int_equal(probe_count(base, "xn0_"), old);
        assert_int_equal(event_count(&plan.log, HOOK_DELETE, "xn0_"), 3);
        assert_int_equal(probe_count(base, prefix), event_count(&plan.log, HOOK_PUT, prefix));
        all_there(CONTENTS);
        (void)teardown(state);
    }
}

/* ---- after the last put ---- */

static void two_epochs_on_nothing_stays(void **state)
{
    (void)state;
    for (int epochs = 0; epochs <= 3; epochs++) {
        (void)setup(state);
        repository->shard_entries_max = 5;
        write_some(CONTENTS);
        size_t old = probe_count(base, "xn0_");
        plan.call = HOOK_PUT;
        plan.prefix = "xn";
        plan.at = 2;
        plan.epochs = epochs;
        probe_flush(repository);
        bool late = epochs >= 2;
        assert_int_equal(probe_count(base, "xn0_") > old, !late);
        assert_int_equal(event_count(&plan.log, HOOK_DELETE, "xn0_") > 0, late);
        assert_int_equal(event_count(&plan.log, HOOK_PUT, "s"), 1); /* still the same session */
        all_there(CONTENTS);
        /* And once the old epoch is compacted without them, they are still there. */
        assert_true(maintain_compact(repository, base, 0, 0));
        maintain_advance(base);
        maintain_advance(base);
        maintain_remove(base, 0);
        all_there(CONTENTS);
        (void)teardown(state);
    }
}

/* It moves on every time: a clear error, and none of ours is left behind. */
static void it_never_rests(void **state)
{
    (void)state;
    write_some(2);
    size_t old = probe_count(base, "xn");
    plan.call = HOOK_PUT;
    plan.prefix = "xn";
    plan.epochs = 2;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_RETRY, "epoch");
    assert_int_equal(probe_count(base, "xn"), old);
    plan.epochs = 0;
    probe_flush(repository); /* and when it rests, the same handle goes on */
    all_there(2);
}

/* The table knows what was committed without a look into the store. */
static void own_entries_need_no_loading(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char text[20];
        snprintf(text, sizeof text, "round %d", i);
        (void)probe_write(repository, 0, text);
        probe_flush(repository);
        assert_true(probe_write(repository, 0, text).existed);
    }
    assert_int_equal(event_count(&plan.log, HOOK_GET, "x"), 0);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    struct xb_repository_info mine;
    struct xb_repository_info theirs;
    PROBE_OK(xb_repository_info(repository, &mine, &err));
    PROBE_OK(xb_repository_info(other, &theirs, &err));
    assert_int_equal(mine.contents, theirs.contents);
    assert_int_equal(mine.index_blobs, theirs.index_blobs);
    assert_true(repository->index_names_hash == other->index_names_hash);
    /* Others' work is loaded when there is some. */
    struct xb_content_write_result b = probe_write(other, 0, "others' work");
    probe_flush(other);
    (void)probe_write(repository, 0, "mine");
    probe_flush(repository);
    probe_holds(repository, &b.id, "others' work");
    assert_true(event_count(&plan.log, HOOK_GET, "x") > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_quarters_must_be_left),
        TEST(the_repository_says_how_long),
        TEST(no_put_after_the_end),
        TEST(a_listing_that_takes_too_long),
        TEST(an_index_that_takes_long_to_load),
        TEST(no_put_of_an_old_session),
        TEST(a_marker_of_a_long_session_stays),
        cmocka_unit_test(large_indexes_are_cut),
        cmocka_unit_test(all_shards_under_one_epoch),
        cmocka_unit_test(two_epochs_on_nothing_stays),
        TEST(it_never_rests),
        TEST(own_entries_need_no_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
