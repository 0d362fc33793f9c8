/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_internal.h"

/* A direct object is a table of one chunk; chunks that are indirect themselves get a reader of
 * their own, one at a time. */
struct xb_object_reader {
    struct xb_repository *repository;
    struct xb_object_table table;
    size_t next;   /* chunk to read */
    uint64_t skip; /* bytes of it to leave out, after a seek */
    struct xb_object_reader *child;
    struct xb_buf chunk;
    unsigned level;
    bool direct;
};

static int open_level(struct xb_repository *repository, const struct xb_object_id *id,
                      unsigned level, struct xb_object_reader **ret, struct xb_error *err);

static int open_direct(struct xb_object_reader *reader, const struct xb_object_id *id,
                       const struct xb_object_parts *parts, struct xb_error *err)
{
    struct xb_content_info info;
    if (parts->packed) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "object %s is compressed as a whole, which only kopia before 0.9 did "
                            "and is not supported",
                            id->text);
    }
    struct xb_error unknown = XB_ERROR_INIT;
    int r = xb_content_stat(reader->repository, &parts->content, &info, &unknown);
    if (r < 0) {
        /* Others may have written it since the index was read. */
        r = xb_repository_refresh(reader->repository, err);
        if (r == 0) {
            r = xb_content_stat(reader->repository, &parts->content, &info, err);
        }
    }
    if (r < 0) {
        err->kind = err->kind == XB_ERR_NOT_FOUND ? XB_ERR_CORRUPT : err->kind;
        return r;
    }
    reader->table.chunks = calloc(1, sizeof *reader->table.chunks);
    if (!reader->table.chunks) {
        return xb_error_no_memory(err, "an object");
    }
    reader->direct = true;
    reader->table.count = 1;
    reader->table.len = info.plain_bytes;
    reader->table.chunks[0] = (struct xb_object_chunk){.len = info.plain_bytes, .id = *id};
    return 0;
}

static int open_level(struct xb_repository *repository, const struct xb_object_id *id,
                      unsigned level, struct xb_object_reader **ret, struct xb_error *err)
{
    struct xb_object_parts parts;
    int r = xb_object_id_split(id, &parts, err);
    if (r < 0) {
        return r;
    }
    if (level > XB_OBJECT_DEPTH_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "object %s is nested too deeply",
                            id->text);
    }
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return xb_error_no_memory(err, "an object");
    }
    reader->repository = repository;
    reader->level = level;
    reader->chunk.max = XB_CONTENT_BYTES_MAX;
    r = parts.depth ? xb_object_table_load(repository, id, level, &reader->table, err)
                    : open_direct(reader, id, &parts, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(reader);
    return 0;
}

int xb_object_reader_open(struct xb_repository *repository, const struct xb_object_id *id,
                          struct xb_object_reader **ret, struct xb_error *err)
{
    return open_level(repository, id, 0, ret, err);
}

uint64_t xb_object_reader_length(const struct xb_object_reader *reader)
{
    return reader->table.len;
}

void xb_object_reader_free(struct xb_object_reader *reader)
{
    while (reader) {
        struct xb_object_reader *child = reader->child;
        xb_object_table_free(&reader->table);
        xb_buf_free(&reader->chunk);
        free(reader);
        reader = child;
    }
}

static int wrong_length(const struct xb_object_chunk *chunk, uint64_t len, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "object %s has %llu bytes where its parent says %llu", chunk->id.text,
                        (unsigned long long)len, (unsigned long long)chunk->len);
}

/* Reads chunk `next` into the buffer, or opens a child for it. */
static int load_chunk(struct xb_object_reader *reader, struct xb_error *err)
{
    const struct xb_object_chunk *chunk = &reader->table.chunks[reader->next];
    struct xb_object_parts parts;
    int r = xb_object_id_split(&chunk->id, &parts, err);
    if (r < 0) {
        return r;
    }
    if (reader->direct || (parts.depth == 0 && !parts.packed)) {
        xb_buf_clear(&reader->chunk);
        r = xb_content_read(reader->repository, &parts.content, false, &reader->chunk, err);
        return r == 0 && reader->chunk.len != chunk->len
                   ? wrong_length(chunk, reader->chunk.len, err)
                   : r;
    }
    r = open_level(reader->repository, &chunk->id, reader->level + 1, &reader->child, err);
    if (r == 0 && reader->child->table.len != chunk->len) {
        r = wrong_length(chunk, reader->child->table.len, err);
    }
    if (r == 0 && reader->skip) {
        r = xb_object_reader_seek(reader->child, reader->skip, err);
        reader->skip = 0;
    }
    return r;
}

