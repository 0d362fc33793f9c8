/* SPDX-License-Identifier: Apache-2.0
 * The records of a folder under way, in the order of their stored names; and what becomes of names
 * that several of them would have. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/directory_internal.h"

/* Of entries that get another name: only files with strange names next to others that are called
 * just like their stand-ins. */
enum { MOVED_MAX = 65536, MOVED_BYTES_MAX = 16 << 20, TAKEN_MAX = 65536 };

int xb_directory_records_open(const struct xb_directory_builder *builder,
                              const struct xb_directory_builder *more,
                              struct xb_directory_records *ret, struct xb_error *err)
{
    const struct xb_directory_builder *const both[] = {builder, more};
    *ret = (struct xb_directory_records){.last = -1,
                                         .before = XB_BUF_INIT(XB_ENTRY_STORED_NAME_BYTES)};
    int r = 0;
    for (size_t i = 0; r == 0 && i < 2; i++) {
        if (both[i] && xb_sorter_count(both[i]->sorter) > 0) {
            r = xb_sorter_open(both[i]->sorter, &ret->cursors[i], err);
            r = r < 0 ? r : xb_sorter_next(ret->cursors[i], &ret->heads[i], err);
        }
    }
    if (r < 0) {
        xb_directory_records_close(ret);
    }
    return r;
}

void xb_directory_records_close(struct xb_directory_records *records)
{
    for (size_t i = 0; i < 2; i++) {
        xb_sorter_close(records->cursors[i]);
        records->cursors[i] = NULL;
    }
    xb_buf_free(&records->before);
}

static int choose(const struct xb_directory_records *records)
{
    const struct xb_sorter_record *heads = records->heads;
    if (!heads[0].key || !heads[1].key) {
        return heads[0].key ? 0 : heads[1].key ? 1 : -1;
    }
    return xb_sorter_compare(&heads[1], &heads[0]) < 0;
}

/* Names of entries that were called the same are none of a folder's. */
static int compare_with_before(struct xb_directory_records *records,
                               const struct xb_sorter_record *record, struct xb_error *err)
{
    const struct xb_buf *before = &records->before;
    records->again = before->len > 0 && strcmp(before->data, records->name) == 0;
    if (records->again && before->len == record->key_len &&
        memcmp(before->data, record->key, record->key_len) == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EEXIST,
                            "two entries of one directory are called '%.200s'", records->name);
    }
    xb_buf_clear(&records->before);
    return xb_buf_append(&records->before, record->key, record->key_len, err);
}

int xb_directory_records_next(struct xb_directory_records *records, struct xb_error *err)
{
    if (records->last >= 0) {
        int r =
            xb_sorter_next(records->cursors[records->last], &records->heads[records->last], err);
        if (r < 0) {
            return r;
        }
    }
    records->last = choose(records);
    if (records->last < 0) {
        records->name = NULL;
        return 0;
    }
    const struct xb_sorter_record *record = &records->heads[records->last];
    const char *value = record->value;
    records->name = record->key;
    records->group = (enum xb_directory_group)value[0];
    records->rest = value + 1;
    records->rest_len = record->value_len - 1;
    return compare_with_before(records, record, err);
}

/* ---- names that are taken ---- */

void xb_directory_moves_free(struct xb_directory_moves *moves)
{
    for (size_t i = 0; i < moves->count; i++) {
        free(moves->list[i].base);
        free(moves->list[i].name);
        free(moves->list[i].rest);
    }
    for (size_t i = 0; i < moves->taken_count; i++) {
        free(moves->taken[i]);
    }
    free(moves->list);
    free(moves->taken);
    *moves = (struct xb_directory_moves){.list = NULL};
}

static int reserve(void *list, size_t count, size_t *cap, size_t size, struct xb_error *err)
{
    void **pointer = list;
    if (count < *cap) {
        return 0;
    }
    size_t more = *cap ? 2 * *cap : 8;
    void *items = reallocarray(*pointer, more, size);
    if (!items) {
        return xb_error_no_memory(err, "a directory");
    }
    *pointer = items;
    *cap = more;
    return 0;
}

static int too_many(const char *name, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                        "too many files with names that are no UTF-8, next to others that are "
                        "called as those are stored, such as '%.200s': rename some",
                        name);
}

