/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/compress/compress.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    ZSTD_LEVEL_DEFAULT = 3,
    ZSTD_LEVEL_FASTEST = 1,
    WINDOW_RAW = -15,     /* zlib's word for a raw deflate stream */
    WINDOW_GZIP = 15 + 16 /* and for a gzip stream */
};

static const size_t inflate_step_bytes = 64 * 1024;

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int xb_compress_encode(uint32_t id, const void *data, size_t len, struct xb_buf *out,
                       bool *ret_smaller, struct xb_error *err)
{
    if (id != XB_COMPRESS_ZSTD && id != XB_COMPRESS_ZSTD_FASTEST) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "cannot compress with id 0x%x", id);
    }
    if (len <= XB_COMPRESS_HEADER_BYTES + 1) {
        *ret_smaller = false;
        return 0;
    }
    /* Room for one byte less than the data: what does not fit in it is not worth keeping. */
    size_t room = len - XB_COMPRESS_HEADER_BYTES - 1;
    size_t before = out->len;
    int r = xb_buf_reserve(out, XB_COMPRESS_HEADER_BYTES + room, err);
    if (r < 0) {
        return r;
    }
    if ((r = xb_buf_append_be32(out, id, err)) < 0) {
        return r;
    }
    int level = id == XB_COMPRESS_ZSTD ? ZSTD_LEVEL_DEFAULT : ZSTD_LEVEL_FASTEST;
    size_t got = ZSTD_compress(out->data + out->len, room, data, len, level);
    if (ZSTD_isError(got)) {
        out->len = before;
        out->data[before] = '\0';
        if (ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall) {
            *ret_smaller = false;
            return 0;
        }
        return xb_error_set(err, XB_ERR_FULL, -ENOMEM, "zstd: %s", ZSTD_getErrorName(got));
    }
    out->len += got;
    out->data[out->len] = '\0';
    *ret_smaller = true;
    return 0;
}

static int zstd_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                       struct xb_error *err)
{
    if (len == 0) { /* zstd takes nothing for no frames; here it is a frame that is missing */
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "zstd stream: cut short");
    }
    int r = xb_buf_reserve(out, plain_len, err);
    if (r < 0) {
        return r;
    }
    /* Frames without a content size decode in one go too, straight into the result: no window
     * buffer, whose size a hostile frame could choose. */
    size_t got = ZSTD_decompress(out->data + out->len, plain_len, data, len);
    if (ZSTD_isError(got)) {
        out->data[out->len] = '\0';
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "zstd stream: %s",
                            ZSTD_getErrorName(got));
    }
    if (got != plain_len) {
        out->data[out->len] = '\0';
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "zstd stream holds %zu bytes, its index entry says %zu", got,
                            plain_len);
    }
    out->len += got;
    out->data[out->len] = '\0';
    return 0;
}

static int zlib_failed(int code, const z_stream *stream, struct xb_error *err)
{
    if (code == Z_MEM_ERROR) {
        return xb_error_no_memory(err, "zlib");
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "deflate stream: %s",
                        stream->msg ? stream->msg : "cut short");
}

/* One step of output, at most `limit` bytes beyond what is there. */
static int inflate_step(z_stream *stream, struct xb_buf *out, size_t limit, int *ret_code,
                        struct xb_error *err)
{
    size_t step = limit < inflate_step_bytes ? limit : inflate_step_bytes;
    unsigned char probe[1];
    int r = xb_buf_reserve(out, step, err);
    if (r < 0) {
        return r;
    }
    /* With no room left one byte of room on the side shows whether the stream goes on. */
    stream->next_out = step ? (unsigned char *)out->data + out->len : probe;
    stream->avail_out = step ? (uInt)step : 1;
    int code = inflate(stream, Z_NO_FLUSH);
    size_t got = (step ? step : 1) - stream->avail_out;
    if (!step && got > 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "deflate stream holds more than it should");
    }
    out->len += step ? got : 0;
    out->data[out->len] = '\0';
    if (code != Z_OK && code != Z_STREAM_END) {
        return zlib_failed(code, stream, err);
    }
    *ret_code = code;
    return 0;
}

/* Inflates all of the input; the result is at most `limit` bytes long. */
static int inflate_loop(z_stream *stream, bool members, struct xb_buf *out, size_t limit,
                        struct xb_error *err)
{
    size_t start = out->len;
    for (;;) {
        int code = Z_OK;
        int r = inflate_step(stream, out, limit - (out->len - start), &code, err);
        if (r < 0) {
            return r;
        }
        if (code != Z_STREAM_END) {
            continue; /* no progress is Z_BUF_ERROR, which ended the loop as "cut short" */
        }
        if (stream->avail_in == 0) {
            return 0;
        }
        if (!members || inflateReset(stream) != Z_OK) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "%u bytes follow the end of a deflate stream", stream->avail_in);
        }
    }
}

