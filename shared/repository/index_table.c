/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"

enum { RUNS_MAX = 64, RUN_FIRST_ENTRIES = 64, MARK_BITS = 64 };

/* What stands behind the key (prefix byte and hash) in each record. Records are packed without
 * padding and copied out with memcpy. */
struct fixed {
    uint64_t timestamp_s;
    uint32_t offset, packed_bytes, plain_bytes, compression, pack;
    uint8_t format_version, key_id, deleted;
};

enum { FIXED_BYTES = offsetof(struct fixed, deleted) + 1 };

struct run {
    unsigned char *records;
    size_t count, cap;
};

struct xb_index_table {
    atomic_uint refs;
    size_t key_bytes, stride;
    struct run run;
    struct xb_names packs;
    _Atomic uint64_t *marks;
};

/* Runs of falling size: equal ones are merged when the next arrives, so that n entries in k indexes
 * cost n log k. */
struct xb_index_merge {
    size_t key_bytes, stride;
    struct xb_names packs;
    struct run runs[RUNS_MAX];
    size_t run_count;
};

static void record_read(const unsigned char *record, size_t key_bytes, struct fixed *ret)
{
    memcpy(ret, record + key_bytes, FIXED_BYTES);
}

static void record_to_entry(const unsigned char *record, size_t key_bytes,
                            struct xb_index_entry *ret)
{
    struct fixed f;
    record_read(record, key_bytes, &f);
    *ret =
        (struct xb_index_entry){.id = {.prefix = (char)record[0], .len = (uint8_t)(key_bytes - 1)},
                                .deleted = f.deleted != 0,
                                .format_version = f.format_version,
                                .key_id = f.key_id,
                                .pack = f.pack,
                                .offset = f.offset,
                                .packed_bytes = f.packed_bytes,
                                .plain_bytes = f.plain_bytes,
                                .compression = f.compression,
                                .timestamp_s = f.timestamp_s};
    memcpy(ret->id.hash, record + 1, key_bytes - 1);
}

static int run_append(struct run *run, size_t stride, const unsigned char *record,
                      struct xb_error *err)
{
    if (run->count == run->cap) {
        size_t cap = run->cap ? run->cap * 2 : RUN_FIRST_ENTRIES;
        unsigned char *records = realloc(run->records, cap * stride);
        if (!records) {
            return xb_error_no_memory(err, "the index");
        }
        run->records = records;
        run->cap = cap;
    }
    memcpy(run->records + run->count * stride, record, stride);
    run->count++;
    return 0;
}

static void run_free(struct run *run)
{
    free(run->records);
    *run = (struct run){.count = 0};
}

int xb_index_merge_new(size_t hash_bytes, struct xb_index_merge **ret, struct xb_error *err)
{
    struct xb_index_merge *merge = calloc(1, sizeof *merge);
    if (!merge) {
        return xb_error_no_memory(err, "the index");
    }
    merge->key_bytes = 1 + hash_bytes;
    merge->stride = merge->key_bytes + FIXED_BYTES;
    *ret = merge;
    return 0;
}

void xb_index_merge_free(struct xb_index_merge *merge)
{
    if (!merge) {
        return;
    }
    for (size_t i = 0; i < merge->run_count; i++) {
        run_free(&merge->runs[i]);
    }
    xb_names_free(&merge->packs);
    free(merge);
}

static void entry_to_record(const struct xb_index_entry *entry, size_t key_bytes, uint32_t pack,
                            unsigned char *record)
{
    struct fixed f = {.timestamp_s = entry->timestamp_s,
                      .offset = entry->offset,
                      .packed_bytes = entry->packed_bytes,
                      .plain_bytes = entry->plain_bytes,
                      .compression = entry->compression,
                      .pack = pack,
                      .format_version = entry->format_version,
                      .key_id = entry->key_id,
                      .deleted = entry->deleted};
    record[0] = (unsigned char)entry->id.prefix;
    memcpy(record + 1, entry->id.hash, key_bytes - 1);
    memcpy(record + key_bytes, &f, FIXED_BYTES);
}

/* Whether the record at `a` wins over the one at `b` of the same key. */
static bool record_beats(const struct xb_index_merge *merge, const unsigned char *a,
                         const unsigned char *b)
{
    struct xb_index_entry left;
    struct xb_index_entry right;
    record_to_entry(a, merge->key_bytes, &left);
    record_to_entry(b, merge->key_bytes, &right);
    return xb_index_entry_beats(&left, xb_names_at(&merge->packs, left.pack), &right,
                                xb_names_at(&merge->packs, right.pack));
}

