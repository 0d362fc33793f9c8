/* SPDX-License-Identifier: Apache-2.0
 * JSON patches, step by step on a copy. */
#include "coordinator/modify/json_patch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/modify/patch_internal.h"

enum { NODE_BYTES = 8, INDEX_DIGITS_MAX = 9, PATH_SHOWN = 160 };

struct patching {
    xb_json *document;
    size_t room; /* bytes that may still come */
};

/* A place in the document: a key of a mapping, or an index of a list. */
struct place {
    xb_json *parent; /* lent; NULL: the document itself */
    char *key;
    size_t depth;
};

static void place_clean(struct place *place)
{
    free(place->key);
}

const char *xb_patch_operation_name(enum xb_patch_operation operation)
{
    static const char *const names[] = {
        [XB_PATCH_ADD] = "add",   [XB_PATCH_REMOVE] = "remove", [XB_PATCH_REPLACE] = "replace",
        [XB_PATCH_MOVE] = "move", [XB_PATCH_COPY] = "copy",     [XB_PATCH_TEST] = "test"};
    return names[operation];
}

size_t xb_patch_weight(xb_json *value, size_t limit)
{
    size_t weight = NODE_BYTES;
    if (json_object_is_type(value, json_type_string)) {
        return weight + (size_t)json_object_get_string_len(value);
    }
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value) && weight <= limit; i++) {
            weight += xb_patch_weight(json_object_array_get_idx(value, i), limit - weight);
        }
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, key, item)
        {
            weight += strlen(key);
            if (weight > limit) {
                break;
            }
            weight += xb_patch_weight(item, limit - weight);
        }
    }
    return weight;
}

static size_t depth_of(xb_json *value)
{
    size_t deepest = 0;
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            size_t depth = depth_of(json_object_array_get_idx(value, i));
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, key, item)
        {
            (void)key;
            size_t depth = depth_of(item);
            deepest = depth > deepest ? depth : deepest;
        }
    } else {
        return 0;
    }
    return deepest + 1;
}

int xb_patch_copy(xb_json *value, xb_json **ret, struct xb_error *err)
{
    xb_json *copy = NULL;
    if (value && json_object_deep_copy(value, &copy, NULL) < 0) {
        json_object_put(copy);
        return xb_error_no_memory(err, "a patch");
    }
    *ret = copy;
    return 0;
}

int xb_patch_set(xb_json *object, const char *key, xb_json *value, struct xb_error *err)
{
    if (json_object_object_add(object, key, value) < 0) {
        json_object_put(value);
        return xb_error_no_memory(err, "a patch");
    }
    return 0;
}

int xb_patch_append(xb_json *list, xb_json *value, struct xb_error *err)
{
    if (json_object_array_add(list, value) < 0) {
        json_object_put(value);
        return xb_error_no_memory(err, "a patch");
    }
    return 0;
}

/* ---- pointers ---- */

const char *xb_json_pointer_problem(const char *path)
{
    if (path[0] && path[0] != '/') {
        return "a path begins with '/'";
    }
    for (const char *tilde = strchr(path, '~'); tilde; tilde = strchr(tilde + 1, '~')) {
        if (tilde[1] != '0' && tilde[1] != '1') {
            return "a '~' is written as ~0, and a '/' within a name as ~1";
        }
    }
    return NULL;
}

/* The token that `*path` (at its '/') begins with, decoded; NULL: no memory. */
static char *next_token(const char **path)
{
    size_t len = strcspn(*path + 1, "/");
    char *token = strndup(*path + 1, len);
    *path += 1 + len;
    char *to = token;
    for (const char *from = token; from && *from; from++) {
        bool escape = from[0] == '~';
        *to++ = escape ? (from[1] == '0' ? '~' : '/') : from[0];
        from += escape;
    }
    if (to) {
        *to = '\0';
    }
    return token;
}

/* The index that a token means in a list, where there are `count` places to be; false: none. */
static bool read_index(const char *token, size_t count, size_t *ret)
{
    bool back = token[0] == '-';
    const char *digits = token + back;
    size_t len = strspn(digits, "0123456789");
    if (len == 0 || len > INDEX_DIGITS_MAX || digits[len] || (len > 1 && digits[0] == '0')) {
        return false;
    }
    size_t index = strtoul(digits, NULL, 10);
    if (back ? index == 0 || index > count : index >= count) {
        return false;
    }
    *ret = back ? count - index : index;
    return true;
}

