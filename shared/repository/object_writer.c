/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object.h"
#include "shared/repository/splitter.h"

enum { ZERO_BYTES = 256 * 1024 };

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
    struct {
        size_t len; /* of a chunk that holds nothing else; 0: not known yet */
        struct xb_content_id id;
    } zeros;
};

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

static int add_chunk(struct xb_object_writer *writer, const struct xb_content_id *id, size_t len,
                     struct xb_error *err)
{
    if (writer->stats.chunks == 0) {
        writer->first = *id;
    }
    int r = add_to_table(writer, id, len, err);
    writer->chunk_start += len;
    writer->stats.chunks++;
    return r;
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
    r = add_chunk(writer, &result.id, len, err);
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

/* ---- zeros ---- */

/* Where zeros alone are cut, and the content that they make. It is stored. */
static int learn_zeros(struct xb_object_writer *writer, struct xb_error *err)
{
    struct xb_splitter_state state = {.scanned = 0};
    struct xb_content_write_result result;
    XB_CLEANUP(xb_freep) unsigned char *data = calloc(1, writer->splitter.max);
    if (!data) {
        return xb_error_no_memory(err, "an object");
    }
    size_t len = xb_splitter_scan(&writer->splitter, &state, data, writer->splitter.max);
    int r = xb_content_write(writer->repository, writer->options.prefix, data, len,
                             writer->options.compression, &result, err);
    if (r < 0) {
        return r;
    }
    writer->zeros.len = len;
    writer->zeros.id = result.id;
    writer->stats.new_chunks += !result.existed;
    writer->stats.new_bytes += result.existed ? 0 : len;
    writer->stats.stored_bytes += result.packed_bytes;
    return 0;
}

/* One chunk of zeros and nothing else, at its start. */
static int add_zeros(struct xb_object_writer *writer, struct xb_error *err)
{
    int r = 0;
    /* Maintenance may have taken the content meanwhile: then it is stored anew. */
    if (!writer->zeros.len || !xb_content_reuse(writer->repository, &writer->zeros.id)) {
        r = learn_zeros(writer, err);
    }
    if (r == 0) {
        r = add_chunk(writer, &writer->zeros.id, writer->zeros.len, err);
        writer->stats.bytes += writer->zeros.len;
    }
    return r;
}

static int write_zeros_locked(struct xb_object_writer *writer, uint64_t len, struct xb_error *err)
{
    static const unsigned char zeros[ZERO_BYTES];
    bool only_zeros = writer->chunk.len == 0; /* in the chunk under way */
    int r = 0;
    while (r == 0 && len > 0) {
        size_t whole = writer->zeros.len ? writer->zeros.len : writer->splitter.max;
        if (writer->chunk.len == 0 && len >= whole && room_in_part(writer, whole) == whole) {
            r = add_zeros(writer, err);
            len -= writer->zeros.len;
            continue;
        }
        /* To the end of a chunk of zeros if one is under way, so that the next starts fresh. */
        size_t take = len < ZERO_BYTES ? (size_t)len : ZERO_BYTES;
        if (only_zeros && writer->zeros.len > writer->chunk.len &&
            writer->zeros.len - writer->chunk.len < take) {
            take = writer->zeros.len - writer->chunk.len;
        }
        uint64_t chunks = writer->stats.chunks;
        r = write_locked(writer, zeros, take, err);
        only_zeros = only_zeros || writer->stats.chunks > chunks;
        len -= take;
    }
    return r;
}

int xb_object_writer_write_zeros(struct xb_object_writer *writer, uint64_t len,
                                 struct xb_error *err)
{
    if (!writer->options.split) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "holes in an object of one content");
    }
    pthread_mutex_lock(&writer->lock);
    int r = write_zeros_locked(writer, len, err);
    pthread_mutex_unlock(&writer->lock);
    return r;
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
    /* kopia's last part is empty where the size is a multiple of a part's. */
    bool empty_part = writer->options.part_bytes && writer->stats.bytes > 0 &&
                      writer->stats.bytes % writer->options.part_bytes == 0;
    if (writer->chunk.len > 0 || writer->stats.chunks == 0 || empty_part) {
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
