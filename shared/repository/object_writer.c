/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object.h"
#include "shared/repository/splitter.h"

struct xb_object_writer {
    pthread_mutex_t lock; /* for checkpoints */
    struct xb_repository *repository;
    struct xb_object_writer_options options;
    struct xb_splitter splitter;
    struct xb_splitter_state state;
    struct xb_buf chunk; /* bytes of the chunk under way */
    struct xb_buf table; /* JSON of the chunks written */
    uint64_t chunk_start;
    struct xb_content_id first; /* the only chunk, if there is one */
    struct xb_object_stats stats;
};

int xb_object_writer_new(struct xb_repository *repository,
                         const struct xb_object_writer_options *options,
                         struct xb_object_writer **ret, struct xb_error *err)
{
    struct xb_splitter splitter;
    int r = xb_splitter_parse(xb_repository_splitter(repository), &splitter, err);
    if (r < 0) {
        return r;
    }
    struct xb_object_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return xb_error_no_memory(err, "an object");
    }
    pthread_mutex_init(&writer->lock, NULL);
    writer->repository = repository;
    writer->options = *options;
    writer->splitter = splitter;
    writer->chunk.max = options->split ? splitter.max : XB_CONTENT_BYTES_MAX;
    writer->table.max = XB_OBJECT_INDEX_BYTES_MAX;
    *ret = writer;
    return 0;
}

void xb_object_writer_free(struct xb_object_writer *writer)
{
    if (!writer) {
        return;
    }
    xb_buf_free(&writer->chunk);
    xb_buf_free(&writer->table);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

static int add_to_table(struct xb_object_writer *writer, const struct xb_content_id *id, size_t len,
                        struct xb_error *err)
{
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    int r = xb_buf_append_str(
        &writer->table, writer->table.len ? ",{" : "{\"stream\":\"kopia:indirect\",\"entries\":[{",
        err);
    if (r == 0 && writer->chunk_start > 0) {
        r = xb_buf_printf(&writer->table, err, "\"s\":%llu,",
                          (unsigned long long)writer->chunk_start);
    }
    if (r == 0 && len > 0) {
        r = xb_buf_printf(&writer->table, err, "\"l\":%zu,", len);
    }
    return r < 0 ? r : xb_buf_printf(&writer->table, err, "\"o\":\"%s\"}", text);
}

/* Stores the first `len` bytes of the chunk buffer. */
static int write_chunk(struct xb_object_writer *writer, const void *data, size_t len,
                       struct xb_error *err)
{
    struct xb_content_write_result result;
    int r = xb_content_write(writer->repository, writer->options.prefix, data, len,
                             writer->options.compression, &result, err);
    if (r < 0) {
        return r;
    }
    if (writer->stats.chunks == 0) {
        writer->first = result.id;
    }
    r = add_to_table(writer, &result.id, len, err);
    writer->chunk_start += len;
    writer->stats.chunks++;
    writer->stats.new_chunks += !result.existed;
    writer->stats.new_bytes += result.existed ? 0 : len;
    writer->stats.stored_bytes += result.packed_bytes;
    return r;
}

/* How many bytes may still be taken before a part ends. */
static size_t room_in_part(const struct xb_object_writer *writer, size_t len)
{
    if (!writer->options.part_bytes) {
        return len;
    }
    uint64_t left = writer->options.part_bytes - writer->stats.bytes % writer->options.part_bytes;
    return left < len ? (size_t)left : len;
}

static int write_locked(struct xb_object_writer *writer, const void *data, size_t len,
                        struct xb_error *err)
{
    const char *at = data;
    while (len > 0) {
        size_t room = writer->chunk.max - writer->chunk.len;
        size_t take = room_in_part(writer, len < room ? len : room);
        int r = xb_buf_append(&writer->chunk, at, take, err);
        if (r < 0) {
            return r;
        }
        at += take;
        len -= take;
        writer->stats.bytes += take;
        if (!writer->options.split) {
            if (take == 0) {
                return xb_error_set(err, XB_ERR_FULL, -E2BIG, "an object of one content is full");
            }
            continue;
        }
        size_t cut = 0;
        while ((cut = xb_splitter_scan(&writer->splitter, &writer->state,
                                       (const unsigned char *)writer->chunk.data,
                                       writer->chunk.len)) > 0) {
            r = write_chunk(writer, writer->chunk.data, cut, err);
            if (r < 0) {
                return r;
            }
            xb_buf_consume(&writer->chunk, cut);
        }
        if (writer->options.part_bytes && writer->chunk.len > 0 &&
            writer->stats.bytes % writer->options.part_bytes == 0) {
            r = write_chunk(writer, writer->chunk.data, writer->chunk.len, err);
            if (r < 0) {
                return r;
            }
            xb_buf_clear(&writer->chunk);
            writer->state = (struct xb_splitter_state){.scanned = 0};
        }
    }
    return 0;
}

int xb_object_writer_write(struct xb_object_writer *writer, const void *data, size_t len,
                           struct xb_error *err)
{
    pthread_mutex_lock(&writer->lock);
    int r = write_locked(writer, data, len, err);
    pthread_mutex_unlock(&writer->lock);
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
    if (r < 0 ||
        (r = xb_object_writer_write(inner, writer->table.data, writer->table.len, err)) < 0 ||
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
        *ret_bytes = writer->chunk_start;
    }
    pthread_mutex_unlock(&writer->lock);
    return r;
}

static void reset(struct xb_object_writer *writer)
{
    xb_buf_clear(&writer->chunk);
    xb_buf_clear(&writer->table);
    writer->state = (struct xb_splitter_state){.scanned = 0};
    writer->chunk_start = 0;
    writer->stats = (struct xb_object_stats){.bytes = 0};
}

void xb_object_writer_abort(struct xb_object_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    reset(writer);
    pthread_mutex_unlock(&writer->lock);
}

int xb_object_writer_finish(struct xb_object_writer *writer, struct xb_object_id *ret_id,
                            struct xb_object_stats *ret_stats, struct xb_error *err)
{
    int r = 0;
    struct xb_object_id id = {.text = ""};
    pthread_mutex_lock(&writer->lock);
    if (writer->chunk.len > 0 || writer->stats.chunks == 0) {
        r = write_chunk(writer, writer->chunk.data ? writer->chunk.data : "", writer->chunk.len,
                        err);
    }
    if (r == 0) {
        r = name_object(writer, &id, err);
    }
    if (r == 0) {
        *ret_id = id;
        *ret_stats = writer->stats;
    }
    reset(writer);
    pthread_mutex_unlock(&writer->lock);
    return r;
}