/* False: nothing is there. */
static bool step_into(xb_json *parent, const char *token, xb_json **ret)
{
    size_t index = 0;
    if (json_object_is_type(parent, json_type_array)) {
        if (!read_index(token, json_object_array_length(parent), &index)) {
            return false;
        }
        *ret = json_object_array_get_idx(parent, index);
        return true;
    }
    return json_object_is_type(parent, json_type_object) &&
           json_object_object_get_ex(parent, token, ret);
}

static int nowhere(const char *path, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "there is nothing at '%.*s'", PATH_SHOWN,
                        path);
}

/* Where `path` leads, but for its last token. */
static int find_place(xb_json *document, const char *path, struct place *ret, struct xb_error *err)
{
    const char *problem = xb_json_pointer_problem(path);
    if (problem) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.*s': %s", PATH_SHOWN, path, problem);
    }
    XB_CLEANUP(place_clean) struct place place = {.parent = NULL};
    xb_json *here = document;
    for (const char *at = path; *at; place.depth++) {
        if (place.key && !step_into(place.parent, place.key, &here)) {
            return nowhere(path, err);
        }
        free(place.key);
        place.parent = here;
        place.key = next_token(&at);
        if (!place.key) {
            return xb_error_no_memory(err, "a path");
        }
    }
    if (place.key && !json_object_is_type(place.parent, json_type_object) &&
        !json_object_is_type(place.parent, json_type_array)) {
        return nowhere(path, err);
    }
    *ret = place;
    place.key = NULL;
    return 0;
}

/* ---- what is done at a place ---- */

static int get(xb_json *document, const char *path, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(place_clean) struct place place = {.parent = NULL};
    int r = find_place(document, path, &place, err);
    if (r == 0 && !place.key) {
        *ret = document;
    } else if (r == 0 && !step_into(place.parent, place.key, ret)) {
        r = nowhere(path, err);
    }
    return r;
}

static int insert(xb_json *list, size_t index, xb_json *value, struct xb_error *err)
{
    int r = xb_patch_append(list, NULL, err);
    if (r < 0) {
        json_object_put(value);
        return r;
    }
    for (size_t i = json_object_array_length(list) - 1; i > index; i--) {
        xb_json *before = json_object_array_get_idx(list, i - 1);
        json_object_array_put_idx(list, i, before ? json_object_get(before) : NULL);
    }
    json_object_array_put_idx(list, index, value);
    return 0;
}

/* Takes the value over. */
static int put(struct patching *patching, const char *path, bool replace, xb_json *value,
               struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *owned = value;
    XB_CLEANUP(place_clean) struct place place = {.parent = NULL};
    xb_json *there = NULL;
    size_t index = 0;
    int r = find_place(patching->document, path, &place, err);
    if (r < 0) {
        return r;
    }
    size_t weight = xb_patch_weight(value, patching->room);
    if (weight > patching->room || place.depth + depth_of(value) > XB_JSON_DEPTH_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                            "at '%.*s', the object gets larger or deeper than an object may be",
                            PATH_SHOWN, path);
    }
    patching->room -= weight;
    if (!place.key) {
        xb_json_putp(&patching->document);
        patching->document = XB_TAKE(owned);
        return 0;
    }
    if (replace && !step_into(place.parent, place.key, &there)) {
        return nowhere(path, err);
    }
    if (json_object_is_type(place.parent, json_type_object)) {
        return xb_patch_set(place.parent, place.key, XB_TAKE(owned), err);
    }
    size_t count = json_object_array_length(place.parent);
    if (!replace && strcmp(place.key, "-") == 0) {
        return xb_patch_append(place.parent, XB_TAKE(owned), err);
    }
    if (!read_index(place.key, replace ? count : count + 1, &index)) {
        return nowhere(path, err);
    }
    if (!replace) {
        return insert(place.parent, index, XB_TAKE(owned), err);
    }
    json_object_array_put_idx(place.parent, index, XB_TAKE(owned));
    return 0;
}