static int merge_two(const struct xb_index_merge *merge, const struct run *a, const struct run *b,
                     struct run *ret, struct xb_error *err)
{
    size_t stride = merge->stride;
    struct run out = {.cap = a->count + b->count};
    out.records = malloc((out.cap + 1) * stride);
    if (!out.records) {
        return xb_error_no_memory(err, "the index");
    }
    size_t i = 0;
    size_t k = 0;
    while (i < a->count || k < b->count) {
        const unsigned char *left = a->records + i * stride;
        const unsigned char *right = b->records + k * stride;
        int order = i == a->count ? 1 : k == b->count ? -1 : memcmp(left, right, merge->key_bytes);
        const unsigned char *winner = order < 0 ? left : right;
        if (order == 0 && record_beats(merge, left, right)) {
            winner = left;
        }
        memcpy(out.records + out.count++ * stride, winner, stride);
        i += order <= 0;
        k += order >= 0;
    }
    *ret = out;
    return 0;
}

static int merge_last_two(struct xb_index_merge *merge, struct xb_error *err)
{
    struct run *a = &merge->runs[merge->run_count - 2];
    struct run *b = &merge->runs[merge->run_count - 1];
    struct run both;
    int r = merge_two(merge, a, b, &both, err);
    if (r < 0) {
        return r;
    }
    run_free(a);
    run_free(b);
    *a = both;
    merge->run_count--;
    return 0;
}

