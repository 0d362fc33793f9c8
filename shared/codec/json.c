/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/codec/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "shared/codec/text.h"

enum { KEY_BYTES_MAX = 512 };

static inline void tokener_freep(struct json_tokener **tokener)
{
    if (*tokener) {
        json_tokener_free(*tokener);
    }
}

int xb_json_parse(const char *text, size_t len, xb_json **ret, struct xb_error *err)
{
    if (len > INT_MAX - 1) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "JSON text of %zu bytes", len);
    }
    XB_CLEANUP(tokener_freep)
    struct json_tokener *tokener = json_tokener_new_ex(XB_JSON_DEPTH_MAX);
    if (!tokener) {
        return xb_error_no_memory(err, "a JSON parser");
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    xb_json *value = json_tokener_parse_ex(tokener, text, (int)len);
    size_t used = json_tokener_get_parse_end(tokener);
    enum json_tokener_error problem = json_tokener_get_error(tokener);
    if (problem == json_tokener_continue) {
        /* A bare number at the end of the text: only a terminator tells that it is whole. */
        value = json_tokener_parse_ex(tokener, "", 1);
        problem = json_tokener_get_error(tokener);
        used = len;
    }
    bool trailing = false;
    for (size_t i = used; problem == json_tokener_success && i < len; i++) {
        trailing = trailing || !strchr(" \t\r\n", text[i]) || text[i] == '\0';
    }
    if (problem == json_tokener_success && !trailing) {
        *ret = value;
        return 0;
    }
    if (value) {
        json_object_put(value);
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not valid JSON at byte %zu of %zu: %s",
                        used, len,
                        trailing ? "more after the value" : json_tokener_error_desc(problem));
}

/* Takes the next part of a path into `key`; false when it does not fit. Leaves *path at the rest,
 * or NULL after the last part. */
static bool next_key(const char **path, char key[KEY_BYTES_MAX])
{
    size_t len = 0;
    const char *c = *path;
    for (; *c && *c != '.'; c++) {
        if (*c == '\\' && c[1]) {
            c++;
        }
        if (len + 1 >= KEY_BYTES_MAX) {
            return false;
        }
        key[len++] = *c;
    }
    key[len] = '\0';
    *path = *c == '.' ? c + 1 : NULL;
    return true;
}

xb_json *xb_json_get(xb_json *object, const char *path)
{
    char key[KEY_BYTES_MAX];
    xb_json *at = object;
    while (path) {
        xb_json *child = NULL;
        if (!at || !json_object_is_type(at, json_type_object) || !next_key(&path, key) ||
            !json_object_object_get_ex(at, key, &child)) {
            return NULL;
        }
        at = child;
    }
    return at;
}

const char *xb_json_str(xb_json *object, const char *path, const char *fallback)
{
    xb_json *value = xb_json_get(object, path);
    return value && json_object_is_type(value, json_type_string) ? json_object_get_string(value)
                                                                 : fallback;
}

xb_json *xb_json_find(xb_json *list, const char *path, const char *text)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        const char *its = xb_json_str(one, path, NULL);
        if (its && strcmp(its, text) == 0) {
            return one;
        }
    }
    return NULL;
}

int64_t xb_json_int(xb_json *object, const char *path, int64_t fallback)
{
    xb_json *value = xb_json_get(object, path);
    return value && json_object_is_type(value, json_type_int) ? json_object_get_int64(value)
                                                              : fallback;
}

bool xb_json_bool(xb_json *object, const char *path, bool fallback)
{
    xb_json *value = xb_json_get(object, path);
    return value && json_object_is_type(value, json_type_boolean)
               ? json_object_get_boolean(value) != 0
               : fallback;
}

/* The value at `path` if it has the wanted type; *ret NULL when absent and allowed. */
static int need(xb_json *object, const char *path, bool required, enum json_type type,
                xb_json **ret, struct xb_error *err)
{
    xb_json *value = xb_json_get(object, path);
    if (!value) {
        if (required) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s is missing", path);
        }
        *ret = NULL;
        return 0;
    }
    if (!json_object_is_type(value, type)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s: want %s, have %s", path,
                            json_type_to_name(type),
                            json_type_to_name(json_object_get_type(value)));
    }
    *ret = value;
    return 0;
}

