/* SPDX-License-Identifier: Apache-2.0
 * The parts of an entry that are lists: its summary's errors, extended attributes, holes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"

enum { ERRORS_MAX = 10, FIRST_HOLES = 16, FIRST_XATTRS = 4 };

bool xb_entry_name_valid(const char *name, size_t len)
{
    return len > 0 && len <= XB_ENTRY_NAME_BYTES_MAX && !(len == 1 && name[0] == '.') &&
           !(len == 2 && name[0] == '.' && name[1] == '.') && !memchr(name, '/', len) &&
           !memchr(name, '\0', len);
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

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool xb_summary_equal(const struct xb_summary *a, const struct xb_summary *b)
{
    bool same = a->size == b->size && a->files == b->files && a->symlinks == b->symlinks &&
                a->dirs == b->dirs && a->max_time_ns == b->max_time_ns &&
                a->num_failed == b->num_failed && a->num_ignored_errors == b->num_ignored_errors &&
                same_text(a->incomplete, b->incomplete) && a->error_count == b->error_count;
    for (size_t i = 0; same && i < a->error_count; i++) {
        same = same_text(a->errors[i].path, b->errors[i].path) &&
               same_text(a->errors[i].error, b->errors[i].error);
    }
    return same;
}

/* ---- summaries ---- */

/* The value of a field that is not wanted. */
static int skip_field(struct xb_json_reader *reader, struct xb_error *err)
{
    struct xb_json_token token;
    int r = xb_json_next(reader, &token, err);
    return r < 0 ? r : xb_json_skip(reader, &token, err);
}

/* One {"path","error"}; of a wrong type: as if it were absent. */
static int read_error(struct xb_json_reader *reader, struct xb_summary *summary,
                      struct xb_error *err)
{
    struct xb_json_token token;
    XB_CLEANUP(xb_freep) char *path = NULL;
    XB_CLEANUP(xb_freep) char *text = NULL;
    int r = 0;
    while (r == 0 && (r = xb_json_next(reader, &token, err)) == 0 && token.kind == XB_JSON_KEY) {
        char **slot = xb_json_token_is(&token, "path", 4)    ? &path
                      : xb_json_token_is(&token, "error", 5) ? &text
                                                             : NULL;
        if (!slot) {
            r = skip_field(reader, err);
            continue;
        }
        r = xb_json_next(reader, &token, err);
        if (r == 0 && token.kind == XB_JSON_STRING) {
            r = xb_json_read_text(&token, "errors", slot, err);
        } else if (r == 0) {
            r = xb_json_skip(reader, &token, err);
        }
    }
    return r < 0 || summary->error_count == ERRORS_MAX
               ? r
               : add_error(summary, path ? path : "", text ? text : "", err);
}

static int read_errors(struct xb_json_reader *reader, const struct xb_json_token *first,
                       struct xb_summary *summary, struct xb_error *err)
{
    struct xb_json_token token;
    if (first->kind != XB_JSON_ARRAY) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field errors: want an array");
    }
    if (!summary->errors && !(summary->errors = calloc(ERRORS_MAX, sizeof *summary->errors))) {
        return xb_error_no_memory(err, "a summary");
    }
    for (;;) {
        int r = xb_json_next(reader, &token, err);
        if (r < 0 || token.kind == XB_JSON_ARRAY_END) {
            return r;
        }
        r = token.kind == XB_JSON_OBJECT ? read_error(reader, summary, err)
                                         : xb_json_skip(reader, &token, err);
        if (r < 0) {
            return r;
        }
    }
}

/* The fields in the order in which they are written. The first five and `numFailed` always are. */
enum summary_field {
    SUM_SIZE,
    SUM_FILES,
    SUM_SYMLINKS,
    SUM_DIRS,
    SUM_MAX_TIME,
    SUM_INCOMPLETE,
    SUM_FAILED,
    SUM_IGNORED,
    SUM_ERRORS,
    SUM_FIELDS
};

