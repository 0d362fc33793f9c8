/* SPDX-License-Identifier: Apache-2.0
 * Strategic merge patches: lists.
 *
 * Elements of the patch stand in the patch's order (or that of $setElementOrder), those that only
 * the target has in the target's, and the two orders are laid into one another as the target had
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/modify/strategic_internal.h"

enum { NOT_THERE = -1, COMPARISONS_MAX = 1 << 22 };

static size_t length(xb_json *list)
{
    return list ? json_object_array_length(list) : 0;
}

/* What an element is known by: itself, or its key's value (NULL: it has none). */
static xb_json *identity(xb_json *element, const char *key)
{
    xb_json *value = element;
    if (key[0] && !(json_object_is_type(element, json_type_object) &&
                    json_object_object_get_ex(element, key, &value))) {
        return NULL;
    }
    return value;
}

static long position(xb_json *list, xb_json *wanted, const char *key)
{
    for (size_t i = 0; i < length(list); i++) {
        xb_json *one = identity(json_object_array_get_idx(list, i), key);
        if (one && json_object_equal(one, wanted)) {
            return (long)i;
        }
    }
    return NOT_THERE;
}

static xb_json *directive_of(xb_json *element)
{
    return json_object_is_type(element, json_type_object)
               ? json_object_object_get(element, XB_PATCH_DIRECTIVE)
               : NULL;
}

static bool is_word(xb_json *value, const char *word)
{
    return json_object_is_type(value, json_type_string) &&
           strcmp(json_object_get_string(value), word) == 0;
}

/* All elements are scalars of one type, or mappings that have the key. */
static int check_elements(const struct xb_patch_path *path, xb_json *list, const char *key,
                          struct xb_error *err)
{
    for (size_t i = 0; i < length(list); i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        bool map = json_object_is_type(one, json_type_object);
        bool replace = is_word(directive_of(one), "replace");
        if (!one || json_object_is_type(one, json_type_array) || map != (key[0] != '\0')) {
            return xb_patch_refused(path, err, "element %zu is no %s", i,
                                    key[0] ? "mapping" : "scalar");
        }
        if (map && !replace && !identity(one, key)) {
            return xb_patch_refused(path, err, "element %zu lacks '%s', by which they are merged",
                                    i, key);
        }
    }
    return 0;
}

/* ---- the patch's elements into the list ---- */

static void drop(xb_json *list, xb_json *wanted, const char *key)
{
    long at;
    while ((at = position(list, wanted, key)) != NOT_THERE) {
        json_object_array_del_idx(list, (size_t)at, 1);
    }
}

/* Carries out elements that are directives; `*replace`: the list begins anew. */
static int carry_out(const struct xb_patch_path *path, xb_json *list, xb_json *patch,
                     const char *key, bool *replace, struct xb_error *err)
{
    for (size_t i = 0; i < length(patch); i++) {
        xb_json *one = json_object_array_get_idx(patch, i);
        xb_json *directive = directive_of(one);
        if (!directive) {
            continue;
        }
        if (is_word(directive, "replace")) {
            *replace = true;
        } else if (is_word(directive, "delete")) {
            drop(list, identity(one, key), key);
        } else {
            return xb_patch_refused(path, err, "$patch of element %zu: want replace or delete", i);
        }
    }
    if (*replace && length(list) > 0) {
        json_object_array_del_idx(list, 0, length(list));
    }
    return 0;
}

/* Of the patch's element, which other threads may be reading: json-c writes a number's text into
 * it.
 */
static const char *shown(xb_json *id, char buffer[24])
{
    if (json_object_is_type(id, json_type_string)) {
        return json_object_get_string(id);
    }
    snprintf(buffer, 24, "%lld", (long long)json_object_get_int64(id));
    return buffer;
}

static int merge_element(struct xb_patch_path *path, xb_json *list, xb_json *element,
                         const struct xb_patch_field *field, struct xb_error *err)
{
    xb_json *id = identity(element, field->key);
    long at = position(list, id, field->key);
    xb_json *result = NULL;
    bool keep = true;
    char text[24];
    int r = 0;
    if (at == NOT_THERE || !field->key[0]) {
        r = at == NOT_THERE ? xb_strategic_plain(element, true, &result, &keep, err) : 0;
        return r < 0 || at != NOT_THERE ? r : xb_patch_append(list, result, err);
    }
    size_t before = xb_patch_path_enter(path, shown(id, text), true);
    result = json_object_get(json_object_array_get_idx(list, (size_t)at));
    r = xb_strategic_map(path, &result, element, field->type, err);
    xb_patch_path_leave(path, before);
    if (r < 0) {
        xb_json_putp(&result);
        return r;
    }
    json_object_array_put_idx(list, (size_t)at, result);
    return 0;
}

static int merge_elements(struct xb_patch_path *path, xb_json *list, xb_json *patch,
                          const struct xb_patch_field *field, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < length(patch); i++) {
        xb_json *one = json_object_array_get_idx(patch, i);
        if (!directive_of(one)) {
            r = merge_element(path, list, one, field, err);
        }
    }
    return r;
}

/* ---- order ---- */

struct element {
    xb_json *json;
    long wanted; /* its place in the order that the patch gives; NOT_THERE: it gives none */
    long was;    /* its place in the target; NOT_THERE: new */
};

