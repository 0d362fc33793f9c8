/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules by which any number of writers and readers and one maintenance share a repository, one
 * test each, by their numbers in docs/repository-format.md.
 */
#include "tests/harness/repository_probe.h"

#include "tests/harness/event_log.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/maintenance.h"
#include "tests/harness/snapshot_probe.h"
#include "tests/harness/watched_repository.h"

static struct xb_content_info info_of(struct xb_repository *from, const struct xb_content_id *id)
{
    struct xb_content_info info;
    PROBE_OK(xb_content_stat(from, id, &info, &err));
    return info;
}

static void delete_in(struct xb_store *where, const struct xb_content_id *id)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(where);
    PROBE_OK(xb_content_delete(other, id, &err));
    probe_flush(other);
}

/* Deleted, and the deletion in force: no index knows it any more. Its pack is still there. */
static void drop_in(struct xb_store *where, const struct xb_content_id *id)
{
    struct xb_error gone = XB_ERROR_INIT;
    struct xb_content_info info;
    delete_in(where, id);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(where);
    /* An earlier watermark of the same second may cover it already. */
    if (xb_content_stat(other, id, &info, &gone) == 0) {
        maintain_watermark(where, (int64_t)info.timestamp_s);
    }
}

static void is_live(struct xb_store *where, const struct xb_content_id *id, const char *text)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(where);
    assert_false(info_of(other, id).deleted);
    probe_holds(other, id, text);
}

/* ---- 1 ---- */

static void try_clocks(int64_t shift_ms, int64_t unit_ns, bool good)
{
    hooks.mtime_shift_ns = shift_ms * XB_NS_PER_MS;
    hooks.mtime_unit_ns = unit_ns;
    struct xb_content_write_result result;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(store);
    size_t blobs = probe_count(base, "");
    if (good) {
        struct xb_content_write_result a = probe_write(one, 0, "abc");
        probe_flush(one);
        PROBE_OK(xb_content_delete(one, &a.id, &err));
        probe_flush(one);
        return;
    }
    PROBE_REFUSED(xb_content_write(one, 0, "abc", 3, XB_COMPRESSION_NONE, &result, &err),
                  XB_ERR_INVALID, shift_ms < 0 ? "behind" : "ahead");
    PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_INVALID, "set the clock");
    assert_int_equal(probe_count(base, ""), blobs);
}

static void many_1_clocks_within_five_minutes_in_both_directions(void **state)
{
    (void)state;
    static const int64_t units[] = {0, XB_NS_PER_S};
    for (size_t i = 0; i < 2; i++) { /* also at a store that knows whole seconds only */
        try_clocks(0, units[i], true);
        try_clocks(299000, units[i], true);
        try_clocks(-299000, units[i], true);
        try_clocks(303000, units[i], false);
        try_clocks(-303000, units[i], false);
        try_clocks(86400000, units[i], false);
        try_clocks(-86400000, units[i], false);
    }
}

/* ---- 2 ---- */

/* Who is killed after a long time has lost ten minutes. */
static void many_2_new_data_is_visible_soon(void **state)
{
    (void)state;
    for (int minute = 0; minute <= 24; minute++) {
        char text[20];
        snprintf(text, sizeof text, "minute %d", minute);
        (void)probe_write(repository, 0, text);
        pass(60);
    }
    XB_CLEANUP(xb_repository_freep) struct xb_repository *next = probe_open(base);
    assert_true(probe_write(next, 0, "minute 0").existed);
    assert_true(probe_write(next, 0, "minute 19").existed);
    assert_false(probe_write(next, 0, "minute 21").existed);
}

/* ---- 3 ---- */

static void many_3_a_view_of_15_minutes_decides_nothing(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    delete_in(base, &a.id);
    pass(890); /* not known here yet, and the view is young enough */
    assert_true(xb_content_reuse(repository, &a.id));
    assert_true(probe_write(repository, 0, "abc").existed);
    pass(20);
    assert_false(xb_content_reuse(repository, &a.id));
    pass(901);
    assert_false(probe_write(repository, 0, "abc").existed);
}

