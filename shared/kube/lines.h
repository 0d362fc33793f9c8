/* SPDX-License-Identifier: Apache-2.0
 *
 * lines.h - cuts a watch's bytes into lines as they come.
 *
 * What for:  a watch is one JSON object per line, and a line may come in many pieces.
 * Ownership: the caller owns the struct; a line is lent for the call.
 * Threads:   none shared.    Blocking: never.
 * Shapes:    lines end with \n, a \r before it is dropped, empty lines are passed over.
 * Errors:    CORRUPT when a line grows beyond XB_KUBE_LINE_BYTES_MAX, or holds a NUL byte; what the
 *            callback returned. After a failure the struct only takes xb_kube_lines_reset and
 *            _done.
 */
#pragma once

#include "shared/base/buf.h"
#include "shared/base/error.h"

enum { XB_KUBE_LINE_BYTES_MAX = 8 << 20 };

struct xb_kube_lines {
    struct xb_buf rest; /* the beginning of a line */
};

#define XB_KUBE_LINES_INIT                                                                         \
    {                                                                                              \
        .rest = XB_BUF_INIT(XB_KUBE_LINE_BYTES_MAX)                                                \
    }

/* `line` has `len` bytes and is not terminated. */
typedef int xb_kube_line_fn(void *context, const char *line, size_t len, struct xb_error *err);

int xb_kube_lines_feed(struct xb_kube_lines *lines, const void *data, size_t len,
                       xb_kube_line_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;
/* Forgets an unfinished line. */
void xb_kube_lines_reset(struct xb_kube_lines *lines);
void xb_kube_lines_done(struct xb_kube_lines *lines);
