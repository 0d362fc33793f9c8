/* SPDX-License-Identifier: Apache-2.0
 *
 * compress.h - the compressions of kopia's contents, and whole gzip streams.
 *
 * What for:  contents are `be32 header id || stream`; manifests are gzip inside. Record files use
 *            gzip too.
 * Ownership: caller's buffers; results are appended.
 * Threads:   any.    Blocking: never; CPU only.
 * Errors:    CORRUPT for a stream that is damaged, cut short, followed by other bytes or of another
 *            length than promised; INVALID for an id that is unknown.
 * Limits:    decoding never writes more than it was told to expect (or the buffer's ceiling).
 * Source:    kopia-format section 4; RFC 1951, RFC 1952, RFC 8878; Snappy's framing and S2's
 *            extensions of it; the LZ4 frame format.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

enum { XB_COMPRESS_HEADER_BYTES = 4 };

/* Header ids. */
enum {
    XB_COMPRESS_GZIP = 0x1000, /* to 0x1002 */
    XB_COMPRESS_ZSTD = 0x1100, /* default, then fastest, better, best */
    XB_COMPRESS_ZSTD_FASTEST = 0x1101,
    XB_COMPRESS_S2 = 0x1200,    /* to 0x1203 */
    XB_COMPRESS_PGZIP = 0x1300, /* to 0x1302 */
    XB_COMPRESS_LZ4 = 0x1400,
    XB_COMPRESS_DEFLATE = 0x1500 /* to 0x1502 */
};

/* Appends header and stream of the parts, taken as if they lay one after the other, if that is
 * shorter than they are, and says so in *ret_smaller; else
 * appends nothing. Large data of which a few slices do not shrink is not even tried, so that what
 * is compressed or encrypted already costs next to nothing. `id`: XB_COMPRESS_ZSTD or
 * XB_COMPRESS_ZSTD_FASTEST, others INVALID. */
int xb_compress_encode_parts(uint32_t id, const struct iovec *parts, size_t count,
                             struct xb_buf *out, bool *ret_smaller,
                             struct xb_error *err) XB_MUST_CHECK;

/* Checks that `data` starts with header `id` and appends exactly plain_len plain bytes. */
int xb_compress_decode(uint32_t id, const void *data, size_t len, size_t plain_len,
                       struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* One gzip member, no name, no time. */
int xb_compress_gzip(const void *data, size_t len, struct xb_buf *out,
                     struct xb_error *err) XB_MUST_CHECK;
/* One or more gzip members and nothing else; bounded by the ceiling of `out`. */
int xb_compress_gunzip(const void *data, size_t len, struct xb_buf *out,
                       struct xb_error *err) XB_MUST_CHECK;
