/* SPDX-License-Identifier: Apache-2.0
 * Merging indexes: each that is added is a sorted piece already; all are merged in one pass, either
 * into one run, or into one that lies over the first table's base. */
#include <errno.h>
#include <stdlib.h>

#include "shared/repository/index_heap.h"
#include "shared/repository/index_table.h"

/* Records of one index, one behind the other in `added`. */
struct piece {
    uint64_t at;
    size_t count;
};

struct xb_index_merge {
    size_t key_bytes, stride;
    int folder;
    struct xb_spill added;
    struct piece *pieces;
    size_t piece_count, piece_cap;
    struct xb_names packs; /* of the pieces */
    struct xb_index_table **tables;
    size_t table_count;
    struct xb_index_blob_hash *blobs; /* covered by the pieces */
    size_t blob_count, blob_cap;
};

int xb_index_merge_new(size_t hash_bytes, struct xb_index_merge **ret, struct xb_error *err)
{
    struct xb_index_merge *merge = calloc(1, sizeof *merge);
    if (!merge) {
        return xb_error_no_memory(err, "the index");
    }
    merge->key_bytes = 1 + hash_bytes;
    merge->stride = merge->key_bytes + XB_INDEX_FIELDS_BYTES;
    merge->folder = -1;
    merge->added = (struct xb_spill)XB_SPILL_INIT(-1);
    *ret = merge;
    return 0;
}

void xb_index_merge_in(struct xb_index_merge *merge, int folder_fd)
{
    merge->folder = folder_fd;
    merge->added.folder = folder_fd;
}

void xb_index_merge_free(struct xb_index_merge *merge)
{
    if (!merge) {
        return;
    }
    for (size_t i = 0; i < merge->table_count; i++) {
        xb_index_table_unref(merge->tables[i]);
    }
    xb_spill_free(&merge->added);
    xb_names_free(&merge->packs);
    free(merge->pieces);
    free(merge->tables);
    free(merge->blobs);
    free(merge);
}

/* ---- adding ---- */

static int add_record(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct xb_index_merge *merge = context;
    unsigned char record[XB_INDEX_RECORD_BYTES_MAX];
    xb_index_record_make(entry, merge->key_bytes, record);
    return xb_spill_append(&merge->added, record, merge->stride, err);
}

/* What was appended from `at` on is a piece. */
static int end_piece(struct xb_index_merge *merge, uint64_t at, struct xb_error *err)
{
    if (merge->piece_count == merge->piece_cap) {
        size_t cap = merge->piece_cap ? 2 * merge->piece_cap : 16;
        struct piece *pieces = reallocarray(merge->pieces, cap, sizeof *pieces);
        if (!pieces) {
            return xb_error_no_memory(err, "the index");
        }
        merge->pieces = pieces;
        merge->piece_cap = cap;
    }
    size_t count = (size_t)((xb_spill_len(&merge->added) - at) / merge->stride);
    merge->pieces[merge->piece_count++] = (struct piece){at, count};
    return 0;
}

/* A piece that failed stays behind as bytes that belong to no piece. */
int xb_index_merge_add_index(struct xb_index_merge *merge, const void *data, size_t len,
                             struct xb_error *err)
{
    uint64_t at = xb_spill_len(&merge->added);
    int r = xb_index_decode(data, len, merge->key_bytes - 1, &merge->packs, add_record, merge, err);
    return r < 0 ? r : end_piece(merge, at, err);
}

int xb_index_merge_add_entries(struct xb_index_merge *merge, const struct xb_index_entry *entries,
                               size_t count, const struct xb_names *packs, struct xb_error *err)
{
    uint64_t at = xb_spill_len(&merge->added);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct xb_index_entry entry = entries[i];
        const char *name = xb_names_at(packs, entries[i].pack);
        r = xb_names_intern(&merge->packs, name, strlen(name), &entry.pack, err);
        if (r == 0) {
            r = add_record(merge, &entry, err);
        }
    }
    return r < 0 ? r : end_piece(merge, at, err);
}

int xb_index_merge_add_table(struct xb_index_merge *merge, struct xb_index_table *table,
                             struct xb_error *err)
{
    struct xb_index_table **tables =
        reallocarray(merge->tables, merge->table_count + 1, sizeof(struct xb_index_table *));
    if (!tables) {
        return xb_error_no_memory(err, "the index");
    }
    merge->tables = tables;
    merge->tables[merge->table_count++] = xb_index_table_ref(table);
    return 0;
}

