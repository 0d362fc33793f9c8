/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h - typed access to JSON by json-c, and Go's way of writing it.
 *
 * What for:  everything from outside is looked at through these accessors, which check types and
 *            name the path of what is wrong.
 * Ownership: xb_json_parse hands out a reference (xb_json_put, or XB_CLEANUP(xb_json_putp)).
 *            Accessors lend: what they return lives as long as the object.
 * Threads:   an object belongs to one thread at a time.    Blocking: never.
 * Errors:    CORRUPT: "field x.y: want a string". Absent optional fields are not errors; null
 *            counts as absent.
 * Limits:    nesting <= XB_JSON_DEPTH_MAX. Size is bounded by the caller's buffer.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_JSON_DEPTH_MAX = 64 };

typedef struct json_object xb_json;

/* The whole text must be one JSON value, white space around it allowed. */
int xb_json_parse(const char *text, size_t len, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;

static inline void xb_json_putp(xb_json **json)
{
    if (*json) {
        json_object_put(*json);
    }
}

/* Field `path` ("spec.pod.name": parts separated by dots; escape a dot in a key as "\\.") of an
 * object, or NULL when any part is absent, null, or not an object. */
xb_json *xb_json_get(xb_json *object, const char *path);

/* The same with types. Absent: the fallback, which may be NULL. Wrong type: the fallback too, for
 * lenient reads (status of our own making). */
const char *xb_json_str(xb_json *object, const char *path, const char *fallback);
int64_t xb_json_int(xb_json *object, const char *path, int64_t fallback);
bool xb_json_bool(xb_json *object, const char *path, bool fallback);

/* The first object of a list whose field `path` is that text; NULL: none, or no list. */
xb_json *xb_json_find(xb_json *list, const char *path, const char *text);

/* Strict: wrong type, or absent when `required`, is CORRUPT naming `path`. *ret stays untouched
 * when absent and not required. */
int xb_json_need_str(xb_json *object, const char *path, bool required, const char **ret,
                     struct xb_error *err) XB_MUST_CHECK;
int xb_json_need_int(xb_json *object, const char *path, bool required, int64_t *ret,
                     struct xb_error *err) XB_MUST_CHECK;
int xb_json_need_bool(xb_json *object, const char *path, bool required, bool *ret,
                      struct xb_error *err) XB_MUST_CHECK;
int xb_json_need_object(xb_json *object, const char *path, bool required, xb_json **ret,
                        struct xb_error *err) XB_MUST_CHECK;
int xb_json_need_array(xb_json *object, const char *path, bool required, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* Sets field `path`, making the objects on the way; takes `value` over (NULL stores null). Objects
 * only; no escapes needed in code's own paths. */
int xb_json_set(xb_json *object, const char *path, xb_json *value,
                struct xb_error *err) XB_MUST_CHECK;
int xb_json_set_str(xb_json *object, const char *path, const char *value,
                    struct xb_error *err) XB_MUST_CHECK;
int xb_json_set_int(xb_json *object, const char *path, int64_t value,
                    struct xb_error *err) XB_MUST_CHECK;
int xb_json_set_bool(xb_json *object, const char *path, bool value,
                     struct xb_error *err) XB_MUST_CHECK;

/* Compact text, appended. No slash escapes. */
int xb_json_write(xb_json *json, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* The same, with the escapes that Go's encoder puts in: HTML's, U+2028/9. */
int xb_json_write_go(xb_json *json, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* Indented text and a newline, for people. */
int xb_json_write_pretty(xb_json *json, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Appends `text` as a JSON string exactly as Go's encoder writes it (kopia-format section 11): HTML
 * escapes, U+2028/9, bad UTF-8 to U+FFFD. */
int xb_json_go_string(struct xb_buf *out, const char *text, size_t len,
                      struct xb_error *err) XB_MUST_CHECK;
