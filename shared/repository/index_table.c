/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_table.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MARK_BITS = 64 };

/* A bit for each record of a run. */
struct marks {
    atomic_uint refs;
    atomic_bool suspect; /* a record was marked that is deleted */
    size_t count;
    _Atomic uint64_t words[];
};

struct xb_index_table {
    atomic_uint refs;
    size_t key_bytes, count;
    struct xb_index_run *base, *over; /* over may be NULL */
    struct marks *base_marks, *over_marks;
};

static struct marks *marks_new(size_t count)
{
    size_t words = count / MARK_BITS + 1;
    struct marks *marks = calloc(1, sizeof *marks + words * sizeof *marks->words);
    if (marks) {
        atomic_init(&marks->refs, 1);
        marks->count = count;
    }
    return marks;
}

static void marks_unref(struct marks *marks)
{
    if (marks && atomic_fetch_sub(&marks->refs, 1) == 1) {
        free(marks);
    }
}

int xb_index_table_new(struct xb_index_run *base, struct xb_index_run *over,
                       struct xb_index_table **ret, struct xb_error *err)
{
    struct xb_index_table *table = calloc(1, sizeof *table);
    struct marks *base_marks = marks_new(base->count);
    struct marks *over_marks = marks_new(over ? over->count : 0);
    if (!table || !base_marks || !over_marks) {
        free(table);
        free(base_marks);
        free(over_marks);
        xb_index_run_unref(base);
        xb_index_run_unref(over);
        return xb_error_no_memory(err, "the index");
    }
    atomic_init(&table->refs, 1);
    table->key_bytes = base->key_bytes;
    table->count = base->count + (over ? over->head.inserts : 0);
    table->base = base;
    table->over = over;
    table->base_marks = base_marks;
    table->over_marks = over_marks;
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
    marks_unref(table->base_marks);
    marks_unref(table->over_marks);
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

bool xb_index_table_names_pack(const struct xb_index_table *table, const char *name)
{
    uint32_t number = 0;
    return xb_names_find(&table->base->packs, name, &number) ||
           (table->over && xb_names_find(&table->over->packs, name, &number));
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

/* Which record of `over` (true), or of the base, has this number. */
static bool resolve(const struct xb_index_table *table, size_t number, size_t *ret_i)
{
    const struct xb_index_run *over = table->over;
    size_t low = 0; /* the first record of `over` with a greater number */
    size_t high = over ? over->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (over->ranks[middle].number <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool in_over = low > 0 && over->ranks[low - 1].number == number;
    *ret_i = in_over ? low - 1 : over ? number - inserts_before(over, low) : number;
    return in_over;
}

static const unsigned char *record_at(const struct xb_index_table *table, size_t number)
{
    size_t i = 0;
    return resolve(table, number, &i) ? xb_index_run_at(table->over, i)
                                      : xb_index_run_at(table->base, i);
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

static void set_mark(struct marks *marks, size_t i)
{
    atomic_fetch_or(&marks->words[i / MARK_BITS], UINT64_C(1) << (i % MARK_BITS));
}

static void clear_mark(struct marks *marks, size_t i)
{
    atomic_fetch_and(&marks->words[i / MARK_BITS], ~(UINT64_C(1) << (i % MARK_BITS)));
}

static bool has_mark(const struct marks *marks, size_t i)
{
    return atomic_load(&marks->words[i / MARK_BITS]) >> (i % MARK_BITS) & 1;
}

/* Whether record j of `over` takes the place of one of the base, which is ranks[j].below. */
static bool replaces(const struct xb_index_run *over, size_t j)
{
    return inserts_before(over, j + 1) == inserts_before(over, j);
}

void xb_index_table_mark(struct xb_index_table *table, size_t number)
{
    size_t i = 0;
    struct xb_index_fields f;
    if (resolve(table, number, &i)) {
        set_mark(table->over_marks, i);
        return;
    }
    set_mark(table->base_marks, i);
    xb_index_record_fields(xb_index_run_at(table->base, i), table->key_bytes, &f);
    if (f.deleted) {
        atomic_store(&table->base_marks->suspect, true);
    }
}

void xb_index_table_unmark(struct xb_index_table *table, size_t number)
{
    size_t i = 0;
    if (!resolve(table, number, &i)) {
        clear_mark(table->base_marks, i);
        return;
    }
    clear_mark(table->over_marks, i);
    if (replaces(table->over, i)) { /* else the mark would come back with the next table */
        clear_mark(table->base_marks, table->over->ranks[i].below);
    }
}

/* The first mark at or after `from`, or the end. */
static size_t next_bit(const struct marks *marks, size_t from)
{
    size_t word = from / MARK_BITS;
    uint64_t left = from < marks->count ? atomic_load(&marks->words[word]) : 0;
    left &= ~UINT64_C(0) << (from % MARK_BITS);
    while (!left && (word + 1) * MARK_BITS < marks->count) {
        left = atomic_load(&marks->words[++word]);
    }
    return left ? word * MARK_BITS + (size_t)__builtin_ctzll(left) : marks->count;
}

static bool is_replaced(const struct xb_index_table *table, size_t i)
{
    size_t j = table->over ? first_behind(table->over, i) : 0;
    return j > 0 && table->over->ranks[j - 1].below == i && replaces(table->over, j - 1);
}

bool xb_index_table_next_mark(const struct xb_index_table *table,
                              struct xb_index_mark_cursor *cursor, size_t *ret_i)
{
    const struct marks *marks = table->base_marks;
    bool look = !cursor->suspects_only || atomic_load(&marks->suspect);
    while (!cursor->in_over) {
        size_t i = look ? next_bit(marks, cursor->at) : marks->count;
        cursor->at = i + 1;
        if (i == marks->count) {
            *cursor = (struct xb_index_mark_cursor){.in_over = true};
        } else if (!is_replaced(table, i)) {
            *ret_i = number_of_base(table, i);
            return true;
        }
    }
    size_t j = next_bit(table->over_marks, cursor->at);
    cursor->at = j + 1;
    if (j == table->over_marks->count) {
        return false;
    }
    *ret_i = table->over->ranks[j].number;
    return true;
}

bool xb_index_table_share_marks(struct xb_index_table *table, const struct xb_index_table *from)
{
    size_t i = 0;
    if (table->base != from->base) {
        return false;
    }
    marks_unref(table->base_marks);
    table->base_marks = from->base_marks;
    atomic_fetch_add(&table->base_marks->refs, 1);
    for (size_t j = 0; table->over && j < table->over->count; j++) {
        if (replaces(table->over, j) && has_mark(table->base_marks, table->over->ranks[j].below) &&
            !(from->over && xb_index_run_find(from->over, xb_index_run_at(table->over, j), &i))) {
            set_mark(table->over_marks, j);
        }
    }
    return true;
}
