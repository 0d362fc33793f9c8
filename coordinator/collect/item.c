/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/item.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/codec/slices.h"

static int put_parsed(xb_json *object, struct xb_slice key, struct xb_slice value,
                      struct xb_error *err)
{
    char name[32];
    xb_json *json = NULL;
    int r = xb_json_parse(value.text, value.len, &json, err);
    if (r < 0) {
        return r;
    }
    snprintf(name, sizeof name, "%.*s", (int)key.len, key.text);
    if (json_object_object_add(object, name, json) < 0) {
        json_object_put(json);
        return xb_error_no_memory(err, "an item");
    }
    return 0;
}

/* Those values of an object whose keys are in `wanted`. */
static int put_wanted(struct xb_slice text, const char *const *wanted, xb_json *object,
                      struct xb_error *err)
{
    struct xb_slices slices;
    struct xb_slice key;
    struct xb_slice value;
    int have = 0;
    int r = xb_slices_begin(&slices, text, err);
    while (r == 0 && (have = xb_slices_next(&slices, &key, &value, err)) > 0) {
        for (size_t i = 0; r == 0 && wanted[i]; i++) {
            if (xb_slice_is(key, wanted[i])) {
                r = put_parsed(object, key, value, err);
            }
        }
    }
    return r ? r : have;
}

static int put_part(xb_json *head, const char *name, struct xb_slice text,
                    const char *const *wanted, struct xb_error *err)
{
    if (text.len == 0 || text.text[0] != '{') {
        return 0;
    }
    xb_json *part = json_object_new_object();
    if (!part || json_object_object_add(head, name, part) < 0) {
        json_object_put(part);
        return xb_error_no_memory(err, "an item");
    }
    return put_wanted(text, wanted, part, err);
}

/* The parts of an object that are looked at; `head` may be NULL. */
struct parts {
    struct xb_slice metadata, status;
    bool has_version, has_kind;
};

static int find_parts(struct xb_slice text, xb_json *head, struct parts *ret, struct xb_error *err)
{
    struct xb_slices slices;
    struct xb_slice key;
    struct xb_slice value;
    struct parts parts = {.has_version = false};
    int have = 0;
    int r = xb_slices_begin(&slices, text, err);
    if (r == 0 && !slices.object) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an item is not an object");
    }
    while (r == 0 && (have = xb_slices_next(&slices, &key, &value, err)) > 0) {
        bool version = xb_slice_is(key, "apiVersion");
        bool kind = xb_slice_is(key, "kind");
        if ((version || kind) && head) {
            r = put_parsed(head, key, value, err);
        }
        parts.has_version = parts.has_version || version;
        parts.has_kind = parts.has_kind || kind;
        if (xb_slice_is(key, "metadata")) {
            parts.metadata = value;
        } else if (xb_slice_is(key, "status")) {
            parts.status = value;
        }
    }
    r = r ? r : have;
    if (r == 0) {
        *ret = parts;
    }
    return r;
}

static void version_of(const struct xb_kube_resource *resource, char out[600])
{
    snprintf(out, 600, "%s%s%s", resource->group, *resource->group ? "/" : "", resource->version);
}

int xb_item_head(const char *text, size_t len, const struct xb_kube_resource *resource,
                 xb_json **ret, struct xb_error *err)
{
    static const char *const of_metadata[] = {"name",   "namespace",         "uid",
                                              "labels", "deletionTimestamp", NULL};
    static const char *const of_status[] = {"phase", NULL};
    char version[600];
    struct parts parts;
    const char *name = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *head = json_object_new_object();
    if (!head) {
        return xb_error_no_memory(err, "an item");
    }
    int r = find_parts((struct xb_slice){text, len}, head, &parts, err);
    r = r ? r : put_part(head, "metadata", parts.metadata, of_metadata, err);
    r = r ? r : put_part(head, "status", parts.status, of_status, err);
    version_of(resource, version);
    if (r == 0 && !parts.has_version) {
        r = xb_json_set_str(head, "apiVersion", version, err);
    }
    if (r == 0 && !parts.has_kind) {
        r = xb_json_set_str(head, "kind", resource->kind, err);
    }
    r = r ? r : xb_json_need_str(head, "metadata.name", true, &name, err);
    if (r == 0) {
        *ret = XB_TAKE(head);
    }
    return r;
}

int xb_item_text(const char *text, size_t len, const struct xb_kube_resource *resource,
                 struct xb_buf *out, struct xb_error *err)
{
    char version[600];
    struct parts parts;
    struct xb_slice whole = {text, len};
    int r = find_parts(whole, NULL, &parts, err);
    if (r < 0) {
        return r;
    }
    version_of(resource, version);
    const char *body = memchr(text, '{', len);
    size_t rest = len - (size_t)(body - text) - 1;
    r = xb_buf_append(out, "{", 1, err);
    if (r == 0 && !parts.has_version) {
        r = xb_buf_printf(out, err, "\"apiVersion\":\"%s\",", version);
    }
    if (r == 0 && !parts.has_kind) {
        r = xb_buf_printf(out, err, "\"kind\":\"%s\",", resource->kind);
    }
    return r ? r : xb_buf_append(out, body + 1, rest, err);
}

/* ---- claims ---- */

static void drop(xb_json *object, const char *key)
{
    if (object && json_object_is_type(object, json_type_object)) {
        json_object_object_del(object, key);
    }
}

static void drop_prefixed(xb_json *labels)
{
    if (!labels || !json_object_is_type(labels, json_type_object)) {
        return;
    }
    struct json_object_iterator at = json_object_iter_begin(labels);
    struct json_object_iterator end = json_object_iter_end(labels);
    while (!json_object_iter_equal(&at, &end)) {
        const char *key = json_object_iter_peek_name(&at);
        json_object_iter_next(&at);
        if (strncmp(key, "velero.io/", 10) == 0) {
            json_object_object_del(labels, key);
        }
    }
}

void xb_item_clean_claim(xb_json *claim, const char *backup)
{
    xb_json *spec = xb_json_get(claim, "spec");
    xb_json *labels = xb_json_get(claim, "metadata.labels");
    if (strcmp(xb_json_str(claim, "status.phase", ""), "Bound") != 0 ||
        !xb_json_str(spec, "volumeName", "")[0]) {
        return;
    }
    drop(spec, "dataSource");
    drop(spec, "dataSourceRef");
    if (strcmp(xb_json_str(spec, "storageClassName", "-"), "") != 0) {
        drop(spec, "selector");
    } else {
        drop_prefixed(xb_json_get(spec, "selector.matchLabels"));
    }
    drop(labels, "velero.io/restore-name");
    drop(labels, "backup.velero.io/must-include-additional-items");
    drop(labels, "velero.io/volume-snapshot-name");
    if (strcmp(xb_json_str(labels, "velero\\.io/backup-name", backup), backup) != 0) {
        drop(labels, "velero.io/backup-name");
    }
}