static int inflate_all(int window, const void *data, size_t len, struct xb_buf *out, size_t limit,
                       struct xb_error *err)
{
    if (len > UINT_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "%zu bytes are too many to inflate", len);
    }
    union {
        const void *in;
        void *out;
    } input = {.in = data}; /* zlib only reads it */
    z_stream stream = {.next_in = input.out, .avail_in = (uInt)len};
    if (inflateInit2(&stream, window) != Z_OK) {
        return xb_error_no_memory(err, "zlib");
    }
    size_t before = out->len;
    int r = inflate_loop(&stream, window == WINDOW_GZIP, out, limit, err);
    inflateEnd(&stream);
    if (r < 0 && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return r;
}

static int inflate_exact(int window, const void *data, size_t len, size_t plain_len,
                         struct xb_buf *out, struct xb_error *err)
{
    size_t before = out->len;
    int r = inflate_all(window, data, len, out, plain_len, err);
    if (r < 0) {
        return r;
    }
    size_t got = out->len - before;
    if (got != plain_len) {
        out->len = before;
        out->data[before] = '\0';
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "deflate stream holds %zu bytes, its index entry says %zu", got,
                            plain_len);
    }
    return 0;
}

int xb_compress_decode(uint32_t id, const void *data, size_t len, size_t plain_len,
                       struct xb_buf *out, struct xb_error *err)
{
    const unsigned char *bytes = data;
    if (len < XB_COMPRESS_HEADER_BYTES || be32(bytes) != id) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "compression header is 0x%x, its index entry says 0x%x",
                            len < XB_COMPRESS_HEADER_BYTES ? 0 : be32(bytes), id);
    }
    bytes += XB_COMPRESS_HEADER_BYTES;
    len -= XB_COMPRESS_HEADER_BYTES;
    switch (id) {
    case XB_COMPRESS_ZSTD:
    case XB_COMPRESS_ZSTD_FASTEST:
    case XB_COMPRESS_ZSTD + 2:
    case XB_COMPRESS_ZSTD + 3:
        return zstd_decode(bytes, len, plain_len, out, err);
    case XB_COMPRESS_GZIP:
    case XB_COMPRESS_GZIP + 1:
    case XB_COMPRESS_GZIP + 2:
    case XB_COMPRESS_PGZIP:
    case XB_COMPRESS_PGZIP + 1:
    case XB_COMPRESS_PGZIP + 2:
        return inflate_exact(WINDOW_GZIP, bytes, len, plain_len, out, err);
    case XB_COMPRESS_DEFLATE:
    case XB_COMPRESS_DEFLATE + 1:
    case XB_COMPRESS_DEFLATE + 2:
        return inflate_exact(WINDOW_RAW, bytes, len, plain_len, out, err);
    case XB_COMPRESS_S2:
    case XB_COMPRESS_S2 + 1:
    case XB_COMPRESS_S2 + 2:
    case XB_COMPRESS_S2 + 3:
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "compression S2 (0x%x) is not supported yet", id);
    case XB_COMPRESS_LZ4:
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "compression LZ4 (0x%x) is not supported", id);
    default:
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "compression id 0x%x is unknown", id);
    }
}

int xb_compress_gzip(const void *data, size_t len, struct xb_buf *out, struct xb_error *err)
{
    if (len > UINT_MAX / 2) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "%zu bytes are too many for gzip", len);
    }
    union {
        const void *in;
        void *out;
    } input = {.in = data};
    z_stream stream = {.next_in = input.out, .avail_in = (uInt)len};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_GZIP, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return xb_error_no_memory(err, "zlib");
    }
    uLong bound = deflateBound(&stream, (uLong)len);
    int r = xb_buf_reserve(out, bound, err);
    int code = Z_MEM_ERROR;
    if (r == 0) {
        stream.next_out = (unsigned char *)out->data + out->len;
        stream.avail_out = (uInt)bound;
        code = deflate(&stream, Z_FINISH);
        out->len += code == Z_STREAM_END ? bound - stream.avail_out : 0;
        out->data[out->len] = '\0';
    }
    deflateEnd(&stream);
    if (r == 0 && code != Z_STREAM_END) {
        return xb_error_set(err, XB_ERR_BUG, -EIO, "gzip ended with code %d", code);
    }
    return r;
}

int xb_compress_gunzip(const void *data, size_t len, struct xb_buf *out, struct xb_error *err)
{
    return inflate_all(WINDOW_GZIP, data, len, out, out->max - out->len, err);
}
