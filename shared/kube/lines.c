/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/lines.h"

#include <errno.h>
#include <string.h>

static int hand(const char *line, size_t len, xb_kube_line_fn *fn, void *context,
                struct xb_error *err)
{
    if (len > 0 && line[len - 1] == '\r') {
        len--;
    }
    if (len == 0) {
        return 0;
    }
    if (memchr(line, '\0', len)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a watch line holds a NUL byte");
    }
    return fn(context, line, len, err);
}

static int keep(struct xb_kube_lines *lines, const char *data, size_t len, struct xb_error *err)
{
    struct xb_error full = XB_ERROR_INIT;
    if (xb_buf_append(&lines->rest, data, len, &full) == 0) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a watch line of more than %d bytes",
                        XB_KUBE_LINE_BYTES_MAX);
}

int xb_kube_lines_feed(struct xb_kube_lines *lines, const void *data, size_t len,
                       xb_kube_line_fn *fn, void *context, struct xb_error *err)
{
    const char *next = data;
    const char *end = next + len;
    while (next < end) {
        const char *stop = memchr(next, '\n', (size_t)(end - next));
        if (!stop) {
            return keep(lines, next, (size_t)(end - next), err);
        }
        size_t part = (size_t)(stop - next);
        int r;
        if (lines->rest.len == 0) { /* whole in this piece: no copy */
            r = hand(next, part, fn, context, err);
        } else {
            r = keep(lines, next, part, err);
            r = r ? r : hand(lines->rest.data, lines->rest.len, fn, context, err);
            xb_buf_clear(&lines->rest);
        }
        if (r < 0) {
            return r;
        }
        next = stop + 1;
    }
    return 0;
}

void xb_kube_lines_reset(struct xb_kube_lines *lines)
{
    xb_buf_free(&lines->rest);
}

void xb_kube_lines_done(struct xb_kube_lines *lines)
{
    xb_buf_free(&lines->rest);
}
