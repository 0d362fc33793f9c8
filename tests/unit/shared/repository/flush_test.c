/* SPDX-License-Identifier: Apache-2.0
 *
 * A flush makes everything durable in an order in which nothing can be lost: whatever fails, and
 * whatever others do meanwhile, what is indexed is there, and what was reused is still there.
 */
#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/repository/state.h"
#include "shared/store/fault/fault.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/opened_repository.h"

static void stat_content(struct xb_repository *from, const struct xb_content_id *id,
                         struct xb_content_info *ret)
{
    PROBE_OK(xb_content_stat(from, id, ret, &err));
}

static bool knows(struct xb_repository *from, const struct xb_content_id *id)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_info info;
    return xb_content_stat(from, id, &info, &err) == 0;
}

/* ---- the order ---- */

struct events {
    char text[4096];
    char marker[200], session[200], pack[200], index[200];
};

/* Every change of the store, by the first letters of the name. */
static void record(struct hooks *hooks, enum hook_call call, const char *name,
                   struct xb_store *inner)
{
    static const char *const names[] = {
        [HOOK_PUT] = "put",   [HOOK_COMMIT] = "commit", [HOOK_DELETE] = "delete",
        [HOOK_LIST] = "list", [HOOK_BEGIN] = "begin",   [HOOK_GET] = NULL,
        [HOOK_STAT] = NULL};
    struct events *events = hooks->context;
    (void)inner;
    if (!names[call]) {
        return;
    }
    size_t used = strlen(events->text);
    snprintf(events->text + used, sizeof events->text - used, "%s %.*s, ", names[call],
             name[0] == 'x' ? (int)strcspn(name, "_") : 1, name);
    if (call == HOOK_PUT && name[0] == 's') {
        snprintf(events->marker, sizeof events->marker, "%s", name);
        snprintf(events->session, sizeof events->session, "%s", strchr(name, '-') + 1);
    }
    if (call == HOOK_COMMIT && name[0] == 'p') {
        snprintf(events->pack, sizeof events->pack, "%s", name);
    }
    if (call == HOOK_PUT && name[0] == 'x') {
        snprintf(events->index, sizeof events->index, "%s", name);
    }
}

static void marker_packs_index_marker(void **state)
{
    (void)state;
    static struct events events;
    struct hooks hooks = {.after = record, .context = &events};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *seen = hook_store_open(probe_repository_store(), &hooks);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(seen);
    events = (struct events){.text = ""};
    (void)probe_write(one, 0, "file");
    (void)probe_write(one, 'k', "folder");
    assert_string_equal(events.text, "put s, begin p, begin q, ");
    struct events first = events;
    probe_flush(one);
    assert_string_equal(events.text, "put s, begin p, begin q, list x, commit p, commit q, "
                                     "put xn0, list x, delete s, ");
    /* Everything carries the session's name: s, 16 digits, and months since 2000. */
    long long months = (xb_clock_wall_ns() / XB_NS_PER_S - 946684800) / 86400 / 30;
    char tail[220];
    snprintf(tail, sizeof tail, "%llx", (unsigned long long)months);
    assert_int_equal(first.session[0], 's');
    assert_int_equal(strspn(first.session + 1, "0123456789abcdef"), strlen(first.session) - 1);
    assert_string_equal(first.session + 17, tail);
    assert_string_equal(strchr(events.pack, '-') + 1, first.session);
    snprintf(tail, sizeof tail, "%s-c1", first.session);
    assert_string_equal(strchr(events.index, '-') + 1, tail);
    assert_int_equal(strcspn(first.marker, "-"), 33);
    /* The next write begins another session. */
    (void)probe_write(one, 0, "more");
    probe_flush(one);
    assert_string_not_equal(events.session, first.session);
    assert_int_equal(probe_count(seen, "s"), 0);
    /* Nothing to write is nothing done. */
    events = (struct events){.text = ""};
    (void)probe_write(one, 0, "more");
    probe_flush(one);
    assert_string_equal(events.text, "");
}