int xb_json_need_str(xb_json *object, const char *path, bool required, const char **ret,
                     struct xb_error *err)
{
    xb_json *value;
    int r = need(object, path, required, json_type_string, &value, err);
    if (r < 0 || !value) {
        return r;
    }
    if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s holds a NUL byte", path);
    }
    *ret = json_object_get_string(value);
    return 0;
}

int xb_json_need_int(xb_json *object, const char *path, bool required, int64_t *ret,
                     struct xb_error *err)
{
    xb_json *value;
    int r = need(object, path, required, json_type_int, &value, err);
    if (r < 0 || !value) {
        return r;
    }
    int64_t number = json_object_get_int64(value);
    /* The library answers a number that is too large with the nearest one that is not. */
    if (number == INT64_MAX || number == INT64_MIN) {
        return xb_error_set(err, XB_ERR_CORRUPT, -ERANGE, "field %s: out of range", path);
    }
    *ret = number;
    return 0;
}

int xb_json_need_bool(xb_json *object, const char *path, bool required, bool *ret,
                      struct xb_error *err)
{
    xb_json *value;
    int r = need(object, path, required, json_type_boolean, &value, err);
    if (r == 0 && value) {
        *ret = json_object_get_boolean(value) != 0;
    }
    return r;
}

int xb_json_need_object(xb_json *object, const char *path, bool required, xb_json **ret,
                        struct xb_error *err)
{
    xb_json *value;
    int r = need(object, path, required, json_type_object, &value, err);
    if (r == 0 && value) {
        *ret = value;
    }
    return r;
}

int xb_json_need_array(xb_json *object, const char *path, bool required, xb_json **ret,
                       struct xb_error *err)
{
    xb_json *value;
    int r = need(object, path, required, json_type_array, &value, err);
    if (r == 0 && value) {
        *ret = value;
    }
    return r;
}

int xb_json_set(xb_json *object, const char *path, xb_json *value, struct xb_error *err)
{
    char key[KEY_BYTES_MAX];
    xb_json *at = object;
    for (;;) {
        if (!json_object_is_type(at, json_type_object) || !next_key(&path, key)) {
            json_object_put(value);
            return xb_error_set(err, XB_ERR_BUG, -EINVAL, "cannot set a field in a non-object");
        }
        if (!path) {
            break;
        }
        xb_json *child = NULL;
        if (!json_object_object_get_ex(at, key, &child) || !child) {
            child = json_object_new_object();
            if (!child || json_object_object_add(at, key, child) < 0) {
                json_object_put(child);
                json_object_put(value);
                return xb_error_no_memory(err, "a JSON object");
            }
        }
        at = child;
    }
    if (json_object_object_add(at, key, value) < 0) {
        json_object_put(value);
        return xb_error_no_memory(err, "a JSON field");
    }
    return 0;
}

int xb_json_set_str(xb_json *object, const char *path, const char *value, struct xb_error *err)
{
    xb_json *text = value ? json_object_new_string(value) : NULL;
    if (value && !text) {
        return xb_error_no_memory(err, "a JSON string");
    }
    return xb_json_set(object, path, text, err);
}

int xb_json_set_int(xb_json *object, const char *path, int64_t value, struct xb_error *err)
{
    xb_json *number = json_object_new_int64(value);
    return number ? xb_json_set(object, path, number, err)
                  : xb_error_no_memory(err, "a JSON number");
}

int xb_json_set_bool(xb_json *object, const char *path, bool value, struct xb_error *err)
{
    xb_json *boolean = json_object_new_boolean(value);
    return boolean ? xb_json_set(object, path, boolean, err)
                   : xb_error_no_memory(err, "a JSON boolean");
}

