/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/existing.h"

#include <errno.h>
#include <string.h>

/* Objects nest no deeper than a parser takes them. */
enum { DEPTH_MAX = XB_JSON_DEPTH_MAX };

static xb_json *field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

/* Takes `value` over, which may be NULL: the field goes. */
static int put(xb_json *patch, const char *key, xb_json *value, struct xb_error *err)
{
    if (json_object_object_add(patch, key, value) < 0) {
        json_object_put(value);
        return xb_error_no_memory(err, "a patch");
    }
    return 0;
}

static int diff(xb_json *from, xb_json *to, int depth, xb_json **ret, struct xb_error *err);

/* One field of `to`. */
static int diff_field(xb_json *patch, const char *key, xb_json *from, xb_json *to, int depth,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *below = NULL;
    if (!to || json_object_equal(from, to)) {
        return 0; /* null in an object is as good as absent */
    }
    if (depth == 0 || !json_object_is_type(from, json_type_object) ||
        !json_object_is_type(to, json_type_object)) {
        return put(patch, key, json_object_get(to), err);
    }
    int r = diff(from, to, depth - 1, &below, err);
    return r == 0 && below ? put(patch, key, XB_TAKE(below), err) : r;
}

static int diff(xb_json *from, xb_json *to, int depth, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    int r = patch ? 0 : xb_error_no_memory(err, "a patch");
    json_object_object_foreach(to, key, value)
    {
        if (r == 0) {
            r = diff_field(patch, key, field(from, key), value, depth, err);
        }
    }
    json_object_object_foreach(from, old, gone)
    {
        if (r == 0 && gone && !field(to, old)) {
            r = put(patch, old, NULL, err);
        }
    }
    if (r == 0 && json_object_object_length(patch) > 0) {
        *ret = XB_TAKE(patch);
    }
    return r;
}

/* The parts of metadata that are the owner's. */
static int owned_metadata(xb_json *object, xb_json **ret, struct xb_error *err)
{
    static const char *const owned[] = {"labels", "annotations", "finalizers"};
    XB_CLEANUP(xb_json_putp) xb_json *metadata = json_object_new_object();
    int r = metadata ? 0 : xb_error_no_memory(err, "a patch");
    for (size_t i = 0; r == 0 && i < sizeof owned / sizeof owned[0]; i++) {
        xb_json *value = field(field(object, "metadata"), owned[i]);
        r = value ? put(metadata, owned[i], json_object_get(value), err) : 0;
    }
    if (r == 0) {
        *ret = XB_TAKE(metadata);
    }
    return r;
}

/* The object without what the cluster says about it. */
static int owned_part(xb_json *object, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *part = json_object_new_object();
    XB_CLEANUP(xb_json_putp) xb_json *metadata = NULL;
    int r = part ? owned_metadata(object, &metadata, err) : xb_error_no_memory(err, "a patch");
    json_object_object_foreach(object, key, value)
    {
        if (r == 0 && strcmp(key, "metadata") != 0 && strcmp(key, "status") != 0) {
            r = put(part, key, json_object_get(value), err);
        }
    }
    r = r ? r : put(part, "metadata", XB_TAKE(metadata), err);
    if (r == 0) {
        *ret = XB_TAKE(part);
    }
    return r;
}

int xb_restore_update_patch(xb_json *existing, xb_json *wanted, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *from = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *to = NULL;
    if (!json_object_is_type(existing, json_type_object) ||
        !json_object_is_type(wanted, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "it is not a JSON object");
    }
    int r = owned_part(existing, &from, err);
    r = r ? r : owned_part(wanted, &to, err);
    return r ? r : diff(from, to, DEPTH_MAX, ret, err);
}

int xb_restore_label_patch(xb_json *existing, xb_json *wanted, xb_json **ret, struct xb_error *err)
{
    static const char *const keys[] = {"velero.io/backup-name", "velero.io/restore-name"};
    XB_CLEANUP(xb_json_putp) xb_json *labels = json_object_new_object();
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    int r = labels && patch ? 0 : xb_error_no_memory(err, "a patch");
    for (size_t i = 0; r == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        xb_json *label = field(xb_json_get(wanted, "metadata.labels"), keys[i]);
        xb_json *old = field(xb_json_get(existing, "metadata.labels"), keys[i]);
        if (label && !json_object_equal(label, old)) {
            r = put(labels, keys[i], json_object_get(label), err);
        }
    }
    if (r < 0 || json_object_object_length(labels) == 0) {
        return r;
    }
    r = xb_json_set(patch, "metadata.labels", XB_TAKE(labels), err);
    if (r == 0) {
        *ret = XB_TAKE(patch);
    }
    return r;
}
