/* SPDX-License-Identifier: Apache-2.0
 * deflate and gzip, by zlib. */
#include <errno.h>
#include <limits.h>

#include <zlib.h>

#include "shared/compress/codecs.h"
#include "shared/compress/compress.h"

enum {
    WINDOW_RAW = -15,     /* zlib's word for a raw deflate stream */
    WINDOW_GZIP = 15 + 16 /* and for a gzip stream */
};

static const size_t inflate_step_bytes = 64 * 1024;

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

int xb_gzip_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                   struct xb_error *err)
{
    return inflate_exact(WINDOW_GZIP, data, len, plain_len, out, err);
}

int xb_deflate_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                      struct xb_error *err)
{
    return inflate_exact(WINDOW_RAW, data, len, plain_len, out, err);
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
