/* SPDX-License-Identifier: Apache-2.0
 *
 * Merged indexes: the entry that every client picks wins, the watermark counts at the end, and
 * what is in the table is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared/repository/index_table.h"

enum { HASH_BYTES = 4 };

struct line {
    const char *id, *pack;
    uint64_t timestamp_s;
    bool deleted;
};

static struct xb_index_entry entry_of(const struct line *line, struct xb_names *packs)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_entry entry = {.deleted = line->deleted,
                                   .format_version = 3,
                                   .packed_bytes = 40,
                                   .plain_bytes = 12,
                                   .timestamp_s = line->timestamp_s};
    assert_int_equal(xb_content_id_parse(line->id, strlen(line->id), &entry.id, &err), 0);
    assert_int_equal(xb_names_intern(packs, line->pack, strlen(line->pack), &entry.pack, &err), 0);
    return entry;
}

static struct xb_index_merge *merge_new(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_merge *merge = NULL;
    assert_int_equal(xb_index_merge_new(HASH_BYTES, &merge, &err), 0);
    return merge;
}

/* Adds one index of one line. */
static void add_line(struct xb_index_merge *merge, const struct line *line)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0};
    struct xb_index_entry entry = entry_of(line, &packs);
    assert_int_equal(xb_index_merge_add_entries(merge, &entry, 1, &packs, &err), 0);
    xb_names_free(&packs);
}

static struct xb_index_table *finish(struct xb_index_merge *merge, int64_t watermark_s)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_table *table = NULL;
    assert_int_equal(xb_index_merge_finish(merge, watermark_s, &table, &err), 0);
    xb_index_merge_free(merge);
    return table;
}

/* Later wins, then not deleted, then the greater pack name; in whichever order they come. */
static void merge_rule(void **state)
{
    (void)state;
    static const struct line better_first[][2] = {
        {{"00000001", "pa", 11, false}, {"00000001", "pb", 10, false}},
        {{"00000001", "pa", 11, true}, {"00000001", "pb", 10, false}},
        {{"00000001", "pa", 11, false}, {"00000001", "pb", 10, true}},
        {{"00000001", "pa", 10, false}, {"00000001", "pb", 10, true}},
        {{"00000001", "pb", 10, false}, {"00000001", "pa", 10, false}},
        {{"00000001", "pb", 10, true}, {"00000001", "pa", 10, true}},
        {{"00000001", "pab", 10, false}, {"00000001", "pa", 10, false}},
        {{"00000001", "q", 10, false}, {"00000001", "pz", 10, false}},
        {{"00000001", "pa", UINT64_C(1) << 32, false}, {"00000001", "pb", UINT32_MAX, false}}};
    for (size_t i = 0; i < 2 * sizeof better_first / sizeof *better_first; i++) {
        const struct line *lines = better_first[i / 2];
        struct xb_names packs = {.count = 0};
        struct xb_index_entry better = entry_of(&lines[0], &packs);
        struct xb_index_entry worse = entry_of(&lines[1], &packs);
        assert_true(xb_index_entry_beats(&better, lines[0].pack, &worse, lines[1].pack));
        assert_false(xb_index_entry_beats(&worse, lines[1].pack, &better, lines[0].pack));
        assert_false(xb_index_entry_beats(&better, lines[0].pack, &better, lines[0].pack));
        xb_names_free(&packs);
        struct xb_index_merge *merge = merge_new();
        add_line(merge, &lines[i % 2]);
        add_line(merge, &lines[1 - i % 2]);
        XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = finish(merge, INT64_MIN);
        struct xb_index_entry got;
        assert_int_equal(xb_index_table_count(table), 1);
        xb_index_table_at(table, 0, &got);
        assert_int_equal(got.timestamp_s, lines[0].timestamp_s);
        assert_int_equal(got.deleted, lines[0].deleted);
        assert_string_equal(xb_index_table_pack(table, got.pack), lines[0].pack);
    }
}

/* A deleted entry at or below the watermark does not exist, but first beats what is older. */
static void watermark(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"00000001", "pa", 90, false},   {"00000001", "pa", 100, true},   /* goes, with the older */
        {"00000002", "pa", 101, true},                                    /* above: stays */
        {"00000003", "pa", 50, false},                                    /* live: stays */
        {"00000004", "pa", 99, true},    {"00000004", "pa", 120, false},  /* written again */
        {"k00000001", "pa", 100, false}, {"k00000001", "pa", 100, true}}; /* live wins */
    static const struct {
        int64_t watermark_s;
        size_t want;
    } cases[] = {{INT64_MIN, 5}, {-1, 5}, {0, 5}, {99, 5}, {100, 4}, {101, 3}, {INT64_MAX, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct xb_index_merge *merge = merge_new();
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
            add_line(merge, &lines[i]);
        }
        XB_CLEANUP(xb_index_table_unrefp)
        struct xb_index_table *table = finish(merge, cases[c].watermark_s);
        assert_int_equal(xb_index_table_count(table), cases[c].want);
        for (size_t i = 0; i < xb_index_table_count(table); i++) {
            struct xb_index_entry entry;
            size_t at = SIZE_MAX;
            xb_index_table_at(table, i, &entry);
            assert_true(xb_index_table_find(table, &entry.id, &at));
            assert_int_equal(at, i);
        }
    }
}

