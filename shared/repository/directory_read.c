/* SPDX-License-Identifier: Apache-2.0
 * A whole directory in memory, in stored order and by name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/directory_internal.h"

enum { DIRECTORY_BYTES_MAX = 1 << 30, FIRST_ENTRIES = 16 };

static int compare_by_name(const void *left, const void *right, void *context)
{
    const struct xb_entry *entries = context;
    const uint32_t *a = left;
    const uint32_t *b = right;
    int order = strcmp(entries[*a].name, entries[*b].name);
    return order ? order : (*a > *b) - (*a < *b);
}

static void sort_names(struct xb_directory *directory)
{
    qsort_r(directory->by_name, directory->count, sizeof *directory->by_name, compare_by_name,
            directory->entries);
}

/* The first free one of NAME~2, NAME~3, ...; *number goes on behind it. */
static int free_name(const struct xb_directory *directory, const char *name, size_t *number,
                     char **ret, struct xb_error *err)
{
    for (;;) {
        char *made = NULL;
        if (asprintf(&made, "%s~%zu", name, ++*number) < 0) {
            return xb_error_no_memory(err, "a directory");
        }
        if (!xb_directory_find(directory, made)) {
            *ret = made;
            return 0;
        }
        free(made);
    }
}

/* kopia stores all names that are no UTF-8 with the same letters, so that a folder of its can hold
 * one name several times. Each of them is an entry with data of its own: all but the first get
 * another name. Names that are made up here differ: the same end in other numbers, others before
 * their last '~'. */
static int tell_apart(struct xb_directory *directory, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char **made = calloc(directory->count + 1, sizeof *made);
    size_t number = 1;
    bool any = false;
    int r = made ? 0 : xb_error_no_memory(err, "a directory");
    for (size_t i = 1; r == 0 && i < directory->count; i++) {
        const char *name = directory->entries[directory->by_name[i]].name;
        if (strcmp(directory->entries[directory->by_name[i - 1]].name, name) != 0) {
            number = 1;
            continue;
        }
        r = free_name(directory, name, &number, &made[directory->by_name[i]], err);
        any = true;
    }
    for (size_t i = 0; any && i < directory->count; i++) {
        struct xb_entry *entry = &directory->entries[i];
        if (r == 0 && made[i]) {
            free(entry->name);
            entry->name = XB_TAKE(made[i]);
            entry->renamed = true;
        }
        free(made[i]);
    }
    if (r == 0 && any) {
        sort_names(directory);
    }
    return r;
}

/* An order by raw name, for finding. */
static int index_names(struct xb_directory *directory, struct xb_error *err)
{
    if (directory->count > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many entries");
    }
    directory->by_name = reallocarray(NULL, directory->count + 1, sizeof *directory->by_name);
    if (!directory->by_name) {
        return xb_error_no_memory(err, "a directory");
    }
    bool sorted = true;
    for (size_t i = 0; i < directory->count; i++) {
        directory->by_name[i] = (uint32_t)i;
        sorted = sorted &&
                 (i == 0 || strcmp(directory->entries[i - 1].name, directory->entries[i].name) < 0);
    }
    if (sorted) {
        return 0;
    }
    sort_names(directory);
    return tell_apart(directory, err);
}

static int reserve(struct xb_directory *directory, size_t *cap, struct xb_error *err)
{
    if (directory->count < *cap) {
        return 0;
    }
    size_t more = *cap ? 2 * *cap : FIRST_ENTRIES;
    struct xb_entry *entries = reallocarray(directory->entries, more, sizeof *entries);
    if (entries) {
        directory->entries = entries;
    }
    struct xb_entry_text *texts =
        entries ? reallocarray(directory->texts, more, sizeof *texts) : NULL;
    if (!texts) {
        return xb_error_no_memory(err, "a directory");
    }
    directory->texts = texts;
    *cap = more;
    return 0;
}

static int take_entries(struct xb_directory_cursor *cursor, struct xb_directory *directory,
                        struct xb_error *err)
{
    size_t cap = 0;
    for (;;) {
        struct xb_entry *entry = NULL;
        int r = xb_directory_next(cursor, &entry, err);
        if (r < 0) {
            return r;
        }
        if (!entry) {
            directory->tally = *xb_directory_cursor_tally(cursor);
            return xb_summary_copy(xb_directory_cursor_summary(cursor), &directory->summary, err);
        }
        r = reserve(directory, &cap, err);
        if (r < 0) {
            return r;
        }
        directory->entries[directory->count] = *entry;
        *entry = (struct xb_entry){.name = NULL};
        directory->texts[directory->count++] = *xb_directory_cursor_text(cursor);
    }
}

/* Takes the text over, also on failure. */
static int decode_owned(char *text, size_t len, struct xb_directory **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = calloc(1, sizeof *directory);
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    if (!text || !directory) {
        free(text);
        return xb_error_no_memory(err, "a directory");
    }
    directory->text = text;
    int r = xb_directory_open_text(text, len, &cursor, err);
    if (r < 0) {
        return r;
    }
    xb_directory_cursor_as_stored(cursor);
    r = take_entries(cursor, directory, err);
    if (r < 0 || (r = index_names(directory, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(directory);
    return 0;
}

int xb_directory_decode(const char *data, size_t len, struct xb_directory **ret,
                        struct xb_error *err)
{
    char *copy = malloc(len ? len : 1);
    if (copy && len > 0) {
        memcpy(copy, data, len);
    }
    return decode_owned(copy, len, ret, err);
}

int xb_directory_read(struct xb_repository *repository, const struct xb_object_id *id,
                      struct xb_directory **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(DIRECTORY_BYTES_MAX);
    int r = xb_object_read_all(repository, id, &text, err);
    if (r == 0) {
        size_t len = text.len;
        r = decode_owned(xb_buf_take(&text), len, ret, err);
    }
    return r < 0 ? xb_error_wrap(err, "directory %s", id->text) : 0;
}

const struct xb_entry_text *xb_directory_text(const struct xb_directory *directory,
                                              const struct xb_entry *entry)
{
    return &directory->texts[entry - directory->entries];
}

const struct xb_entry *xb_directory_find(const struct xb_directory *directory, const char *name)
{
    size_t low = 0;
    size_t high = directory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct xb_entry *entry = &directory->entries[directory->by_name[middle]];
        int order = strcmp(entry->name, name);
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void xb_directory_free(struct xb_directory *directory)
{
    if (!directory) {
        return;
    }
    for (size_t i = 0; i < directory->count; i++) {
        xb_entry_free(&directory->entries[i]);
    }
    free(directory->entries);
    free(directory->texts);
    free(directory->by_name);
    free(directory->text);
    xb_summary_clear(&directory->summary);
    free(directory);
}
