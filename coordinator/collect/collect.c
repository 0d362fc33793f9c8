/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/item.h"
#include "shared/velero/velero.h"

enum { NAMED_LISTS_MAX = 20 };

/* ---- one kind ---- */

struct listing {
    struct collection *collection;
    const struct xb_kube_api *api;
    bool stopped; /* by what was done with an object, not by the list */
};

static int take_text(struct listing *listing, const char *text, size_t len, struct xb_error *err)
{
    const struct xb_filter *filter = listing->collection->options->filter;
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    int r = xb_item_head(text, len, &listing->api->resource, &head, err);
    if (r < 0) {
        return r;
    }
    if ((listing->api->resource.namespaced &&
         !xb_filter_takes_namespace(filter, xb_json_str(head, "metadata.namespace", ""))) ||
        !xb_filter_takes_object(filter, head)) {
        return 0;
    }
    const struct xb_taking taking = {.api = listing->api, .object = head, .text = text, .len = len};
    return xb_collect_take(listing->collection, &taking, err);
}

/* An object that cannot be read is an error of its own. */
static int on_text(void *context, const char *text, size_t len, struct xb_error *err)
{
    struct listing *listing = context;
    int r = take_text(listing, text, len, err);
    if (r < 0 && err->kind == XB_ERR_CORRUPT) {
        xb_record_log_line(
            listing->collection->options->log, XB_RECORD_ERROR, NULL,
            "one of the %s%s%s cannot be backed up: %s", listing->api->resource.plural,
            listing->api->resource.group[0] ? "." : "", listing->api->resource.group, err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    listing->stopped = listing->stopped || r < 0;
    return r;
}

/* Whether the API server answers at all: then it is this kind that does not. */
static bool server_answers(struct collection *collection)
{
    struct xb_error ignored = XB_ERROR_INIT;
    XB_CLEANUP(xb_buf_free) struct xb_buf body = XB_BUF_INIT(65536);
    return xb_kube_raw_get(collection->options->client, "/version", &body, &ignored) == 0;
}

/* Lists one kind; what the server refuses is an error of this kind only. */
static int list_kind(struct collection *collection, const struct xb_kube_api *api,
                     const char *namespace, struct xb_error *err)
{
    struct listing listing = {collection, api, false};
    const struct xb_kube_list list = {
        .resource = &api->resource, .namespace = namespace, .cancel = collection->options->cancel};
    int r = xb_kube_list_texts(collection->options->client, &list, on_text, &listing, err);
    /* Some versions are gone in the middle of a long list: what was taken is skipped next time. */
    for (int try = 0;
         r < 0 && !listing.stopped && err->kind == XB_ERR_RETRY && try < XB_KUBE_LIST_RESTARTS_MAX;
         try++) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_list_texts(collection->options->client, &list, on_text, &listing, err);
    }
    if (r == 0 || listing.stopped || err->kind == XB_ERR_CANCELLED || err->code == -ENOMEM ||
        (err->kind == XB_ERR_RETRY && !server_answers(collection))) {
        return r;
    }
    xb_record_log_line(collection->options->log, XB_RECORD_ERROR, namespace ? namespace : "",
                       "listing %s%s%s: %s", api->resource.plural,
                       api->resource.group[0] ? "." : "", api->resource.group, err->text);
    *err = (struct xb_error)XB_ERROR_INIT;
    return 0;
}

/* Whether another group's objects of this kind were taken, which are the same ones. */
static bool cohabits(struct collection *collection, const struct xb_kube_resource *resource)
{
    static const struct {
        const char *plural, *groups[2];
    } kinds[XB_COHABITING_KINDS] = {{"deployments", {"extensions", "apps"}},
                                    {"daemonsets", {"extensions", "apps"}},
                                    {"replicasets", {"extensions", "apps"}},
                                    {"networkpolicies", {"extensions", "networking.k8s.io"}},
                                    {"events", {"", "events.k8s.io"}}};
    for (size_t i = 0; i < XB_COHABITING_KINDS; i++) {
        if (strcmp(resource->plural, kinds[i].plural) == 0 &&
            (strcmp(resource->group, kinds[i].groups[0]) == 0 ||
             strcmp(resource->group, kinds[i].groups[1]) == 0)) {
            const char **taken = &collection->cohabiting[i];
            *taken = *taken ? *taken : resource->group;
            return strcmp(*taken, resource->group) != 0;
        }
    }
    return false;
}

static bool listed(struct collection *collection, const struct xb_kube_api *api)
{
    const struct xb_kube_resource *resource = &api->resource;
    const struct xb_filter_kind kind = xb_kind_of(api);
    bool namespaces = resource->group[0] == '\0' && strcmp(resource->plural, "namespaces") == 0;
    return (api->preferred || collection->options->all_versions) && !namespaces &&
           xb_kind_collectable(api) && xb_filter_takes_kind(collection->options->filter, &kind) &&
           !cohabits(collection, resource);
}

static int collect_kind(struct collection *collection, const struct xb_kube_api *api,
                        struct xb_error *err)
{
    const struct xb_filter *filter = collection->options->filter;
    size_t named = xb_filter_named_count(filter);
    if (!listed(collection, api)) {
        return 0;
    }
    int r = xb_collect_ordered(collection, api, err);
    if (!api->resource.namespaced || named == 0 || named > NAMED_LISTS_MAX ||
        !xb_filter_only_named(filter)) {
        r = r ? r : list_kind(collection, api, NULL, err);
        return r ? r : xb_collect_blocks(collection, err);
    }
    for (size_t i = 0; r == 0 && i < named; i++) {
        const char *namespace = xb_filter_named(filter, i);
        r = xb_filter_excludes_namespace(filter, namespace)
                ? 0
                : list_kind(collection, api, namespace, err);
    }
    return r ? r : xb_collect_blocks(collection, err);
}

/* ---- all kinds ---- */

static const char *const first_kinds[] = {"pods", "persistentvolumeclaims", "persistentvolumes"};
enum {
    FIRST_KINDS = sizeof first_kinds / sizeof first_kinds[0],
    TURN_REST = FIRST_KINDS,
    TURN_EXTENSIONS
};

/* When a kind's turn is: pods first, then their claims and volumes, as with Velero; the group
 * "extensions" last. */
static size_t turn_of(const struct xb_kube_resource *resource)
{
    for (size_t i = 0; resource->group[0] == '\0' && i < FIRST_KINDS; i++) {
        if (strcmp(resource->plural, first_kinds[i]) == 0) {
            return i;
        }
    }
    return strcmp(resource->group, "extensions") == 0 ? TURN_EXTENSIONS : TURN_REST;
}

static int collect_kinds(struct collection *collection, struct xb_error *err)
{
    int r = 0;
    for (size_t turn = 0; r == 0 && turn <= TURN_EXTENSIONS; turn++) {
        for (size_t i = 0; r == 0 && i < xb_kube_discovery_count(collection->discovery); i++) {
            const struct xb_kube_api *api = xb_kube_discovery_at(collection->discovery, i);
            r = turn_of(&api->resource) == turn ? collect_kind(collection, api, err) : 0;
        }
    }
    return r;
}

static void tell_failed(struct collection *collection)
{
    const char *failed = NULL;
    for (size_t i = 0; (failed = xb_kube_discovery_failed(collection->discovery, i)); i++) {
        xb_record_log_line(collection->options->log, XB_RECORD_ERROR, NULL,
                           "an API does not answer, its objects are not in the backup: %s", failed);
    }
}

static int resolve(struct collection *collection, struct xb_error *err)
{
    struct xb_filter *filter = collection->options->filter;
    size_t before = xb_filter_problem_count(filter);
    int r = xb_filter_resolve(filter, xb_kind_resolve, collection->discovery, err);
    for (size_t i = before; r == 0 && i < xb_filter_problem_count(filter); i++) {
        xb_record_log_line(collection->options->log, XB_RECORD_WARNING, NULL, "%s",
                           xb_filter_problem(filter, i));
    }
    return r;
}

static int collect_all(struct collection *collection, struct xb_error *err)
{
    int r = xb_kube_discover(collection->options->client, &collection->discovery, err);
    if (r < 0 || (r = resolve(collection, err)) < 0 ||
        (r = xb_collect_look_at_namespaces(collection, err)) < 0 ||
        (r = collect_kinds(collection, err)) < 0) {
        return r;
    }
    tell_failed(collection);
    r = xb_collect_account_for_claims(collection, err);
    return r ? r : xb_collect_namespaces(collection, err);
}

int xb_collect(const struct xb_collect_options *options, struct xb_collected *ret,
               struct xb_error *err)
{
    struct xb_collected result = {.items = 0};
    struct collection collection = {
        .options = options,
        .result = &result,
        .volumes_by_default =
            xb_json_bool(options->backup, "spec.defaultVolumesToFsBackup", false) ||
            xb_json_bool(options->backup, "spec.defaultVolumesToRestic", false)};
    int r = xb_blocks_new(&collection.blocks, err);
    r = r ? r : collect_all(&collection, err);
    xb_blocks_free(collection.blocks);
    xb_kube_discovery_free(collection.discovery);
    xb_seen_free(&collection.items);
    xb_seen_free(&collection.namespaces);
    xb_seen_free(&collection.asked);
    xb_seen_free(&collection.existing);
    xb_claims_free(&collection.claims);
    xb_collect_forget_fetched(&collection.fetched);
    if (collection.bindings) {
        json_object_put(collection.bindings);
    }
    if (r < 0) {
        xb_collected_free(&result);
        return r;
    }
    *ret = result;
    return 0;
}

void xb_collected_volume_free(struct xb_collected_volume *volume)
{
    free(volume->pod_namespace);
    free(volume->pod);
    free(volume->pod_uid);
    free(volume->node);
    free(volume->volume);
    free(volume->claim);
    free(volume->claim_uid);
    free(volume->persistent_volume);
    free(volume->skipped);
    xb_json_putp(&volume->pv_info);
    *volume = (struct xb_collected_volume){.pod = NULL};
}

void xb_collected_free(struct xb_collected *collected)
{
    for (size_t i = 0; i < collected->volume_count; i++) {
        xb_collected_volume_free(&collected->volumes[i]);
    }
    free(collected->volumes);
    xb_resource_list_free(&collected->list);
    *collected = (struct xb_collected){.items = 0};
}
