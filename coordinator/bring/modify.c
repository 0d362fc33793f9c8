/* SPDX-License-Identifier: Apache-2.0
 * What users change about objects on their way: storage classes and images that have other names
 * here, and resource modifiers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/mapping.h"

/* ---- storage classes, images ---- */

struct mapping {
    struct xb_bring *bring;
    struct xb_bring_item *item;
};

static bool class_is_known(struct xb_bring *bring, const char *class, bool remember)
{
    pthread_mutex_lock(&bring->lock);
    bool known = json_object_object_get_ex(bring->classes_seen, class, NULL);
    if (remember && !known) {
        json_object_object_add(bring->classes_seen, class, json_object_new_boolean(true));
    }
    pthread_mutex_unlock(&bring->lock);
    return known;
}

/* A claim of a class that is not there would wait for ever. */
static int map_class(void *context, const char *from, const char *to, struct xb_error *err)
{
    static const struct xb_kube_resource classes = {"storage.k8s.io", "v1", "storageclasses",
                                                    "StorageClass", false};
    const struct mapping *mapping = context;
    const struct xb_kube_ref ref = {.resource = &classes, .name = to};
    XB_CLEANUP(xb_json_putp) xb_json *class = NULL;
    if (!xb_velero_name_valid(to)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "change-storage-class: '%.100s' is no name of a storage class", to);
    }
    if (!class_is_known(mapping->bring, to, false)) {
        int r = xb_kube_get(mapping->bring->options->client, &ref, &class, err);
        if (r < 0) {
            return xb_error_wrap(err, "change-storage-class maps '%.100s' to '%.100s'", from, to);
        }
        class_is_known(mapping->bring, to, true);
    }
    xb_bring_say(mapping->item, XB_RECORD_INFO, "storage class %s becomes %s", from, to);
    return 0;
}

static int map_image(void *context, const char *from, const char *to, struct xb_error *err)
{
    const struct mapping *mapping = context;
    (void)err;
    xb_bring_say(mapping->item, XB_RECORD_INFO, "image %s becomes %s", from, to);
    return 0;
}

int xb_bring_change_names(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    struct mapping mapping = {.bring = bring, .item = item};
    const char *resource = item->from->resource;
    const char *problem = xb_restore_has_classes(resource) ? bring->classes.problem : NULL;
    problem = !problem && xb_restore_has_images(resource) ? bring->images.problem : problem;
    if (problem) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", problem);
    }
    int r = xb_restore_map_classes(bring->classes.data, resource, item->object, map_class, &mapping,
                                   err);
    return r < 0 ? r
                 : xb_restore_map_images(bring->images.data, resource, item->object, map_image,
                                         &mapping, err);
}

/* ---- resource modifiers ---- */

static void report(void *context, enum xb_modify_outcome outcome, const char *text)
{
    struct xb_bring_item *item = context;
    switch (outcome) {
    case XB_MODIFY_APPLIED:
        xb_bring_say(item, XB_RECORD_INFO, "modified by %s", text);
        break;
    case XB_MODIFY_TEST_FAILED:
        xb_bring_say(item, XB_RECORD_INFO, "not modified: %s", text);
        break;
    case XB_MODIFY_FAILED:
        xb_bring_say(item, XB_RECORD_ERROR, "not modified: %s", text);
        break;
    }
}

/* The kind in the version that the object has now. */
static int find_api(const struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const char *version = xb_json_str(item->object, "apiVersion", "");
    const char *slash = strchr(version, '/');
    char resource[400];
    size_t plural = strcspn(item->from->resource, ".");
    snprintf(resource, sizeof resource, "%.*s%s%.*s", (int)plural, item->from->resource,
             slash ? "." : "", slash ? (int)(slash - version) : 0, version);
    const struct xb_kube_api *api = xb_bring_api(bring, resource, slash ? slash + 1 : version);
    if (!api) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "modified, it is a %.100s of %.100s, which this cluster does not serve",
                            xb_json_str(item->object, "kind", ""), version);
    }
    item->api = api;
    return 0;
}

/* Modifiers see the object in the namespace that it was in; where it goes is not theirs to say. */
int xb_bring_modify(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const char *namespace = item->from->namespace;
    char before[300];
    if (!bring->modifiers) {
        return 0;
    }
    snprintf(before, sizeof before, "%s", xb_json_str(item->object, "apiVersion", ""));
    int r = namespace[0] ? xb_json_set_str(item->object, "metadata.namespace", namespace, err) : 0;
    if (r < 0 ||
        (r = xb_modifiers_apply(bring->modifiers, item->from->resource, &item->object, report, item,
                                err)) < 0 ||
        (r = xb_restore_settle(&bring->context, namespace, item->object, err)) < 0) {
        return r;
    }
    return strcmp(before, xb_json_str(item->object, "apiVersion", "")) == 0
               ? 0
               : find_api(bring, item, err);
}
