/* SPDX-License-Identifier: Apache-2.0
 * Building a directory object. Entries are turned into JSON as they come, so that a folder of a
 * hundred thousand files costs their text and little more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/entry_internal.h"

enum { SUMMARY_ERRORS_MAX = 10, DIRECTORY_BYTES_MAX = 1 << 30, SUMMARY_BYTES_MAX = 256 * 1024 };

struct line {
    size_t name; /* offset in `names` of the stored name */
    size_t text, text_len;
    bool directory;
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

static int sum_up(struct xb_directory_builder *builder, const struct xb_entry *entry,
                  struct xb_error *err)
{
    struct xb_summary *sum = &builder->summary;
    see_time(builder, entry->mtime_ns);
    if (entry->type == XB_ENTRY_FILE) {
        sum->files++;
        sum->size += entry->size;
    } else if (entry->type == XB_ENTRY_SYMLINK) {
        sum->symlinks++;
    }
    const struct xb_summary *child = entry->summary;
    if (!child) {
        return 0;
    }
    sum->size += child->size;
    sum->files += child->files;
    sum->symlinks += child->symlinks;
    sum->dirs += child->dirs;
    sum->num_failed += child->num_failed;
    sum->num_ignored_errors += child->num_ignored_errors;
    see_time(builder, child->max_time_ns);
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

static int add_line(struct xb_directory_builder *builder, const struct xb_entry *entry,
                    struct xb_error *err)
{
    if (builder->count == builder->cap) {
        size_t cap = builder->cap ? 2 * builder->cap : 16;
        struct line *lines = reallocarray(builder->lines, cap, sizeof *lines);
        if (!lines) {
            return xb_error_no_memory(err, "a directory");
        }
        builder->lines = lines;
        builder->cap = cap;
    }
    char stored[XB_ENTRY_STORED_NAME_BYTES];
    struct line line = {.name = builder->names.len,
                        .text = builder->texts.len,
                        .directory = entry->type == XB_ENTRY_DIRECTORY};
    int r = xb_entry_encode(entry, &builder->texts, err);
    if (r < 0) {
        return r;
    }
    xb_entry_stored_name(entry->name, stored);
    r = xb_buf_append(&builder->names, stored, strlen(stored) + 1, err);
    if (r < 0) {
        return r;
    }
    line.text_len = builder->texts.len - line.text;
    builder->lines[builder->count++] = line;
    return 0;
}

int xb_directory_builder_add(struct xb_directory_builder *builder, struct xb_entry *entry,
                             struct xb_error *err)
{
    int r = add_line(builder, entry, err);
    if (r == 0) {
        r = sum_up(builder, entry, err);
    }
    xb_entry_free(entry);
    return r;
}

static int compare_lines(const void *left, const void *right, void *names)
{
    const struct line *a = left;
    const struct line *b = right;
    if (a->directory != b->directory) {
        return a->directory ? -1 : 1;
    }
    return strcmp((const char *)names + a->name, (const char *)names + b->name);
}

static int compare_names(const void *left, const void *right, void *names)
{
    const struct line *a = left;
    const struct line *b = right;
    return strcmp((const char *)names + a->name, (const char *)names + b->name);
}

static int compare_errors(const void *left, const void *right)
{
    const struct xb_summary_error *a = left;
    const struct xb_summary_error *b = right;
    return strcmp(a->path, b->path);
}

/* kopia loads a directory by name: two entries of one name would hide one another. */
static int check_unique(struct xb_directory_builder *builder, struct xb_error *err)
{
    if (builder->count == 0) {
        return 0;
    }
    qsort_r(builder->lines, builder->count, sizeof *builder->lines, compare_names,
            builder->names.data);
    for (size_t i = 1; i < builder->count; i++) {
        const char *name = builder->names.data + builder->lines[i].name;
        if (strcmp(builder->names.data + builder->lines[i - 1].name, name) == 0) {
            return xb_error_set(err, XB_ERR_INVALID, -EEXIST,
                                "two entries of one directory are called '%.200s'", name);
        }
    }
    qsort_r(builder->lines, builder->count, sizeof *builder->lines, compare_lines,
            builder->names.data);
    return 0;
}

static int write_text(struct xb_object_writer *writer, const char *text, struct xb_error *err)
{
    return xb_object_writer_write(writer, text, strlen(text), err);
}

static int write_object(struct xb_directory_builder *builder, struct xb_object_writer *writer,
                        struct xb_error *err)
{
    int r = write_text(writer, "{\"stream\":\"kopia:directory\",\"entries\":", err);
    if (r == 0) {
        r = write_text(writer, builder->count ? "[" : "null", err);
    }
    for (size_t i = 0; r == 0 && i < builder->count; i++) {
        const struct line *line = &builder->lines[i];
        r = i ? write_text(writer, ",", err) : 0;
        if (r == 0) {
            r = xb_object_writer_write(writer, builder->texts.data + line->text, line->text_len,
                                       err);
        }
    }
    XB_CLEANUP(xb_buf_free) struct xb_buf tail = XB_BUF_INIT(SUMMARY_BYTES_MAX);
    if (r < 0 || (r = xb_buf_append_str(&tail, builder->count ? "]" : "", err)) < 0 ||
        (r = xb_buf_append_str(&tail, ",\"summary\":", err)) < 0 ||
        (r = xb_summary_encode(&builder->summary, &tail, err)) < 0 ||
        (r = xb_buf_append_str(&tail, "}\n", err)) < 0) {
        return r;
    }
    return xb_object_writer_write(writer, tail.data, tail.len, err);
}

int xb_directory_builder_write(struct xb_directory_builder *builder,
                               struct xb_repository *repository, int64_t own_mtime_ns,
                               struct xb_object_id *ret_id, struct xb_summary **ret_summary,
                               struct xb_error *err)
{
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    const struct xb_object_writer_options options = {
        .prefix = 'k', .compression = XB_COMPRESSION_ZSTD_FASTEST, .split = true};
    if (builder->count == 0) {
        builder->summary.max_time_ns = own_mtime_ns;
    }
    if (builder->summary.error_count > 1) {
        qsort(builder->summary.errors, builder->summary.error_count,
              sizeof *builder->summary.errors, compare_errors);
    }
    struct xb_object_id id;
    struct xb_object_stats stats;
    int r = check_unique(builder, err);
    if (r < 0 || (r = xb_object_writer_new(repository, &options, &writer, err)) < 0 ||
        (r = write_object(builder, writer, err)) < 0 ||
        (r = xb_object_writer_finish(writer, &id, &stats, err)) < 0) {
        return r;
    }
    struct xb_summary *summary = calloc(1, sizeof *summary);
    if (!summary) {
        return xb_error_no_memory(err, "a directory");
    }
    *summary = builder->summary;
    builder->summary = (struct xb_summary){.size = 0};
    *ret_id = id;
    *ret_summary = summary;
    return 0;
}
