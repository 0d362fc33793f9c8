/* SPDX-License-Identifier: Apache-2.0
 * zstd both ways, with contexts that threads use again. */
#include <errno.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "shared/base/spares.h"
#include "shared/compress/codecs.h"

/* Data from SAMPLED_BYTES_MIN on is judged by a few slices: text shrinks in any of them, what is
 * compressed or encrypted already in none. Smaller data is judged by whether its bytes are as
 * evenly spread as noise. The least is just tried. */
enum {
    SAMPLED_BYTES_MIN = 64 * 1024,
    COUNTED_BYTES_MIN = 1024,
    RUNS = 4,
    RUN_BYTES = COUNTED_BYTES_MIN / RUNS,
    SLICE_BYTES = 4096,
    SLICES_MIN = 3,
    SLICES_MAX = 8,
    BYTES_PER_SLICE = 256 * 1024,
    WORTH_PERCENT = 95 /* a slice that does not get below this tells of no gain */
};

/* They are as many as threads were ever busy at once, and live as long as the process. */
static struct xb_spares encoders, decoders;

static ZSTD_CCtx *take_encoder(void)
{
    ZSTD_CCtx *ctx = xb_spares_take(&encoders);
    return ctx ? ctx : ZSTD_createCCtx();
}

static size_t sum_of(const struct iovec *parts, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += parts[i].iov_len;
    }
    return sum;
}

/* What lies in one piece is compressed where it lies; parts go through the context's window. The
 * frame tells the length in both cases. */
static size_t encode(ZSTD_CCtx *ctx, const struct iovec *parts, size_t count, struct iovec to)
{
    ZSTD_outBuffer out = {to.iov_base, to.iov_len, 0};
    if (count == 1) {
        return ZSTD_compress2(ctx, to.iov_base, to.iov_len, parts->iov_base, parts->iov_len);
    }
    size_t left = ZSTD_CCtx_setPledgedSrcSize(ctx, sum_of(parts, count));
    for (size_t i = 0; i < count && !ZSTD_isError(left); i++) {
        ZSTD_inBuffer in = {parts[i].iov_base, parts[i].iov_len, 0};
        bool last = i + 1 == count;
        left = ZSTD_compressStream2(ctx, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (!ZSTD_isError(left) && (in.pos < in.size || (last && left > 0))) {
            return (size_t)-ZSTD_error_dstSize_tooSmall; /* as ZSTD_compress2 says it */
        }
    }
    return ZSTD_isError(left) ? left : out.pos;
}

int xb_zstd_encode(int level, const struct iovec *parts, size_t count, struct iovec to,
                   size_t *ret_len, struct xb_error *err)
{
    ZSTD_CCtx *ctx = take_encoder();
    if (!ctx) {
        return xb_error_no_memory(err, "zstd");
    }
    ZSTD_CCtx_reset(ctx, ZSTD_reset_session_and_parameters);
    size_t got = ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(got)) {
        got = encode(ctx, parts, count, to);
    }
    ZSTD_freeCCtx(xb_spares_give(&encoders, ctx));
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) != ZSTD_error_dstSize_tooSmall) {
        return xb_error_set(err, XB_ERR_FULL, -ENOMEM, "zstd: %s", ZSTD_getErrorName(got));
    }
    *ret_len = ZSTD_isError(got) ? 0 : got;
    return 0;
}

/* `len` bytes from `at` on: where they lie, or, if that is in several parts, copied. */
static const unsigned char *slice(const struct iovec *parts, size_t at, size_t len,
                                  unsigned char *copy)
{
    while (at >= parts->iov_len) {
        at -= parts->iov_len;
        parts++;
    }
    if (parts->iov_len - at >= len) {
        return (const unsigned char *)parts->iov_base + at;
    }
    for (size_t done = 0; done < len; parts++, at = 0) {
        size_t some = parts->iov_len - at < len - done ? parts->iov_len - at : len - done;
        if (some > 0) {
            memcpy(copy + done, (const unsigned char *)parts->iov_base + at, some);
        }
        done += some;
    }
    return copy;
}

/* Counts bytes in a few runs from all over; single ones might be the same field of many records.
 * Were they noise, the squares of the counts would add up to n + n * n / 256; what shrinks by a
 * tenth has a quarter more, text ten times as much. */
static bool is_noise(const struct iovec *parts, size_t len)
{
    unsigned counts[256] = {0};
    size_t step = len / RUNS, sum = 0;
    for (size_t run = 0; run < RUNS; run++) {
        unsigned char copy[RUN_BYTES];
        const unsigned char *bytes = slice(parts, run * step, RUN_BYTES, copy);
        for (size_t i = 0; i < RUN_BYTES; i++) {
            counts[bytes[i]]++;
        }
    }
    for (size_t b = 0; b < 256; b++) {
        sum += (size_t)counts[b] * counts[b];
    }
    size_t noise = COUNTED_BYTES_MIN + COUNTED_BYTES_MIN * COUNTED_BYTES_MIN / 256;
    return sum * 4 < noise * 5;
}

bool xb_zstd_worth_it(const struct iovec *parts, size_t len)
{
    if (len < SAMPLED_BYTES_MIN) {
        return len < COUNTED_BYTES_MIN || !is_noise(parts, len);
    }
    ZSTD_CCtx *ctx = take_encoder();
    if (!ctx) {
        return true; /* whoever compresses will say so */
    }
    unsigned char scratch[ZSTD_COMPRESSBOUND(SLICE_BYTES)], copy[SLICE_BYTES];
    size_t slices = len / BYTES_PER_SLICE;
    slices = slices < SLICES_MIN ? SLICES_MIN : slices > SLICES_MAX ? SLICES_MAX : slices;
    size_t step = (len - SLICE_BYTES) / (slices - 1);
    bool worth = false;
    for (size_t i = 0; i < slices && !worth; i++) {
        const unsigned char *from = slice(parts, i * step, SLICE_BYTES, copy);
        size_t got = ZSTD_compressCCtx(ctx, scratch, sizeof scratch, from, SLICE_BYTES, 1);
        worth = ZSTD_isError(got) || got * 100 < (size_t)SLICE_BYTES * WORTH_PERCENT;
    }
    ZSTD_freeCCtx(xb_spares_give(&encoders, ctx));
    return worth;
}

static int check_length(size_t got, size_t plain_len, struct xb_error *err)
{
    if (ZSTD_isError(got)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "zstd stream: %s",
                            ZSTD_getErrorName(got));
    }
    if (got != plain_len) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "zstd stream holds %zu bytes, its index entry says %zu", got,
                            plain_len);
    }
    return 0;
}

int xb_zstd_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                   struct xb_error *err)
{
    if (len == 0) { /* zstd takes nothing for no frames; here it is a frame that is missing */
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "zstd stream: cut short");
    }
    int r = xb_buf_reserve(out, plain_len, err);
    if (r < 0) {
        return r;
    }
    ZSTD_DCtx *ctx = xb_spares_take(&decoders);
    if (!ctx && !(ctx = ZSTD_createDCtx())) {
        return xb_error_no_memory(err, "zstd");
    }
    /* Frames without a content size decode in one go too, straight into the result: no window
     * buffer, whose size a hostile frame could choose. */
    size_t got = ZSTD_decompressDCtx(ctx, out->data + out->len, plain_len, data, len);
    ZSTD_freeDCtx(xb_spares_give(&decoders, ctx));
    r = check_length(got, plain_len, err);
    out->len += r == 0 ? got : 0;
    out->data[out->len] = '\0';
    return r;
}
