/* SPDX-License-Identifier: Apache-2.0
 * Entries and summaries as JSON, byte for byte as Go writes them (kopia-format section 11), with
 * our own fields behind kopia's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/fnv.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"

/* A stand-in leaves room for the number that it gets when it is taken (directory_write.c). */
enum { STAND_IN_BYTES_MAX = 244, STAND_IN_SUFFIX_BYTES = 17 };

/* Go's mode bits. */
enum { GO_SETUID = 1 << 23, GO_SETGID = 1 << 22, GO_STICKY = 1 << 20 };

void xb_entry_stored_name(const char *raw, char out[XB_ENTRY_STORED_NAME_BYTES])
{
    size_t len = strlen(raw);
    if (xb_utf8_valid(raw, len)) {
        memcpy(out, raw, len + 1);
        return;
    }
    /* Every byte that is not ASCII becomes '_', and a hash of the raw name tells it from others;
     * short enough for kopia to restore it. */
    uint64_t hash = xb_fnv1a(raw);
    size_t keep = len < STAND_IN_BYTES_MAX - STAND_IN_SUFFIX_BYTES
                      ? len
                      : STAND_IN_BYTES_MAX - STAND_IN_SUFFIX_BYTES;
    for (size_t i = 0; i < keep; i++) {
        out[i] = (unsigned char)raw[i] < 128 ? raw[i] : '_';
    }
    snprintf(out + keep, STAND_IN_SUFFIX_BYTES + 1, "~%016" PRIx64, hash);
}

/* ---- short fields: they are put together in a line on the stack, whose length covers all of them
 * at their longest ---- */

enum { LINE_BYTES = 512 };

static char *put_text(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static char *put_number(char *at, uint64_t value, unsigned base)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % base);
        value /= base;
    } while (value);
    while (count > 0) {
        *at++ = digits[--count];
    }
    return at;
}

/* The key, with all marks up to the opening quote, and the time. */
static char *put_time(char *at, const char *key, int64_t ns)
{
    char text[XB_TIME_TEXT_BYTES];
    xb_time_format(ns, text);
    return put_text(put_text(put_text(at, key), text), "\"");
}

/* ---- the others ---- */

static int encode_string_field(struct xb_buf *out, const char *key, const char *value,
                               struct xb_error *err)
{
    int r = xb_buf_printf(out, err, "\"%s\":", key);
    return r < 0 ? r : xb_json_go_string(out, value, strlen(value), err);
}

static int encode_errors(const struct xb_summary *summary, struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append_str(out, ",\"errors\":[", err);
    for (size_t i = 0; r == 0 && i < summary->error_count; i++) {
        r = xb_buf_append_str(out, i ? ",{" : "{", err);
        if (r == 0) {
            r = encode_string_field(out, "path", summary->errors[i].path, err);
        }
        if (r == 0) {
            r = xb_buf_append_str(out, ",", err);
        }
        if (r == 0) {
            r = encode_string_field(out, "error", summary->errors[i].error, err);
        }
        if (r == 0) {
            r = xb_buf_append_str(out, "}", err);
        }
    }
    return r < 0 ? r : xb_buf_append_str(out, "]", err);
}

