/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of a writer, one test each, by their numbers in docs/repository-format.md: what must be
 * durable before what, and what is never done.
 */
#include "tests/harness/repository_probe.h"

#include "shared/codec/json.h"
#include "shared/store/fault/fault.h"
#include "tests/harness/event_log.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/format_probe.h"
#include "tests/harness/maintenance.h"
#include "tests/harness/snapshot_probe.h"
#include "tests/harness/watched_repository.h"

static void stat_content(struct xb_repository *from, const struct xb_content_id *id,
                         struct xb_content_info *ret)
{
    PROBE_OK(xb_content_stat(from, id, ret, &err));
}

static void delete_elsewhere(const struct xb_content_id *id)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    PROBE_OK(xb_content_delete(other, id, &err));
    probe_flush(other);
}

/* ---- 1 ---- */

static void writer_1_format_read_again_when_15_minutes_old(void **state)
{
    (void)state;
    pass(890);
    (void)probe_write(repository, 0, "young enough");
    assert_int_equal(event_count(&events, HOOK_GET, XB_FORMAT_BLOB), 0);
    pass(20);
    (void)probe_write(repository, 0, "too old"); /* a write alone, long before the flush */
    assert_int_equal(event_count(&events, HOOK_GET, XB_FORMAT_BLOB), 1);
    /* What may change counts from then on: packs, and the number in entries. */
    format_probe_change(base, "\"maxPackSize\":20971520", "\"maxPackSize\":10485760");
    format_probe_change(base, "\"version\":3", "\"version\":2");
    pass(901);
    struct xb_content_write_result a = probe_write(repository, 'k', "now");
    probe_flush(repository);
    assert_int_equal(repository->format.pack_bytes_max, 10485760);
    size_t i = 0;
    struct xb_index_entry entry;
    assert_true(xb_index_table_find(repository->table, &a.id, &i));
    xb_index_table_at(repository->table, i, &entry);
    assert_int_equal(entry.format_version, 2);
}

static void writer_1_no_session_under_an_upgrade_lock(void **state)
{
    (void)state;
    struct xb_content_write_result result;
    format_probe_change(base, "\"version\"", FORMAT_PROBE_LOCK "\"version\"");
    pass(901);
    PROBE_REFUSED(xb_content_write(repository, 0, "x", 1, XB_COMPRESSION_NONE, &result, &err),
                  XB_ERR_RETRY, "carol");
    assert_int_equal(event_count(&events, HOOK_PUT, ""), 0); /* not even a marker */
    format_probe_change(base, FORMAT_PROBE_LOCK, "");
    (void)probe_write(repository, 0, "x");
    /* One that comes while a session is open stops its commit. */
    format_probe_change(base, "\"version\"", FORMAT_PROBE_LOCK "\"version\"");
    pass(901);
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_RETRY, "carol");
    assert_int_equal(event_count(&events, HOOK_PUT, "x"), 0);
}

/* Less than three quarters of its life: the state of the epoch is looked at again. */
static void writer_1_epoch_state_is_fresh(void **state)
{
    (void)state;
    (void)probe_write(repository, 0, "abc");
    probe_flush(repository);
    int put = event_find(&events, 0, HOOK_PUT, "xn0_");
    int list = event_last(&events, HOOK_LIST, "x");
    assert_true(event_find(&events, 0, HOOK_LIST, "x") < put && put < list);
}

/* ---- 2 ---- */

static void writer_2_marker_before_the_first_pack(void **state)
{
    (void)state;
    (void)probe_write(repository, 0, "abc");
    (void)probe_write(repository, 'k', "def");
    int marker = event_find(&events, 0, HOOK_PUT, "s");
    assert_true(marker != EVENT_NONE);
    assert_true(marker < event_find(&events, 0, HOOK_BEGIN, "p"));
    assert_true(marker < event_find(&events, 0, HOOK_BEGIN, "q"));
    assert_int_equal(event_count(&events, HOOK_PUT, "s"), 1);
    const char *session = strchr(events.events[marker].name, '-');
    int pack = event_find(&events, 0, HOOK_BEGIN, "p");
    assert_string_equal(strchr(events.events[pack].name, '-'), session);
}