static int next_of_child(struct xb_object_reader *reader, const void **ret_data, size_t *ret_len,
                         struct xb_error *err)
{
    int r = xb_object_reader_next(reader->child, ret_data, ret_len, err);
    if (r == 0 && *ret_len == 0) {
        xb_object_reader_free(reader->child);
        reader->child = NULL;
        reader->next++;
    }
    return r;
}

int xb_object_reader_next(struct xb_object_reader *reader, const void **ret_data, size_t *ret_len,
                          struct xb_error *err)
{
    *ret_len = 0;
    while (*ret_len == 0) {
        if (reader->child) {
            int r = next_of_child(reader, ret_data, ret_len, err);
            if (r < 0 || *ret_len) {
                return r;
            }
            continue;
        }
        if (reader->next == reader->table.count) {
            return 0;
        }
        int r = load_chunk(reader, err);
        if (r < 0) {
            return r;
        }
        if (!reader->child) {
            *ret_data = reader->chunk.data + reader->skip;
            *ret_len = reader->chunk.len - (size_t)reader->skip;
            reader->skip = 0;
            reader->next++;
        }
    }
    return 0;
}

int xb_object_reader_seek(struct xb_object_reader *reader, uint64_t offset, struct xb_error *err)
{
    if (offset > reader->table.len) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "offset %llu is beyond the end (%llu)",
                            (unsigned long long)offset, (unsigned long long)reader->table.len);
    }
    xb_object_reader_free(reader->child);
    reader->child = NULL;
    size_t low = 0;
    size_t high = reader->table.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct xb_object_chunk *chunk = &reader->table.chunks[middle];
        if (chunk->start + chunk->len <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    reader->next = low;
    reader->skip = low < reader->table.count ? offset - reader->table.chunks[low].start : 0;
    return 0;
}

int xb_object_read_level(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    int r = open_level(repository, id, level, &reader, err);
    const void *data = NULL;
    size_t len = 1;
    while (r == 0 && len > 0) {
        r = xb_object_reader_next(reader, &data, &len, err);
        if (r == 0 && len > 0) {
            r = xb_buf_append(out, data, len, err);
        }
    }
    return r;
}

int xb_object_read_all(struct xb_repository *repository, const struct xb_object_id *id,
                       struct xb_buf *out, struct xb_error *err)
{
    return xb_object_read_level(repository, id, 0, out, err);
}

/* ---- verification ---- */

struct verify {
    struct xb_repository *repository;
    bool data;
    xb_object_content_fn *fn;
    void *context;
};

static int verify_content(const struct verify *verify, const struct xb_content_id *id,
                          uint64_t *ret_len, struct xb_error *err)
{
    struct xb_content_info info;
    int r = xb_content_stat(verify->repository, id, &info, err);
    if (r < 0) {
        err->kind = err->kind == XB_ERR_NOT_FOUND ? XB_ERR_CORRUPT : err->kind;
        return r;
    }
    *ret_len = info.plain_bytes;
    if (verify->data) {
        XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
        r = xb_content_read(verify->repository, id, true, &plain, err);
    }
    return r < 0 ? r : verify->fn(verify->context, id, err);
}

static int verify_level(const struct verify *verify, const struct xb_object_id *id, unsigned level,
                        uint64_t *ret_len, struct xb_error *err)
{
    struct xb_object_parts parts;
    int r = xb_object_id_split(id, &parts, err);
    if (r < 0) {
        return r;
    }
    if (parts.depth == 0) {
        return verify_content(verify, &parts.content, ret_len, err);
    }
    if (level > XB_OBJECT_DEPTH_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "object %s is nested too deeply",
                            id->text);
    }
    struct xb_object_id inner;
    struct xb_object_table table = {.chunks = NULL};
    uint64_t len = 0;
    memcpy(inner.text, id->text + 1, sizeof inner.text - 1);
    inner.text[sizeof inner.text - 1] = '\0';
    r = verify_level(verify, &inner, level + 1, &len, err);
    if (r == 0) {
        r = xb_object_table_load(verify->repository, id, level, &table, err);
    }
    for (size_t i = 0; r == 0 && i < table.count; i++) {
        r = verify_level(verify, &table.chunks[i].id, level + 1, &len, err);
        if (r == 0 && len != table.chunks[i].len) {
            r = wrong_length(&table.chunks[i], len, err);
        }
    }
    *ret_len = table.len;
    xb_object_table_free(&table);
    return r;
}

int xb_object_verify(struct xb_repository *repository, const struct xb_object_id *id, bool data,
                     xb_object_content_fn *fn, void *context, struct xb_error *err)
{
    const struct verify verify = {repository, data, fn, context};
    uint64_t len = 0;
    return verify_level(&verify, id, 0, &len, err);
}
