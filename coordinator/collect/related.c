/* SPDX-License-Identifier: Apache-2.0
 * What items drag in (velero-contract section 3, "Built-in item actions"). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/collect/accounts.h"
#include "coordinator/collect/internal.h"
#include "shared/velero/velero.h"

struct related {
    const char *namespace; /* NULL: cluster-scoped */
    const char *name;
    bool expected;
};

/* Whether the objects of a kind have an order of their own, which nothing may come before. */
static bool ordered(const struct collection *collection, const struct xb_kube_api *api)
{
    xb_json *orders = xb_json_get(collection->options->backup, "spec.orderedResources");
    return json_object_is_type(orders, json_type_object) &&
           json_object_object_get_ex(orders, api->resource.plural, NULL);
}

/* Whether a kind may be dragged in, and the listing of the kind itself will not bring it, or would
 * only bring what is at hand. */
static bool wanted(const struct collection *collection, const struct xb_kube_api *api, bool at_hand)
{
    const struct xb_filter *filter = collection->options->filter;
    const struct xb_filter_kind kind = xb_kind_of(api);
    bool listed = xb_filter_takes_kind(filter, &kind) && xb_kind_collectable(api) &&
                  !xb_filter_selects(filter);
    return xb_filter_takes_related(filter, &kind) &&
           (!listed || (at_hand && !ordered(collection, api)));
}

/* What names nothing is a warning where something is expected; what cannot be read is an error. */
static int tell_missing(const struct collection *collection, const struct xb_kube_api *api,
                        const struct related *related, struct xb_error *err)
{
    bool missing = err->kind == XB_ERR_NOT_FOUND;
    if (err->kind == XB_ERR_CANCELLED) {
        return err->code;
    }
    if (!missing || related->expected) {
        xb_record_log_line(collection->options->log, missing ? XB_RECORD_WARNING : XB_RECORD_ERROR,
                           related->namespace ? related->namespace : "",
                           "%s %s belongs to what is backed up: %s", api->resource.plural,
                           related->name, err->text);
    }
    *err = (struct xb_error)XB_ERROR_INIT;
    return 0;
}

/* What is at hand is copied, as what is taken may be changed. */
static int get(struct collection *collection, const struct xb_kube_ref *ref, bool at_hand,
               xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    if (!at_hand) {
        return xb_kube_get(collection->options->client, ref, ret, err);
    }
    int r = xb_collect_fetch(collection, ref->resource, ref->namespace, ref->name, &object, err);
    if (r < 0) {
        return r;
    }
    return json_object_deep_copy(object, ret, NULL) < 0 ? xb_error_no_memory(err, "an object") : 0;
}

/* Gets one object and takes it, once. */
static int take_named(struct collection *collection, const struct xb_kube_api *api,
                      const struct related *related, struct xb_error *err)
{
    char place[2048];
    bool is_new = false;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    if (!api || !related->name[0]) {
        return 0;
    }
    const struct xb_kube_ref ref = {.resource = &api->resource,
                                    .namespace = related->namespace,
                                    .name = related->name,
                                    .cancel = collection->options->cancel};
    bool at_hand =
        xb_collect_has_fetched(collection, ref.resource, related->namespace, related->name);
    if (!wanted(collection, api, at_hand)) {
        return 0;
    }
    snprintf(place, sizeof place, "%s.%s/%s/%s", api->resource.plural, api->resource.group,
             related->namespace ? related->namespace : "", related->name);
    int r = xb_seen_add(&collection->asked, place, &is_new, err);
    if (r < 0 || !is_new) {
        return r;
    }
    if (get(collection, &ref, at_hand, &object, err) < 0) {
        return err->code == -ENOMEM ? err->code : tell_missing(collection, api, related, err);
    }
    const struct xb_taking taking = {.api = api, .object = object};
    return xb_collect_take(collection, &taking, err);
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
    const struct related class = {.name = xb_json_str(pod, "spec.priorityClassName", ""),
                                  .expected = true};
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct related claim = {.namespace = namespace,
                                      .name = xb_json_str(json_object_array_get_idx(volumes, i),
                                                          "persistentVolumeClaim.claimName", ""),
                                      .expected = true};
        r = take_named(collection, find(collection, "", "persistentvolumeclaims"), &claim, err);
    }
    return r ? r
             : take_named(collection, find(collection, "scheduling.k8s.io", "priorityclasses"),
                          &class, err);
}

static int claim_related(struct collection *collection, xb_json *claim, struct xb_error *err)
{
    const struct related volume = {.name = xb_json_str(claim, "spec.volumeName", ""),
                                   .expected = true};
    return strcmp(xb_json_str(claim, "status.phase", ""), "Bound") == 0
               ? take_named(collection, find(collection, "", "persistentvolumes"), &volume, err)
               : 0;
}

/* ---- accounts ---- */

static int keep_binding(void *context, xb_json *item, struct xb_error *err)
{
    struct collection *collection = context;
    return xb_accounts_note(collection->bindings, item, &collection->binding_count, err);
}

/* Bindings that cannot be listed are an error of the backup, as any kind that cannot. */
static int load_bindings(struct collection *collection, const struct xb_kube_api *api,
                         struct xb_error *err)
{
    if (collection->bindings) {
        return 0;
    }
    collection->bindings = json_object_new_object();
    if (!collection->bindings) {
        return xb_error_no_memory(err, "the accounts' bindings");
    }
    const struct xb_kube_list list = {.resource = &api->resource,
                                      .cancel = collection->options->cancel};
    int r = xb_kube_list_pages(collection->options->client, &list, keep_binding, collection, err);
    if (r == 0 || err->kind == XB_ERR_CANCELLED || err->code == -ENOMEM) {
        return r;
    }
    xb_record_log_line(collection->options->log, XB_RECORD_ERROR, "",
                       "not all clusterrolebindings of the accounts are known: %s", err->text);
    *err = (struct xb_error)XB_ERROR_INIT;
    return 0;
}

static int account_related(struct collection *collection, xb_json *account, struct xb_error *err)
{
    static const char group[] = "rbac.authorization.k8s.io";
    const struct xb_kube_api *bindings = find(collection, group, "clusterrolebindings");
    const struct xb_kube_api *roles = find(collection, group, "clusterroles");
    struct xb_account_binding binding;
    if (!bindings || !roles ||
        (!wanted(collection, bindings, false) && !wanted(collection, roles, false))) {
        return 0;
    }
    int r = load_bindings(collection, bindings, err);
    for (size_t i = 0; r == 0 && xb_accounts_binding(collection->bindings, account, i, &binding);
         i++) {
        const struct related one = {.name = binding.name, .expected = true};
        const struct related role = {.name = binding.role, .expected = true};
        r = take_named(collection, bindings, &one, err);
        r = r ? r : take_named(collection, roles, &role, err);
    }
    return r;
}

/* A custom resource is worth nothing without its definition. Built-in kinds have none, and that is
 * found out by a request that says so: once per kind. */
static int definition_related(struct collection *collection,
                              const struct xb_kube_resource *resource, struct xb_error *err)
{
    char name[640];
    const struct related definition = {.name = name};
    snprintf(name, sizeof name, "%s.%s", resource->plural, resource->group);
    return take_named(collection,
                      find(collection, "apiextensions.k8s.io", "customresourcedefinitions"),
                      &definition, err);
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
        return r ? r : claim_related(collection, object, err);
    }
    if (core && strcmp(resource->plural, "serviceaccounts") == 0) {
        return account_related(collection, object, err);
    }
    return strchr(resource->group, '.') ? definition_related(collection, resource, err) : 0;
}
