/* SPDX-License-Identifier: Apache-2.0
 * Entries and summaries as JSON, byte for byte as Go writes them (kopia-format section 11), with
 * our own fields behind kopia's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/fnv.h"
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
    char max_time[XB_TIME_TEXT_BYTES];
    xb_time_format(summary->max_time_ns, max_time);
    int r =
        xb_buf_printf(out, err,
                      "{\"size\":%" PRIu64 ",\"files\":%" PRIu64 ",\"symlinks\":%" PRIu64
                      ",\"dirs\":%" PRIu64 ",\"maxTime\":\"%s\"",
                      summary->size, summary->files, summary->symlinks, summary->dirs, max_time);
    if (r == 0 && summary->incomplete) {
        r = xb_buf_append_str(out, ",", err);
        if (r == 0) {
            r = encode_string_field(out, "incomplete", summary->incomplete, err);
        }
    }
    if (r == 0) {
        r = xb_buf_printf(out, err, ",\"numFailed\":%" PRIu64, summary->num_failed);
    }
    if (r == 0 && summary->num_ignored_errors) {
        r = xb_buf_printf(out, err, ",\"numIgnoredErrors\":%" PRIu64, summary->num_ignored_errors);
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
    int r = 0;
    if (entry->link) {
        r = xb_buf_append_str(out, ",", err);
        if (r == 0) {
            r = encode_string_field(out, "x-link", entry->link, err);
        }
    }
    if (r == 0 && entry->inode) {
        r = xb_buf_printf(out, err, ",\"x-ino\":\"%" PRIu64 "\"", entry->inode);
    }
    if (r == 0 && entry->ctime_ns) {
        char text[XB_TIME_TEXT_BYTES];
        xb_time_format(entry->ctime_ns, text);
        r = xb_buf_printf(out, err, ",\"x-ctime\":\"%s\"", text);
    }
    return r;
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

static int encode_numbers(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    uint32_t mode = go_mode(entry->mode);
    if (mode) {
        r = xb_buf_printf(out, err, ",\"mode\":\"0%o\"", mode);
    }
    if (r == 0 && entry->size && entry->type != XB_ENTRY_DIRECTORY) {
        r = xb_buf_printf(out, err, ",\"size\":%" PRIu64, entry->size);
    }
    if (r == 0 && entry->mtime_ns) {
        char text[XB_TIME_TEXT_BYTES];
        xb_time_format(entry->mtime_ns, text);
        r = xb_buf_printf(out, err, ",\"mtime\":\"%s\"", text);
    }
    if (r == 0 && entry->uid) {
        r = xb_buf_printf(out, err, ",\"uid\":%u", entry->uid);
    }
    if (r == 0 && entry->gid) {
        r = xb_buf_printf(out, err, ",\"gid\":%u", entry->gid);
    }
    return r;
}

int xb_entry_encode_rest(const struct xb_entry *entry, struct xb_buf *out, struct xb_error *err)
{
    static const char types[] = {'d', 'f', 's'};
    if (!xb_entry_name_valid(entry->name, strlen(entry->name))) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "not an entry's name");
    }
    int r = xb_buf_printf(out, err, ",\"type\":\"%c\"", types[entry->type]);
    if (r < 0 || (r = encode_numbers(entry, out, err)) < 0) {
        return r;
    }
    if (!entry->node) {
        /* A special file has no data, and kopia would not see what only our field names. */
        r = xb_buf_printf(out, err, ",\"obj\":\"%s\"", entry->object.text);
    }
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
