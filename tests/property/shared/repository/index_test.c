/* SPDX-License-Identifier: Apache-2.0
 *
 * Random indexes come back as they were written, merge as a simple model merges, and, cut or
 * altered anywhere, are refused or give entries that are possible.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/repository/index_table.h"
#include "tests/harness/property.h"

enum { ENTRIES_MAX = 200, PACKS_MAX = 12, MODEL_MAX = 4000, ROUNDS = 60 };

static uint32_t some_number(struct property *source, uint32_t max)
{
    switch (property_below(source, 4)) {
    case 0:
        return (uint32_t)property_below(source, 100);
    case 1:
        return max - (uint32_t)property_below(source, 3);
    case 2:
        return (1 << 24) - 1 + (uint32_t)property_below(source, 3);
    default:
        return (uint32_t)property_below(source, (uint64_t)max + 1);
    }
}

static struct xb_content_id some_id(struct property *source, uint8_t hash_bytes)
{
    static const char prefixes[] = {0, 0, 'g', 'k', 'm', 'x', 'z'};
    struct xb_content_id id = {.prefix = prefixes[property_below(source, sizeof prefixes)],
                               .len = hash_bytes};
    /* Few different bytes, so that ids meet again, and differ at the end only. */
    for (size_t i = 0; i < hash_bytes; i++) {
        bool last = i + 1 == hash_bytes || i == 0;
        id.hash[i] = last ? (uint8_t)(property_below(source, 8) * 36) : 0x80;
    }
    return id;
}

/* Entries in order, each id once. */
static size_t some_entries(struct property *source, uint8_t hash_bytes, struct xb_names *packs,
                           struct xb_index_entry out[ENTRIES_MAX])
{
    struct xb_error err = XB_ERROR_INIT;
    size_t count = 1 + property_below(source, ENTRIES_MAX - 1);
    bool small = property_once_in(source, 2);
    for (size_t i = 0; i < count; i++) {
        char name[40];
        uint32_t pack = 0;
        snprintf(name, sizeof name, "%c%02x-s%d", property_once_in(source, 2) ? 'p' : 'q',
                 (unsigned)property_below(source, PACKS_MAX), 1);
        assert_int_equal(xb_names_intern(packs, name, strlen(name), &pack, &err), 0);
        out[i] = (struct xb_index_entry){
            .id = some_id(source, hash_bytes),
            .deleted = property_once_in(source, 3),
            .format_version = (uint8_t)(small ? 3 : 1 + property_below(source, 3)),
            .pack = pack,
            .offset = some_number(source, XB_INDEX_OFFSET_MAX),
            .packed_bytes = small ? 50 : some_number(source, XB_INDEX_LENGTH_MAX),
            .plain_bytes = small ? 22 : some_number(source, XB_INDEX_LENGTH_MAX),
            .compression = small ? 0 : (uint32_t)property_below(source, 20),
            .timestamp_s = 1000 + property_below(source, 5)};
    }
    xb_index_sort(out, count);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (xb_content_id_compare(&out[kept - 1].id, &out[i].id) != 0) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

static void assert_same(const struct xb_index_entry *a, const char *a_pack,
                        const struct xb_index_entry *b, const char *b_pack)
{
    assert_int_equal(a->id.prefix, b->id.prefix);
    assert_int_equal(a->id.len, b->id.len);
    assert_memory_equal(a->id.hash, b->id.hash, a->id.len);
    assert_int_equal(a->deleted, b->deleted);
    assert_int_equal(a->format_version, b->format_version);
    assert_int_equal(a->key_id, b->key_id);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->packed_bytes, b->packed_bytes);
    assert_int_equal(a->plain_bytes, b->plain_bytes);
    assert_int_equal(a->compression, b->compression);
    assert_int_equal(a->timestamp_s, b->timestamp_s);
    assert_string_equal(a_pack, b_pack);
}

/* What was written, and how far the reader has got. */
struct expected {
    const struct xb_index_entry *entries;
    size_t count, next;
    const struct xb_names *packs, *read_packs;
};

static int expect_next(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct expected *e = context;
    (void)err;
    assert_true(e->next < e->count);
    const struct xb_index_entry *want = &e->entries[e->next++];
    assert_same(entry, xb_names_at(e->read_packs, entry->pack), want,
                xb_names_at(e->packs, want->pack));
    return 0;
}