static int push_run(struct xb_index_merge *merge, struct run *run, struct xb_error *err)
{
    merge->runs[merge->run_count++] = *run;
    *run = (struct run){.count = 0};
    while (merge->run_count >= 2 &&
           (merge->runs[merge->run_count - 2].count <= merge->runs[merge->run_count - 1].count ||
            merge->run_count == RUNS_MAX)) {
        int r = merge_last_two(merge, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

struct collect {
    struct xb_index_merge *merge;
    struct run run;
};

static int collect_entry(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct collect *collect = context;
    unsigned char record[1 + XB_CONTENT_HASH_BYTES_MAX + FIXED_BYTES];
    entry_to_record(entry, collect->merge->key_bytes, entry->pack, record);
    return run_append(&collect->run, collect->merge->stride, record, err);
}

int xb_index_merge_add_index(struct xb_index_merge *merge, const void *data, size_t len,
                             struct xb_error *err)
{
    struct collect collect = {.merge = merge};
    int r = xb_index_decode(data, len, merge->key_bytes - 1, &merge->packs, collect_entry, &collect,
                            err);
    if (r == 0) {
        r = push_run(merge, &collect.run, err);
    }
    run_free(&collect.run);
    return r;
}

int xb_index_merge_add_entries(struct xb_index_merge *merge, const struct xb_index_entry *entries,
                               size_t count, const struct xb_names *packs, struct xb_error *err)
{
    struct collect collect = {.merge = merge};
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct xb_index_entry entry = entries[i];
        const char *name = xb_names_at(packs, entries[i].pack);
        r = xb_names_intern(&merge->packs, name, strlen(name), &entry.pack, err);
        if (r == 0) {
            r = collect_entry(&collect, &entry, err);
        }
    }
    if (r == 0) {
        r = push_run(merge, &collect.run, err);
    }
    run_free(&collect.run);
    return r;
}

int xb_index_merge_add_table(struct xb_index_merge *merge, const struct xb_index_table *table,
                             struct xb_error *err)
{
    size_t bytes = table->run.count * table->stride;
    struct run run = {.count = table->run.count, .cap = table->run.count};
    run.records = malloc(bytes + 1);
    if (!run.records) {
        return xb_error_no_memory(err, "the index");
    }
    if (bytes > 0) { /* an empty table has no records at all */
        memcpy(run.records, table->run.records, bytes);
    }
    int r = 0;
    if (merge->packs.count == 0) {
        r = xb_names_copy(&table->packs, &merge->packs, err); /* numbers stay as they are */
    } else {
        for (size_t i = 0; i < run.count && r == 0; i++) {
            unsigned char *at = run.records + i * table->stride + table->key_bytes;
            struct fixed f;
            memcpy(&f, at, FIXED_BYTES);
            const char *name = xb_names_at(&table->packs, f.pack);
            r = xb_names_intern(&merge->packs, name, strlen(name), &f.pack, err);
            memcpy(at, &f, FIXED_BYTES);
        }
    }
    if (r == 0) {
        r = push_run(merge, &run, err);
    }
    run_free(&run);
    return r;
}

/* The watermark counts only after merging: an old deleted entry must first lose, or win. */
static void drop_below_watermark(struct run *run, size_t key_bytes, size_t stride,
                                 int64_t watermark_s)
{
    size_t kept = 0;
    for (size_t i = 0; i < run->count; i++) {
        const unsigned char *record = run->records + i * stride;
        struct fixed f;
        record_read(record, key_bytes, &f);
        if (f.deleted && watermark_s >= 0 && f.timestamp_s <= (uint64_t)watermark_s) {
            continue;
        }
        memmove(run->records + kept++ * stride, record, stride);
    }
    run->count = kept;
}

int xb_index_merge_finish(struct xb_index_merge *merge, int64_t watermark_s,
                          struct xb_index_table **ret, struct xb_error *err)
{
    while (merge->run_count >= 2) {
        int r = merge_last_two(merge, err);
        if (r < 0) {
            return r;
        }
    }
    size_t count = merge->run_count ? merge->runs[0].count : 0;
    struct xb_index_table *table = calloc(1, sizeof *table);
    _Atomic uint64_t *marks = calloc(count / MARK_BITS + 1, sizeof *marks);
    if (!table || !marks) {
        free(table);
        free(marks);
        return xb_error_no_memory(err, "the index");
    }
    atomic_init(&table->refs, 1);
    table->key_bytes = merge->key_bytes;
    table->stride = merge->stride;
    table->packs = merge->packs;
    table->marks = marks;
    merge->packs = (struct xb_names){.count = 0};
    if (merge->run_count) {
        table->run = merge->runs[0];
        merge->run_count = 0;
    }
    drop_below_watermark(&table->run, table->key_bytes, table->stride, watermark_s);
    if (table->run.count > 0) {
        unsigned char *fit = realloc(table->run.records, table->run.count * table->stride);
        table->run.records = fit ? fit : table->run.records;
    }
    *ret = table;
    return 0;
}

struct xb_index_table *xb_index_table_ref(struct xb_index_table *table)
{
    atomic_fetch_add(&table->refs, 1);
    return table;
}

void xb_index_table_unref(struct xb_index_table *table)
{
    if (!table || atomic_fetch_sub(&table->refs, 1) > 1) {
        return;
    }
    run_free(&table->run);
    xb_names_free(&table->packs);
    free(table->marks);
    free(table);
}

size_t xb_index_table_count(const struct xb_index_table *table)
{
    return table->run.count;
}

size_t xb_index_table_pack_count(const struct xb_index_table *table)
{
    return table->packs.count;
}

void xb_index_table_at(const struct xb_index_table *table, size_t i, struct xb_index_entry *ret)
{
    record_to_entry(table->run.records + i * table->stride, table->key_bytes, ret);
}

const char *xb_index_table_pack(const struct xb_index_table *table, uint32_t pack)
{
    return xb_names_at(&table->packs, pack);
}

/* The first position whose key is not below the first `key_bytes` bytes of `key`. */
static size_t lower_bound(const struct xb_index_table *table, const unsigned char *key,
                          size_t key_bytes)
{
    size_t low = 0;
    size_t high = table->run.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(table->run.records + middle * table->stride, key, key_bytes) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool xb_index_table_find(const struct xb_index_table *table, const struct xb_content_id *id,
                         size_t *ret_i)
{
    if ((size_t)id->len + 1 != table->key_bytes) {
        return false;
    }
    unsigned char key[1 + XB_CONTENT_HASH_BYTES_MAX];
    key[0] = (unsigned char)id->prefix;
    memcpy(key + 1, id->hash, id->len);
    size_t i = lower_bound(table, key, table->key_bytes);
    if (i == table->run.count ||
        memcmp(table->run.records + i * table->stride, key, table->key_bytes) != 0) {
        return false;
    }
    *ret_i = i;
    return true;
}

size_t xb_index_table_lower(const struct xb_index_table *table, char prefix)
{
    unsigned char key[1] = {(unsigned char)prefix};
    return lower_bound(table, key, 1);
}

void xb_index_table_mark(struct xb_index_table *table, size_t i)
{
    atomic_fetch_or(&table->marks[i / MARK_BITS], UINT64_C(1) << (i % MARK_BITS));
}

void xb_index_table_unmark(struct xb_index_table *table, size_t i)
{
    atomic_fetch_and(&table->marks[i / MARK_BITS], ~(UINT64_C(1) << (i % MARK_BITS)));
}

uint64_t xb_index_table_marks(const struct xb_index_table *table, size_t word)
{
    return word <= table->run.count / MARK_BITS ? atomic_load(&table->marks[word]) : 0;
}