struct deleter {
    const struct xb_content_id *id;
    int left;
    bool drop;
};

/* Right after an index is put, somebody deletes what it counts on. */
static void delete_after_put(struct hooks *self, enum hook_call call, const char *name,
                             struct xb_store *inner)
{
    struct deleter *deleter = self->context;
    if (call == HOOK_PUT && strncmp(name, "xn", 2) == 0 && deleter->left > 0) {
        deleter->left--;
        (deleter->drop ? drop_in : delete_in)(inner, deleter->id);
    }
}

static void many_3_looked_at_again_right_after_publishing(void **state)
{
    (void)state;
    for (int drop = 0; drop < 2; drop++) {
        char text[20];
        snprintf(text, sizeof text, "abc %d", drop);
        struct xb_content_write_result a = probe_write(repository, 0, text);
        probe_flush(repository);
        struct deleter deleter = {&a.id, 1, drop};
        struct hooks deleting = {.after = delete_after_put, .context = &deleter};
        XB_CLEANUP(xb_store_freep)
        struct xb_store *shared = hook_store_open(xb_store_ref(base), &deleting);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(shared);
        assert_true(probe_write(one, 0, text).existed);
        (void)probe_write(one, 'm', drop ? "a manifest" : "another manifest");
        probe_flush(one);
        assert_int_equal(deleter.left, 0);
        is_live(base, &a.id, text);
        assert_int_equal(probe_count(base, "s"), 0);
    }
}

/* Somebody who deletes it again and again: a clear error, not an endless fight. */
static void many_3_an_endless_deleter_is_an_error(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    struct deleter deleter = {&a.id, 1000, false};
    struct hooks deleting = {.after = delete_after_put, .context = &deleter};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *shared = hook_store_open(xb_store_ref(base), &deleting);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(shared);
    assert_true(probe_write(one, 0, "abc").existed);
    (void)probe_write(one, 'm', "a manifest");
    PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_RETRY, "keeps being deleted");
}

/* The deletion is in force already when the flush looks: the place is remembered. */
static void many_3_absent_contents_are_written_again(void **state)
{
    (void)state;
    for (int views = 0; views < 3; views++) { /* the view was renewed in between, once or twice */
        char text[20];
        snprintf(text, sizeof text, "abc %d", views);
        struct xb_content_write_result a = probe_write(repository, 0, text);
        probe_flush(repository);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(base);
        assert_true(xb_content_reuse(one, &a.id));
        drop_in(base, &a.id);
        for (int i = 0; i < views; i++) {
            PROBE_OK(xb_repository_refresh(one, &err));
            maintain_advance(base);
        }
        (void)probe_write(one, 'm', text);
        probe_flush(one);
        is_live(base, &a.id, text);
    }
}

/* Nobody can bring the bytes back but who has the file: no snapshot without them. */
static void many_3_bytes_that_are_gone_fail_the_backup(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", NULL};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = NULL;
    PROBE_OK(snapshot_write(repository, files, &first, &err));
    for (int drop = 0; drop < 2; drop++) {
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(base);
        struct xb_content_write_result a = probe_write(one, 0, "first file");
        struct xb_content_info info = info_of(one, &a.id);
        assert_true(a.existed);
        (drop ? drop_in : delete_in)(base, &a.id);
        PROBE_OK(xb_store_delete(base, info.pack, &err));
        PROBE_REFUSED(snapshot_write(one, files, &second, &err), XB_ERR_CONFLICT,
                      "start the backup again");
        assert_true(xb_repository_failed(one));
        /* Starting again is enough. */
        XB_CLEANUP(xb_repository_freep) struct xb_repository *again = probe_open(base);
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *third = NULL;
        PROBE_OK(snapshot_write(again, files, &third, &err));
        is_live(base, &a.id, "first file");
        assert_int_equal(snapshot_check_all(again), (size_t)drop + 2);
    }
}