static void round_trip(void **state)
{
    (void)state;
    static const uint8_t sizes[] = {1, 2, 16, 28, 32};
    struct property source = property_begin("index round_trip");
    static struct xb_index_entry entries[ENTRIES_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_names packs = {.count = 0}, back = {.count = 0};
        struct xb_buf bytes = XB_BUF_INIT(1 << 20);
        uint8_t hash_bytes = sizes[property_below(&source, sizeof sizes)];
        size_t count = some_entries(&source, hash_bytes, &packs, entries);
        assert_int_equal(xb_index_encode(entries, count, &packs, &bytes, &err), 0);
        struct expected expected = {entries, count, 0, &packs, &back};
        assert_int_equal(
            xb_index_decode(bytes.data, bytes.len, hash_bytes, &back, expect_next, &expected, &err),
            0);
        assert_int_equal(expected.next, count);
        xb_buf_free(&bytes);
        xb_names_free(&packs);
        xb_names_free(&back);
    }
}

/* ---- merging, against all entries in one array ---- */

struct model_entry {
    struct xb_index_entry entry;
    char pack[40];
    bool tied; /* another one is equal in all that decides: either may be taken */
};

static struct model_entry model[MODEL_MAX];
static size_t model_count;

/* Whether `a` is the entry to take: the rule of kopia-format section 6, written out once more. */
static bool model_beats(const struct model_entry *a, const struct model_entry *b)
{
    if (a->entry.timestamp_s > b->entry.timestamp_s) {
        return true;
    }
    if (a->entry.timestamp_s == b->entry.timestamp_s) {
        bool a_lives = !a->entry.deleted, b_lives = !b->entry.deleted;
        return a_lives != b_lives ? a_lives : strcmp(a->pack, b->pack) > 0;
    }
    return false;
}

static bool same_id(const struct xb_content_id *a, const struct xb_content_id *b)
{
    return a->prefix == b->prefix && a->len == b->len && memcmp(a->hash, b->hash, a->len) == 0;
}

static void model_add(const struct xb_index_entry *entry, const char *pack)
{
    struct model_entry added = {.entry = *entry};
    snprintf(added.pack, sizeof added.pack, "%s", pack);
    for (size_t i = 0; i < model_count; i++) {
        if (same_id(&model[i].entry.id, &entry->id)) {
            if (model_beats(&added, &model[i])) {
                model[i] = added;
            } else if (!model_beats(&model[i], &added)) {
                model[i].tied = true;
            }
            return;
        }
    }
    assert_true(model_count < MODEL_MAX);
    model[model_count++] = added;
}

/* Each entry of the table is the model's winner, in order, and none of the model's is missing. */
static void compare_with_model(const struct xb_index_table *table, int64_t watermark_s)
{
    size_t want = 0;
    for (size_t i = 0; i < model_count; i++) {
        const struct xb_index_entry *e = &model[i].entry;
        bool gone = e->deleted && watermark_s >= 0 && e->timestamp_s <= (uint64_t)watermark_s;
        size_t at = 0;
        assert_int_equal(xb_index_table_find(table, &e->id, &at), !gone);
        if (gone) {
            continue;
        }
        struct xb_index_entry got;
        xb_index_table_at(table, at, &got);
        if (!model[i].tied) {
            assert_same(&got, xb_index_table_pack(table, got.pack), e, model[i].pack);
        }
        assert_int_equal(got.timestamp_s, e->timestamp_s);
        assert_int_equal(got.deleted, e->deleted);
        assert_string_equal(xb_index_table_pack(table, got.pack), model[i].pack);
        want++;
    }
    assert_int_equal(xb_index_table_count(table), want);
    for (size_t i = 1; i < want; i++) {
        struct xb_index_entry before, after;
        xb_index_table_at(table, i - 1, &before);
        xb_index_table_at(table, i, &after);
        assert_true(xb_content_id_compare(&before.id, &after.id) < 0);
    }
}

/* Adds one random index in one of the three ways. */
static void add_some(struct property *source, struct xb_index_merge *merge, uint8_t hash_bytes)
{
    static struct xb_index_entry entries[ENTRIES_MAX];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0};
    struct xb_buf bytes = XB_BUF_INIT(1 << 20);
    size_t count = some_entries(source, hash_bytes, &packs, entries);
    for (size_t i = 0; i < count; i++) {
        model_add(&entries[i], xb_names_at(&packs, entries[i].pack));
    }
    assert_int_equal(xb_index_encode(entries, count, &packs, &bytes, &err), 0);
    uint64_t way = property_below(source, 3);
    if (way == 0) {
        assert_int_equal(xb_index_merge_add_index(merge, bytes.data, bytes.len, &err), 0);
    } else if (way == 1) {
        assert_int_equal(xb_index_merge_add_entries(merge, entries, count, &packs, &err), 0);
    } else {
        struct xb_index_merge *inner = NULL;
        XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
        assert_int_equal(xb_index_merge_new(hash_bytes, &inner, &err), 0);
        assert_int_equal(xb_index_merge_add_index(inner, bytes.data, bytes.len, &err), 0);
        assert_int_equal(xb_index_merge_finish(inner, INT64_MIN, &table, &err), 0);
        xb_index_merge_free(inner);
        assert_int_equal(xb_index_merge_add_table(merge, table, &err), 0);
    }
    xb_buf_free(&bytes);
    xb_names_free(&packs);
}

