/* SPDX-License-Identifier: Apache-2.0
 * Strategic merge patches: mappings, and the whole. */
#include "coordinator/modify/strategic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/strategic_internal.h"

/* ---- where we are ---- */

size_t xb_patch_path_enter(struct xb_patch_path *path, const char *name, bool element)
{
    size_t before = path->len;
    const char *mark = element ? "[" : before > 0 ? "." : "";
    char part[80];
    int len = snprintf(part, sizeof part, "%s%.60s%s", mark, name, element ? "]" : "");
    if (len > 0 && before + (size_t)len < sizeof path->text) {
        memcpy(path->text + before, part, (size_t)len + 1);
        path->len = before + (size_t)len;
    }
    return before;
}

void xb_patch_path_leave(struct xb_patch_path *path, size_t before)
{
    path->len = before;
    path->text[before] = '\0';
}

int xb_patch_refused(const struct xb_patch_path *path, struct xb_error *err, const char *format,
                     ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s': %s", path->text, what);
}

/* ---- what is new ---- */

static bool is_word(xb_json *value, const char *word)
{
    return json_object_is_type(value, json_type_string) &&
           strcmp(json_object_get_string(value), word) == 0;
}

static bool is_directive(const char *key)
{
    return strcmp(key, XB_PATCH_DIRECTIVE) == 0 || strcmp(key, XB_PATCH_RETAIN) == 0 ||
           strncmp(key, XB_PATCH_ORDER, strlen(XB_PATCH_ORDER)) == 0 ||
           strncmp(key, XB_PATCH_DELETE, strlen(XB_PATCH_DELETE)) == 0;
}