static void writer_2_no_marker_no_pack(void **state)
{
    (void)state;
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    struct xb_content_write_result result;
    const struct xb_fault_rule rule = {XB_FAULT_PUT, XB_FAULT_FAIL, 0, "s", XB_ERR_IO, 0};
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
    PROBE_OK(xb_fault_add(fault, &rule, &err));
    PROBE_REFUSED(xb_content_write(one, 0, "abc", 3, XB_COMPRESSION_NONE, &result, &err), XB_ERR_IO,
                  NULL);
    assert_int_equal(xb_fault_count(fault, XB_FAULT_BEGIN), 0);
    xb_store_free(faulty);
}

/* ---- 3 ---- */

static void writer_3_looks_in_pending_then_in_the_index(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info first;
    struct xb_content_info again;
    assert_false(a.existed);
    assert_true(probe_write(repository, 0, "abc").existed); /* pending */
    assert_false(probe_write(repository, 'k', "abc").existed);
    probe_flush(repository);
    assert_true(probe_write(repository, 0, "abc").existed); /* the index */
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    assert_true(probe_write(other, 0, "abc").existed); /* others' index */
    /* Anything but a live one is stored anew, later than what it replaces. */
    stat_content(repository, &a.id, &first);
    assert_int_equal(first.timestamp_s, ticks.clock.wall_ns(&ticks) / XB_NS_PER_S);
    for (int i = 0; i < 3; i++) {
        delete_elsewhere(&a.id);
    }
    PROBE_OK(xb_repository_refresh(other, &err));
    stat_content(other, &a.id, &first);
    assert_true(first.deleted);
    assert_false(probe_write(other, 0, "abc").existed);
    probe_flush(other);
    stat_content(other, &a.id, &again);
    assert_false(again.deleted);
    assert_true(again.timestamp_s > first.timestamp_s);
}

/* ---- 4 ---- */

static void writer_4_a_pack_that_is_not_confirmed_is_never_indexed(void **state)
{
    (void)state;
    static const enum xb_fault_effect effects[] = {XB_FAULT_FAIL, XB_FAULT_LOSE_ANSWER};
    for (size_t i = 0; i < 2; i++) {
        struct xb_store *faulty = NULL;
        struct xb_fault *fault = NULL;
        const struct xb_fault_rule rule = {XB_FAULT_COMMIT, effects[i], 1, "q", XB_ERR_RETRY, 0};
        PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
        size_t indexes = probe_count(base, "x");
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        (void)probe_write(one, 0, "a file");
        (void)probe_write(one, 'k', "a folder");
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_RETRY, "writing pack q");
        /* Nor later, and nothing else either: something may count on what the pack held. */
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_RETRY, "writing pack q");
        assert_true(xb_repository_failed(one));
        assert_int_equal(probe_count(base, "x"), indexes);
        xb_store_free(faulty);
    }
}

/* A full pack is closed at once, long before the flush, and named by no index until then. */
static void writer_4_full_packs_go_out_at_once(void **state)
{
    (void)state;
    repository->format.pack_bytes_max = 1000;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    (void)probe_write(repository, 0, text);
    assert_int_equal(event_count(&events, HOOK_COMMIT, "p"), 1);
    assert_int_equal(event_count(&events, HOOK_PUT, "x"), 0);
    (void)probe_write(repository, 0, "more");
    assert_int_equal(event_count(&events, HOOK_BEGIN, "p"), 2);
    probe_flush(repository);
    int last = event_last(&events, HOOK_COMMIT, "p");
    assert_true(last < event_find(&events, 0, HOOK_PUT, "x"));
    assert_int_equal(event_count(&events, HOOK_PUT, "x"), 1);
}

/* ---- 5 ---- */