static const char *const names[SUM_FIELDS] = {
    "size",       "files",     "symlinks",         "dirs",  "maxTime",
    "incomplete", "numFailed", "numIgnoredErrors", "errors"};

static int read_summary_field(struct xb_json_reader *reader, enum summary_field field,
                              const struct xb_json_token *token, struct xb_summary *ret,
                              bool *plain, struct xb_error *err)
{
    uint64_t *const counts[SUM_FIELDS] = {
        [SUM_SIZE] = &ret->size,         [SUM_FILES] = &ret->files,
        [SUM_SYMLINKS] = &ret->symlinks, [SUM_DIRS] = &ret->dirs,
        [SUM_FAILED] = &ret->num_failed, [SUM_IGNORED] = &ret->num_ignored_errors};
    if (counts[field]) {
        int r = xb_json_read_count(token, names[field], counts[field], plain, err);
        *plain = *plain && (field != SUM_IGNORED || *counts[field] > 0);
        return r;
    }
    if (field == SUM_MAX_TIME) {
        return xb_json_read_time(token, names[field], &ret->max_time_ns, plain, err);
    }
    if (field == SUM_ERRORS) {
        *plain = false;
        return read_errors(reader, token, ret, err);
    }
    *plain = *plain && token->plain && token->len > 0;
    return xb_json_read_text(token, names[field], &ret->incomplete, err);
}

static size_t find_summary_field(const struct xb_json_token *key, size_t next)
{
    for (size_t i = 0; i < SUM_FIELDS; i++) {
        size_t at = (next + i) % SUM_FIELDS;
        if (xb_json_token_is(key, names[at], strlen(names[at]))) {
            return at;
        }
    }
    return SUM_FIELDS;
}

int xb_summary_read(struct xb_json_reader *reader, struct xb_summary *ret, bool *plain,
                    struct xb_error *err)
{
    enum { ALWAYS = 1 << SUM_MAX_TIME | ((1 << SUM_MAX_TIME) - 1) | 1 << SUM_FAILED };
    struct xb_summary summary = {.size = 0};
    struct xb_json_token token;
    unsigned seen = 0;
    size_t next = 0;
    int r = 0;
    while (r == 0 && (r = xb_json_next(reader, &token, err)) == 0 && token.kind == XB_JSON_KEY) {
        size_t field = find_summary_field(&token, next);
        *plain = *plain && token.plain && field >= next && field < SUM_FIELDS;
        r = xb_json_next(reader, &token, err);
        if (r < 0) {
            break;
        }
        if (field == SUM_FIELDS || token.kind == XB_JSON_NULL) {
            *plain = false;
            r = xb_json_skip(reader, &token, err);
            continue;
        }
        next = field + 1;
        seen |= 1U << field;
        r = read_summary_field(reader, (enum summary_field)field, &token, &summary, plain, err);
    }
    if (r < 0) {
        xb_summary_clear(&summary);
        return r;
    }
    *plain = *plain && (seen & ALWAYS) == ALWAYS;
    if (summary.incomplete && !summary.incomplete[0]) {
        free(XB_TAKE(summary.incomplete));
    }
    *ret = summary;
    return 0;
}

/* ---- extended attributes ---- */

static int read_xattr(const struct xb_json_token *token, struct xb_xattr *xattr,
                      struct xb_error *err)
{
    struct xb_buf bytes = XB_BUF_INIT(token->len);
    int r = token->kind == XB_JSON_STRING
                ? xb_base64_decode(token->text, token->len, &bytes, err)
                : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a string");
    if (r == 0 && bytes.len > XB_ENTRY_XATTR_BYTES_MAX) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%zu bytes long", bytes.len);
    }
    if (r < 0) {
        xb_buf_free(&bytes);
        return xb_error_wrap(err, "field x-xattr");
    }
    free(xattr->value);
    xattr->len = bytes.len;
    xattr->value = (unsigned char *)xb_buf_take(&bytes);
    return 0;
}

