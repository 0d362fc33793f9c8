/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_table.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MARK_BITS = 64 };

struct xb_index_table {
    atomic_uint refs;
    size_t key_bytes, count;
    struct xb_index_run *base, *over; /* over may be NULL */
    _Atomic uint64_t *marks;
};

int xb_index_table_new(struct xb_index_run *base, struct xb_index_run *over,
                       struct xb_index_table **ret, struct xb_error *err)
{
    size_t count = base->count + (over ? over->head.inserts : 0);
    struct xb_index_table *table = calloc(1, sizeof *table);
    _Atomic uint64_t *marks = calloc(count / MARK_BITS + 1, sizeof *marks);
    if (!table || !marks) {
        free(table);
        free(marks);
        xb_index_run_unref(base);
        xb_index_run_unref(over);
        return xb_error_no_memory(err, "the index");
    }
    atomic_init(&table->refs, 1);
    table->key_bytes = base->key_bytes;
    table->count = count;
    table->base = base;
    table->over = over;
    table->marks = marks;
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
    xb_index_run_unref(table->base);
    xb_index_run_unref(table->over);
    free(table->marks);
    free(table);
}

struct xb_index_run *xb_index_table_base(const struct xb_index_table *table)
{
    return table->base;
}

struct xb_index_run *xb_index_table_over(const struct xb_index_table *table)
{
    return table->over;
}

size_t xb_index_table_count(const struct xb_index_table *table)
{
    return table->count;
}

size_t xb_index_table_pack_count(const struct xb_index_table *table)
{
    return (size_t)table->base->packs.count + (table->over ? table->over->packs.count : 0);
}

const char *xb_index_table_pack(const struct xb_index_table *table, uint32_t pack)
{
    uint32_t below = table->base->packs.count;
    return pack < below ? xb_names_at(&table->base->packs, pack)
                        : xb_names_at(&table->over->packs, pack - below);
}

/* ---- numbers: the two runs as one sequence ---- */

/* How many records of `over` before record j are of keys that the base does not have. */
static size_t inserts_before(const struct xb_index_run *over, size_t j)
{
    return j == over->count ? over->head.inserts : over->ranks[j].number - over->ranks[j].below;
}

/* The first record of `over` that belongs behind the base's record `i`. */
static size_t first_behind(const struct xb_index_run *over, size_t i)
{
    size_t low = 0;
    size_t high = over->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (over->ranks[middle].below <= i) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The number of the base's record `i`, or of the one before which it would stand. */
static size_t number_of_base(const struct xb_index_table *table, size_t i)
{
    return table->over ? i + inserts_before(table->over, first_behind(table->over, i)) : i;
}

static const unsigned char *record_at(const struct xb_index_table *table, size_t number)
{
    const struct xb_index_run *over = table->over;
    if (!over) {
        return xb_index_run_at(table->base, number);
    }
    size_t low = 0; /* the first record of `over` with a greater number */
    size_t high = over->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (over->ranks[middle].number <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && over->ranks[low - 1].number == number
               ? xb_index_run_at(over, low - 1)
               : xb_index_run_at(table->base, number - inserts_before(over, low));
}

void xb_index_table_at(const struct xb_index_table *table, size_t i, struct xb_index_entry *ret)
{
    xb_index_record_entry(record_at(table, i), table->key_bytes, ret);
}

bool xb_index_table_find(const struct xb_index_table *table, const struct xb_content_id *id,
                         size_t *ret_i)
{
    if ((size_t)id->len + 1 != table->key_bytes) {
        return false;
    }
    size_t i = 0;
    unsigned char key[XB_INDEX_KEY_BYTES_MAX];
    key[0] = (unsigned char)id->prefix;
    memcpy(key + 1, id->hash, id->len);
    if (table->over && xb_index_run_find(table->over, key, &i)) {
        *ret_i = table->over->ranks[i].number;
        return true;
    }
    if (!xb_index_run_find(table->base, key, &i)) {
        return false;
    }
    *ret_i = number_of_base(table, i);
    return true;
}

size_t xb_index_table_lower(const struct xb_index_table *table, char prefix)
{
    size_t base = xb_index_run_lower_prefix(table->base, (unsigned char)prefix);
    return table->over ? base + inserts_before(table->over, xb_index_run_lower_prefix(
                                                                table->over, (unsigned char)prefix))
                       : base;
}

/* ---- marks ---- */

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
    return word <= table->count / MARK_BITS ? atomic_load(&table->marks[word]) : 0;
}