static void the_marker_is_kopias(void **state)
{
    (void)state;
    (void)probe_write(repository, 0, "abc");
    struct probe_names markers = probe_list(store, "s");
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(10000);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(10000);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    int64_t start = 0;
    int64_t checkpoint = 0;
    assert_int_equal(markers.count, 1);
    PROBE_OK(xb_store_get(store, markers.names[0], 0, XB_STORE_TO_END, &sealed, &err));
    PROBE_OK(xb_unseal_blob(repository->sealer, markers.names[0], sealed.data, sealed.len, &plain,
                            &err));
    PROBE_OK(xb_json_parse(plain.data, plain.len, &json, &err));
    assert_string_equal(xb_json_str(json, "id", ""), strchr(markers.names[0], '-') + 1);
    assert_string_equal(xb_json_str(json, "username", ""), "default");
    assert_string_equal(xb_json_str(json, "hostname", ""), "default");
    PROBE_OK(xb_time_parse(xb_json_str(json, "startTime", ""), &start, &err));
    PROBE_OK(xb_time_parse(xb_json_str(json, "checkpointTime", ""), &checkpoint, &err));
    assert_int_equal(start, checkpoint);
    int64_t age = xb_clock_wall_ns() - start;
    assert_true(age >= 0 && age < 600 * XB_NS_PER_S);
    probe_names_free(&markers);
    probe_flush(repository);
    assert_int_equal(probe_count(store, "s"), 0);
}

/* What is given up stays behind, under its marker, for the format's own collection. */
static void given_up_work_is_not_seen(void **state)
{
    (void)state;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    struct xb_content_write_result a = probe_write(other, 0, "abc");
    xb_repository_free(other);
    other = probe_open(store);
    assert_false(knows(other, &a.id));
    assert_int_equal(probe_count(store, "s"), 1);
    assert_int_equal(probe_count(store, "p"), 0);
    assert_false(probe_write(other, 0, "abc").existed);
    probe_flush(other);
    assert_int_equal(probe_count(store, "s"), 1); /* others' markers are not ours to remove */
}

static void deletions_alone_need_no_pack(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    probe_flush(repository);
    size_t packs = probe_count(store, "p") + probe_count(store, "q");
    PROBE_OK(xb_content_delete(repository, &a.id, &err));
    probe_flush(repository);
    assert_int_equal(probe_count(store, "p") + probe_count(store, "q"), packs);
    assert_int_equal(probe_count(store, "s"), 0);
    stat_content(repository, &a.id, &info);
    assert_true(info.deleted);
}

/* ---- what was reused ---- */

static void delete_elsewhere(const struct xb_content_id *id)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    PROBE_OK(xb_content_delete(other, id, &err));
    probe_flush(other);
}

enum reuse { REUSE_WRITE, REUSE_CALL };

static void reused_and_deleted(enum reuse how, bool refreshed)
{
    char text[400];
    struct xb_content_write_result result;
    struct xb_content_info before;
    struct xb_content_info after;
    memset(text, 'z', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    PROBE_OK(xb_content_write(repository, 'k', text, sizeof text - 1, XB_COMPRESSION_ZSTD_FASTEST,
                              &result, &err));
    probe_flush(repository);
    stat_content(repository, &result.id, &before);
    if (how == REUSE_WRITE) {
        assert_true(probe_write(repository, 'k', text).existed);
    } else {
        assert_true(xb_content_reuse(repository, &result.id));
    }
    (void)probe_write(repository, 0, "something new");
    delete_elsewhere(&result.id);
    if (refreshed) { /* a reader may have renewed the view before the flush */
        PROBE_OK(xb_repository_refresh(repository, &err));
        stat_content(repository, &result.id, &after);
        assert_true(after.deleted);
    }
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    stat_content(third, &result.id, &after);
    assert_false(after.deleted);
    assert_true(after.timestamp_s > before.timestamp_s + 1); /* younger than the deletion */
    assert_string_not_equal(after.pack, before.pack);
    assert_int_equal(after.compression, before.compression);
    PROBE_OK(xb_store_delete(store, before.pack, &err));
    probe_holds(third, &result.id, text);
}

static void reused_by_writing(void **state)
{
    (void)state;
    reused_and_deleted(REUSE_WRITE, false);
}

static void reused_by_name(void **state)
{
    (void)state;
    reused_and_deleted(REUSE_CALL, false);
}

static void reused_and_the_view_renewed(void **state)
{
    (void)state;
    reused_and_deleted(REUSE_WRITE, true);
}

/* Reused and deleted, and so is its bytes' pack: the flush must not claim that all is well. */
static void reused_and_gone(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    probe_flush(repository);
    stat_content(repository, &a.id, &info);
    assert_true(xb_content_reuse(repository, &a.id));
    struct xb_content_write_result b = probe_write(repository, 0, "new");
    delete_elsewhere(&a.id);
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_CONFLICT, "start the backup again");
    /* No later try ends otherwise. */
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_CONFLICT, "start the backup again");
    assert_true(xb_repository_failed(repository));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    assert_false(knows(third, &b.id));
}

