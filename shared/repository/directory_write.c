/* SPDX-License-Identifier: Apache-2.0
 * Building a directory object. Entries are turned into JSON as they come, so that a folder of a
 * hundred thousand files costs their text and little more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"
#include "shared/repository/entry_internal.h"

enum { SUMMARY_ERRORS_MAX = 10, DIRECTORY_BYTES_MAX = 1 << 30, SUMMARY_BYTES_MAX = 16 << 20 };

/* The groups of a directory object, in the order in which they are written. */
enum group { GROUP_FOLDERS, GROUP_OTHERS, GROUP_SPECIAL };

struct line {
    size_t name;           /* offset in `names` of the stored name */
    size_t raw;            /* offset in `names` of the raw one; `name` if that is stored */
    size_t rest, rest_len; /* in `texts`: the entry's JSON behind its name */
    enum group group;
};

struct xb_directory_builder {
    struct xb_buf texts, names;
    struct line *lines;
    size_t count, cap;
    struct xb_summary summary;
    bool has_time;
};

int xb_directory_builder_new(struct xb_directory_builder **ret, struct xb_error *err)
{
    struct xb_directory_builder *builder = calloc(1, sizeof *builder);
    if (!builder) {
        return xb_error_no_memory(err, "a directory");
    }
    builder->texts.max = DIRECTORY_BYTES_MAX;
    builder->names.max = DIRECTORY_BYTES_MAX;
    builder->summary.dirs = 1;
    *ret = builder;
    return 0;
}

void xb_directory_builder_free(struct xb_directory_builder *builder)
{
    if (!builder) {
        return;
    }
    xb_buf_free(&builder->texts);
    xb_buf_free(&builder->names);
    free(builder->lines);
    xb_summary_clear(&builder->summary);
    free(builder);
}

static int add_error(struct xb_summary *summary, const char *path, const char *message,
                     struct xb_error *err)
{
    if (summary->error_count == SUMMARY_ERRORS_MAX) {
        return 0;
    }
    struct xb_summary_error *errors =
        reallocarray(summary->errors, summary->error_count + 1, sizeof *errors);
    if (!errors) {
        return xb_error_no_memory(err, "a directory");
    }
    summary->errors = errors;
    struct xb_summary_error *slot = &errors[summary->error_count];
    slot->path = strdup(path);
    slot->error = strdup(message);
    if (!slot->path || !slot->error) {
        free(slot->path);
        free(slot->error);
        return xb_error_no_memory(err, "a directory");
    }
    summary->error_count++;
    return 0;
}

int xb_directory_builder_add_error(struct xb_directory_builder *builder, const char *path,
                                   const char *message, bool ignored, struct xb_error *err)
{
    builder->summary.num_failed += !ignored;
    builder->summary.num_ignored_errors += ignored;
    return add_error(&builder->summary, path, message, err);
}

static void see_time(struct xb_directory_builder *builder, int64_t time_ns)
{
    if (!builder->has_time || time_ns > builder->summary.max_time_ns) {
        builder->summary.max_time_ns = time_ns;
        builder->has_time = true;
    }
}

/* What kopia counts: special files are none of its entries. */
static void count_entry(struct xb_directory_builder *builder, const struct xb_entry *entry)
{
    struct xb_summary *sum = &builder->summary;
    if (entry->node) {
        return;
    }
    see_time(builder, entry->mtime_ns);
    if (entry->type == XB_ENTRY_FILE) {
        sum->files++;
        sum->size += entry->size;
    } else if (entry->type == XB_ENTRY_SYMLINK) {
        sum->symlinks++;
    }
}

static int add_summary(struct xb_summary *sum, const struct xb_summary *child, struct xb_error *err)
{
    sum->size += child->size;
    sum->files += child->files;
    sum->symlinks += child->symlinks;
    sum->dirs += child->dirs;
    sum->num_failed += child->num_failed;
    sum->num_ignored_errors += child->num_ignored_errors;
    int r = 0;
    for (size_t i = 0; r == 0 && i < child->error_count; i++) {
        r = add_error(sum, child->errors[i].path, child->errors[i].error, err);
    }
    if (r == 0 && child->incomplete && !sum->incomplete) {
        sum->incomplete = strdup(child->incomplete);
        r = sum->incomplete ? 0 : xb_error_no_memory(err, "a directory");
    }
    return r;
}

static int reserve_line(struct xb_directory_builder *builder, struct xb_error *err)
{
    if (builder->count < builder->cap) {
        return 0;
    }
    size_t cap = builder->cap ? 2 * builder->cap : 16;
    struct line *lines = reallocarray(builder->lines, cap, sizeof *lines);
    if (!lines) {
        return xb_error_no_memory(err, "a directory");
    }
    builder->lines = lines;
    builder->cap = cap;
    return 0;
}

