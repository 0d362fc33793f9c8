/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/file.h"

/* ---- fields ---- */

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' &&
           at[2] <= '7';
}

/* In place: a field never becomes longer. False: it would hold a NUL. */
static bool decode(char *field)
{
    char *out = field;
    for (const char *at = field; *at;) {
        char c = *at;
        if (c == '\\' && is_octal(at + 1)) {
            c = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
            if (!c) {
                return false;
            }
        }
        at++;
        *out++ = c;
    }
    *out = '\0';
    return true;
}

/* The next field, decoded; NULL: there is none, or none that is a text. It may be "". */
static const char *take_text(char **rest)
{
    char *field = strsep(rest, " ");
    return field && decode(field) ? field : NULL;
}

static const char *take_filled(char **rest)
{
    const char *field = take_text(rest);
    return field && field[0] ? field : NULL;
}

static bool parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
    enum { DIGITS_MAX = 18 };
    uint64_t value = 0;
    if (len == 0 || len > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret = value;
    return value <= max;
}

static bool take_number(char **rest, uint64_t *ret)
{
    const char *field = strsep(rest, " ");
    return field && parse_number(field, strlen(field), UINT64_MAX, ret);
}

static bool take_device(char **rest, struct xb_mount *mount)
{
    const char *field = strsep(rest, " ");
    const char *colon = field ? strchr(field, ':') : NULL;
    uint64_t major = 0;
    uint64_t minor = 0;
    if (!colon || !parse_number(field, (size_t)(colon - field), UINT32_MAX, &major) ||
        !parse_number(colon + 1, strlen(colon + 1), UINT32_MAX, &minor)) {
        return false;
    }
    mount->major = (unsigned)major;
    mount->minor = (unsigned)minor;
    return true;
}

static bool skip_tags(char **rest)
{
    const char *field = strsep(rest, " ");
    while (field && strcmp(field, "-") != 0) {
        field = strsep(rest, " ");
    }
    return field != NULL;
}

/* "36 35 98:0 /root /point options [tags...] - type source options" */
static bool parse_line(char *line, struct xb_mount *mount)
{
    return take_number(&line, &mount->id) && take_number(&line, &mount->parent) &&
           take_device(&line, mount) && (mount->root = take_filled(&line)) &&
           (mount->point = take_filled(&line)) && (mount->options = take_filled(&line)) &&
           skip_tags(&line) && (mount->type = take_filled(&line)) &&
           (mount->source = take_text(&line));
}

/* ---- the list ---- */

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (const char *at = strchr(text, '\n'); at; at = strchr(at + 1, '\n')) {
        lines++;
    }
    return lines;
}

/* `text` is taken apart. */
static int parse_lines(char *text, struct xb_mount *items, struct xb_error *err)
{
    char *end = NULL;
    for (size_t i = 0; *text; i++, text = end + 1) {
        char shown[100];
        size_t len = strcspn(text, "\n");
        size_t shown_len = len < sizeof shown ? len : sizeof shown - 1;
        memcpy(shown, text, shown_len);
        shown[shown_len] = '\0';
        end = text + len;
        if (!*end) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "mountinfo ends within a line: %s",
                                shown);
        }
        *end = '\0';
        if (!parse_line(text, &items[i])) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "a line of mountinfo cannot be understood: %s", shown);
        }
    }
    return 0;
}

/* Takes *text over if it is understood. */
static int parse_owned(char **text, size_t len, struct xb_mounts *ret, struct xb_error *err)
{
    if (strlen(*text) != len) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "there is a NUL byte in mountinfo");
    }
    size_t count = count_lines(*text);
    if (count > XB_MOUNTS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -EOVERFLOW, "more than %d mounts", XB_MOUNTS_MAX);
    }
    XB_CLEANUP(xb_freep) struct xb_mount *items = calloc(count + 1, sizeof *items);
    if (!items) {
        return xb_error_no_memory(err, "a list of mounts");
    }
    int r = parse_lines(*text, items, err);
    if (r == 0) {
        *ret = (struct xb_mounts){.items = XB_TAKE(items), .count = count, .text = XB_TAKE(*text)};
    }
    return r;
}

int xb_mounts_parse(const char *text, size_t len, struct xb_mounts *ret, struct xb_error *err)
{
    if (len > XB_MOUNTS_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -EOVERFLOW, "more than %d bytes of mounts",
                            XB_MOUNTS_BYTES_MAX);
    }
    XB_CLEANUP(xb_freep) char *copy = malloc(len + 1);
    if (!copy) {
        return xb_error_no_memory(err, "a list of mounts");
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return parse_owned(&copy, len, ret, err);
}

int xb_mounts_read(const char *path, struct xb_mounts *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf buf = XB_BUF_INIT(XB_MOUNTS_BYTES_MAX);
    int r = xb_file_read(path, &buf, err);
    if (r < 0) {
        return r;
    }
    size_t len = buf.len;
    XB_CLEANUP(xb_freep) char *text = xb_buf_take(&buf);
    return text ? parse_owned(&text, len, ret, err) : xb_error_no_memory(err, "a list of mounts");
}

void xb_mounts_free(struct xb_mounts *mounts)
{
    free(mounts->items);
    free(mounts->text);
    *mounts = (struct xb_mounts){.count = 0};
}

bool xb_mount_is_in(const char *folder, const char *path)
{
    size_t len = strlen(folder);
    while (len > 0 && folder[len - 1] == '/') {
        len--; /* also of the root folder */
    }
    return strncmp(folder, path, len) == 0 && path[len] == '/' && path[len + 1] != '\0';
}