static void merging(void **state)
{
    (void)state;
    struct property source = property_begin("index merging");
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_index_merge *merge = NULL;
        XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
        model_count = 0;
        assert_int_equal(xb_index_merge_new(2, &merge, &err), 0);
        for (uint64_t k = property_below(&source, 20); k > 0; k--) {
            add_some(&source, merge, 2);
        }
        int64_t watermark_s = (int64_t)property_below(&source, 8) + 998;
        watermark_s = property_once_in(&source, 4) ? INT64_MIN : watermark_s;
        assert_int_equal(xb_index_merge_finish(merge, watermark_s, &table, &err), 0);
        xb_index_merge_free(merge);
        compare_with_model(table, watermark_s);
    }
}

/* Numbers and ids belong together, and prefixes begin where the first of them is. */
static void check_numbers(const struct xb_index_table *table)
{
    size_t lower[128] = {0};
    for (size_t i = 0; i < xb_index_table_count(table); i++) {
        struct xb_index_entry entry;
        size_t at = SIZE_MAX;
        xb_index_table_at(table, i, &entry);
        assert_true(xb_index_table_find(table, &entry.id, &at));
        assert_int_equal(at, i);
        for (int c = entry.id.prefix + 1; c < 128; c++) {
            lower[c] = i + 1;
        }
    }
    for (int c = 0; c < 128; c++) {
        assert_int_equal(xb_index_table_lower(table, (char)c), lower[c]);
    }
}

/* Marks by id, and as the table has them. */
static bool marked[MODEL_MAX];

static size_t model_find(const struct xb_content_id *id)
{
    size_t i = 0;
    while (i < model_count && !same_id(&model[i].entry.id, id)) {
        i++;
    }
    return i;
}

/* As reuse.c does it. A mark whose entry is gone is forgotten here. */
static void carry_marks(const struct xb_index_table *from, struct xb_index_table *to)
{
    size_t i = 0, found = 0;
    struct xb_index_mark_cursor cursor = {.in_over = xb_index_table_share_marks(to, from)};
    while (xb_index_table_next_mark(from, &cursor, &i)) {
        struct xb_index_entry entry;
        xb_index_table_at(from, i, &entry);
        if (xb_index_table_find(to, &entry.id, &found)) {
            xb_index_table_mark(to, found);
        } else {
            marked[model_find(&entry.id)] = false;
        }
    }
}

static void check_marks(const struct xb_index_table *table)
{
    size_t i = 0, seen = 0, want = 0;
    struct xb_index_mark_cursor all = {.at = 0}, suspects = {.suspects_only = true};
    size_t deleted[2] = {0, 0};
    while (xb_index_table_next_mark(table, &all, &i)) {
        struct xb_index_entry entry;
        xb_index_table_at(table, i, &entry);
        assert_true(marked[model_find(&entry.id)]);
        deleted[0] += entry.deleted;
        seen++;
    }
    while (xb_index_table_next_mark(table, &suspects, &i)) {
        struct xb_index_entry entry;
        xb_index_table_at(table, i, &entry);
        deleted[1] += entry.deleted;
    }
    for (size_t k = 0; k < model_count; k++) {
        want += marked[k];
    }
    assert_int_equal(seen, want);
    assert_int_equal(deleted[0], deleted[1]); /* none that matters is left out */
}

static void change_marks(struct property *source, struct xb_index_table *table)
{
    for (uint64_t k = property_below(source, 40); k > 0 && xb_index_table_count(table); k--) {
        struct xb_index_entry entry;
        size_t i = property_below(source, xb_index_table_count(table));
        bool set = !property_once_in(source, 3);
        xb_index_table_at(table, i, &entry);
        marked[model_find(&entry.id)] = set;
        if (set) {
            xb_index_table_mark(table, i);
        } else {
            xb_index_table_unmark(table, i);
        }
    }
}

/* A table that grows step by step is at each step what one merge of everything would be, whether
 * its steps are laid over it or merged into it, and whatever the watermark does in between. */
