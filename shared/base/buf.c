/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"

enum { BUF_FIRST_BYTES = 256 };

int xb_buf_reserve(struct xb_buf *buf, size_t extra, struct xb_error *err)
{
    if (extra > buf->max || buf->len > buf->max - extra) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than the allowed %zu bytes", buf->max);
    }
    size_t need = buf->len + extra + 1;
    if (need <= buf->cap) {
        return 0;
    }
    size_t cap = buf->cap ? buf->cap : BUF_FIRST_BYTES;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap > buf->max && need <= buf->max + 1) {
        cap = buf->max + 1;
    }
    char *data = realloc(buf->data, cap);
    if (!data) {
        return xb_error_no_memory(err, "a buffer");
    }
    if (!buf->data) {
        data[0] = '\0';
    }
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int xb_buf_append(struct xb_buf *buf, const void *data, size_t len, struct xb_error *err)
{
    int r = xb_buf_reserve(buf, len, err);
    if (r < 0) {
        return r;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
    buf->data[buf->len] = '\0';
    return 0;
}

int xb_buf_append_str(struct xb_buf *buf, const char *text, struct xb_error *err)
{
    return xb_buf_append(buf, text, strlen(text), err);
}

int xb_buf_printf(struct xb_buf *buf, struct xb_error *err, const char *format, ...)
{
    XB_CLEANUP(xb_freep) char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        text = NULL;
        return xb_error_no_memory(err, "a formatted text");
    }
    return xb_buf_append(buf, text, (size_t)len, err);
}

int xb_buf_append_be32(struct xb_buf *buf, uint32_t value, struct xb_error *err)
{
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};
    return xb_buf_append(buf, bytes, sizeof bytes, err);
}

void xb_buf_clear(struct xb_buf *buf)
{
    buf->len = 0;
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

char *xb_buf_take(struct xb_buf *buf)
{
    char *data = buf->data ? buf->data : calloc(1, 1);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    return data;
}

void xb_buf_free(struct xb_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
}

void xb_buf_wipe(struct xb_buf *buf)
{
    if (buf->data) {
        explicit_bzero(buf->data, buf->cap);
    }
    xb_buf_free(buf);
}