int xb_index_merge_cover(struct xb_index_merge *merge, const struct xb_index_blob_hash *blob,
                         struct xb_error *err)
{
    if (merge->blob_count == merge->blob_cap) {
        size_t cap = merge->blob_cap ? 2 * merge->blob_cap : 16;
        struct xb_index_blob_hash *blobs = reallocarray(merge->blobs, cap, sizeof *blobs);
        if (!blobs) {
            return xb_error_no_memory(err, "the index");
        }
        merge->blobs = blobs;
        merge->blob_cap = cap;
    }
    merge->blobs[merge->blob_count++] = *blob;
    return 0;
}

/* ---- merging ---- */

/* One pass. What is merged lies over `below`, or else is all that there is. */
struct pass {
    struct xb_index_merge *merge;
    struct xb_index_build build;
    const struct xb_index_run *below;
    struct xb_names packs; /* numbers from the base's on */
    struct xb_index_cursor *cursors;
    size_t cursor_count;
    struct xb_index_heap heap;
    uint32_t **numbers; /* what cursors borrow */
    size_t number_count;
    struct xb_index_blob_hash *blobs;
    size_t blob_count;
    bool must_rebuild; /* the base has a record that may not be seen any more */
};

static void pass_free(struct pass *pass)
{
    for (size_t i = 0; i < pass->number_count; i++) {
        free(pass->numbers[i]);
    }
    free(pass->numbers);
    free(pass->cursors);
    free(pass->heap.items);
    free(pass->blobs);
    xb_names_free(&pass->packs);
    xb_index_build_free(&pass->build);
}

static const char *pack_name(const struct pass *pass, uint32_t pack)
{
    uint32_t below = pass->below ? pass->below->packs.count : 0;
    return pack < below ? xb_names_at(&pass->below->packs, pack)
                        : xb_names_at(&pass->packs, pack - below);
}

/* New numbers for names: those of the base stay. */
static int number_names(struct pass *pass, const struct xb_names *names, const uint32_t **ret,
                        struct xb_error *err)
{
    uint32_t below = pass->below ? pass->below->packs.count : 0;
    uint32_t *numbers = reallocarray(NULL, (size_t)names->count + 1, sizeof *numbers);
    if (!numbers) {
        return xb_error_no_memory(err, "the index");
    }
    pass->numbers[pass->number_count++] = numbers;
    for (uint32_t i = 0; i < names->count; i++) {
        const char *name = xb_names_at(names, i);
        if (pass->below && xb_names_find(&pass->below->packs, name, &numbers[i])) {
            continue;
        }
        int r = xb_names_intern(&pass->packs, name, strlen(name), &numbers[i], err);
        if (r < 0) {
            return r;
        }
        numbers[i] += below;
    }
    *ret = numbers;
    return 0;
}

static void add_cursor(struct pass *pass, const unsigned char *records, size_t count,
                       const uint32_t *packs, uint32_t keep)
{
    if (count > 0) {
        pass->cursors[pass->cursor_count++] =
            (struct xb_index_cursor){xb_index_key_head(records), records,
                                     records + count * pass->merge->stride, packs, keep};
    }
}

static void add_blobs(struct pass *pass, const struct xb_index_blob_hash *blobs, size_t count)
{
    if (count > 0) {
        memcpy(pass->blobs + pass->blob_count, blobs, count * sizeof *blobs);
        pass->blob_count += count;
    }
}

/* A run whose numbers below `keep` stay; *packs continues behind its own names, or is NULL. */
static void add_run(struct pass *pass, const struct xb_index_run *run, const uint32_t *packs,
                    uint32_t keep)
{
    add_cursor(pass, run->records, run->count, packs, keep);
    add_cursor(pass, run->hidden, run->hidden_count, packs, keep);
    add_blobs(pass, run->blobs, run->blob_count);
}

/* A table's packs are numbered through both of its runs. */
static int number_table(struct pass *pass, const struct xb_index_table *table, const uint32_t **ret,
                        struct xb_error *err)
{
    const struct xb_index_run *base = xb_index_table_base(table);
    const struct xb_index_run *over = xb_index_table_over(table);
    const uint32_t *first = NULL;
    const uint32_t *second = NULL;
    int r = number_names(pass, &base->packs, &first, err);
    if (r < 0 || !over || over->packs.count == 0) {
        *ret = first;
        return r;
    }
    if ((r = number_names(pass, &over->packs, &second, err)) < 0) {
        return r;
    }
    size_t below = base->packs.count;
    uint32_t *all = reallocarray(NULL, below + over->packs.count, sizeof *all);
    if (!all) {
        return xb_error_no_memory(err, "the index");
    }
    pass->numbers[pass->number_count++] = all;
    memcpy(all, first, below * sizeof *all);
    memcpy(all + below, second, over->packs.count * sizeof *all);
    *ret = all;
    return 0;
}

