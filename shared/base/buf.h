/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.h - a growing byte buffer with a ceiling.
 *
 * What for:  every place that collects bytes whose number comes from outside. The ceiling is
 *            mandatory, so no input can make the process grow without bound.
 * Ownership: the caller owns the struct; the bytes belong to the buffer until xb_buf_free or
 *            xb_buf_take.
 * Threads:   one at a time.    Blocking: never.
 * Shapes:    `data` always has a NUL byte after `len` bytes (not counted), so text can be used in
 *            place; data is NULL while empty.
 * Errors:    FULL when the ceiling or the memory is reached; the buffer then holds what it held
 *            before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

struct xb_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max; /* the ceiling: len never exceeds it */
};

/* An empty buffer that never holds more than `limit` bytes. */
#define XB_BUF_INIT(limit)                                                                         \
    {                                                                                              \
        .data = NULL, .len = 0, .cap = 0, .max = (limit)                                           \
    }

/* Makes room for `extra` more bytes without changing len. */
int xb_buf_reserve(struct xb_buf *buf, size_t extra, struct xb_error *err) XB_MUST_CHECK;

int xb_buf_append(struct xb_buf *buf, const void *data, size_t len,
                  struct xb_error *err) XB_MUST_CHECK;
int xb_buf_append_str(struct xb_buf *buf, const char *text, struct xb_error *err) XB_MUST_CHECK;
int xb_buf_printf(struct xb_buf *buf, struct xb_error *err, const char *format, ...) XB_MUST_CHECK
    XB_PRINTF(3, 4);

/* Big-endian, as kopia's formats have numbers. */
int xb_buf_append_be32(struct xb_buf *buf, uint32_t value, struct xb_error *err) XB_MUST_CHECK;

/* Forgets the content, keeps the memory. */
void xb_buf_clear(struct xb_buf *buf);

/* Hands the bytes over (malloc'ed, NUL after them; never NULL unless out of memory) and leaves the
 * buffer empty. */
char *xb_buf_take(struct xb_buf *buf);

/* Zeroes the bytes first when `secret` use demands it: see xb_buf_wipe. */
void xb_buf_free(struct xb_buf *buf);
void xb_buf_wipe(struct xb_buf *buf);