/* What an earlier flush of the same backup wrote counts as well: the snapshot that names it may
 * come a day later. */
static void many_3_own_contents_of_earlier_flushes_are_kept(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    drop_in(base, &a.id);
    (void)probe_write(repository, 'm', "a manifest");
    probe_flush(repository);
    is_live(base, &a.id, "abc");
}

/* A manifest is not brought back: another program has merged it into a new one, perhaps without
 * what was deleted from it. */
static void many_3_but_no_manifests(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 'm', "a manifest");
    probe_flush(repository);
    delete_in(base, &a.id);
    (void)probe_write(repository, 'm', "another manifest");
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    assert_true(info_of(other, &a.id).deleted);
}

/* ---- 4 ---- */

/* Also by a writer whose clock is behind the deletion's. */
static void many_4_deleted_contents_are_never_reused(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    for (int i = 0; i < 5; i++) { /* deleted and written again, each a second later */
        XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
        PROBE_OK(xb_content_delete(other, &a.id, &err));
        assert_false(xb_content_reuse(other, &a.id));
        probe_flush(other);
        assert_false(xb_content_reuse(other, &a.id));
        struct xb_content_info deleted = info_of(other, &a.id);
        assert_true(deleted.deleted);
        probe_holds(other, &a.id, "abc"); /* still to be read */
        PROBE_OK(xb_repository_refresh(repository, &err));
        assert_false(probe_write(repository, 0, "abc").existed);
        probe_flush(repository);
        struct xb_content_info again = info_of(repository, &a.id);
        assert_false(again.deleted);
        assert_true(again.timestamp_s >= deleted.timestamp_s + 1);
        assert_string_not_equal(again.pack, deleted.pack);
    }
}

/* ---- 5, 8 ---- */

/* Nothing is put where something lies, and nothing goes but the own marker. */
static void check_changes(struct hooks *self, enum hook_call call, const char *name,
                          struct xb_store *inner)
{
    char *marker = self->context;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_store_item item;
    if (call == HOOK_PUT || call == HOOK_COMMIT) {
        assert_int_equal(xb_store_stat(inner, name, &item, &err), -ENOENT);
        /* These are maintenance's alone. */
        assert_true(name[0] == 's' || name[0] == 'p' || name[0] == 'q' ||
                    strncmp(name, "xn", 2) == 0);
        if (name[0] == 's') {
            snprintf(marker, EVENT_NAME_BYTES, "%s", name);
        }
    }
    if (call == HOOK_DELETE) {
        assert_string_equal(name, marker);
    }
}

static void live_a_little(struct xb_store *in)
{
    static const char *const files[] = {"one", "first file", "two", "second file", NULL};
    XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(in);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = NULL;
    PROBE_OK(snapshot_write(one, files, &first, &err));
    PROBE_OK(snapshot_write(one, files, &second, &err));
    PROBE_OK(xb_snapshot_delete(one, first->id, &err));
    struct xb_content_write_result a = probe_write(one, 'k', "abc");
    probe_flush(one);
    PROBE_OK(xb_content_delete(one, &a.id, &err));
    probe_flush(one);
    (void)probe_write(one, 'k', "abc");
    probe_flush(one);
    assert_int_equal(snapshot_check_all(one), 1);
}

static void many_5_and_8_only_what_is_a_writers_own(void **state)
{
    (void)state;
    char marker[EVENT_NAME_BYTES] = "";
    (void)probe_write(repository, 0, "others are writing, too");
    maintain_advance(base);
    maintain_watermark(base, 1700000000);
    struct hooks checking = {.before = check_changes, .context = marker};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *checked = hook_store_open(xb_store_ref(base), &checking);
    live_a_little(checked);
    assert_string_not_equal(marker, "");
    assert_int_equal(probe_count(base, "s"), 1); /* the other's */
    assert_int_equal(probe_count(base, "xe"), 1);
    assert_int_equal(probe_count(base, "xw"), 1);
    assert_int_equal(probe_count(base, "xs") + probe_count(base, "xr"), 0);
    assert_int_equal(probe_count(base, "kopia.maintenance"), 0);
}