/* Nothing, and nothing added to nothing, and tables added to tables. */
static void empty_and_tables(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names none = {.count = 0};
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *empty = finish(merge_new(), INT64_MIN);
    assert_int_equal(xb_index_table_count(empty), 0);
    assert_int_equal(xb_index_table_pack_count(empty), 0);
    assert_int_equal(xb_index_table_lower(empty, 'k'), 0);
    size_t none_marked = 0;
    struct xb_index_mark_cursor cursor = {.at = 0};
    assert_false(xb_index_table_next_mark(empty, &cursor, &none_marked));
    struct xb_index_merge *merge = merge_new();
    assert_int_equal(xb_index_merge_add_table(merge, empty, &err), 0);
    assert_int_equal(xb_index_merge_add_entries(merge, NULL, 0, &none, &err), 0);
    assert_int_equal(xb_index_merge_add_table(merge, empty, &err), 0);
    add_line(merge, &(struct line){"00000001", "pa", 10, false});
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *one = finish(merge, INT64_MIN);
    merge = merge_new();
    add_line(merge, &(struct line){"00000002", "pb", 10, false});
    assert_int_equal(xb_index_merge_add_table(merge, one, &err), 0);
    assert_int_equal(xb_index_merge_add_table(merge, one, &err), 0);
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *both = finish(merge, INT64_MIN);
    static const char *const packs[] = {"pa", "pb"};
    assert_int_equal(xb_index_table_count(both), 2);
    for (size_t i = 0; i < 2; i++) {
        struct xb_index_entry entry;
        xb_index_table_at(both, i, &entry);
        assert_int_equal(entry.id.hash[3], i + 1);
        assert_string_equal(xb_index_table_pack(both, entry.pack), packs[i]);
    }
    xb_index_table_unref(xb_index_table_ref(both));
    assert_int_equal(xb_index_table_count(both), 2);
    xb_index_table_unref(NULL);
    xb_index_merge_free(NULL);
}

/* A damaged index adds nothing that a later finish would show. */
static void damaged_index(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0};
    struct xb_buf bytes = XB_BUF_INIT(1000);
    struct line lines[] = {{"00000001", "pa", 10, false}, {"00000002", "pb", 10, false}};
    struct xb_index_entry entries[2] = {entry_of(&lines[0], &packs), entry_of(&lines[1], &packs)};
    assert_int_equal(xb_index_encode(entries, 2, &packs, &bytes, &err), 0);
    struct xb_index_merge *merge = merge_new();
    bytes.data[17 + 21] = 0;
    memcpy(bytes.data + 17 + 22, "\0\0\0\1", 4); /* the same id twice */
    assert_true(xb_index_merge_add_index(merge, bytes.data, bytes.len, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    add_line(merge, &(struct line){"00000003", "pc", 10, false});
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = finish(merge, INT64_MIN);
    assert_int_equal(xb_index_table_count(table), 1);
    xb_buf_free(&bytes);
    xb_names_free(&packs);
}

/* Ids by prefix, present and absent ones, and those of another length. */
static void finding(void **state)
{
    (void)state;
    static const char *const ids[] = {"00000000",  "7fffffff",  "80000000",  "ffffffff",
                                      "k00000000", "kffffffff", "m00000000", "zffffffff"};
    struct xb_index_merge *merge = merge_new();
    for (size_t i = 0; i < 8; i++) {
        add_line(merge, &(struct line){ids[(i * 5) % 8], "pa", 10, false});
    }
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = finish(merge, INT64_MIN);
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_id id;
    size_t at = 0;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(xb_content_id_parse(ids[i], strlen(ids[i]), &id, &err), 0);
        assert_true(xb_index_table_find(table, &id, &at));
        assert_int_equal(at, i);
    }
    static const char *const absent[] = {"00000001",  "g00000000", "k00000001",
                                         "zfffffffe", "00",        "0000000000"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        assert_int_equal(xb_content_id_parse(absent[i], strlen(absent[i]), &id, &err), 0);
        assert_false(xb_index_table_find(table, &id, &at));
    }
    assert_int_equal(xb_index_table_lower(table, 0), 0);
    assert_int_equal(xb_index_table_lower(table, 'g'), 4);
    assert_int_equal(xb_index_table_lower(table, 'k'), 4);
    assert_int_equal(xb_index_table_lower(table, 'l'), 6);
    assert_int_equal(xb_index_table_lower(table, 'z'), 7);
    assert_int_equal(xb_index_table_lower(table, '{'), 8);
}

static void *mark_some(void *context)
{
    struct xb_index_table *table = context;
    for (size_t i = 0; i < xb_index_table_count(table); i += 3) {
        xb_index_table_mark(table, i);
    }
    return NULL;
}

/* Marks are one bit each, also when two threads set neighbours at once. */
static void marks(void **state)
{
    (void)state;
    struct xb_index_merge *merge = merge_new();
    for (unsigned i = 0; i < 130; i++) {
        char id[9];
        snprintf(id, sizeof id, "%08x", i);
        add_line(merge, &(struct line){id, "pa", 10, false});
    }
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = finish(merge, INT64_MIN);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, mark_some, table), 0);
    for (size_t i = 1; i < 130; i += 3) {
        xb_index_table_mark(table, i);
    }
    assert_int_equal(pthread_join(other, NULL), 0);
    xb_index_table_mark(table, 129); /* set twice is set */
    xb_index_table_unmark(table, 64);
    xb_index_table_unmark(table, 2);
    size_t got = 0;
    struct xb_index_mark_cursor cursor = {.at = 0};
    for (size_t i = 0; i < 130; i++) {
        if (i % 3 != 2 && i != 64) {
            assert_true(xb_index_table_next_mark(table, &cursor, &got));
            assert_int_equal(got, i);
        }
    }
    assert_false(xb_index_table_next_mark(table, &cursor, &got));
    assert_false(xb_index_table_next_mark(table, &cursor, &got)); /* and stays there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_rule),       cmocka_unit_test(watermark),
        cmocka_unit_test(empty_and_tables), cmocka_unit_test(damaged_index),
        cmocka_unit_test(finding),          cmocka_unit_test(marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