static int add_line(struct xb_directory_builder *builder, const struct xb_entry *entry,
                    struct xb_error *err)
{
    char stored[XB_ENTRY_STORED_NAME_BYTES];
    struct line line = {.name = builder->names.len,
                        .raw = builder->names.len,
                        .rest = builder->texts.len,
                        .group = entry->type == XB_ENTRY_DIRECTORY ? GROUP_FOLDERS
                                 : entry->node                     ? GROUP_SPECIAL
                                                                   : GROUP_OTHERS};
    int r = reserve_line(builder, err);
    if (r < 0 || (r = xb_entry_encode_rest(entry, &builder->texts, err)) < 0) {
        return r;
    }
    xb_entry_stored_name(entry->name, stored);
    r = xb_buf_append(&builder->names, stored, strlen(stored) + 1, err);
    if (r == 0 && strcmp(stored, entry->name) != 0) {
        line.raw = builder->names.len;
        r = xb_buf_append(&builder->names, entry->name, strlen(entry->name) + 1, err);
    }
    if (r < 0) {
        return r;
    }
    line.rest_len = builder->texts.len - line.rest;
    builder->lines[builder->count++] = line;
    return 0;
}

int xb_directory_builder_keep(struct xb_directory_builder *builder, const struct xb_entry *entry,
                              struct xb_error *err)
{
    int r = add_line(builder, entry, err);
    if (r < 0) {
        return r;
    }
    count_entry(builder, entry);
    if (!entry->summary) {
        return 0;
    }
    see_time(builder, entry->summary->max_time_ns);
    return add_summary(&builder->summary, entry->summary, err);
}

int xb_directory_builder_add(struct xb_directory_builder *builder, struct xb_entry *entry,
                             struct xb_error *err)
{
    int r = xb_directory_builder_keep(builder, entry, err);
    xb_entry_free(entry);
    return r;
}

static int compare_errors(const void *left, const void *right)
{
    const struct xb_summary_error *a = left;
    const struct xb_summary_error *b = right;
    return strcmp(a->path, b->path);
}

/* ---- writing ---- */

/* An entry on its way into the object. */
struct item {
    const char *name, *raw, *rest;
    size_t rest_len;
    enum group group;
    char *own_name; /* NULL, or what `name` points to */
};

struct items {
    struct item *list;
    size_t count;
};

static void free_items(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->list[i].own_name);
    }
    free(items->list);
}

static void collect(const struct xb_directory_builder *builder, struct items *items)
{
    for (size_t i = 0; i < builder->count; i++) {
        const struct line *line = &builder->lines[i];
        items->list[items->count++] = (struct item){.name = builder->names.data + line->name,
                                                    .raw = builder->names.data + line->raw,
                                                    .rest = builder->texts.data + line->rest,
                                                    .rest_len = line->rest_len,
                                                    .group = line->group};
    }
}

/* By stored name; of several with one name, first the one that is really called so. */
static int compare_names(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    int order = strcmp(a->name, b->name);
    if (order) {
        return order;
    }
    if ((a->raw == a->name) != (b->raw == b->name)) {
        return a->raw == a->name ? -1 : 1;
    }
    return strcmp(a->raw, b->raw);
}

static int compare_written(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    return a->group != b->group ? (a->group > b->group) - (a->group < b->group)
                                : strcmp(a->name, b->name);
}

static int compare_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct item *)item)->name);
}

/* A stand-in that is taken gets a number. Numbered ones of different stand-ins cannot meet: what
 * stands before the number is a stand-in itself. */
static int number_name(const struct items *items, const char *base, size_t *number, char **ret,
                       struct xb_error *err)
{
    for (;;) {
        XB_CLEANUP(xb_freep) char *name = NULL;
        if (asprintf(&name, "%s~%zu", base, ++*number) < 0) {
            name = NULL;
            return xb_error_no_memory(err, "a directory");
        }
        if (!bsearch(name, items->list, items->count, sizeof *items->list, compare_key)) {
            *ret = XB_TAKE(name);
            return 0;
        }
    }
}

/* kopia loads a directory by name: two entries of one name would hide one another. A file's real
 * name stays; stand-ins give way. The new names are set at the end, because the search for a free
 * one needs the list in order. */
static int make_unique(struct items *items, struct xb_error *err)
{
    size_t number = 0;
    qsort(items->list, items->count, sizeof *items->list, compare_names);
    for (size_t i = 1; i < items->count; i++) {
        struct item *item = &items->list[i];
        const char *before = items->list[i - 1].name;
        if (strcmp(before, item->name) != 0) {
            number = 0;
            continue;
        }
        if (strcmp(items->list[i - 1].raw, item->raw) == 0) {
            return xb_error_set(err, XB_ERR_INVALID, -EEXIST,
                                "two entries of one directory are called '%.200s'", item->name);
        }
        int r = number_name(items, item->name, &number, &item->own_name, err);
        if (r < 0) {
            return r;
        }
    }
    for (size_t i = 0; i < items->count; i++) {
        if (items->list[i].own_name) {
            items->list[i].name = items->list[i].own_name;
        }
    }
    qsort(items->list, items->count, sizeof *items->list, compare_written);
    return 0;
}

static int write_text(struct xb_object_writer *writer, const char *text, struct xb_error *err)
{
    return xb_object_writer_write(writer, text, strlen(text), err);
}