static int add_tables(struct pass *pass, struct xb_error *err)
{
    struct xb_index_merge *merge = pass->merge;
    int r = 0;
    for (size_t i = 0; r == 0 && i < merge->table_count; i++) {
        const struct xb_index_run *base = xb_index_table_base(merge->tables[i]);
        const struct xb_index_run *over = xb_index_table_over(merge->tables[i]);
        const uint32_t *packs = NULL;
        if (base == pass->below) {
            r = over ? number_names(pass, &over->packs, &packs, err) : 0;
        } else if ((r = number_table(pass, merge->tables[i], &packs, err)) == 0) {
            add_run(pass, base, packs, 0);
        }
        if (r == 0 && over) {
            add_run(pass, over, packs, base == pass->below ? base->packs.count : 0);
        }
    }
    return r;
}

static int open_pass(struct pass *pass, struct xb_error *err)
{
    struct xb_index_merge *merge = pass->merge;
    size_t cursors = 4 * merge->table_count + merge->piece_count + 1;
    size_t blobs = merge->blob_count + 1;
    for (size_t i = 0; i < merge->table_count; i++) {
        const struct xb_index_run *over = xb_index_table_over(merge->tables[i]);
        blobs += xb_index_table_base(merge->tables[i])->blob_count + (over ? over->blob_count : 0);
    }
    pass->cursors = calloc(cursors, sizeof *pass->cursors);
    pass->heap.items = calloc(cursors, sizeof(struct xb_index_cursor *));
    pass->heap.key_bytes = merge->key_bytes;
    pass->numbers = calloc(3 * merge->table_count + 1, sizeof(uint32_t *));
    pass->blobs = calloc(blobs, sizeof *pass->blobs);
    if (!pass->cursors || !pass->heap.items || !pass->numbers || !pass->blobs) {
        return xb_error_no_memory(err, "the index");
    }
    const unsigned char *added = NULL;
    const uint32_t *packs = NULL;
    int r = xb_spill_map(&merge->added, &added, err);
    if (r < 0 || (r = number_names(pass, &merge->packs, &packs, err)) < 0 ||
        (r = add_tables(pass, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < merge->piece_count; i++) {
        add_cursor(pass, added + merge->pieces[i].at, merge->pieces[i].count, packs, 0);
    }
    add_blobs(pass, merge->blobs, merge->blob_count);
    return 0;
}

/* Whether record `a` wins over `b` of the same key; both have the pass's numbers. */
static bool record_beats(const struct pass *pass, const unsigned char *a, const unsigned char *b)
{
    struct xb_index_entry left;
    struct xb_index_entry right;
    xb_index_record_entry(a, pass->merge->key_bytes, &left);
    xb_index_record_entry(b, pass->merge->key_bytes, &right);
    if (left.timestamp_s != right.timestamp_s) { /* as nearly always: no name is needed */
        return left.timestamp_s > right.timestamp_s;
    }
    return xb_index_entry_beats(&left, pack_name(pass, left.pack), &right,
                                pack_name(pass, right.pack));
}

/* Copies the least record, with the pass's number of its pack, and goes on behind it. */
static void take_least(struct pass *pass, unsigned char *record)
{
    struct xb_index_cursor *cursor = pass->heap.items[0];
    size_t key_bytes = pass->merge->key_bytes;
    memcpy(record, cursor->at, pass->merge->stride);
    uint32_t pack = xb_index_record_pack(record, key_bytes);
    if (pack >= cursor->keep) {
        xb_index_record_set_pack(record, key_bytes, cursor->packs[pack - cursor->keep]);
    }
    xb_index_heap_advance(&pass->heap, pass->merge->stride);
}

/* The watermark counts only after merging: an old deleted entry must first lose, or win. */
static bool is_hidden(const struct pass *pass, const unsigned char *record)
{
    struct xb_index_fields f;
    int64_t watermark_s = pass->build.watermark_s;
    xb_index_record_fields(record, pass->merge->key_bytes, &f);
    return f.deleted && watermark_s >= 0 && f.timestamp_s <= (uint64_t)watermark_s;
}

/* The winner of a key against what the base says about it. */
static int put_over(struct pass *pass, const unsigned char *record, struct xb_error *err)
{
    const struct xb_index_run *below = pass->below;
    size_t i = xb_index_run_lower(below, record);
    const unsigned char *old = xb_index_run_at(below, i);
    bool replaces = i < below->count && memcmp(old, record, pass->merge->key_bytes) == 0;
    old = replaces ? old : xb_index_run_find_hidden(below, record);
    if (old && !record_beats(pass, record, old)) {
        return 0;
    }
    if (is_hidden(pass, record)) {
        pass->must_rebuild = replaces;
        return xb_index_build_hide(&pass->build, record, err);
    }
    return xb_index_build_add_over(&pass->build, record, i, replaces, err);
}

static int put_winner(struct pass *pass, const unsigned char *record, struct xb_error *err)
{
    if (pass->below) {
        return put_over(pass, record, err);
    }
    return is_hidden(pass, record) ? xb_index_build_hide(&pass->build, record, err)
                                   : xb_index_build_add(&pass->build, record, err);
}

static int merge_all(struct pass *pass, struct xb_error *err)
{
    unsigned char winner[XB_INDEX_RECORD_BYTES_MAX];
    unsigned char other[XB_INDEX_RECORD_BYTES_MAX];
    size_t key_bytes = pass->merge->key_bytes;
    xb_index_heap_fill(&pass->heap, pass->cursors, pass->cursor_count);
    while (pass->heap.count > 0 && !pass->must_rebuild) {
        take_least(pass, winner);
        while (pass->heap.count > 0 && memcmp(pass->heap.items[0]->at, winner, key_bytes) == 0) {
            take_least(pass, other);
            if (record_beats(pass, other, winner)) {
                memcpy(winner, other, pass->merge->stride);
            }
        }
        int r = put_winner(pass, winner, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int run_pass(struct pass *pass, struct xb_index_run **ret, struct xb_error *err)
{
    int r = open_pass(pass, err);
    if (r < 0 || (r = merge_all(pass, err)) < 0 || pass->must_rebuild) {
        return r;
    }
    return xb_index_build_finish(&pass->build, &pass->packs, pass->blobs, pass->blob_count, ret,
                                 err);
}

/* *ret stays NULL when the base has to be merged, too. */
static int merge_over(struct xb_index_merge *merge, struct xb_index_run *below, int64_t watermark_s,
                      struct xb_index_run **ret, struct xb_error *err)
{
    XB_CLEANUP(pass_free)
    struct pass pass = {.merge = merge,
                        .below = below,
                        .build = {.key_bytes = merge->key_bytes,
                                  .watermark_s = watermark_s,
                                  .below = below,
                                  .records = XB_SPILL_INIT(merge->folder),
                                  .hidden = XB_SPILL_INIT(merge->folder),
                                  .ranks = XB_SPILL_INIT(merge->folder)}};
    return run_pass(&pass, ret, err);
}

/* The base of the first table, if so little is added that it may stay as it is. */
static struct xb_index_run *find_base(const struct xb_index_merge *merge, int64_t watermark_s)
{
    struct xb_index_run *base = merge->table_count ? xb_index_table_base(merge->tables[0]) : NULL;
    if (!base || base->head.watermark_s != watermark_s) {
        return NULL;
    }
    size_t added = (size_t)(xb_spill_len(&merge->added) / merge->stride);
    for (size_t i = 0; i < merge->table_count; i++) {
        const struct xb_index_run *over = xb_index_table_over(merge->tables[i]);
        added += i > 0 ? xb_index_table_base(merge->tables[i])->count : 0;
        added += over ? over->count : 0;
    }
    return added <= XB_INDEX_OVER_MIN || added <= base->count / XB_INDEX_OVER_PART ? base : NULL;
}

int xb_index_merge_finish(struct xb_index_merge *merge, int64_t watermark_s,
                          struct xb_index_table **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_index_run_unrefp) struct xb_index_run *over = NULL;
    XB_CLEANUP(xb_index_run_unrefp) struct xb_index_run *base = NULL;
    struct xb_index_run *below = find_base(merge, watermark_s);
    int r = below ? merge_over(merge, below, watermark_s, &over, err) : 0;
    if (r == 0 && over) {
        base = xb_index_run_ref(below);
    } else if (r == 0) {
        r = merge_over(merge, NULL, watermark_s, &base, err);
    }
    return r < 0 ? r : xb_index_table_new(XB_TAKE(base), XB_TAKE(over), ret, err);
}
