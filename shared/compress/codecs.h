/* SPDX-License-Identifier: Apache-2.0
 *
 * codecs.h - the streams behind the header ids; for the files of this folder only.
 *
 * What for:  compress.c looks at the id, one file per kind of stream does the rest.
 * Threads:   any.    Blocking: never; CPU only.
 * Errors:    CORRUPT for a stream that is damaged or of another length; `out` then holds what it
 *            held before.
 * Limits:    nothing is written beyond plain_len.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

/* Appends exactly plain_len bytes. */
int xb_zstd_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_s2_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                 struct xb_error *err) XB_MUST_CHECK;
int xb_lz4_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                  struct xb_error *err) XB_MUST_CHECK;
int xb_gzip_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_deflate_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                      struct xb_error *err) XB_MUST_CHECK;

/* Whether a few slices of the data let expect that the whole would shrink. `len` is the sum of the
 * parts. */
bool xb_zstd_worth_it(const struct iovec *parts, size_t len);

/* Writes at most to.iov_len bytes; *ret_len 0: they are too few. */
int xb_zstd_encode(int level, const struct iovec *parts, size_t count, struct iovec to,
                   size_t *ret_len, struct xb_error *err) XB_MUST_CHECK;