static int plain_map(xb_json *map, bool whole, xb_json *result, struct xb_error *err)
{
    int r = 0;
    json_object_object_foreach(map, key, value)
    {
        xb_json *copy = NULL;
        bool keep = true;
        if (!value || is_directive(key)) {
            continue;
        }
        r = xb_strategic_plain(value, whole, &copy, &keep, err);
        if (r == 0 && keep) {
            r = xb_patch_set(result, key, copy, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int plain_list(xb_json *list, bool whole, xb_json *result, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
        xb_json *copy = NULL;
        bool keep = true;
        xb_json *one = json_object_array_get_idx(list, i);
        if (json_object_is_type(one, json_type_object) &&
            json_object_object_get_ex(one, XB_PATCH_DIRECTIVE, NULL)) {
            continue; /* a directive of the list */
        }
        r = xb_strategic_plain(one, whole, &copy, &keep, err);
        if (r == 0 && keep) {
            r = xb_patch_append(result, copy, err);
        }
    }
    return r;
}

int xb_strategic_plain(xb_json *value, bool whole, xb_json **ret, bool *keep, struct xb_error *err)
{
    bool map = json_object_is_type(value, json_type_object);
    if (!map && !json_object_is_type(value, json_type_array)) {
        *keep = true;
        return xb_patch_copy(value, ret, err);
    }
    xb_json *directive = NULL;
    if (map && json_object_object_get_ex(value, XB_PATCH_DIRECTIVE, &directive) &&
        (!whole || is_word(directive, "delete"))) {
        *keep = false;
        return 0;
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *result = map ? json_object_new_object() : json_object_new_array();
    if (!result) {
        return xb_error_no_memory(err, "a patch");
    }
    int r = map ? plain_map(value, whole, result, err) : plain_list(value, whole, result, err);
    if (r == 0) {
        *keep = true;
        *ret = XB_TAKE(result);
    }
    return r;
}

static int set_plain(xb_json *target, const char *key, xb_json *value, bool whole,
                     struct xb_error *err)
{
    xb_json *copy = NULL;
    bool keep = true;
    int r = xb_strategic_plain(value, whole, &copy, &keep, err);
    if (r < 0) {
        return r;
    }
    if (!keep) {
        json_object_object_del(target, key);
        return 0;
    }
    return xb_patch_set(target, key, copy, err);
}

/* ---- directives of a mapping ---- */

/* `$patch`: the mapping is emptied, or becomes the patch. */
static int whole_map(struct xb_patch_path *path, xb_json **target, xb_json *patch,
                     struct xb_error *err)
{
    xb_json *directive = json_object_object_get(patch, XB_PATCH_DIRECTIVE);
    const char *word =
        json_object_is_type(directive, json_type_string) ? json_object_get_string(directive) : "";
    bool replace = strcmp(word, "replace") == 0;
    if (!replace && strcmp(word, "delete") != 0) {
        return xb_patch_refused(path, err, "$patch: want replace or delete");
    }
    XB_CLEANUP(xb_json_putp) xb_json *result = json_object_new_object();
    if (!result) {
        return xb_error_no_memory(err, "a patch");
    }
    int r = replace ? plain_map(patch, true, result, err) : 0;
    if (r == 0) {
        xb_json_putp(target);
        *target = XB_TAKE(result);
    }
    return r;
}

static bool lists_text(xb_json *list, const char *text)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (is_word(json_object_array_get_idx(list, i), text)) {
            return true;
        }
    }
    return false;
}

static void keep_only(xb_json *target, xb_json *keys)
{
    json_object_object_foreach(target, key, value)
    {
        (void)value;
        if (!lists_text(keys, key)) {
            json_object_object_del(target, key); /* the loop has taken the next one already */
        }
    }
}

/* `$retainKeys`: what is not listed goes. */
static int retain(struct xb_patch_path *path, xb_json *target, xb_json *patch, struct xb_error *err)
{
    xb_json *keys = NULL;
    if (!json_object_object_get_ex(patch, XB_PATCH_RETAIN, &keys)) {
        return 0;
    }
    if (!json_object_is_type(keys, json_type_array)) {
        return xb_patch_refused(path, err, XB_PATCH_RETAIN ": want a list of field names");
    }
    json_object_object_foreach(patch, key, value)
    {
        if (value && !is_directive(key) && !lists_text(keys, key)) {
            return xb_patch_refused(
                path, err, XB_PATCH_RETAIN " does not list '%.60s', which the patch sets", key);
        }
    }
    keep_only(target, keys);
    return 0;
}

static int find_list(struct xb_patch_path *path, const struct xb_patch_type *type, const char *name,
                     struct xb_patch_field *ret, struct xb_error *err)
{
    return xb_patch_field_find(type, name, ret) && ret->list
               ? 0
               : xb_patch_refused(path, err, "this kind has no list of that name there");
}

/* `$setElementOrder/name`, together with the patch's own list of that name. */
static int set_order(struct xb_patch_path *path, xb_json *target, xb_json *patch,
                     const struct xb_patch_type *type, const char *directive, struct xb_error *err)
{
    const char *name = directive + strlen(XB_PATCH_ORDER);
    struct xb_patch_lists lists = {.order = json_object_object_get(patch, directive)};
    struct xb_patch_field field;
    xb_json *result = NULL;
    json_object_object_get_ex(target, name, &lists.target);
    json_object_object_get_ex(patch, name, &lists.patch);
    int r = find_list(path, type, name, &field, err);
    if (r < 0) {
        return r;
    }
    if (!json_object_is_type(lists.order, json_type_array) ||
        (lists.patch && !json_object_is_type(lists.patch, json_type_array)) ||
        (lists.target && !json_object_is_type(lists.target, json_type_array))) {
        return xb_patch_refused(path, err, "%.80s: want lists", directive);
    }
    if (!field.merged || (!lists.target && !lists.patch)) {
        return lists.patch ? set_plain(target, name, lists.patch, true, err) : 0;
    }
    r = xb_strategic_list(path, &lists, &field, &result, err);
    return r < 0 ? r : xb_patch_set(target, name, result, err);
}

static int delete_scalars(struct xb_patch_path *path, xb_json *target, xb_json *away,
                          const struct xb_patch_type *type, const char *name, struct xb_error *err)
{
    struct xb_patch_field field;
    xb_json *there = NULL;
    xb_json *result = NULL;
    int r = find_list(path, type, name, &field, err);
    if (r < 0) {
        return r;
    }
    if (!json_object_is_type(away, json_type_array)) {
        return xb_patch_refused(path, err, XB_PATCH_DELETE "%.60s: want a list", name);
    }
    if (!json_object_object_get_ex(target, name, &there) ||
        !json_object_is_type(there, json_type_array)) {
        return 0;
    }
    r = xb_strategic_delete(path, there, away, &result, err);
    return r < 0 ? r : xb_patch_set(target, name, result, err);
}

/* Whether the field `key` of the patch is done with its $setElementOrder. */
static bool is_ordered(xb_json *patch, const char *key)
{
    char directive[XB_PATCH_PATH_BYTES];
    int len = snprintf(directive, sizeof directive, XB_PATCH_ORDER "%s", key);
    return len > 0 && (size_t)len < sizeof directive &&
           json_object_object_get_ex(patch, directive, NULL);
}

/* ---- fields ---- */

/* Both have the field, with values of one type. */
static int merge_field(struct xb_patch_path *path, xb_json *target, const char *key, xb_json *value,
                       const struct xb_patch_type *type, struct xb_error *err)
{
    struct xb_patch_field field;
    bool list = json_object_is_type(value, json_type_array);
    xb_json *there = json_object_object_get(target, key);
    xb_json *result = NULL;
    if (!list && !json_object_is_type(value, json_type_object)) {
        return set_plain(target, key, value, false, err);
    }
    if (!xb_patch_field_find(type, key, &field) || field.list != list) {
        return xb_patch_refused(path, err, "this kind has no %s of that name there",
                                list ? "list" : "mapping");
    }
    if (!field.merged) {
        return set_plain(target, key, value, true, err);
    }
    int r = 0;
    if (list) {
        const struct xb_patch_lists lists = {.target = there, .patch = value};
        r = xb_strategic_list(path, &lists, &field, &result, err);
    } else {
        result = json_object_get(there);
        r = xb_strategic_map(path, &result, value, field.type, err);
    }
    if (r < 0) {
        xb_json_putp(&result);
        return r;
    }
    return xb_patch_set(target, key, result, err);
}

static int put_field(struct xb_patch_path *path, xb_json *target, const char *key, xb_json *value,
                     const struct xb_patch_type *type, struct xb_error *err)
{
    xb_json *there = NULL;
    if (!value) {
        json_object_object_del(target, key);
        return 0;
    }
    json_object_object_get_ex(target, key, &there);
    size_t before = xb_patch_path_enter(path, key, false);
    int r = there && json_object_get_type(there) == json_object_get_type(value)
                ? merge_field(path, target, key, value, type, err)
                : set_plain(target, key, value, false, err);
    xb_patch_path_leave(path, before);
    return r;
}

static int one_key(struct xb_patch_path *path, xb_json *target, xb_json *patch, const char *key,
                   const struct xb_patch_type *type, struct xb_error *err)
{
    xb_json *value = json_object_object_get(patch, key);
    if (strncmp(key, XB_PATCH_ORDER, strlen(XB_PATCH_ORDER)) == 0) {
        size_t before = xb_patch_path_enter(path, key + strlen(XB_PATCH_ORDER), false);
        int r = set_order(path, target, patch, type, key, err);
        xb_patch_path_leave(path, before);
        return r;
    }
    if (strncmp(key, XB_PATCH_DELETE, strlen(XB_PATCH_DELETE)) == 0) {
        const char *name = key + strlen(XB_PATCH_DELETE);
        size_t before = xb_patch_path_enter(path, name, false);
        int r = delete_scalars(path, target, value, type, name, err);
        xb_patch_path_leave(path, before);
        return r;
    }
    if (strcmp(key, XB_PATCH_RETAIN) == 0 || is_ordered(patch, key)) {
        return 0;
    }
    if (key[0] == '$') {
        return xb_patch_refused(path, err, "unknown directive '%.60s'", key);
    }
    return put_field(path, target, key, value, type, err);
}

int xb_strategic_map(struct xb_patch_path *path, xb_json **target, xb_json *patch,
                     const struct xb_patch_type *type, struct xb_error *err)
{
    if (json_object_object_get_ex(patch, XB_PATCH_DIRECTIVE, NULL)) {
        return whole_map(path, target, patch, err);
    }
    int r = retain(path, *target, patch, err);
    if (r < 0) {
        return r;
    }
    json_object_object_foreach(patch, key, value)
    {
        (void)value;
        if ((r = one_key(path, *target, patch, key, type, err)) < 0) {
            return r;
        }
    }
    return 0;
}

int xb_strategic_patch(xb_json *document, xb_json *patch, xb_json **ret, struct xb_error *err)
{
    const char *version = xb_json_str(document, "apiVersion", "");
    const char *kind = xb_json_str(document, "kind", "");
    const struct xb_patch_type *type = xb_patch_type_of_kind(version, kind);
    struct xb_patch_path path = {.len = 0};
    XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
    if (!type || !json_object_is_type(patch, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a strategic patch must be a mapping, and is for the built-in kinds of "
                            "Kubernetes: not for a %.100s of %.100s (use mergePatches or patches)",
                            kind, version);
    }
    int r = xb_patch_copy(document, &result, err);
    if (r < 0 || (r = xb_strategic_map(&path, &result, patch, type, err)) < 0) {
        return r;
    }
    if (xb_patch_weight(result, XB_PATCH_BYTES_MAX) > XB_PATCH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the object gets larger than %d bytes",
                            XB_PATCH_BYTES_MAX);
    }
    *ret = XB_TAKE(result);
    return 0;
}
