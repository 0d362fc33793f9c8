/* SPDX-License-Identifier: Apache-2.0
 * A writer's life, and writing for those who have bytes and no blocks: they are copied into some.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_cut.h"

enum { FILL_BYTES_MIN = 4096, FILL_BYTES_MAX = XB_BLOCK_BYTES };

/* How much of the index stays in memory, and what is copied of it at once. */
enum { TABLE_BYTES = 256 * 1024, COPY_BYTES = 16 * 1024 };

int xb_object_writer_new(struct xb_repository *repository,
                         const struct xb_object_writer_options *options,
                         struct xb_object_writer **ret, struct xb_error *err)
{
    struct xb_splitter splitter;
    const char *name = options->splitter ? options->splitter : xb_repository_splitter(repository);
    int r = xb_splitter_parse(name, &splitter, err);
    if (r < 0) {
        return r;
    }
    struct xb_object_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return xb_error_no_memory(err, "an object");
    }
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->turn, NULL);
    writer->repository = repository;
    writer->options = *options;
    writer->splitter = splitter;
    r = xb_scratch_new("the index of a large file", TABLE_BYTES, &writer->table, err);
    if (r < 0) {
        xb_object_writer_free(writer);
        return r;
    }
    *ret = writer;
    return 0;
}

void xb_object_writer_free(struct xb_object_writer *writer)
{
    if (!writer) {
        return;
    }
    xb_object_writer_forget_cuts(writer);
    if (writer->table) {
        xb_object_writer_forget_table(writer);
    }
    xb_object_parts_list_free(&writer->open);
    xb_object_batch_free(writer->own);
    xb_block_unref(writer->fill);
    xb_scratch_free(writer->table);
    pthread_cond_destroy(&writer->turn);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* ---- bytes into blocks ---- */

/* Blocks grow with the chunk, so that a small folder costs little. */
static int need_fill(struct xb_object_writer *writer, size_t len, struct xb_error *err)
{
    size_t bytes = FILL_BYTES_MIN;
    if (writer->fill && writer->filled < writer->fill->size) {
        return 0;
    }
    while (bytes < FILL_BYTES_MAX && bytes < len + writer->open_len) {
        bytes *= 2;
    }
    xb_block_unref(XB_TAKE(writer->fill));
    writer->filled = 0;
    return xb_block_heap(bytes, &writer->fill, err);
}

static int need_batch(struct xb_object_writer *writer, struct xb_error *err)
{
    return writer->own ? 0 : xb_object_batch_new(&writer->own, err);
}

/* Copies and feeds, to the end of a chunk at most. */
static int copy_some(struct xb_object_writer *writer, const void *data, size_t len,
                     size_t *ret_taken, struct xb_error *err)
{
    int r = need_fill(writer, len, err);
    if (r < 0 || (r = need_batch(writer, err)) < 0) {
        return r;
    }
    size_t room = writer->fill->size - writer->filled;
    size_t take = len < room ? len : room;
    const struct xb_object_bytes bytes = {writer->fill, writer->filled, take};
    memcpy(writer->fill->data + writer->filled, data, take);
    r = xb_object_writer_feed(writer, writer->own, &bytes, ret_taken, err);
    if (r == 0) {
        writer->filled += *ret_taken;
        r = writer->own->count > 0 ? xb_object_writer_store(writer, writer->own, err) : 0;
    }
    if (xb_block_alone(writer->fill)) {
        writer->filled = 0;
    }
    return r;
}

int xb_object_writer_write(struct xb_object_writer *writer, const void *data, size_t len,
                           struct xb_error *err)
{
    const char *at = data;
    int r = 0;
    for (size_t taken = 0; r == 0 && len > 0; at += taken, len -= taken) {
        r = copy_some(writer, at, len, &taken, err);
    }
    return r;
}

/* ---- the whole ---- */

static int copy_table(const struct xb_object_writer *writer, struct xb_object_writer *inner,
                      struct xb_error *err)
{
    char piece[COPY_BYTES];
    uint64_t length = xb_scratch_length(writer->table);
    int r = 0;
    for (uint64_t at = 0; r == 0 && at < length; at += sizeof piece) {
        size_t len = length - at < sizeof piece ? (size_t)(length - at) : sizeof piece;
        r = xb_scratch_read(writer->table, at, piece, len, err);
        r = r < 0 ? r : xb_object_writer_write(inner, piece, len, err);
    }
    return r;
}

/* The index of the chunks is an object of its own, and may itself be cut. The table stays. */
static int write_table(struct xb_object_writer *writer, struct xb_object_id *ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *inner = NULL;
    const struct xb_object_writer_options options = {
        .prefix = writer->options.prefix ? writer->options.prefix : 'x',
        .compression = XB_COMPRESSION_ZSTD_FASTEST,
        .split = true};
    static const char end[] = "]}\n";
    struct xb_object_id id;
    struct xb_object_stats stats;
    int r = xb_object_writer_new(writer->repository, &options, &inner, err);
    if (r < 0 || (r = copy_table(writer, inner, err)) < 0 ||
        (r = xb_object_writer_write(inner, end, sizeof end - 1, err)) < 0 ||
        (r = xb_object_writer_finish(inner, &id, &stats, err)) < 0) {
        return r;
    }
    size_t len = strlen(id.text);
    if (len + 2 > sizeof ret->text) {
        return xb_error_set(err, XB_ERR_BUG, -ENAMETOOLONG, "an object is nested too deeply");
    }
    ret->text[0] = 'I';
    memcpy(ret->text + 1, id.text, len + 1);
    writer->stats.stored_bytes += stats.stored_bytes;
    return 0;
}

/* The object of the chunks written so far. */
static int name_object(struct xb_object_writer *writer, struct xb_object_id *ret,
                       struct xb_error *err)
{
    if (writer->stats.chunks != 1) {
        return write_table(writer, ret, err);
    }
    xb_content_id_format(&writer->first, ret->text);
    return 0;
}

int xb_object_writer_checkpoint(struct xb_object_writer *writer, struct xb_object_id *ret_id,
                                uint64_t *ret_bytes, struct xb_error *err)
{
    struct xb_object_id id = {.text = ""};
    pthread_mutex_lock(&writer->lock);
    int r = writer->stats.chunks ? name_object(writer, &id, err) : 0;
    if (r == 0) {
        *ret_id = id;
        *ret_bytes = writer->table_bytes;
    }
    pthread_mutex_unlock(&writer->lock);
    return r;
}

void xb_object_writer_abort(struct xb_object_writer *writer)
{
    xb_object_writer_forget_cuts(writer);
    pthread_mutex_lock(&writer->lock);
    xb_object_writer_forget_table(writer);
    pthread_mutex_unlock(&writer->lock);
}

/* The last chunk. */
static int end_object(struct xb_object_writer *writer, struct xb_error *err)
{
    int r = writer->ended ? 0 : need_batch(writer, err);
    if (r < 0 || writer->ended || (r = xb_object_writer_feed_end(writer, writer->own, err)) < 0) {
        return r;
    }
    return xb_object_writer_store(writer, writer->own, err);
}

int xb_object_writer_finish(struct xb_object_writer *writer, struct xb_object_id *ret_id,
                            struct xb_object_stats *ret_stats, struct xb_error *err)
{
    struct xb_object_id id = {.text = ""};
    int r = end_object(writer, err);
    pthread_mutex_lock(&writer->lock);
    if (r == 0 && (writer->failed || writer->stats.chunks != writer->cut_count)) {
        r = xb_error_set(err, XB_ERR_BUG, -EINVAL, "an object is finished before it is stored");
    }
    if (r == 0) {
        r = name_object(writer, &id, err);
    }
    if (r == 0) {
        *ret_id = id;
        *ret_stats = writer->stats;
    }
    xb_object_writer_forget_table(writer);
    pthread_mutex_unlock(&writer->lock);
    xb_object_writer_forget_cuts(writer);
    return r;
}
