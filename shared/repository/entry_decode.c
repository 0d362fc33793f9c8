/* SPDX-License-Identifier: Apache-2.0
 * Entries and summaries from JSON. Absent fields are legal, wrong ones are not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"

enum { ERRORS_MAX = 10, GO_SETUID = 1 << 23, GO_SETGID = 1 << 22, GO_STICKY = 1 << 20 };

bool xb_entry_name_valid(const char *name, size_t len)
{
    return len > 0 && len <= XB_ENTRY_NAME_BYTES_MAX && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && !memchr(name, '/', len) && !memchr(name, '\0', len);
}

void xb_summary_clear(struct xb_summary *summary)
{
    free(summary->incomplete);
    for (size_t i = 0; i < summary->error_count; i++) {
        free(summary->errors[i].path);
        free(summary->errors[i].error);
    }
    free(summary->errors);
    *summary = (struct xb_summary){.size = 0};
}

void xb_summary_free(struct xb_summary *summary)
{
    if (summary) {
        xb_summary_clear(summary);
        free(summary);
    }
}

void xb_entry_free(struct xb_entry *entry)
{
    free(entry->name);
    xb_summary_free(entry->summary);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        free(entry->xattrs[i].name);
        free(entry->xattrs[i].value);
    }
    free(entry->xattrs);
    free(entry->holes);
    free(entry->link);
    *entry = (struct xb_entry){.name = NULL};
}

static int add_error(struct xb_summary *summary, const char *path, const char *text,
                     struct xb_error *err)
{
    struct xb_summary_error *slot = &summary->errors[summary->error_count];
    slot->path = strdup(path);
    slot->error = strdup(text);
    if (!slot->path || !slot->error) {
        free(slot->path);
        free(slot->error);
        return xb_error_no_memory(err, "a summary");
    }
    summary->error_count++;
    return 0;
}

int xb_summary_copy(const struct xb_summary *from, struct xb_summary *ret, struct xb_error *err)
{
    struct xb_summary copy = *from;
    copy.incomplete = NULL;
    copy.errors = NULL;
    copy.error_count = 0;
    int r = 0;
    if (from->incomplete && !(copy.incomplete = strdup(from->incomplete))) {
        r = xb_error_no_memory(err, "a summary");
    }
    if (r == 0 && from->error_count &&
        !(copy.errors = calloc(from->error_count, sizeof *copy.errors))) {
        r = xb_error_no_memory(err, "a summary");
    }
    for (size_t i = 0; r == 0 && i < from->error_count; i++) {
        r = add_error(&copy, from->errors[i].path, from->errors[i].error, err);
    }
    if (r < 0) {
        xb_summary_clear(&copy);
        return r;
    }
    *ret = copy;
    return 0;
}

static int need_count(xb_json *json, const char *key, uint64_t *ret, struct xb_error *err)
{
    int64_t value = 0;
    int r = xb_json_need_int(json, key, false, &value, err);
    if (r == 0 && value < 0) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s: below zero", key);
    }
    if (r == 0) {
        *ret = (uint64_t)value;
    }
    return r;
}

static int need_time(xb_json *json, const char *key, int64_t *ret, struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, key, false, &text, err);
    if (r == 0 && text) {
        r = xb_time_parse(text, ret, err);
        r = r < 0 ? xb_error_wrap(err, "field %s", key) : 0;
    }
    return r;
}

static int decode_errors(xb_json *json, struct xb_summary *summary, struct xb_error *err)
{
    xb_json *list = NULL;
    int r = xb_json_need_array(json, "errors", false, &list, err);
    size_t count = list ? json_object_array_length(list) : 0;
    if (r < 0 || count == 0) {
        return r;
    }
    count = count > ERRORS_MAX ? ERRORS_MAX : count;
    summary->errors = calloc(count, sizeof *summary->errors);
    if (!summary->errors) {
        return xb_error_no_memory(err, "a summary");
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        r = add_error(summary, xb_json_str(one, "path", ""), xb_json_str(one, "error", ""), err);
    }
    return r;
}

int xb_summary_decode(xb_json *json, struct xb_summary *ret, struct xb_error *err)
{
    struct xb_summary summary = {.size = 0};
    const char *incomplete = NULL;
    int r = need_count(json, "size", &summary.size, err);
    if (r < 0 || (r = need_count(json, "files", &summary.files, err)) < 0 ||
        (r = need_count(json, "symlinks", &summary.symlinks, err)) < 0 ||
        (r = need_count(json, "dirs", &summary.dirs, err)) < 0 ||
        (r = need_count(json, "numFailed", &summary.num_failed, err)) < 0 ||
        (r = need_count(json, "numIgnoredErrors", &summary.num_ignored_errors, err)) < 0 ||
        (r = need_time(json, "maxTime", &summary.max_time_ns, err)) < 0 ||
        (r = xb_json_need_str(json, "incomplete", false, &incomplete, err)) < 0) {
        return r;
    }
    if (incomplete && incomplete[0] && !(summary.incomplete = strdup(incomplete))) {
        return xb_error_no_memory(err, "a summary");
    }
    r = decode_errors(json, &summary, err);
    if (r < 0) {
        xb_summary_clear(&summary);
        return r;
    }
    *ret = summary;
    return 0;
}

static int decode_name(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *stored = NULL;
    const char *raw = NULL;
    int r = xb_json_need_str(json, "name", true, &stored, err);
    if (r < 0 || (r = xb_json_need_str(json, "x-name", false, &raw, err)) < 0) {
        return r;
    }
    xb_json *text = xb_json_get(json, raw ? "x-name" : "name");
    size_t len = (size_t)json_object_get_string_len(text);
    struct xb_buf name = XB_BUF_INIT(len);
    r = raw ? xb_base64_decode(raw, len, &name, err) : xb_buf_append(&name, stored, len, err);
    if (r == 0 && (!name.data || !xb_entry_name_valid(name.data, name.len))) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                         "an entry's name is empty, '.', '..', too long or holds '/'");
    }
    if (r < 0) {
        xb_buf_free(&name);
        return r;
    }
    entry->name = xb_buf_take(&name);
    return 0;
}

static int decode_type(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *type = NULL;
    int r = xb_json_need_str(json, "type", true, &type, err);
    if (r < 0) {
        return r;
    }
    static const char types[] = "dfs";
    const char *found = type[0] && !type[1] ? strchr(types, type[0]) : NULL;
    if (!found) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "entries of type '%.20s' are unknown",
                            type);
    }
    entry->type = (enum xb_entry_type)(found - types);
    return 0;
}

static int decode_mode(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, "mode", false, &text, err);
    if (r < 0 || !text) {
        return r;
    }
    uint32_t mode = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '7' || len > 11) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field mode: not octal");
        }
        mode = mode * 8 + (uint32_t)(text[i] - '0');
    }
    entry->mode = (mode & 0777U) | (mode & GO_SETUID ? 04000U : 0) |
                  (mode & GO_SETGID ? 02000U : 0) | (mode & GO_STICKY ? 01000U : 0);
    return 0;
}

static int decode_numbers(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    uint64_t uid = 0;
    uint64_t gid = 0;
    int r = need_count(json, "size", &entry->size, err);
    if (r < 0 || (r = need_time(json, "mtime", &entry->mtime_ns, err)) < 0 ||
        (r = need_count(json, "uid", &uid, err)) < 0 ||
        (r = need_count(json, "gid", &gid, err)) < 0) {
        return r;
    }
    if (uid > UINT32_MAX || gid > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field uid or gid: out of range");
    }
    entry->uid = (uint32_t)uid;
    entry->gid = (uint32_t)gid;
    return 0;
}

static int decode_xattr(const char *name, xb_json *value, struct xb_xattr *xattr,
                        struct xb_error *err)
{
    const char *text =
        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
    size_t len = text ? strlen(text) : 0;
    struct xb_buf bytes = XB_BUF_INIT(len);
    int r = text ? xb_base64_decode(text, len, &bytes, err)
                 : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a string");
    if (r == 0 && bytes.len > XB_ENTRY_XATTR_BYTES_MAX) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%zu bytes long", bytes.len);
    }
    if (r == 0 && (xattr->name = strdup(name)) == NULL) {
        r = xb_error_no_memory(err, "an attribute");
    }
    if (r < 0) {
        xb_buf_free(&bytes);
        return xb_error_wrap(err, "field x-xattr");
    }
    xattr->len = bytes.len;
    xattr->value = (unsigned char *)xb_buf_take(&bytes);
    return 0;
}

static int decode_xattrs(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    xb_json *all = NULL;
    int r = xb_json_need_object(json, "x-xattr", false, &all, err);
    if (r < 0 || !all) {
        return r;
    }
    int count = json_object_object_length(all);
    if (count > XB_ENTRY_XATTRS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-xattr: too many");
    }
    entry->xattrs = calloc(count ? (size_t)count : 1, sizeof *entry->xattrs);
    if (!entry->xattrs) {
        return xb_error_no_memory(err, "attributes");
    }
    json_object_object_foreach(all, name, value)
    {
        r = decode_xattr(name, value, &entry->xattrs[entry->xattr_count], err);
        if (r < 0) {
            return r;
        }
        entry->xattr_count++;
    }
    return 0;
}

/* Holes lie one behind the other within the file; anything else is not taken. */
static int decode_holes(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    xb_json *list = NULL;
    int r = xb_json_need_array(json, "x-holes", false, &list, err);
    size_t count = list ? json_object_array_length(list) / 2 : 0;
    if (r < 0 || count == 0) {
        return r;
    }
    entry->holes = count <= XB_ENTRY_HOLES_MAX ? calloc(count, sizeof *entry->holes) : NULL;
    if (!entry->holes) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-holes: too many");
    }
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t offset = json_object_get_int64(json_object_array_get_idx(list, 2 * i));
        int64_t len = json_object_get_int64(json_object_array_get_idx(list, 2 * i + 1));
        if (offset < 0 || len <= 0 || (uint64_t)offset < end || (uint64_t)offset > entry->size ||
            (uint64_t)len > entry->size - (uint64_t)offset) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-holes: out of order");
        }
        entry->holes[i] = (struct xb_hole){(uint64_t)offset, (uint64_t)len};
        end = (uint64_t)offset + (uint64_t)len;
    }
    entry->hole_count = count;
    return 0;
}