/* What has only been looked at is nobody's promise. */
static void not_reused_is_not_written_again(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    probe_holds(other, &a.id, "abc");
    delete_elsewhere(&a.id);
    (void)probe_write(other, 0, "new");
    probe_flush(other);
    stat_content(other, &a.id, &info);
    assert_true(info.deleted);
    /* But what this handle wrote itself, a snapshot may come to name. */
    (void)probe_write(repository, 0, "newer");
    probe_flush(repository);
    stat_content(repository, &a.id, &info);
    assert_false(info.deleted);
    /* Unless it took it back itself. */
    PROBE_OK(xb_content_delete(repository, &a.id, &err));
    probe_flush(repository);
    (void)probe_write(repository, 0, "newest");
    probe_flush(repository);
    stat_content(repository, &a.id, &info);
    assert_true(info.deleted);
}

/* The second writing fails within the flush: a later flush must not index what is not there. */
static void writing_again_may_fail(void **state)
{
    (void)state;
    static const enum xb_fault_call calls[] = {XB_FAULT_WRITE, XB_FAULT_COMMIT, XB_FAULT_BEGIN};
    for (size_t i = 0; i < 3; i++) {
        (void)setup(state);
        struct xb_store *faulty = NULL;
        struct xb_fault *fault = NULL;
        struct xb_content_write_result a = probe_write(repository, 0, "abc");
        probe_flush(repository);
        PROBE_OK(xb_store_fault_open(xb_store_ref(store), &faulty, &fault, &err));
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
        assert_true(xb_content_reuse(one, &a.id));
        (void)probe_write(one, i == 2 ? 'k' : 0, "new");
        delete_elsewhere(&a.id);
        const struct xb_fault_rule rule = {calls[i], XB_FAULT_FAIL, 1, NULL, XB_ERR_IO, 0};
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        size_t indexes = probe_count(store, "x");
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_IO, NULL);
        assert_true(xb_repository_failed(one));
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_IO, NULL);
        assert_int_equal(probe_count(store, "x"), indexes);
        xb_store_free(faulty);
        (void)teardown(state);
    }
}

/* ---- epochs ---- */

struct mover {
    int puts, moves_left;
    unsigned step; /* epochs at a time */
    unsigned epoch;
};

/* Right before an index blob is put, others move the epoch on. */
static void move_epoch(struct hooks *hooks, enum hook_call call, const char *name,
                       struct xb_store *inner)
{
    struct mover *mover = hooks->context;
    if (call != HOOK_PUT || strncmp(name, "xn", 2) != 0) {
        return;
    }
    mover->puts++;
    if (mover->moves_left > 0) {
        char marker[40];
        mover->moves_left--;
        mover->epoch += mover->step;
        snprintf(marker, sizeof marker, "xe%u", mover->epoch);
        probe_put(inner, marker, "epoch-marker");
    }
}

static struct xb_repository *open_moving(struct mover *mover, struct hooks *hooks,
                                         struct xb_store **ret_store)
{
    *hooks = (struct hooks){.before = move_epoch, .context = mover};
    *ret_store = hook_store_open(xb_store_ref(store), hooks);
    return probe_open(*ret_store);
}

static void the_epoch_moves_on_during_a_flush(void **state)
{
    (void)state;
    struct mover mover = {.moves_left = 1, .step = 2};
    struct hooks hooks;
    struct xb_store *moving = NULL;
    struct xb_repository *one = open_moving(&mover, &hooks, &moving);
    size_t old = probe_count(store, "xn0_");
    struct xb_content_write_result a = probe_write(one, 0, "abc");
    probe_flush(one);
    assert_int_equal(mover.puts, 2);
    assert_int_equal(probe_count(store, "xn0_"), old); /* our own was taken away again */
    assert_int_equal(probe_count(store, "xn2_"), 1);
    assert_int_equal(probe_count(store, "s"), 0);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    probe_holds(third, &a.id, "abc");
    struct xb_repository_info info;
    PROBE_OK(xb_repository_info(third, &info, &err));
    assert_int_equal(info.write_epoch, 2);
    xb_repository_free(one);
    xb_store_free(moving);
}

