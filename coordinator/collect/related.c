/* SPDX-License-Identifier: Apache-2.0
 * What items drag in (velero-contract section 3, "Built-in item actions"). */
#include <stdio.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "shared/kube/informer.h"
#include "shared/velero/velero.h"

/* Gets one object and takes it, if its kind may come in as a related one. Missing is not wrong:
 * names in specs may name nothing. */
static int take_named(struct collection *collection, const struct xb_kube_api *api,
                      const char *namespace, const char *name, struct xb_error *err)
{
    const char *space[XB_SHORT_NAMES_MAX];
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    if (!api || !name[0]) {
        return 0;
    }
    const struct xb_filter_kind kind = xb_collect_kind(api, space);
    if (!xb_filter_takes_related(collection->options->filter, &kind)) {
        return 0;
    }
    const struct xb_kube_ref ref = {
        .resource = &api->resource, .namespace = namespace, .name = name};
    int r = xb_kube_get(collection->options->client, &ref, &object, err);
    if (r < 0) {
        if (err->kind != XB_ERR_NOT_FOUND) {
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR,
                               namespace ? namespace : "", "getting %s %s: %s",
                               api->resource.plural, name, err->text);
        }
        return err->kind == XB_ERR_CANCELLED ? r : 0;
    }
    return xb_collect_take(collection, api, object, err);
}

static const struct xb_kube_api *find(struct collection *collection, const char *group,
                                      const char *plural)
{
    return xb_kube_discovery_find_plural(collection->discovery, group, NULL, plural);
}

/* ---- pods ---- */

static int pod_related(struct collection *collection, xb_json *pod, struct xb_error *err)
{
    const char *namespace = xb_json_str(pod, "metadata.namespace", "");
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *claim = xb_json_str(json_object_array_get_idx(volumes, i),
                                        "persistentVolumeClaim.claimName", "");
        r = take_named(collection, find(collection, "", "persistentvolumeclaims"), namespace, claim,
                       err);
    }
    if (r == 0) {
        r = take_named(collection, find(collection, "scheduling.k8s.io", "priorityclasses"), NULL,
                       xb_json_str(pod, "spec.priorityClassName", ""), err);
    }
    return r;
}

/* ---- accounts ---- */

static int keep_binding(void *context, xb_json *item, struct xb_error *err)
{
    (void)err;
    xb_kube_trim_managed_fields(NULL, item);
    json_object_array_add(context, json_object_get(item));
    return 0;
}

static int load_bindings(struct collection *collection, const struct xb_kube_api *api,
                         struct xb_error *err)
{
    if (collection->bindings) {
        return 0;
    }
    collection->bindings = json_object_new_array();
    const struct xb_kube_list list = {.resource = &api->resource,
                                      .cancel = collection->options->cancel};
    return xb_kube_list_pages(collection->options->client, &list, keep_binding,
                              collection->bindings, err);
}

static bool names_account(xb_json *binding, const char *namespace, const char *name)
{
    xb_json *subjects = xb_json_get(binding, "subjects");
    size_t count =
        json_object_is_type(subjects, json_type_array) ? json_object_array_length(subjects) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *subject = json_object_array_get_idx(subjects, i);
        if (strcmp(xb_json_str(subject, "kind", ""), "ServiceAccount") == 0 &&
            strcmp(xb_json_str(subject, "name", ""), name) == 0 &&
            strcmp(xb_json_str(subject, "namespace", ""), namespace) == 0) {
            return true;
        }
    }
    return false;
}

static int account_related(struct collection *collection, xb_json *account, struct xb_error *err)
{
    static const char group[] = "rbac.authorization.k8s.io";
    const struct xb_kube_api *bindings = find(collection, group, "clusterrolebindings");
    const struct xb_kube_api *roles = find(collection, group, "clusterroles");
    int r = bindings ? load_bindings(collection, bindings, err) : 0;
    if (r < 0 || !bindings) {
        return r;
    }
    size_t count = json_object_array_length(collection->bindings);
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_json *binding = json_object_array_get_idx(collection->bindings, i);
        if (names_account(binding, xb_json_str(account, "metadata.namespace", ""),
                          xb_json_str(account, "metadata.name", ""))) {
            r = take_named(collection, bindings, NULL, xb_json_str(binding, "metadata.name", ""),
                           err);
            if (r == 0) {
                r = take_named(collection, roles, NULL, xb_json_str(binding, "roleRef.name", ""),
                               err);
            }
        }
    }
    return r;
}

/* A custom resource is worth nothing without its definition. Built-in kinds have none, and that is
 * found out by a request that says so: once per kind. */
static int definition_related(struct collection *collection,
                              const struct xb_kube_resource *resource, struct xb_error *err)
{
    char name[512];
    bool is_new = false;
    snprintf(name, sizeof name, "%s.%s", resource->plural, resource->group);
    int r = xb_seen_add(&collection->kinds, name, &is_new, err);
    if (r < 0 || !is_new) {
        return r;
    }
    return take_named(collection,
                      find(collection, "apiextensions.k8s.io", "customresourcedefinitions"), NULL,
                      name, err);
}

int xb_collect_related(struct collection *collection, const struct xb_kube_api *api,
                       xb_json *object, struct xb_error *err)
{
    const struct xb_kube_resource *resource = &api->resource;
    bool core = resource->group[0] == '\0';
    if (core && strcmp(resource->plural, "pods") == 0) {
        return pod_related(collection, object, err);
    }
    if (core && strcmp(resource->plural, "persistentvolumeclaims") == 0) {
        int r = xb_collect_note_claim(collection, object, err);
        return r < 0 ? r
                     : take_named(collection, find(collection, "", "persistentvolumes"), NULL,
                                  xb_json_str(object, "spec.volumeName", ""), err);
    }
    if (core && strcmp(resource->plural, "serviceaccounts") == 0) {
        return account_related(collection, object, err);
    }
    return strchr(resource->group, '.') ? definition_related(collection, resource, err) : 0;
}