static int write_items(const struct item *list, size_t count, struct xb_object_writer *writer,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf head = XB_BUF_INIT(XB_ENTRY_JSON_NAME_BYTES_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_buf_clear(&head);
        r = xb_buf_append_str(&head, i ? ",{\"name\":" : "[{\"name\":", err);
        if (r < 0 || (r = xb_json_go_string(&head, list[i].name, strlen(list[i].name), err)) < 0 ||
            (r = xb_object_writer_write(writer, head.data, head.len, err)) < 0) {
            return r;
        }
        r = xb_object_writer_write(writer, list[i].rest, list[i].rest_len, err);
    }
    return r < 0 ? r : write_text(writer, "]", err);
}

static int write_object(const struct items *items, const struct xb_summary *summary,
                        struct xb_object_writer *writer, struct xb_error *err)
{
    size_t entries = 0;
    while (entries < items->count && items->list[entries].group != GROUP_SPECIAL) {
        entries++;
    }
    size_t special = items->count - entries;
    XB_CLEANUP(xb_buf_free) struct xb_buf tail = XB_BUF_INIT(SUMMARY_BYTES_MAX);
    int r = write_text(writer, "{\"stream\":\"kopia:directory\",\"entries\":", err);
    if (r == 0) {
        r = entries ? write_items(items->list, entries, writer, err)
                    : write_text(writer, "null", err);
    }
    if (r < 0 || (r = xb_buf_append_str(&tail, ",\"summary\":", err)) < 0 ||
        (r = xb_summary_encode(summary, &tail, err)) < 0 ||
        (r = xb_object_writer_write(writer, tail.data, tail.len, err)) < 0) {
        return r;
    }
    if (special) {
        r = write_text(writer, ",\"x-special\":", err);
        r = r < 0 ? r : write_items(items->list + entries, special, writer, err);
    }
    return r < 0 ? r : write_text(writer, "}\n", err);
}

/* Writes the entries of both (more may be NULL) as one object with this summary. */
static int write_both(const struct xb_directory_builder *builder,
                      const struct xb_directory_builder *more, struct xb_summary *summary,
                      struct xb_repository *repository, struct xb_object_id *ret,
                      struct xb_error *err)
{
    const struct xb_object_writer_options options = {
        .prefix = 'k', .compression = XB_COMPRESSION_ZSTD_FASTEST, .split = true};
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    struct items items = {.count = 0};
    struct xb_object_stats stats;
    if (summary->error_count > 1) {
        qsort(summary->errors, summary->error_count, sizeof *summary->errors, compare_errors);
    }
    items.list = calloc(builder->count + (more ? more->count : 0) + 1, sizeof *items.list);
    if (!items.list) {
        return xb_error_no_memory(err, "a directory");
    }
    collect(builder, &items);
    if (more) {
        collect(more, &items);
    }
    int r = make_unique(&items, err);
    if (r == 0) {
        r = xb_object_writer_new(repository, &options, &writer, err);
    }
    if (r == 0) {
        r = write_object(&items, summary, writer, err);
    }
    if (r == 0) {
        r = xb_object_writer_finish(writer, ret, &stats, err);
    }
    free_items(&items);
    return r;
}

int xb_directory_builder_write(struct xb_directory_builder *builder,
                               struct xb_repository *repository, int64_t own_mtime_ns,
                               struct xb_object_id *ret_id, struct xb_summary **ret_summary,
                               struct xb_error *err)
{
    XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = calloc(1, sizeof *summary);
    if (!summary) {
        return xb_error_no_memory(err, "a directory");
    }
    if (!builder->has_time) {
        builder->summary.max_time_ns = own_mtime_ns;
    }
    int r = write_both(builder, NULL, &builder->summary, repository, ret_id, err);
    if (r < 0) {
        return r;
    }
    *summary = builder->summary;
    builder->summary = (struct xb_summary){.size = 0};
    *ret_summary = XB_TAKE(summary);
    return 0;
}

int xb_directory_builder_checkpoint(const struct xb_directory_builder *builder,
                                    const struct xb_directory_builder *more,
                                    struct xb_repository *repository, struct xb_object_id *ret_id,
                                    struct xb_summary **ret_summary, struct xb_error *err)
{
    XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = calloc(1, sizeof *summary);
    if (!summary) {
        return xb_error_no_memory(err, "a directory");
    }
    int r = xb_summary_copy(&builder->summary, summary, err);
    if (r < 0 || (r = add_summary(summary, &more->summary, err)) < 0) {
        return r;
    }
    summary->dirs--; /* both counted the folder itself */
    if (more->has_time &&
        (!builder->has_time || more->summary.max_time_ns > summary->max_time_ns)) {
        summary->max_time_ns = more->summary.max_time_ns;
    }
    if (!summary->incomplete && !(summary->incomplete = strdup(XB_INCOMPLETE_CHECKPOINT))) {
        return xb_error_no_memory(err, "a directory");
    }
    r = write_both(builder, more, summary, repository, ret_id, err);
    if (r == 0) {
        *ret_summary = XB_TAKE(summary);
    }
    return r;
}
