/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/compress/compress.h"

#include <errno.h>
#include <string.h>

#include "shared/compress/codecs.h"

enum { ZSTD_LEVEL_DEFAULT = 3, ZSTD_LEVEL_FASTEST = 1 };

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int xb_compress_encode_parts(uint32_t id, const struct iovec *parts, size_t count,
                             struct xb_buf *out, bool *ret_smaller, struct xb_error *err)
{
    if (id != XB_COMPRESS_ZSTD && id != XB_COMPRESS_ZSTD_FASTEST) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "cannot compress with id 0x%x", id);
    }
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].iov_len;
    }
    if (len <= XB_COMPRESS_HEADER_BYTES + 1 || !xb_zstd_worth_it(parts, len)) {
        *ret_smaller = false;
        return 0;
    }
    /* Room for one byte less than the data: what does not fit in it is not worth keeping. */
    size_t room = len - XB_COMPRESS_HEADER_BYTES - 1;
    size_t before = out->len, got = 0;
    int r = xb_buf_reserve(out, XB_COMPRESS_HEADER_BYTES + room, err);
    if (r < 0) {
        return r;
    }
    if ((r = xb_buf_append_be32(out, id, err)) < 0) {
        return r;
    }
    int level = id == XB_COMPRESS_ZSTD ? ZSTD_LEVEL_DEFAULT : ZSTD_LEVEL_FASTEST;
    const struct iovec to = {out->data + out->len, room};
    r = xb_zstd_encode(level, parts, count, to, &got, err);
    out->len = r == 0 && got > 0 ? out->len + got : before;
    out->data[out->len] = '\0';
    if (r == 0) {
        *ret_smaller = got > 0;
    }
    return r;
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
        return xb_zstd_decode(bytes, len, plain_len, out, err);
    case XB_COMPRESS_GZIP:
    case XB_COMPRESS_GZIP + 1:
    case XB_COMPRESS_GZIP + 2:
    case XB_COMPRESS_PGZIP:
    case XB_COMPRESS_PGZIP + 1:
    case XB_COMPRESS_PGZIP + 2:
        return xb_gzip_decode(bytes, len, plain_len, out, err);
    case XB_COMPRESS_DEFLATE:
    case XB_COMPRESS_DEFLATE + 1:
    case XB_COMPRESS_DEFLATE + 2:
        return xb_deflate_decode(bytes, len, plain_len, out, err);
    case XB_COMPRESS_S2:
    case XB_COMPRESS_S2 + 1:
    case XB_COMPRESS_S2 + 2:
    case XB_COMPRESS_S2 + 3:
        return xb_s2_decode(bytes, len, plain_len, out, err);
    case XB_COMPRESS_LZ4:
        return xb_lz4_decode(bytes, len, plain_len, out, err);
    default:
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "compression id 0x%x is unknown", id);
    }
}
