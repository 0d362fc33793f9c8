/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/resource_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find_kind(struct xb_resource_list *list, const char *key, struct xb_resource_kind **ret,
                     struct xb_error *err)
{
    for (size_t i = list->count; i > 0; i--) {
        if (strcmp(list->kinds[i - 1].key, key) == 0) {
            *ret = &list->kinds[i - 1];
            return 0;
        }
    }
    if (list->count == XB_RESOURCE_LIST_KINDS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d kinds of resources",
                            XB_RESOURCE_LIST_KINDS_MAX);
    }
    struct xb_resource_kind *kinds = reallocarray(list->kinds, list->count + 1, sizeof *kinds);
    if (!kinds) {
        return xb_error_no_memory(err, "the resource list");
    }
    list->kinds = kinds;
    kinds[list->count] = (struct xb_resource_kind){
        .key = strdup(key), .names = XB_BUF_INIT(XB_RESOURCE_LIST_BYTES_MAX)};
    if (!kinds[list->count].key) {
        return xb_error_no_memory(err, "the resource list");
    }
    *ret = &kinds[list->count++];
    return 0;
}

int xb_resource_list_add(struct xb_resource_list *list, xb_json *object, const char *suffix,
                         struct xb_error *err)
{
    char key[512];
    struct xb_resource_kind *kind = NULL;
    const char *namespace = xb_json_str(object, "metadata.namespace", "");
    snprintf(key, sizeof key, "%s/%s", xb_json_str(object, "apiVersion", "?"),
             xb_json_str(object, "kind", "?"));
    int r = find_kind(list, key, &kind, err);
    if (r < 0) {
        return r;
    }
    r = xb_buf_printf(&kind->names, err, "%s%s%s%s%s%s", namespace, namespace[0] ? "/" : "",
                      xb_json_str(object, "metadata.name", "?"), suffix ? "(" : "",
                      suffix ? suffix : "", suffix ? ")" : "");
    if (r == 0) {
        r = xb_buf_append(&kind->names, "", 1, err);
    }
    kind->count += r == 0;
    return r;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int add_names(const struct xb_resource_kind *kind, xb_json *array, struct xb_error *err)
{
    const char **names = reallocarray(NULL, kind->count + 1, sizeof *names);
    if (!names) {
        return xb_error_no_memory(err, "the resource list");
    }
    const char *at = kind->names.data;
    for (size_t i = 0; i < kind->count; i++) {
        names[i] = at;
        at += strlen(at) + 1;
    }
    qsort(names, kind->count, sizeof *names, compare_names);
    for (size_t i = 0; i < kind->count; i++) {
        json_object_array_add(array, json_object_new_string(names[i]));
    }
    free(names);
    return 0;
}

int xb_resource_list_json(const struct xb_resource_list *list, xb_json **ret, struct xb_error *err)
{
    xb_json *json = json_object_new_object();
    int r = 0;
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        xb_json *array = json_object_new_array();
        json_object_object_add(json, list->kinds[i].key, array);
        r = add_names(&list->kinds[i], array, err);
    }
    if (r < 0) {
        json_object_put(json);
        return r;
    }
    *ret = json;
    return 0;
}

void xb_resource_list_free(struct xb_resource_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->kinds[i].key);
        xb_buf_free(&list->kinds[i].names);
    }
    free(list->kinds);
    *list = (struct xb_resource_list){.kinds = NULL};
}