/* One step on, the old epoch is not settled: what was put under it counts. */
static void one_epoch_on_is_early_enough(void **state)
{
    (void)state;
    struct mover mover = {.moves_left = 1, .step = 1};
    struct hooks hooks;
    struct xb_store *moving = NULL;
    struct xb_repository *one = open_moving(&mover, &hooks, &moving);
    struct xb_content_write_result a = probe_write(one, 0, "abc");
    probe_flush(one);
    assert_int_equal(mover.puts, 1);
    assert_int_equal(probe_count(store, "xn0_"), 2);
    struct xb_content_write_result b = probe_write(one, 0, "def");
    probe_flush(one);
    assert_int_equal(probe_count(store, "xn1_"), 1);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    probe_holds(third, &a.id, "abc");
    probe_holds(third, &b.id, "def");
    xb_repository_free(one);
    xb_store_free(moving);
}

static void an_epoch_that_never_rests_is_an_error(void **state)
{
    (void)state;
    struct mover mover = {.moves_left = 1000, .step = 2};
    struct hooks hooks;
    struct xb_store *moving = NULL;
    struct xb_repository *one = open_moving(&mover, &hooks, &moving);
    size_t old = probe_count(store, "xn");
    struct xb_content_write_result a = probe_write(one, 0, "abc");
    PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_RETRY, "epoch");
    assert_int_equal(probe_count(store, "xn"), old);
    assert_true(mover.puts < 20);
    mover.moves_left = 0; /* and when it rests, the same handle goes on */
    probe_flush(one);
    assert_int_equal(probe_count(store, "xn"), old + 1);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    probe_holds(third, &a.id, "abc");
    xb_repository_free(one);
    xb_store_free(moving);
}

/* While the index is loaded, maintenance compacts it away: the loader looks again. */
static void compact_now(struct hooks *hooks, enum hook_call call, const char *name,
                        struct xb_store *inner)
{
    int *left = hooks->context;
    if (call != HOOK_GET || strncmp(name, "xn0_", 4) != 0 || *left == 0) {
        return;
    }
    --*left;
    /* The same index under a compaction's name: the part that its seal depends on is the hash. */
    struct xb_buf blob = XB_BUF_INIT(1 << 20);
    char compacted[100];
    PROBE_OK(xb_store_get(inner, name, 0, XB_STORE_TO_END, &blob, &err));
    snprintf(compacted, sizeof compacted, "xs0_%.32s-s0123456789abcdef-c1", name + 4);
    PROBE_OK(xb_store_put(inner, compacted, blob.data, blob.len, NULL, &err));
    probe_put(inner, "xe2", "epoch-marker");
    PROBE_OK(xb_store_delete(inner, name, &err));
    xb_buf_free(&blob);
}

static void an_index_that_vanishes_is_looked_for(void **state)
{
    (void)state;
    int left = 1;
    struct fake_clock clock;
    struct hooks hooks = {.before = compact_now, .context = &left};
    fake_clock_init(&clock);
    XB_CLEANUP(xb_store_freep)
    struct xb_store *moving = hook_store_open(xb_store_ref(store), &hooks);
    XB_CLEANUP(xb_repository_freep)
    struct xb_repository *one = probe_open_at(moving, &clock.clock);
    assert_int_equal(clock.sleeps, 1);
    assert_int_equal(clock.slept_ns, 100 * XB_NS_PER_MS);
    struct xb_repository_info info;
    PROBE_OK(xb_repository_info(one, &info, &err));
    assert_int_equal(left, 0);
    assert_int_equal(info.write_epoch, 2);
    assert_int_equal(info.contents, 1);
    /* One that is gone for good is an error, not an endless search. */
    struct probe_names names = probe_list(store, "xs0_");
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    struct xb_repository *two = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    const struct xb_fault_rule rule = {XB_FAULT_GET, XB_FAULT_FAIL, 0, "xs", XB_ERR_NOT_FOUND, 0};
    PROBE_OK(xb_store_fault_open(xb_store_ref(store), &faulty, &fault, &err));
    const struct xb_repository_open_options options = {.clock = &clock.clock};
    PROBE_OK(xb_fault_add(fault, &rule, &err));
    fake_clock_init(&clock);
    PROBE_REFUSED(xb_repository_open(xb_store_ref(faulty), password, &options, &two, &err),
                  XB_ERR_NOT_FOUND, names.names[0]);
    /* Ten looks, and between them pauses of 0.1 s, 0.2 s, ... 25.6 s. */
    assert_int_equal(xb_fault_count(fault, XB_FAULT_LIST), 10);
    assert_int_equal(clock.sleeps, 9);
    assert_int_equal(clock.slept_ns, 511 * 100 * XB_NS_PER_MS);
    probe_names_free(&names);
    xb_store_free(faulty);
}