static int take_away(struct patching *patching, const char *path, struct xb_error *err)
{
    XB_CLEANUP(place_clean) struct place place = {.parent = NULL};
    xb_json *there = NULL;
    size_t index = 0;
    int r = find_place(patching->document, path, &place, err);
    if (r < 0) {
        return r;
    }
    if (!place.key) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the whole object cannot be taken away");
    }
    if (!step_into(place.parent, place.key, &there)) {
        return nowhere(path, err);
    }
    if (json_object_is_type(place.parent, json_type_object)) {
        json_object_object_del(place.parent, place.key);
    } else if (read_index(place.key, json_object_array_length(place.parent), &index)) {
        json_object_array_del_idx(place.parent, index, 1);
    }
    return 0;
}

/* ---- steps ---- */

static int move_or_copy(struct patching *patching, const struct xb_patch_step *step,
                        struct xb_error *err)
{
    xb_json *there = NULL;
    xb_json *value = NULL;
    int r = get(patching->document, step->from, &there, err);
    if (r < 0) {
        return r;
    }
    if (xb_patch_weight(there, patching->room) > patching->room) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "'%.*s' is too large to be put elsewhere",
                            PATH_SHOWN, step->from);
    }
    if ((r = xb_patch_copy(there, &value, err)) < 0) {
        return r;
    }
    if (step->operation == XB_PATCH_MOVE && (r = take_away(patching, step->from, err)) < 0) {
        json_object_put(value);
        return r;
    }
    return put(patching, step->path, false, value, err);
}

int xb_json_patch_test(xb_json *document, const struct xb_patch_step *step, bool *ret,
                       struct xb_error *err)
{
    XB_CLEANUP(place_clean) struct place place = {.parent = NULL};
    xb_json *there = document;
    int r = find_place(document, step->path, &place, err);
    if (r < 0) {
        return r;
    }
    if (place.key && !step_into(place.parent, place.key, &there)) {
        there = NULL;
    }
    *ret = json_object_equal(there, step->value);
    return 0;
}

static int test(struct patching *patching, const struct xb_patch_step *step, struct xb_error *err)
{
    bool holds = false;
    int r = xb_json_patch_test(patching->document, step, &holds, err);
    if (r < 0 || holds) {
        return r;
    }
    return xb_error_set(err, XB_ERR_CONFLICT, -EAGAIN, "'%.*s' has another value", PATH_SHOWN,
                        step->path);
}

static int take_step(struct patching *patching, const struct xb_patch_step *step,
                     struct xb_error *err)
{
    xb_json *value = NULL;
    int r = 0;
    switch (step->operation) {
    case XB_PATCH_ADD:
    case XB_PATCH_REPLACE:
        r = xb_patch_copy(step->value, &value, err);
        return r < 0 ? r
                     : put(patching, step->path, step->operation == XB_PATCH_REPLACE, value, err);
    case XB_PATCH_REMOVE:
        return take_away(patching, step->path, err);
    case XB_PATCH_MOVE:
    case XB_PATCH_COPY:
        return move_or_copy(patching, step, err);
    case XB_PATCH_TEST:
        return test(patching, step, err);
    }
    return xb_error_set(err, XB_ERR_BUG, -EINVAL, "no operation");
}

int xb_json_patch(xb_json *document, const struct xb_patch_step *steps, size_t count, xb_json **ret,
                  struct xb_error *err)
{
    struct patching patching = {.document = NULL};
    size_t weight = xb_patch_weight(document, XB_PATCH_BYTES_MAX);
    patching.room = weight < XB_PATCH_BYTES_MAX ? XB_PATCH_BYTES_MAX - weight : 0;
    int r = xb_patch_copy(document, &patching.document, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = take_step(&patching, &steps[i], err);
        if (r < 0) {
            xb_error_wrap(err, "patches[%zu] (%s)", i, xb_patch_operation_name(steps[i].operation));
        }
    }
    if (r < 0) {
        json_object_put(patching.document);
        return r;
    }
    *ret = patching.document;
    return 0;
}
