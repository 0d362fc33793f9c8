/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_internal.h"

struct xb_object_reader {
    struct xb_repository *repository;
    struct xb_object_pieces *pieces;
    uint64_t at; /* what is handed out next */
    struct xb_buf chunk;
};

int xb_object_reader_open_inside(struct xb_repository *repository, const struct xb_object_id *id,
                                 unsigned inside, struct xb_object_reader **ret,
                                 struct xb_error *err)
{
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return xb_error_no_memory(err, "an object");
    }
    reader->repository = repository;
    reader->chunk.max = XB_CONTENT_BYTES_MAX;
    int r = xb_object_pieces_open_inside(repository, id, inside, &reader->pieces, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(reader);
    return 0;
}

int xb_object_reader_open(struct xb_repository *repository, const struct xb_object_id *id,
                          struct xb_object_reader **ret, struct xb_error *err)
{
    return xb_object_reader_open_inside(repository, id, 0, ret, err);
}

uint64_t xb_object_reader_length(const struct xb_object_reader *reader)
{
    return xb_object_pieces_length(reader->pieces);
}

void xb_object_reader_free(struct xb_object_reader *reader)
{
    if (reader) {
        xb_object_pieces_free(reader->pieces);
        xb_buf_free(&reader->chunk);
        free(reader);
    }
}

int xb_object_wrong_length(const struct xb_object_chunk *chunk, uint64_t len, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "object %s has %llu bytes where its parent says %llu", chunk->id.text,
                        (unsigned long long)len, (unsigned long long)chunk->len);
}

int xb_object_piece_check(const struct xb_object_piece *piece, uint64_t len, struct xb_error *err)
{
    if (len == piece->len) {
        return 0;
    }
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(&piece->content, text);
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "content %s has %llu bytes where its parent says %llu", text,
                        (unsigned long long)len, (unsigned long long)piece->len);
}

int xb_object_reader_next(struct xb_object_reader *reader, const void **ret_data, size_t *ret_len,
                          struct xb_error *err)
{
    struct xb_object_piece piece;
    *ret_len = 0;
    int r = xb_object_pieces_next(reader->pieces, &piece, err);
    if (r < 0 || piece.len == 0) {
        return r;
    }
    xb_buf_clear(&reader->chunk);
    r = xb_content_read(reader->repository, &piece.content, false, &reader->chunk, err);
    if (r < 0 || (r = xb_object_piece_check(&piece, reader->chunk.len, err)) < 0) {
        return r;
    }
    size_t skip = (size_t)(reader->at - piece.offset);
    *ret_data = reader->chunk.data + skip;
    *ret_len = reader->chunk.len - skip;
    reader->at = piece.offset + piece.len;
    return 0;
}

int xb_object_reader_seek(struct xb_object_reader *reader, uint64_t offset, struct xb_error *err)
{
    int r = xb_object_pieces_seek(reader->pieces, offset, err);
    if (r == 0) {
        reader->at = offset;
    }
    return r;
}

int xb_object_read_all(struct xb_repository *repository, const struct xb_object_id *id,
                       struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    int r = xb_object_reader_open(repository, id, &reader, err);
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

/* ---- verification ---- */

/* Of a content that is in no index. */
#define LENGTH_UNKNOWN UINT64_MAX

struct verify {
    struct xb_repository *repository;
    bool data, damaged;
    xb_object_content_fn *fn;
    void *context;
};

static int verify_content(const struct verify *verify, const struct xb_content_id *id,
                          uint64_t *ret_len, struct xb_error *err)
{
    struct xb_content_info info;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_content_stat(verify->repository, id, &info, &why);
    if (r < 0 && verify->damaged && why.kind == XB_ERR_NOT_FOUND) {
        *ret_len = LENGTH_UNKNOWN;
        return verify->fn(verify->context, id, err);
    }
    if (r < 0) {
        *err = why;
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
                        uint64_t *ret_len, struct xb_error *err);

static int verify_chunks(const struct verify *verify, const struct xb_object_id *id, unsigned level,
                         uint64_t *ret_len, struct xb_error *err)
{
    XB_CLEANUP(xb_object_table_freep) struct xb_object_table *table = NULL;
    struct xb_object_chunk chunk;
    bool more = true;
    int r = xb_object_table_open(verify->repository, id, level, &table, err);
    while (r == 0 && (r = xb_object_table_next(table, &chunk, &more, err)) == 0 && more) {
        uint64_t len = 0;
        r = verify_level(verify, &chunk.id, level + 1, &len, err);
        if (r == 0 && len != LENGTH_UNKNOWN && len != chunk.len) {
            r = xb_object_wrong_length(&chunk, len, err);
        }
    }
    if (r == 0) {
        *ret_len = xb_object_table_length(table);
    }
    return r;
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
    uint64_t len = 0;
    memcpy(inner.text, id->text + 1, sizeof inner.text - 1);
    inner.text[sizeof inner.text - 1] = '\0';
    r = verify_level(verify, &inner, level + 1, &len, err);
    return r < 0 ? r : verify_chunks(verify, id, level, ret_len, err);
}

int xb_object_verify(struct xb_repository *repository, const struct xb_object_id *id, bool data,
                     xb_object_content_fn *fn, void *context, struct xb_error *err)
{
    const struct verify verify = {
        .repository = repository, .data = data, .fn = fn, .context = context};
    uint64_t len = 0;
    return verify_level(&verify, id, 0, &len, err);
}

int xb_object_contents(struct xb_repository *repository, const struct xb_object_id *id,
                       xb_object_content_fn *fn, void *context, struct xb_error *err)
{
    const struct verify verify = {
        .repository = repository, .damaged = true, .fn = fn, .context = context};
    uint64_t len = 0;
    return verify_level(&verify, id, 0, &len, err);
}