/* ---- stores that fail ---- */

/* Writes and flushes through a store that breaks; whether that worked. */
static bool attempt(struct xb_repository *one, struct xb_content_id ids[2])
{
    static const char *const texts[] = {"a file", "a folder"};
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    for (int i = 0; r == 0 && i < 2; i++) {
        struct xb_content_write_result result;
        r = xb_content_write(one, i ? 'k' : 0, texts[i], strlen(texts[i]), XB_COMPRESSION_NONE,
                             &result, &err);
        ids[i] = result.id;
    }
    r = r < 0 ? r : xb_repository_flush(one, &err);
    assert_true(r == 0 || err.code == r);
    return r == 0;
}

/* One try with the nth call of a kind broken; false when there was no such call. */
static bool try_fault(enum xb_fault_call call, enum xb_fault_effect effect, uint64_t nth)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *base = probe_repository_store();
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    struct xb_content_id ids[2];
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *two = probe_open(base);
    (void)probe_write(two, 0, "others' work"); /* for the handle to load */
    probe_flush(two);
    uint64_t before = xb_fault_count(fault, call);
    const struct xb_fault_rule rule = {call, effect, nth, NULL, XB_ERR_IO, 0};
    PROBE_OK(xb_fault_add(fault, &rule, &err));
    bool worked = attempt(one, ids);
    bool reached = xb_fault_count(fault, call) >= before + nth;
    if (!worked) {
        assert_true(reached);
        /* Nothing is indexed that is not there; and nothing at all unless the index was put. */
        PROBE_OK(xb_repository_refresh(two, &err));
        bool indexed = probe_count(base, "xn") > 2;
        struct xb_content_write_result a = probe_write(two, 0, "a file");
        struct xb_content_write_result b = probe_write(two, 'k', "a folder");
        assert_int_equal(a.existed, indexed);
        assert_int_equal(b.existed, indexed);
        /* Everyone else can go on. */
        (void)probe_write(two, 0, "another");
        probe_flush(two);
        probe_holds(two, &a.id, "a file");
        probe_holds(two, &b.id, "a folder");
        /* So can this handle, unless a pack was lost. */
        if (!xb_repository_failed(one)) {
            assert_true(attempt(one, ids));
            assert_int_equal(probe_count(base, "s"), 0);
        } else {
            assert_false(attempt(one, ids));
        }
        PROBE_OK(xb_repository_refresh(two, &err));
    } else {
        PROBE_OK(xb_repository_refresh(two, &err));
        probe_holds(two, &ids[0], "a file");
        probe_holds(two, &ids[1], "a folder");
        /* A marker that could not be removed protects nothing any more, and goes by its age. */
        assert_int_equal(probe_count(base, "s"),
                         reached && call == XB_FAULT_DELETE && effect == XB_FAULT_FAIL);
    }
    xb_store_free(faulty);
    return reached;
}

static void every_call_may_fail(void **state)
{
    (void)state;
    static const struct {
        enum xb_fault_call call;
        enum xb_fault_effect effect;
        uint64_t at_least;
    } kinds[] = {
        {XB_FAULT_PUT, XB_FAULT_FAIL, 2},           {XB_FAULT_BEGIN, XB_FAULT_FAIL, 2},
        {XB_FAULT_WRITE, XB_FAULT_FAIL, 8},         {XB_FAULT_COMMIT, XB_FAULT_FAIL, 2},
        {XB_FAULT_STAT, XB_FAULT_FAIL, 1},          {XB_FAULT_DELETE, XB_FAULT_FAIL, 1},
        {XB_FAULT_LIST, XB_FAULT_FAIL, 2},          {XB_FAULT_GET, XB_FAULT_FAIL, 1},
        {XB_FAULT_PUT, XB_FAULT_LOSE_ANSWER, 2},    {XB_FAULT_COMMIT, XB_FAULT_LOSE_ANSWER, 2},
        {XB_FAULT_DELETE, XB_FAULT_LOSE_ANSWER, 1},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint64_t nth = 1;
        while (try_fault(kinds[i].call, kinds[i].effect, nth)) {
            nth++;
        }
        assert_true(nth > kinds[i].at_least);
    }
}