static bool parse_u64(const char *text, const char **ret_end, uint64_t *ret)
{
    char *end = NULL;
    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *ret = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

/* Only an entry of a file's type can stand for a special one. */
static int decode_node(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *text = NULL;
    if (entry->type != XB_ENTRY_FILE) {
        return 0;
    }
    int r = xb_json_need_str(json, "x-node", false, &text, err);
    if (r < 0 || !text) {
        return r;
    }
    uint64_t major = 0;
    uint64_t minor = 0;
    const char *end = text + 1;
    bool device = text[0] == 'b' || text[0] == 'c';
    bool valid = device ? text[1] == ':' && parse_u64(text + 2, &end, &major) && *end == ':' &&
                              parse_u64(end + 1, &end, &minor)
                        : text[0] == 'p' || text[0] == 's';
    if (!valid || *end || major > UINT32_MAX || minor > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-node: '%.40s'", text);
    }
    entry->node = text[0];
    entry->node_major = (uint32_t)major;
    entry->node_minor = (uint32_t)minor;
    return 0;
}

static int decode_identity(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *link = NULL;
    const char *end = NULL;
    int r = xb_json_need_str(json, "x-link", false, &link, err);
    if (r < 0 || (r = need_time(json, "x-ctime", &entry->ctime_ns, err)) < 0) {
        return r;
    }
    if (link && !(entry->link = strdup(link))) {
        return xb_error_no_memory(err, "an entry");
    }
    /* Only for comparing: what cannot be read is unknown. */
    if (!parse_u64(xb_json_str(json, "x-ino", ""), &end, &entry->inode)) {
        entry->inode = 0;
    }
    return xb_json_need_bool(json, "x-changed", false, &entry->changed, err);
}

static int decode_rest(xb_json *json, struct xb_entry *entry, struct xb_error *err)
{
    const char *object = NULL;
    xb_json *summary = NULL;
    int r = decode_type(json, entry, err);
    if (r < 0 || (r = decode_mode(json, entry, err)) < 0 ||
        (r = decode_numbers(json, entry, err)) < 0 || (r = decode_node(json, entry, err)) < 0 ||
        (r = xb_json_need_str(json, "obj", !entry->node, &object, err)) < 0 ||
        (r = object ? xb_object_id_parse(object, &entry->object, err) : 0) < 0 ||
        (r = xb_json_need_object(json, "summ", false, &summary, err)) < 0) {
        return r;
    }
    if (summary) {
        entry->summary = calloc(1, sizeof *entry->summary);
        if (!entry->summary) {
            return xb_error_no_memory(err, "an entry");
        }
        r = xb_summary_decode(summary, entry->summary, err);
    }
    if (r < 0 || (r = decode_xattrs(json, entry, err)) < 0 ||
        (r = decode_identity(json, entry, err)) < 0) {
        return r;
    }
    return entry->type == XB_ENTRY_FILE ? decode_holes(json, entry, err) : 0;
}

int xb_entry_decode(struct json_object *json, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_entry entry = {.name = NULL};
    if (!json_object_is_type(json, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an entry is not an object");
    }
    int r = decode_name(json, &entry, err);
    if (r == 0) {
        r = decode_rest(json, &entry, err);
        r = r < 0 ? xb_error_wrap(err, "entry '%.100s'", entry.name) : 0;
    }
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    *ret = entry;
    return 0;
}
