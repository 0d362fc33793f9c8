/* SPDX-License-Identifier: Apache-2.0
 * LZ4 frames, which old versions of kopia wrote. */
#include <errno.h>

#include <lz4frame.h>

#include "shared/compress/codecs.h"

/* Decodes until the frame ends. What would not fit shows as a frame that wants more room. */
static int decode_frame(LZ4F_dctx *ctx, const unsigned char *data, size_t len, char *to,
                        size_t plain_len, struct xb_error *err)
{
    size_t in = 0, done = 0;
    for (;;) {
        size_t took = len - in, gave = plain_len - done;
        size_t left = LZ4F_decompress(ctx, to + done, &gave, data + in, &took, NULL);
        if (LZ4F_isError(left)) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "LZ4 stream: %s",
                                LZ4F_getErrorName(left));
        }
        in += took;
        done += gave;
        if (left == 0) {
            break;
        }
        if (took == 0 && gave == 0) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                in == len ? "LZ4 stream: cut short"
                                          : "LZ4 stream holds more than it should");
        }
    }
    if (in != len || done != plain_len) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "LZ4 stream holds %zu bytes and %zu follow it, its index entry says "
                            "%zu and none",
                            done, len - in, plain_len);
    }
    return 0;
}

int xb_lz4_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                  struct xb_error *err)
{
    LZ4F_dctx *ctx = NULL;
    int r = xb_buf_reserve(out, plain_len, err);
    if (r < 0) {
        return r;
    }
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION))) {
        return xb_error_no_memory(err, "LZ4");
    }
    r = decode_frame(ctx, data, len, out->data + out->len, plain_len, err);
    LZ4F_freeDecompressionContext(ctx);
    out->len += r == 0 ? plain_len : 0;
    out->data[out->len] = '\0';
    return r;
}
