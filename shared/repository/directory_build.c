/* SPDX-License-Identifier: Apache-2.0
 * Collecting a folder's entries. They are turned into JSON as they come, and kept in a sorter: a
 * few in memory, a million in a scratch file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/directory_internal.h"

enum { SUMMARY_ERRORS_MAX = 10, SORTER_BYTES = 2 << 20 };

int xb_directory_builder_new(struct xb_directory_builder **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_builder_freep)
    struct xb_directory_builder *builder = calloc(1, sizeof *builder);
    if (!builder) {
        return xb_error_no_memory(err, "a directory");
    }
    builder->text.max = XB_SORTER_RECORD_BYTES_MAX;
    builder->summary.dirs = 1;
    int r = xb_sorter_new("the entries of a large folder", SORTER_BYTES, &builder->sorter, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(builder);
    return 0;
}

void xb_directory_builder_free(struct xb_directory_builder *builder)
{
    if (!builder) {
        return;
    }
    xb_sorter_free(builder->sorter);
    xb_buf_free(&builder->text);
    xb_summary_clear(&builder->summary);
    xb_summary_clear(&builder->parent_summary);
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

static enum xb_directory_group group_of(const struct xb_entry *entry)
{
    return entry->type == XB_ENTRY_DIRECTORY ? XB_GROUP_FOLDERS
           : entry->node                     ? XB_GROUP_SPECIAL
                                             : XB_GROUP_OTHERS;
}

/* builder->text: what a record of the entry holds. */
static int make_text(struct xb_directory_builder *builder, const struct xb_entry *entry,
                     const struct xb_entry_text *text, struct xb_error *err)
{
    const char group = (char)group_of(entry);
    xb_buf_clear(&builder->text);
    int r = xb_buf_append(&builder->text, &group, 1, err);
    if (r == 0) {
        r = text && text->rest ? xb_buf_append(&builder->text, text->rest, text->len, err)
                               : xb_entry_encode_rest(entry, &builder->text, err);
    }
    return r;
}

/* Puts builder->text under the entry's name. */
static int add_record(struct xb_directory_builder *builder, const struct xb_entry *entry,
                      struct xb_error *err)
{
    char key[XB_ENTRY_STORED_NAME_BYTES + XB_ENTRY_NAME_BYTES_MAX];
    xb_entry_stored_name(entry->name, key);
    size_t stored = strlen(key);
    bool stand_in = strcmp(key, entry->name) != 0;
    size_t raw = stand_in ? strlen(entry->name) : 0;
    if (stand_in) {
        memcpy(key + stored + 1, entry->name, raw);
    }
    const struct xb_sorter_record record = {.key = key,
                                            .key_len = stored + 1 + raw,
                                            .value = builder->text.data,
                                            .value_len = builder->text.len};
    int r = xb_sorter_add(builder->sorter, &record, err);
    if (r < 0) {
        return r;
    }
    builder->stand_ins += stand_in;
    builder->counts[group_of(entry)]++;
    count_entry(builder, entry);
    if (!entry->summary) {
        return 0;
    }
    see_time(builder, entry->summary->max_time_ns);
    return add_summary(&builder->summary, entry->summary, err);
}

static void tally(struct xb_directory_builder *builder, const struct xb_entry *entry)
{
    xb_directory_tally_add(&builder->kept, entry->name);
}

int xb_directory_builder_keep_text(struct xb_directory_builder *builder,
                                   const struct xb_entry *entry, const struct xb_entry_text *text,
                                   bool of_parent, struct xb_error *err)
{
    int r = make_text(builder, entry, text, err);
    if (r == 0) {
        r = add_record(builder, entry, err);
    }
    if (r == 0 && of_parent) {
        tally(builder, entry);
    }
    return r;
}

int xb_directory_builder_add_over(struct xb_directory_builder *builder, struct xb_entry *entry,
                                  const struct xb_entry_text *before, struct xb_error *err)
{
    int r = make_text(builder, entry, NULL, err);
    if (r == 0) {
        r = add_record(builder, entry, err);
    }
    if (r == 0 && before && before->rest && before->len + 1 == builder->text.len &&
        memcmp(before->rest, builder->text.data + 1, before->len) == 0) {
        tally(builder, entry);
    }
    xb_entry_free(entry);
    return r;
}

int xb_directory_builder_add(struct xb_directory_builder *builder, struct xb_entry *entry,
                             struct xb_error *err)
{
    return xb_directory_builder_add_over(builder, entry, NULL, err);
}

int xb_directory_builder_parent(struct xb_directory_builder *builder, const struct xb_object_id *id,
                                const struct xb_directory_tally *tally,
                                const struct xb_summary *summary, struct xb_error *err)
{
    struct xb_summary copy;
    int r = xb_summary_copy(summary, &copy, err);
    if (r == 0) {
        xb_summary_clear(&builder->parent_summary);
        builder->parent = *id;
        builder->parent_tally = *tally;
        builder->parent_summary = copy;
    }
    return r;
}

/* ---- the end ---- */

static int compare_errors(const void *left, const void *right)
{
    const struct xb_summary_error *a = left;
    const struct xb_summary_error *b = right;
    return strcmp(a->path, b->path);
}

static void sort_errors(struct xb_summary *summary)
{
    if (summary->error_count > 1) {
        qsort(summary->errors, summary->error_count, sizeof *summary->errors, compare_errors);
    }
}

static int reuse_content(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    struct xb_repository *repository = context;
    return xb_content_reuse(repository, id)
               ? 0
               : xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "a content is gone");
}

/* Whether it would be the parent's object, and that is still there. */
static bool is_parent(const struct xb_directory_builder *builder, struct xb_repository *repository)
{
    struct xb_error ignored = XB_ERROR_INIT;
    return builder->parent.text[0] && builder->kept.count == builder->parent_tally.count &&
           builder->kept.names == builder->parent_tally.names &&
           builder->kept.count == xb_sorter_count(builder->sorter) &&
           xb_summary_equal(&builder->summary, &builder->parent_summary) &&
           xb_object_verify(repository, &builder->parent, false, reuse_content, repository,
                            &ignored) == 0;
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
    sort_errors(&builder->summary);
    if (is_parent(builder, repository)) {
        *ret_id = builder->parent;
    } else {
        int r = xb_directory_write_both(builder, NULL, &builder->summary, repository, ret_id, err);
        if (r < 0) {
            return r;
        }
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
    if (r < 0 || (more && (r = add_summary(summary, &more->summary, err)) < 0)) {
        return r;
    }
    summary->dirs -= more != NULL; /* both counted the folder itself */
    if (more && more->has_time &&
        (!builder->has_time || more->summary.max_time_ns > summary->max_time_ns)) {
        summary->max_time_ns = more->summary.max_time_ns;
    }
    if (!summary->incomplete && !(summary->incomplete = strdup(XB_INCOMPLETE_CHECKPOINT))) {
        return xb_error_no_memory(err, "a directory");
    }
    sort_errors(summary);
    r = xb_directory_write_both(builder, more, summary, repository, ret_id, err);
    if (r == 0) {
        *ret_summary = XB_TAKE(summary);
    }
    return r;
}