/* ---- 6 ---- */

static void many_6_readers_look_anew_when_a_pack_is_gone(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep)
    struct xb_repository *reader = probe_open_at(base, &ticks.clock);
    /* Maintenance rewrites it, compacts the index, and removes what is left over. */
    struct xb_content_info info = info_of(reader, &a.id);
    delete_in(base, &a.id);
    {
        XB_CLEANUP(xb_repository_freep) struct xb_repository *owner = probe_open(base);
        (void)probe_write(owner, 0, "abc");
        probe_flush(owner);
    }
    assert_true(maintain_compact(repository, base, 0, 0));
    maintain_advance(base);
    maintain_advance(base);
    maintain_remove(base, 0);
    PROBE_OK(xb_store_delete(base, info.pack, &err));
    pass(3600);
    probe_holds(reader, &a.id, "abc");
}

/* A reader's view is renewed every 15 minutes, also when nothing is missing. */
static void many_6_readers_renew_their_view(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    events.count = 0;
    probe_holds(repository, &a.id, "abc");
    pass(890);
    probe_holds(repository, &a.id, "abc");
    assert_int_equal(event_count(&events, HOOK_LIST, "x"), 0);
    pass(20);
    probe_holds(repository, &a.id, "abc");
    probe_holds(repository, &a.id, "abc");
    assert_int_equal(event_count(&events, HOOK_LIST, "x"), 1);
}

/* ---- 7 ---- */

/* A session whose marker may have lost its force is not committed: its packs may be gone. */
static void many_7_no_session_grows_old(void **state)
{
    (void)state;
    static const int64_t hours[] = {11, 71, 73, 1000};
    for (size_t i = 0; i < 4; i++) {
        XB_CLEANUP(xb_repository_freep)
        struct xb_repository *one = probe_open_at(store, &ticks.clock);
        struct xb_content_write_result result;
        (void)probe_write(one, 0, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "e");
        size_t indexes = probe_count(base, "x");
        pass(hours[i] * 3600);
        if (hours[i] < 72) {
            probe_flush(one);
            /* Of one that took long the marker stays: somebody may be about to look for it. */
            assert_int_equal(probe_count(base, "s"), hours[i] >= 12);
            continue;
        }
        PROBE_REFUSED(xb_content_write(one, 0, "more", 4, XB_COMPRESSION_NONE, &result, &err),
                      XB_ERR_CONFLICT, "start again");
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_CONFLICT, "start again");
        assert_true(xb_repository_failed(one));
        assert_int_equal(probe_count(base, "x"), indexes);
    }
    /* The clock that jumps does the same as time that goes by. */
    (void)probe_write(repository, 0, "d");
    ticks.wall_shift_ns += 100 * 3600 * XB_NS_PER_S;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_CONFLICT, "start again");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(many_1_clocks_within_five_minutes_in_both_directions),
        TEST(many_2_new_data_is_visible_soon),
        TEST(many_3_a_view_of_15_minutes_decides_nothing),
        TEST(many_3_looked_at_again_right_after_publishing),
        TEST(many_3_an_endless_deleter_is_an_error),
        TEST(many_3_absent_contents_are_written_again),
        TEST(many_3_bytes_that_are_gone_fail_the_backup),
        TEST(many_3_own_contents_of_earlier_flushes_are_kept),
        TEST(many_3_but_no_manifests),
        TEST(many_4_deleted_contents_are_never_reused),
        TEST(many_5_and_8_only_what_is_a_writers_own),
        TEST(many_6_readers_look_anew_when_a_pack_is_gone),
        TEST(many_6_readers_renew_their_view),
        TEST(many_7_no_session_grows_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