/* The order must have the patch's elements, in the patch's own order. */
static int check_order(const struct xb_patch_path *path, const struct xb_patch_lists *lists,
                       const char *key, struct xb_error *err)
{
    long last = NOT_THERE;
    for (size_t i = 0; i < length(lists->patch); i++) {
        xb_json *one = json_object_array_get_idx(lists->patch, i);
        if (directive_of(one)) {
            continue;
        }
        long at = position(lists->order, identity(one, key), key);
        if (at == NOT_THERE || at < last) {
            return xb_patch_refused(
                path, err, XB_PATCH_ORDER " does not have the patch's elements in their order");
        }
        last = at;
    }
    return 0;
}

static int by_wanted(const void *one, const void *other)
{
    const struct element *a = *(const struct element *const *)one;
    const struct element *b = *(const struct element *const *)other;
    if (a->wanted != b->wanted) {
        return a->wanted < b->wanted ? -1 : 1;
    }
    return a < b ? -1 : a > b; /* elements of one key stay as they stood */
}

/* Lays those whose place the patch gives (sorted) and the others into one another. */
static int interleave(struct element **given, size_t given_count, struct element **others,
                      size_t others_count, xb_json *ret, struct xb_error *err)
{
    size_t g = 0;
    size_t o = 0;
    int r = 0;
    while (r == 0 && (g < given_count || o < others_count)) {
        bool other =
            g == given_count || (o < others_count && given[g]->was != NOT_THERE &&
                                 others[o]->was != NOT_THERE && others[o]->was < given[g]->was);
        const struct element *next = other ? others[o++] : given[g++];
        r = xb_patch_append(ret, json_object_get(next->json), err);
    }
    return r;
}

/* `was`: the target as it was before anything came into it. */
static int arrange(xb_json *list, xb_json *was, xb_json *order, const char *key, xb_json **ret,
                   struct xb_error *err)
{
    size_t count = length(list);
    size_t given_count = 0;
    size_t others_count = 0;
    XB_CLEANUP(xb_json_putp) xb_json *result = json_object_new_array();
    struct element *elements = calloc(count + 1, sizeof *elements);
    struct element **given = calloc(2 * count + 1, sizeof *given);
    int r = 0;
    if (!result || !elements || !given) {
        r = xb_error_no_memory(err, "a patch");
    }
    struct element **others = given + count;
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        xb_json *id = identity(one, key);
        elements[i] = (struct element){
            .json = one, .wanted = position(order, id, key), .was = position(was, id, key)};
        if (elements[i].wanted == NOT_THERE) {
            others[others_count++] = &elements[i];
        } else {
            given[given_count++] = &elements[i];
        }
    }
    if (r == 0) {
        qsort(given, given_count, sizeof *given, by_wanted);
        r = interleave(given, given_count, others, others_count, result, err);
    }
    free(given);
    free(elements);
    if (r == 0) {
        *ret = XB_TAKE(result);
    }
    return r;
}

/* ---- the whole ---- */

/* Everything here is looked up by going through a list. */
static int check_lengths(const struct xb_patch_path *path, size_t one, size_t other,
                         struct xb_error *err)
{
    return other > 0 && one > COMPARISONS_MAX / other
               ? xb_patch_refused(path, err, "lists of %zu and %zu elements are too long", one,
                                  other)
               : 0;
}

/* What the patch is merged into: a copy of the target; of scalars each once. */
static int begin(struct xb_patch_path *path, const struct xb_patch_lists *lists,
                 const struct xb_patch_field *field, xb_json **ret, struct xb_error *err)
{
    if (field->key[0] && lists->target) {
        return xb_patch_copy(lists->target, ret, err);
    }
    *ret = json_object_new_array();
    return !*ret ? xb_error_no_memory(err, "a patch")
                 : merge_elements(path, *ret, lists->target, field, err);
}

int xb_strategic_list(struct xb_patch_path *path, const struct xb_patch_lists *lists,
                      const struct xb_patch_field *field, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *list = NULL;
    bool replace = false;
    int r = 0;
    if ((r = check_elements(path, lists->target, field->key, err)) < 0 ||
        (r = check_elements(path, lists->patch, field->key, err)) < 0 ||
        (r = check_elements(path, lists->order, field->key, err)) < 0 ||
        (r = check_lengths(path, length(lists->target) + length(lists->patch),
                           length(lists->target) + length(lists->patch) + length(lists->order),
                           err)) < 0 ||
        (lists->order && (r = check_order(path, lists, field->key, err)) < 0) ||
        (r = begin(path, lists, field, &list, err)) < 0) {
        return r;
    }
    if ((r = carry_out(path, list, lists->patch, field->key, &replace, err)) < 0) {
        return r;
    }
    xb_json *was = replace ? lists->patch : lists->target;
    if ((r = merge_elements(path, list, lists->patch, field, err)) < 0) {
        return r;
    }
    return arrange(list, was, lists->order ? lists->order : lists->patch, field->key, ret, err);
}

int xb_strategic_delete(struct xb_patch_path *path, xb_json *target, xb_json *away, xb_json **ret,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *result = json_object_new_array();
    int r = result ? 0 : xb_error_no_memory(err, "a patch");
    if (r < 0 || (r = check_elements(path, target, "", err)) < 0 ||
        (r = check_elements(path, away, "", err)) < 0 ||
        (r = check_lengths(path, length(target), length(away), err)) < 0) {
        return r;
    }
    for (size_t i = 0; r == 0 && i < length(target); i++) {
        xb_json *one = json_object_array_get_idx(target, i);
        if (position(away, one, "") == NOT_THERE) {
            xb_json *copy = NULL;
            r = xb_patch_copy(one, &copy, err);
            r = r < 0 ? r : xb_patch_append(result, copy, err);
        }
    }
    if (r == 0) {
        *ret = XB_TAKE(result);
    }
    return r;
}