/* The attribute of this name, or a new one. */
static int xattr_slot(struct xb_entry *entry, const struct xb_json_token *key, size_t *cap,
                      struct xb_xattr **ret, struct xb_error *err)
{
    const struct xb_json_token name = {.kind = XB_JSON_STRING, .text = key->text, .len = key->len};
    for (size_t i = 0; i < entry->xattr_count; i++) {
        if (xb_json_token_is(key, entry->xattrs[i].name, strlen(entry->xattrs[i].name))) {
            *ret = &entry->xattrs[i];
            return 0;
        }
    }
    if (entry->xattr_count == XB_ENTRY_XATTRS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-xattr: too many");
    }
    if (entry->xattr_count == *cap) {
        size_t more = *cap ? 2 * *cap : FIRST_XATTRS;
        struct xb_xattr *xattrs = reallocarray(entry->xattrs, more, sizeof *xattrs);
        if (!xattrs) {
            return xb_error_no_memory(err, "attributes");
        }
        entry->xattrs = xattrs;
        *cap = more;
    }
    struct xb_xattr *slot = &entry->xattrs[entry->xattr_count];
    *slot = (struct xb_xattr){.name = NULL};
    int r = xb_json_read_text(&name, "x-xattr", &slot->name, err);
    if (r == 0) {
        entry->xattr_count++;
        *ret = slot;
    }
    return r;
}

int xb_entry_read_xattrs(struct xb_json_reader *reader, const struct xb_json_token *first,
                         struct xb_entry *entry, struct xb_error *err)
{
    struct xb_json_token token;
    size_t cap = entry->xattr_count;
    if (first->kind != XB_JSON_OBJECT) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-xattr: want an object");
    }
    for (;;) {
        struct xb_xattr *slot = NULL;
        int r = xb_json_next(reader, &token, err);
        if (r < 0 || token.kind == XB_JSON_OBJECT_END) {
            return r;
        }
        r = xattr_slot(entry, &token, &cap, &slot, err);
        if (r < 0 || (r = xb_json_next(reader, &token, err)) < 0 ||
            (r = read_xattr(&token, slot, err)) < 0) {
            return r;
        }
    }
}

/* ---- holes ---- */

static int reserve_hole(struct xb_entry *entry, size_t *cap, struct xb_error *err)
{
    if (entry->hole_count < *cap) {
        return 0;
    }
    if (entry->hole_count == XB_ENTRY_HOLES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-holes: too many");
    }
    size_t more = *cap ? 2 * *cap : FIRST_HOLES;
    struct xb_hole *holes = reallocarray(entry->holes, more, sizeof *holes);
    if (!holes) {
        return xb_error_no_memory(err, "holes");
    }
    entry->holes = holes;
    *cap = more;
    return 0;
}

int xb_entry_read_holes(struct xb_json_reader *reader, const struct xb_json_token *first,
                        struct xb_entry *entry, bool *plain, struct xb_error *err)
{
    struct xb_json_token token;
    size_t cap = entry->hole_count;
    if (first->kind != XB_JSON_ARRAY) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-holes: want an array");
    }
    entry->hole_count = 0;
    for (;;) {
        uint64_t pair[2] = {0, 0};
        for (size_t i = 0; i < 2; i++) {
            int r = xb_json_next(reader, &token, err);
            if (r == 0 && token.kind == XB_JSON_ARRAY_END) {
                *plain = *plain && i == 0 && entry->hole_count > 0;
                return 0;
            }
            r = r < 0 ? r : xb_json_read_count(&token, "x-holes", &pair[i], plain, err);
            if (r < 0) {
                return r;
            }
        }
        int r = reserve_hole(entry, &cap, err);
        if (r < 0) {
            return r;
        }
        entry->holes[entry->hole_count++] = (struct xb_hole){pair[0], pair[1]};
    }
}