int xb_json_write(xb_json *json, struct xb_buf *out, struct xb_error *err)
{
    size_t len = 0;
    const char *text = json_object_to_json_string_length(
        json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    return text ? xb_buf_append(out, text, len, err) : xb_error_no_memory(err, "JSON text");
}

/* How Go writes the character at `at` where JSON itself has no need to; its length. */
static const char *html_escape(const char *at, size_t left, size_t *ret_len)
{
    static const struct {
        const char *plain, *escaped;
    } all[] = {{"<", "\\u003c"},
               {">", "\\u003e"},
               {"&", "\\u0026"},
               {"\xe2\x80\xa8", "\\u2028"},
               {"\xe2\x80\xa9", "\\u2029"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *ret_len = strlen(all[i].plain);
        if (*ret_len <= left && memcmp(at, all[i].plain, *ret_len) == 0) {
            return all[i].escaped;
        }
    }
    return NULL;
}

/* They stand in strings only. */
int xb_json_write_go(xb_json *json, struct xb_buf *out, struct xb_error *err)
{
    size_t len = 0, from = 0, step = 1;
    const char *text = json_object_to_json_string_length(
        json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    int r = text ? 0 : xb_error_no_memory(err, "JSON text");
    for (size_t at = 0; r == 0 && at < len; at += step) {
        const char *escaped =
            strchr("<>&\xe2", text[at]) ? html_escape(text + at, len - at, &step) : NULL;
        if (!escaped) {
            step = 1;
            continue;
        }
        r = xb_buf_append(out, text + from, at - from, err);
        r = r ? r : xb_buf_append_str(out, escaped, err);
        from = at + step;
    }
    return r ? r : xb_buf_append(out, text + from, len - from, err);
}

int xb_json_write_pretty(xb_json *json, struct xb_buf *out, struct xb_error *err)
{
    size_t len = 0;
    const char *text = json_object_to_json_string_length(
        json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE,
        &len);
    int r = text ? xb_buf_append(out, text, len, err) : xb_error_no_memory(err, "JSON text");
    return r < 0 ? r : xb_buf_append(out, "\n", 1, err);
}

/* How Go writes this byte when it needs an escape; NULL when it passes as it is. */
static const char *go_escape(unsigned char c, char space[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        break;
    }
    if (c < 0x20 || c == '<' || c == '>' || c == '&') {
        snprintf(space, 8, "\\u%04x", c);
        return space;
    }
    return NULL;
}

/* Bytes of the UTF-8 sequence at text, or 0 if it is none. */
static size_t utf8_step(const char *text, size_t len)
{
    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (xb_utf8_valid(text, n)) {
            return n;
        }
    }
    return 0;
}

/* How many bytes from here on Go writes as they are, ASCII only. */
static size_t plain_bytes(const char *text, size_t len)
{
    static const bool special[256] = {
        [0 ... 0x1f] = true, ['"'] = true, ['\\'] = true,          ['<'] = true,
        ['>'] = true,        ['&'] = true, [0x80 ... 0xff] = true,
    };
    size_t count = 0;
    while (count < len && !special[(unsigned char)text[count]]) {
        count++;
    }
    return count;
}

/* The one character at text; *ret_step: how many bytes it has. */
static int go_character(struct xb_buf *out, const char *text, size_t len, size_t *ret_step,
                        struct xb_error *err)
{
    char space[8];
    size_t step = utf8_step(text, len);
    const char *escape = go_escape((unsigned char)*text, space);
    *ret_step = step ? step : 1;
    if (!escape && step == 0) {
        escape = "\\ufffd";
    } else if (step == 3 && memcmp(text, "\xe2\x80\xa8", 3) == 0) {
        escape = "\\u2028";
    } else if (step == 3 && memcmp(text, "\xe2\x80\xa9", 3) == 0) {
        escape = "\\u2029";
    }
    return escape ? xb_buf_append_str(out, escape, err) : xb_buf_append(out, text, step, err);
}

int xb_json_go_string(struct xb_buf *out, const char *text, size_t len, struct xb_error *err)
{
    int r = xb_buf_append(out, "\"", 1, err);
    for (size_t i = 0; i < len && r == 0;) {
        size_t step = plain_bytes(text + i, len - i);
        r = step ? xb_buf_append(out, text + i, step, err)
                 : go_character(out, text + i, len - i, &step, err);
        i += step;
    }
    return r < 0 ? r : xb_buf_append(out, "\"", 1, err);
}
