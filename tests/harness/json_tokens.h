/* SPDX-License-Identifier: Apache-2.0
 *
 * json_tokens.h - what a JSON reader hands out, put together again as json-c's objects.
 *
 * What for:  comparing the reader with json-c, in the property test and in the fuzz target. The
 *            text comes in pieces of changing length.
 * Limits:    nesting as the reader's.
 */
#pragma once

#include <string.h>

#include "shared/codec/json.h"
#include "shared/codec/json_reader.h"

/* Hands a text out in pieces, which begin with `step` bytes. */
struct json_pieces {
    const char *text;
    size_t len, step;
};

static inline int json_next_piece(void *context, char *to, size_t room, size_t *ret_len,
                                  struct xb_error *err)
{
    struct json_pieces *pieces = context;
    size_t len = pieces->step < room ? pieces->step : room;
    (void)err;
    len = len < pieces->len ? len : pieces->len;
    memcpy(to, pieces->text, len);
    pieces->text += len;
    pieces->len -= len;
    pieces->step = 1 + pieces->step * 5 % 13;
    *ret_len = len;
    return 0;
}

static inline int json_number(const struct xb_json_token *token, xb_json **ret,
                              struct xb_error *err)
{
    return xb_json_parse(token->text, token->len, ret, err);
}

/* The value that begins with `token`. */
static inline int json_value(struct xb_json_reader *reader, const struct xb_json_token *token,
                             xb_json **ret, struct xb_error *err)
{
    struct xb_json_token next;
    int r = 0;
    *ret = NULL;
    switch (token->kind) {
    case XB_JSON_STRING:
        *ret = json_object_new_string_len(token->text, (int)token->len);
        return 0;
    case XB_JSON_NUMBER:
        return json_number(token, ret, err);
    case XB_JSON_TRUE:
    case XB_JSON_FALSE:
        *ret = json_object_new_boolean(token->kind == XB_JSON_TRUE);
        return 0;
    case XB_JSON_OBJECT:
        *ret = json_object_new_object();
        while ((r = xb_json_next(reader, &next, err)) == 0 && next.kind == XB_JSON_KEY) {
            xb_json *value = NULL;
            char *key = strndup(next.text, next.len); /* as json-c's keys end */
            r = xb_json_next(reader, &next, err);
            r = r < 0 ? r : json_value(reader, &next, &value, err);
            json_object_object_add(*ret, key, value);
            free(key);
            if (r < 0) {
                return r;
            }
        }
        return r;
    case XB_JSON_ARRAY:
        *ret = json_object_new_array();
        while ((r = xb_json_next(reader, &next, err)) == 0 && next.kind != XB_JSON_ARRAY_END) {
            xb_json *value = NULL;
            r = json_value(reader, &next, &value, err);
            json_object_array_add(*ret, value);
            if (r < 0) {
                return r;
            }
        }
        return r;
    case XB_JSON_NULL:
    case XB_JSON_KEY:
    case XB_JSON_OBJECT_END:
    case XB_JSON_ARRAY_END:
    case XB_JSON_END:
    default:
        return 0;
    }
}

/* The whole text, in a window of at first `window` bytes; 0: from where it lies. */
static inline int json_from_tokens(const char *text, size_t len, size_t window, xb_json **ret,
                                   struct xb_error *err)
{
    struct json_pieces pieces = {text, len, 1 + window % 11};
    struct xb_json_reader reader;
    struct xb_json_token token;
    XB_CLEANUP(xb_json_putp) xb_json *value = NULL;
    if (window) {
        xb_json_reader_init(&reader, json_next_piece, &pieces, window);
    } else {
        xb_json_reader_init_text(&reader, text, len);
    }
    int r = xb_json_next(&reader, &token, err);
    if (r == 0) {
        r = json_value(&reader, &token, &value, err);
    }
    if (r == 0) {
        r = xb_json_next(&reader, &token, err);
    }
    xb_json_reader_done(&reader);
    if (r == 0) {
        *ret = XB_TAKE(value);
    }
    return r;
}