static int add_move(struct xb_directory_moves *moves, const struct xb_directory_records *records,
                    struct xb_error *err)
{
    moves->bytes += records->rest_len;
    if (moves->count == MOVED_MAX || moves->bytes > MOVED_BYTES_MAX) {
        return too_many(records->name, err);
    }
    int r = reserve(&moves->list, moves->count, &moves->cap, sizeof *moves->list, err);
    if (r < 0) {
        return r;
    }
    struct xb_directory_moved *moved = &moves->list[moves->count++];
    *moved = (struct xb_directory_moved){.base = strdup(records->name),
                                         .rest = malloc(records->rest_len),
                                         .rest_len = records->rest_len,
                                         .group = records->group};
    if (!moved->base || !moved->rest) {
        return xb_error_no_memory(err, "a directory");
    }
    memcpy(moved->rest, records->rest, records->rest_len);
    return 0;
}

/* The list is in the order of `base` until the new names are known. */
static int compare_base(const void *key, const void *item)
{
    return strcmp(key, ((const struct xb_directory_moved *)item)->base);
}

/* Remembers the name if it is a base with a number. Bases come before those. */
static int look_for_number(struct xb_directory_moves *moves, const char *name, struct xb_error *err)
{
    const char *mark = strrchr(name, '~');
    if (!mark || moves->count == 0 || mark[1 + strspn(mark + 1, "0123456789")]) {
        return 0;
    }
    XB_CLEANUP(xb_freep) char *base = strndup(name, (size_t)(mark - name));
    if (!base) {
        return xb_error_no_memory(err, "a directory");
    }
    if (!bsearch(base, moves->list, moves->count, sizeof *moves->list, compare_base)) {
        return 0;
    }
    if (moves->taken_count == TAKEN_MAX) {
        return too_many(name, err);
    }
    int r =
        reserve(&moves->taken, moves->taken_count, &moves->taken_cap, sizeof *moves->taken, err);
    char *copy = r < 0 ? NULL : strdup(name);
    if (r == 0 && !copy) {
        r = xb_error_no_memory(err, "a directory");
    }
    if (r == 0) {
        moves->taken[moves->taken_count++] = copy;
    }
    return r;
}

static int compare_text(const void *key, const void *item)
{
    return strcmp(key, *(char *const *)item);
}

/* A stand-in that is taken gets a number. Numbered ones of different stand-ins cannot meet: what
 * stands before the number is a stand-in itself. */
static int number_names(struct xb_directory_moves *moves, struct xb_error *err)
{
    size_t number = 0;
    for (size_t i = 0; i < moves->count; i++) {
        struct xb_directory_moved *moved = &moves->list[i];
        if (i == 0 || strcmp(moved[-1].base, moved->base) != 0) {
            number = 0;
        }
        do {
            free(XB_TAKE(moved->name));
            if (asprintf(&moved->name, "%s~%zu", moved->base, ++number) < 0) {
                moved->name = NULL;
                return xb_error_no_memory(err, "a directory");
            }
        } while (moves->taken_count && bsearch(moved->name, moves->taken, moves->taken_count,
                                               sizeof *moves->taken, compare_text));
    }
    return 0;
}

static int compare_moved(const void *left, const void *right)
{
    const struct xb_directory_moved *a = left;
    const struct xb_directory_moved *b = right;
    return strcmp(a->name, b->name);
}

/* kopia loads a directory by name: two entries of one name would hide one another. A file's real
 * name stays; stand-ins give way. */
int xb_directory_find_moves(const struct xb_directory_builder *builder,
                            const struct xb_directory_builder *more, struct xb_directory_moves *ret,
                            struct xb_error *err)
{
    struct xb_directory_records records;
    *ret = (struct xb_directory_moves){.list = NULL};
    if (builder->stand_ins == 0 && (!more || more->stand_ins == 0)) {
        return 0;
    }
    int r = xb_directory_records_open(builder, more, &records, err);
    if (r < 0) {
        return r;
    }
    while ((r = xb_directory_records_next(&records, err)) == 0 && records.name) {
        r = records.again ? add_move(ret, &records, err) : look_for_number(ret, records.name, err);
        if (r < 0) {
            break;
        }
    }
    xb_directory_records_close(&records);
    if (r == 0) {
        r = number_names(ret, err);
    }
    if (r < 0) {
        xb_directory_moves_free(ret);
    } else if (ret->count > 1) {
        qsort(ret->list, ret->count, sizeof *ret->list, compare_moved);
    }
    return r;
}
