/* SPDX-License-Identifier: Apache-2.0
 * spec.orderedResources: some objects of a kind come before the others of it, in the order in which
 * they are named (velero-contract section 3, "Item order"). */
#include <stdio.h>
#include <string.h>

#include "coordinator/collect/internal.h"

enum { PLACE_BYTES = 600 };

static int take_one(struct collection *collection, const struct xb_kube_api *api, char *place,
                    struct xb_error *err)
{
    const struct xb_collect_options *options = collection->options;
    char *slash = strchr(place, '/');
    const char *name = slash ? slash + 1 : place;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    if (slash) {
        *slash = '\0';
    }
    const char *namespace = slash ? place : NULL;
    if (api->resource.namespaced != (slash != NULL) ||
        (namespace && !xb_filter_takes_namespace(options->filter, namespace))) {
        xb_record_log_line(options->log, XB_RECORD_WARNING, namespace,
                           "%s %s of spec.orderedResources is not in the backup",
                           api->resource.plural, name);
        return 0;
    }
    const struct xb_kube_ref ref = {.resource = &api->resource,
                                    .namespace = namespace,
                                    .name = name,
                                    .cancel = options->cancel};
    int r = xb_kube_get(options->client, &ref, &object, err);
    if (r < 0 && err->kind != XB_ERR_CANCELLED && err->kind != XB_ERR_RETRY) {
        xb_record_log_line(options->log, XB_RECORD_WARNING, namespace,
                           "%s %s of spec.orderedResources cannot be found: %s",
                           api->resource.plural, name, err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    if (r < 0 || !xb_filter_takes_object(options->filter, object)) {
        return r;
    }
    const struct xb_taking taking = {.api = api, .object = object};
    return xb_collect_take(collection, &taking, err);
}

int xb_collect_ordered(struct collection *collection, const struct xb_kube_api *api,
                       struct xb_error *err)
{
    xb_json *ordered = xb_json_get(collection->options->backup, "spec.orderedResources");
    xb_json *value = NULL;
    int r = 0;
    if (!ordered || !json_object_is_type(ordered, json_type_object) ||
        !json_object_object_get_ex(ordered, api->resource.plural, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return 0;
    }
    bool pods = api->resource.group[0] == '\0' && strcmp(api->resource.plural, "pods") == 0;
    collection->pods_ordered = collection->pods_ordered || pods;
    xb_blocks_join_all(collection->blocks, true);
    for (const char *at = json_object_get_string(value); r == 0 && *at;) {
        char place[PLACE_BYTES];
        at += strspn(at, " ,");
        size_t len = strcspn(at, " ,");
        if (len > 0 && len < sizeof place) {
            memcpy(place, at, len);
            place[len] = '\0';
            r = take_one(collection, api, place, err);
        }
        at += len;
    }
    xb_blocks_join_all(collection->blocks, false);
    return r;
}