static void growing(void **state)
{
    (void)state;
    struct property source = property_begin("index growing");
    size_t laid_over = 0, rebuilt = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_index_table *table = NULL;
        int64_t watermark_s = INT64_MIN;
        model_count = 0;
        memset(marked, 0, sizeof marked);
        for (uint64_t step = 1 + property_below(&source, 10); step > 0; step--) {
            struct xb_index_merge *merge = NULL;
            struct xb_index_table *next = NULL;
            assert_int_equal(xb_index_merge_new(2, &merge, &err), 0);
            if (table) {
                assert_int_equal(xb_index_merge_add_table(merge, table, &err), 0);
            }
            for (uint64_t k = property_below(&source, 4); k > 0; k--) {
                add_some(&source, merge, 2);
            }
            if (property_once_in(&source, 4)) {
                watermark_s = (int64_t)property_below(&source, 8) + 998;
            }
            assert_int_equal(xb_index_merge_finish(merge, watermark_s, &next, &err), 0);
            xb_index_merge_free(merge);
            compare_with_model(next, watermark_s);
            check_numbers(next);
            if (table) {
                carry_marks(table, next);
            }
            check_marks(next);
            change_marks(&source, next);
            check_marks(next);
            laid_over += xb_index_table_over(next) != NULL;
            rebuilt += table && !xb_index_table_over(next);
            xb_index_table_unref(table);
            table = next;
        }
        xb_index_table_unref(table);
    }
    assert_true(laid_over > 0 && rebuilt > 0);
}

/* ---- damage ---- */

struct seen {
    struct xb_index_entry last;
    size_t count;
    size_t hash_bytes;
    const struct xb_names *packs;
};

static int must_be_possible(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct seen *seen = context;
    (void)err;
    assert_int_equal(entry->id.len, seen->hash_bytes);
    assert_true(entry->id.prefix == 0 || (entry->id.prefix >= 'g' && entry->id.prefix <= 'z'));
    assert_true(entry->pack < seen->packs->count);
    assert_true(entry->offset <= XB_INDEX_OFFSET_MAX);
    assert_true(entry->packed_bytes <= XB_INDEX_LENGTH_MAX);
    assert_true(entry->plain_bytes <= XB_INDEX_LENGTH_MAX);
    assert_true(seen->count == 0 || xb_content_id_compare(&seen->last.id, &entry->id) < 0);
    seen->last = *entry;
    seen->count++;
    return 0;
}

/* Decodes a copy that ends where its memory ends; what is taken must be possible. */
static int decode_damaged(const char *data, size_t len, size_t hash_bytes)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0};
    struct seen seen = {.hash_bytes = hash_bytes, .packs = &packs};
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    int r = xb_index_decode(copy, len, hash_bytes, &packs, must_be_possible, &seen, &err);
    assert_true(r == 0 || (r == -EBADMSG && err.kind == XB_ERR_CORRUPT));
    free(copy);
    xb_names_free(&packs);
    return r;
}

static void damage(void **state)
{
    (void)state;
    struct property source = property_begin("index damage");
    static struct xb_index_entry entries[ENTRIES_MAX];
    for (int round = 0; round < ROUNDS / 4; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_names packs = {.count = 0};
        struct xb_buf bytes = XB_BUF_INIT(1 << 20);
        size_t count = some_entries(&source, 2, &packs, entries);
        assert_int_equal(xb_index_encode(entries, count, &packs, &bytes, &err), 0);
        for (size_t len = 0; len < bytes.len; len++) {
            assert_int_equal(decode_damaged(bytes.data, len, 2), -EBADMSG);
        }
        assert_int_equal(decode_damaged(bytes.data, bytes.len, 2), 0);
        for (int flip = 0; flip < 2000; flip++) {
            size_t bit =
                property_below(&source, property_once_in(&source, 3) ? 8 * 17 : 8 * bytes.len);
            char kept = bytes.data[bit / 8];
            bytes.data[bit / 8] = (char)(kept ^ (1 << bit % 8));
            (void)decode_damaged(bytes.data, bytes.len, 2);
            bytes.data[bit / 8] = kept;
        }
        for (int wild = 0; wild < 200; wild++) { /* noise behind a header that looks right */
            size_t from = property_below(&source, bytes.len);
            for (size_t i = from; i < bytes.len; i++) {
                bytes.data[i] = (char)property_next(&source);
            }
            (void)decode_damaged(bytes.data, bytes.len, 2);
        }
        xb_buf_free(&bytes);
        xb_names_free(&packs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(merging),
        cmocka_unit_test(growing),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
