/* SPDX-License-Identifier: Apache-2.0
 * Writing a directory object: its entries stream from the sorters into an object writer. */
#include <string.h>

#include "shared/codec/json.h"
#include "shared/repository/directory_internal.h"

enum { SUMMARY_BYTES_MAX = 16 << 20, WRITE_BYTES = 32 * 1024 };

struct output {
    struct xb_object_writer *writer;
    struct xb_buf text; /* not written yet */
    uint64_t entries;   /* of the list under way */
};

static int write_out(struct output *output, struct xb_error *err)
{
    int r = output->text.len
                ? xb_object_writer_write(output->writer, output->text.data, output->text.len, err)
                : 0;
    xb_buf_clear(&output->text);
    return r;
}

static int put_entry(struct output *output, const char *name, const char *rest, size_t rest_len,
                     struct xb_error *err)
{
    struct xb_buf *text = &output->text;
    int r = xb_buf_append_str(text, output->entries++ ? ",{\"name\":" : "[{\"name\":", err);
    if (r < 0 || (r = xb_json_go_string(text, name, strlen(name), err)) < 0 ||
        (r = xb_buf_append(text, rest, rest_len, err)) < 0) {
        return r;
    }
    return text->len < WRITE_BYTES ? 0 : write_out(output, err);
}

/* Entries of the group that have got other names and come before `name`; NULL: all that are left.
 */
static int put_moved(struct output *output, const struct xb_directory_moves *moves, size_t *next,
                     enum xb_directory_group group, const char *name, struct xb_error *err)
{
    int r = 0;
    for (; r == 0 && *next < moves->count; ++*next) {
        const struct xb_directory_moved *moved = &moves->list[*next];
        if (name && strcmp(moved->name, name) > 0) {
            return 0;
        }
        if (moved->group == group) {
            r = put_entry(output, moved->name, moved->rest, moved->rest_len, err);
        }
    }
    return r;
}

struct both {
    const struct xb_directory_builder *builder, *more; /* more: or NULL */
    struct xb_directory_moves moves;
};

static uint64_t count_of(const struct both *both, enum xb_directory_group group)
{
    return both->builder->counts[group] + (both->more ? both->more->counts[group] : 0);
}

static int put_group(struct output *output, const struct both *both, enum xb_directory_group group,
                     struct xb_error *err)
{
    struct xb_directory_records records;
    size_t next = 0;
    if (count_of(both, group) == 0) {
        return 0;
    }
    int r = xb_directory_records_open(both->builder, both->more, &records, err);
    if (r < 0) {
        return r;
    }
    while ((r = xb_directory_records_next(&records, err)) == 0 && records.name) {
        if (records.group != group || records.again) {
            continue;
        }
        r = put_moved(output, &both->moves, &next, group, records.name, err);
        r = r < 0 ? r : put_entry(output, records.name, records.rest, records.rest_len, err);
        if (r < 0) {
            break;
        }
    }
    xb_directory_records_close(&records);
    return r < 0 ? r : put_moved(output, &both->moves, &next, group, NULL, err);
}

static int put_object(struct output *output, const struct both *both,
                      const struct xb_summary *summary, struct xb_error *err)
{
    struct xb_buf *text = &output->text;
    int r = xb_buf_append_str(text, "{\"stream\":\"kopia:directory\",\"entries\":", err);
    if (r < 0 || (r = put_group(output, both, XB_GROUP_FOLDERS, err)) < 0 ||
        (r = put_group(output, both, XB_GROUP_OTHERS, err)) < 0 ||
        (r = xb_buf_append_str(text, output->entries ? "]" : "null", err)) < 0 ||
        (r = xb_buf_append_str(text, ",\"summary\":", err)) < 0 ||
        (r = xb_summary_encode(summary, text, err)) < 0) {
        return r;
    }
    if (count_of(both, XB_GROUP_SPECIAL) > 0) {
        output->entries = 0;
        r = xb_buf_append_str(text, ",\"x-special\":", err);
        if (r < 0 || (r = put_group(output, both, XB_GROUP_SPECIAL, err)) < 0 ||
            (r = xb_buf_append_str(text, "]", err)) < 0) {
            return r;
        }
    }
    r = xb_buf_append_str(text, "}\n", err);
    return r < 0 ? r : write_out(output, err);
}

int xb_directory_write_both(const struct xb_directory_builder *builder,
                            const struct xb_directory_builder *more,
                            const struct xb_summary *summary, struct xb_repository *repository,
                            struct xb_object_id *ret, struct xb_error *err)
{
    const struct xb_object_writer_options options = {
        .prefix = 'k', .compression = XB_COMPRESSION_ZSTD_FASTEST, .split = true};
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    struct both both = {.builder = builder, .more = more};
    struct xb_object_stats stats;
    int r = xb_object_writer_new(repository, &options, &writer, err);
    if (r < 0 || (r = xb_directory_find_moves(builder, more, &both.moves, err)) < 0) {
        return r;
    }
    struct output output = {.writer = writer,
                            .text = XB_BUF_INIT(SUMMARY_BYTES_MAX + XB_SORTER_RECORD_BYTES_MAX)};
    r = put_object(&output, &both, summary, err);
    if (r == 0) {
        r = xb_object_writer_finish(writer, ret, &stats, err);
    }
    xb_buf_free(&output.text);
    xb_directory_moves_free(&both.moves);
    return r;
}