int xb_summary_encode(const struct xb_summary *summary, struct xb_buf *out, struct xb_error *err)
{
    char line[LINE_BYTES];
    char *at = put_number(put_text(line, "{\"size\":"), summary->size, 10);
    at = put_number(put_text(at, ",\"files\":"), summary->files, 10);
    at = put_number(put_text(at, ",\"symlinks\":"), summary->symlinks, 10);
    at = put_number(put_text(at, ",\"dirs\":"), summary->dirs, 10);
    at = put_time(at, ",\"maxTime\":\"", summary->max_time_ns);
    int r = xb_buf_append(out, line, (size_t)(at - line), err);
    if (r == 0 && summary->incomplete) {
        r = xb_buf_append_str(out, ",", err);
        if (r == 0) {
            r = encode_string_field(out, "incomplete", summary->incomplete, err);
        }
    }
    at = put_number(put_text(line, ",\"numFailed\":"), summary->num_failed, 10);
    if (summary->num_ignored_errors) {
        at = put_number(put_text(at, ",\"numIgnoredErrors\":"), summary->num_ignored_errors, 10);
    }
    if (r == 0) {
        r = xb_buf_append(out, line, (size_t)(at - line), err);
    }
    if (r == 0 && summary->error_count) {
        r = encode_errors(summary, out, err);
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

static int encode_base64(struct xb_buf *out, const void *data, size_t len, struct xb_error *err)
{
    int r = xb_buf_append_str(out, "\"", err);
    if (r < 0 || (r = xb_base64_encode(data, len, out, err)) < 0) {
        return r;
    }
    return xb_buf_append_str(out, "\"", err);
}

static int encode_xattrs(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append_str(out, ",\"x-xattr\":{", err);
    for (size_t i = 0; r == 0 && i < entry->xattr_count; i++) {
        const struct xb_xattr *xattr = &entry->xattrs[i];
        r = i ? xb_buf_append_str(out, ",", err) : 0;
        if (r == 0) {
            r = xb_json_go_string(out, xattr->name, strlen(xattr->name), err);
        }
        if (r == 0) {
            r = xb_buf_append_str(out, ":", err);
        }
        if (r == 0) {
            r = encode_base64(out, xattr->value, xattr->len, err);
        }
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

static int encode_holes(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append_str(out, ",\"x-holes\":[", err);
    for (size_t i = 0; r == 0 && i < entry->hole_count; i++) {
        r = xb_buf_printf(out, err, "%s%" PRIu64 ",%" PRIu64, i ? "," : "", entry->holes[i].offset,
                          entry->holes[i].len);
    }
    return r < 0 ? r : xb_buf_append_str(out, "]", err);
}

static int encode_node(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    if (entry->node == 'b' || entry->node == 'c') {
        return xb_buf_printf(out, err, ",\"x-node\":\"%c:%u:%u\"", entry->node, entry->node_major,
                             entry->node_minor);
    }
    return xb_buf_printf(out, err, ",\"x-node\":\"%c\"", entry->node);
}

static int encode_identity(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    char line[LINE_BYTES];
    char *at = line;
    int r = 0;
    if (entry->link) {
        r = xb_buf_append_str(out, ",", err);
        if (r == 0) {
            r = encode_string_field(out, "x-link", entry->link, err);
        }
    }
    if (entry->inode) {
        at = put_text(at, ",\"x-ino\":\"");
        at = put_number(at, entry->inode, 10);
        at = put_text(at, "\"");
    }
    if (entry->ctime_ns) {
        at = put_time(at, ",\"x-ctime\":\"", entry->ctime_ns);
    }
    return r < 0 ? r : xb_buf_append(out, line, (size_t)(at - line), err);
}

/* What kopia does not know; it ignores these fields and its maintenance keeps them. */
static int encode_extra(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    if (!xb_utf8_valid(entry->name, strlen(entry->name))) {
        r = xb_buf_append_str(out, ",\"x-name\":", err);
        if (r == 0) {
            r = encode_base64(out, entry->name, strlen(entry->name), err);
        }
    }
    if (r == 0 && entry->xattr_count) {
        r = encode_xattrs(entry, out, err);
    }
    if (r == 0) {
        r = encode_identity(entry, out, err);
    }
    if (r == 0 && entry->hole_count) {
        r = encode_holes(entry, out, err);
    }
    if (r == 0 && entry->node) {
        r = encode_node(entry, out, err);
    }
    if (r == 0 && entry->changed) {
        r = xb_buf_append_str(out, ",\"x-changed\":true", err);
    }
    return r;
}

static uint32_t go_mode(uint32_t mode)
{
    return (mode & 0777U) | (mode & 04000U ? (uint32_t)GO_SETUID : 0) |
           (mode & 02000U ? (uint32_t)GO_SETGID : 0) | (mode & 01000U ? (uint32_t)GO_STICKY : 0);
}

/* Type, mode, size, mtime, owner: none of them is long. */
static char *put_numbers(char *at, const struct xb_entry *entry)
{
    uint32_t mode = go_mode(entry->mode);
    if (mode) {
        at = put_text(at, ",\"mode\":\"0");
        at = put_number(at, mode, 8);
        at = put_text(at, "\"");
    }
    if (entry->size && entry->type != XB_ENTRY_DIRECTORY) {
        at = put_text(at, ",\"size\":");
        at = put_number(at, entry->size, 10);
    }
    if (entry->mtime_ns) {
        at = put_time(at, ",\"mtime\":\"", entry->mtime_ns);
    }
    if (entry->uid) {
        at = put_text(at, ",\"uid\":");
        at = put_number(at, entry->uid, 10);
    }
    if (entry->gid) {
        at = put_text(at, ",\"gid\":");
        at = put_number(at, entry->gid, 10);
    }
    return at;
}

int xb_entry_encode_rest(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    static const char types[] = {'d', 'f', 's'};
    char line[LINE_BYTES];
    char *at = put_text(line, ",\"type\":\"");
    if (!xb_entry_name_valid(entry->name, strlen(entry->name))) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "not an entry's name");
    }
    *at++ = types[entry->type];
    at = put_numbers(put_text(at, "\""), entry);
    if (!entry->node) {
        /* A special file has no data, and kopia would not see what only our field names. */
        at = put_text(at, ",\"obj\":\"");
        at = put_text(at, entry->object.text);
        at = put_text(at, "\"");
    }
    int r = xb_buf_append(out, line, (size_t)(at - line), err);
    if (r == 0 && entry->summary) {
        r = xb_buf_append_str(out, ",\"summ\":", err);
        if (r == 0) {
            r = xb_summary_encode(entry->summary, out, err);
        }
    }
    if (r == 0) {
        r = encode_extra(entry, out, err);
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

int xb_entry_encode(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    char stored[XB_ENTRY_STORED_NAME_BYTES];
    if (!xb_entry_name_valid(entry->name, strlen(entry->name))) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "not an entry's name");
    }
    xb_entry_stored_name(entry->name, stored);
    int r = xb_buf_append_str(out, "{\"name\":", err);
    if (r < 0 || (r = xb_json_go_string(out, stored, strlen(stored), err)) < 0) {
        return r;
    }
    return xb_entry_encode_rest(entry, out, err);
}