/* Whatever the caller does: he who only ever writes is flushed all the same. */
static void writer_5_a_flush_at_least_every_ten_minutes(void **state)
{
    (void)state;
    struct xb_content_write_result first = probe_write(repository, 0, "0");
    int flushes = 0;
    for (int minute = 1; minute <= 60; minute++) {
        char text[20];
        pass(60);
        snprintf(text, sizeof text, "%d", minute);
        (void)probe_write(repository, 0, text);
        int now = event_count(&events, HOOK_PUT, "x");
        assert_int_equal(now, minute / 10);
        flushes = now;
    }
    assert_int_equal(flushes, 6);
    /* One index blob each, and each session ended with it. */
    assert_int_equal(event_count(&events, HOOK_PUT, "s"), 7);
    assert_int_equal(event_count(&events, HOOK_DELETE, "s"), 6);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *next = probe_open(base);
    assert_true(probe_write(next, 0, "0").existed); /* a killed backup's work is found */
    probe_holds(next, &first.id, "0");
}

/* ---- 6 ---- */

/* A record of a backup under way: everything it names is there, and the parent of the next one is
 * the last whole snapshot all the same. */
static void writer_6_a_checkpoint_is_no_parent(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", NULL};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *whole = NULL;
    PROBE_OK(snapshot_write(repository, files, &whole, &err));
    struct xb_snapshot checkpoint = *whole;
    static char incomplete[] = "checkpoint";
    checkpoint.incomplete = incomplete;
    checkpoint.start_ns += XB_NS_PER_S;
    PROBE_OK(xb_snapshot_publish(repository, &checkpoint, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    assert_int_equal(snapshot_check_all(other), 2);
    struct xb_snapshot_parents parents = {.count = 0};
    PROBE_OK(xb_snapshot_find_parents(other, NULL, &parents, &err));
    assert_string_equal(parents.items[0]->id, whole->id);
    assert_int_equal(parents.count, 2); /* only what it has beyond the parent is taken over */
    xb_snapshot_parents_free(&parents);
}

/* ---- 7, 8 ---- */

static void writer_7_folders_after_their_children(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", NULL};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    PROBE_OK(snapshot_write(repository, files, &snapshot, &err));
    int files_pack = event_find(&events, 0, HOOK_COMMIT, "p");
    int folders_pack = event_find(&events, 0, HOOK_COMMIT, "q");
    int index = event_find(&events, 0, HOOK_PUT, "xn");
    assert_true(files_pack < index && folders_pack < index);
}

/* At no moment does anybody see a manifest of which something is missing. */
static void look_for_broken(struct hooks *self, enum hook_call call, const char *name,
                            struct xb_store *inner)
{
    size_t *seen = self->context;
    if (call != HOOK_PUT || name[0] != 'x') {
        return;
    }
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(inner);
    size_t count = snapshot_check_all(other);
    *seen = count > *seen ? count : *seen;
}

static void writer_8_the_manifest_last(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", "two", "second file", NULL};
    size_t seen = 0;
    struct hooks watching = {.after = look_for_broken, .context = &seen};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *watched = hook_store_open(xb_store_ref(base), &watching);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(watched);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    PROBE_OK(snapshot_write(one, files, &snapshot, &err));
    assert_int_equal(seen, 1); /* it was seen, whole, the moment its index was put */
}

/* ---- 9 ---- */

static void writer_9_what_cannot_be_read_again_is_not_published(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", NULL};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    PROBE_OK(snapshot_write(repository, files, &snapshot, &err));
    struct xb_snapshot broken = *snapshot;
    memset(broken.root.object.text + 1, '0', 32); /* a folder that nobody wrote */
    PROBE_REFUSED(xb_snapshot_publish(repository, &broken, &err), XB_ERR_CORRUPT, NULL);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    assert_int_equal(snapshot_check_all(other), 1);
}

static void writer_9_reused_contents_are_looked_at_before(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    probe_flush(repository);
    assert_true(probe_write(repository, 0, "abc").existed);
    delete_elsewhere(&a.id);
    (void)probe_write(repository, 'm', "a manifest that counts on it");
    events.count = 0;
    probe_flush(repository);
    /* Once, with the manifest or before it: the content never is missing. */
    assert_int_equal(event_count(&events, HOOK_PUT, "xn"), 1);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    stat_content(other, &a.id, &info);
    assert_false(info.deleted);
}

/* ---- 10 ---- */

static void move_by_two(struct hooks *self, enum hook_call call, const char *name,
                        struct xb_store *inner)
{
    int *left = self->context;
    if (call == HOOK_PUT && strncmp(name, "xn", 2) == 0 && (*left)-- > 0) {
        maintain_advance(inner);
        maintain_advance(inner);
    }
}

static void writer_10_committed_by_index_and_epoch_then_the_marker_goes(void **state)
{
    (void)state;
    (void)probe_write(repository, 0, "abc");
    probe_flush(repository);
    int put = event_find(&events, 0, HOOK_PUT, "xn0_");
    int list = event_find(&events, put, HOOK_LIST, "x");
    int gone = event_find(&events, 0, HOOK_DELETE, "s");
    assert_true(put < list && list < gone);
    /* The epoch has moved on by two: that was no commit. */
    int moves = 1;
    struct hooks moving = {.before = move_by_two, .context = &moves};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *moved = hook_store_open(xb_store_ref(base), &moving);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(moved);
    size_t old = probe_count(base, "xn0_");
    struct xb_content_write_result b = probe_write(one, 0, "def");
    probe_flush(one);
    assert_int_equal(probe_count(base, "xn0_"), old);
    assert_int_equal(probe_count(base, "xn2_"), 1);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    probe_holds(other, &b.id, "def");
}

/* ---- on failure ---- */

/* Whichever request fails: nothing is removed but own index blobs of an old epoch. */
static void writer_on_failure_packs_stay(void **state)
{
    (void)state;
    static const struct {
        enum xb_fault_call call;
        const char *prefix;
    } cases[] = {{XB_FAULT_PUT, "x"}, {XB_FAULT_LIST, "x"}, {XB_FAULT_COMMIT, "q"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_store *faulty = NULL;
        struct xb_fault *fault = NULL;
        const struct xb_fault_rule rule = {cases[i].call,   XB_FAULT_FAIL, 0,
                                           cases[i].prefix, XB_ERR_IO,     0};
        PROBE_OK(xb_store_fault_open(xb_store_ref(store), &faulty, &fault, &err));
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(faulty);
        size_t packs = probe_count(base, "p");
        (void)probe_write(one, 0, i == 0 ? "a" : i == 1 ? "b" : "c");
        (void)probe_write(one, 'k', i == 0 ? "a" : i == 1 ? "b" : "c");
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        events.count = 0;
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_IO, NULL);
        assert_int_equal(event_count(&events, HOOK_DELETE, ""), 0);
        assert_int_equal(probe_count(base, "p"), packs + (i != 1));
        assert_int_equal(probe_count(base, "s"), i + 1); /* the markers protect them */
        xb_store_free(faulty);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writer_1_format_read_again_when_15_minutes_old),
        TEST(writer_1_no_session_under_an_upgrade_lock),
        TEST(writer_1_epoch_state_is_fresh),
        TEST(writer_2_marker_before_the_first_pack),
        TEST(writer_2_no_marker_no_pack),
        TEST(writer_3_looks_in_pending_then_in_the_index),
        TEST(writer_4_a_pack_that_is_not_confirmed_is_never_indexed),
        TEST(writer_4_full_packs_go_out_at_once),
        TEST(writer_5_a_flush_at_least_every_ten_minutes),
        TEST(writer_6_a_checkpoint_is_no_parent),
        TEST(writer_7_folders_after_their_children),
        TEST(writer_8_the_manifest_last),
        TEST(writer_9_what_cannot_be_read_again_is_not_published),
        TEST(writer_9_reused_contents_are_looked_at_before),
        TEST(writer_10_committed_by_index_and_epoch_then_the_marker_goes),
        TEST(writer_on_failure_packs_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