/* What is committed is a success, also when the marker could not be removed: it goes by its age. */
static void a_marker_that_stays_is_no_failure(void **state)
{
    (void)state;
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    const struct xb_fault_rule rule = {XB_FAULT_DELETE, XB_FAULT_FAIL, 1, "s", XB_ERR_RETRY, 0};
    PROBE_OK(xb_store_fault_open(xb_store_ref(store), &faulty, &fault, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
    PROBE_OK(xb_fault_add(fault, &rule, &err));
    struct xb_content_write_result a = probe_write(one, 0, "abc");
    probe_flush(one);
    struct probe_names left = probe_list(store, "s");
    assert_int_equal(left.count, 1);
    PROBE_OK(xb_repository_refresh(repository, &err));
    probe_holds(repository, &a.id, "abc");
    assert_int_equal(probe_count(store, "x"), 2);
    /* The session is over: what comes next has a marker of its own, which goes. */
    struct xb_content_write_result b = probe_write(one, 0, "def");
    struct xb_content_info info;
    assert_int_equal(probe_count(store, "s"), 2);
    probe_flush(one);
    assert_int_equal(probe_count(store, "s"), 1);
    assert_int_equal(probe_count(store, left.names[0]), 1);
    stat_content(one, &b.id, &info);
    assert_null(strstr(info.pack, strchr(left.names[0], '-')));
    probe_names_free(&left);
    xb_store_free(faulty);
}

/* ---- at the same time ---- */

enum { WRITERS = 3, ROUNDS = 6 };

struct writer {
    pthread_t thread;
    struct xb_repository *own;
    int number;
    bool ok;
};

static void *write_and_flush(void *context)
{
    struct writer *writer = context;
    struct xb_error err = XB_ERROR_INIT;
    writer->ok = true;
    for (int i = 0; writer->ok && i < ROUNDS; i++) {
        struct xb_content_write_result result;
        char text[40];
        snprintf(text, sizeof text, "%d of %d", i, i % 2 ? writer->number : -1);
        writer->ok = xb_content_write(writer->own, 0, text, strlen(text), XB_COMPRESSION_NONE,
                                      &result, &err) == 0 &&
                     xb_repository_flush(writer->own, &err) == 0;
    }
    if (!writer->ok) {
        print_error("writer %d: %s\n", writer->number, err.text);
    }
    return NULL;
}

static void handles_flush_at_once(void **state)
{
    (void)state;
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.own = probe_open(store), .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_and_flush, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_true(writers[i].ok);
        xb_repository_free(writers[i].own);
    }
    PROBE_OK(xb_repository_refresh(repository, &err));
    struct xb_repository_info info;
    PROBE_OK(xb_repository_info(repository, &info, &err));
    assert_int_equal(info.contents, 1 + ROUNDS / 2 + WRITERS * ROUNDS / 2);
    assert_int_equal(probe_count(store, "s"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marker_packs_index_marker),
        TEST(the_marker_is_kopias),
        TEST(given_up_work_is_not_seen),
        TEST(deletions_alone_need_no_pack),
        TEST(reused_by_writing),
        TEST(reused_by_name),
        TEST(reused_and_the_view_renewed),
        TEST(reused_and_gone),
        TEST(not_reused_is_not_written_again),
        cmocka_unit_test(writing_again_may_fail),
        TEST(the_epoch_moves_on_during_a_flush),
        TEST(one_epoch_on_is_early_enough),
        TEST(an_epoch_that_never_rests_is_an_error),
        TEST(an_index_that_vanishes_is_looked_for),
        cmocka_unit_test(every_call_may_fail),
        TEST(a_marker_that_stays_is_no_failure),
        TEST(handles_flush_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
