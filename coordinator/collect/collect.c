/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "shared/base/fnv.h"
#include "shared/velero/velero.h"

enum { SEEN_MAX = XB_TARBALL_ITEMS_MAX, NAMED_LISTS_MAX = 20 };

/* ---- what was seen ---- */

static uint64_t hash_text(const char *text)
{
    uint64_t hash = xb_fnv1a(text);
    return hash ? hash : 1;
}

static size_t seen_slot(const struct xb_seen *seen, uint64_t key)
{
    size_t at = (size_t)(key ^ key >> 31) & (seen->cap - 1);
    while (seen->slots[at] && seen->slots[at] != key) {
        at = (at + 1) & (seen->cap - 1);
    }
    return at;
}

int xb_seen_add(struct xb_seen *seen, const char *text, bool *ret_new, struct xb_error *err)
{
    if (2 * (seen->count + 1) > seen->cap) {
        struct xb_seen grown = {.count = seen->count, .cap = seen->cap ? 2 * seen->cap : 1024};
        if (grown.cap > 4 * (size_t)SEEN_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many items");
        }
        grown.slots = calloc(grown.cap, sizeof *grown.slots);
        if (!grown.slots) {
            return xb_error_no_memory(err, "what was collected");
        }
        for (size_t i = 0; i < seen->cap; i++) {
            if (seen->slots[i]) {
                grown.slots[seen_slot(&grown, seen->slots[i])] = seen->slots[i];
            }
        }
        free(seen->slots);
        *seen = grown;
    }
    uint64_t key = hash_text(text);
    size_t at = seen_slot(seen, key);
    *ret_new = seen->slots[at] == 0;
    seen->count += *ret_new;
    seen->slots[at] = key;
    return 0;
}

bool xb_seen_has(const struct xb_seen *seen, const char *text)
{
    return seen->cap && seen->slots[seen_slot(seen, hash_text(text))] != 0;
}

/* ---- one object ---- */

struct xb_filter_kind xb_collect_kind(const struct xb_kube_api *api,
                                      const char *space[XB_SHORT_NAMES_MAX])
{
    size_t count = 0;
    size_t have = api->short_names ? json_object_array_length(api->short_names) : 0;
    for (size_t i = 0; i < have && count + 1 < XB_SHORT_NAMES_MAX; i++) {
        space[count++] = json_object_get_string(json_object_array_get_idx(api->short_names, i));
    }
    space[count] = NULL;
    return (struct xb_filter_kind){.group = api->resource.group,
                                   .plural = api->resource.plural,
                                   .singular = api->singular,
                                   .kind = api->resource.kind,
                                   .short_names = space,
                                   .namespaced = api->resource.namespaced};
}

static int write_item(struct collection *collection, const struct xb_kube_api *api, xb_json *object,
                      struct xb_error *err)
{
    char resource[512];
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_TARBALL_ITEM_BYTES_MAX);
    snprintf(resource, sizeof resource, "%s%s%s", api->resource.plural,
             api->resource.group[0] ? "." : "", api->resource.group);
    const struct xb_tarball_item item = {.resource = resource,
                                         .version = api->resource.version,
                                         .namespace = xb_json_str(object, "metadata.namespace", ""),
                                         .name = xb_json_str(object, "metadata.name", "")};
    int r = xb_json_write(object, &text, err);
    if (r < 0 || (r = xb_tarball_writer_add(collection->options->writer, &item, text.data, text.len,
                                            err)) < 0) {
        return xb_error_wrap(err, "%s %s", resource, item.name);
    }
    return xb_resource_list_add(&collection->result->list, object, NULL, err);
}

/* By uid, as some kinds are served by two groups; what has none by its place. */
static int add_seen(struct collection *collection, const struct xb_kube_api *api, xb_json *object,
                    bool *ret_new, struct xb_error *err)
{
    char place[2048];
    const char *uid = xb_json_str(object, "metadata.uid", "");
    if (!uid[0]) {
        snprintf(place, sizeof place, "%s.%s/%s/%s", api->resource.plural, api->resource.group,
                 xb_json_str(object, "metadata.namespace", ""),
                 xb_json_str(object, "metadata.name", ""));
        uid = place;
    }
    return xb_seen_add(&collection->items, uid, ret_new, err);
}

static int take_item(struct collection *collection, const struct xb_kube_api *api, xb_json *object,
                     struct xb_error *err)
{
    int r = write_item(collection, api, object, err);
    if (r < 0) {
        if (err->kind == XB_ERR_INVALID) {
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR,
                               xb_json_str(object, "metadata.namespace", ""), "%s", err->text);
            return 0;
        }
        return r;
    }
    collection->result->items++;
    if (collection->options->progress) {
        collection->options->progress(collection->options->context, collection->result->items);
    }
    return xb_collect_related(collection, api, object, err);
}

/* A pod is written only after its pre hooks, which may forbid it. */
static int take_pod(struct collection *collection, const struct xb_kube_api *api, xb_json *pod,
                    struct xb_error *err)
{
    const struct xb_collect_options *options = collection->options;
    struct xb_collected *result = collection->result;
    size_t first = result->volume_count;
    bool take = true;
    int r = xb_collect_pod_volumes(collection, pod, err);
    if (r < 0 || !options->before_pod) {
        return r < 0 ? r : take_item(collection, api, pod, err);
    }
    const struct xb_collected_pod with = {pod, result->volumes + first,
                                          result->volume_count - first};
    r = options->before_pod(options->context, &with, &take, err);
    if (r == 0 && take) {
        r = take_item(collection, api, pod, err);
    }
    options->after_pod(options->context, pod);
    return r;
}

int xb_collect_take(struct collection *collection, const struct xb_kube_api *api, xb_json *object,
                    struct xb_error *err)
{
    const char *namespace = xb_json_str(object, "metadata.namespace", "");
    bool is_new = false;
    bool ignored = false;
    if (xb_json_get(object, "metadata.deletionTimestamp") || xb_filter_excluded_by_label(object)) {
        return 0;
    }
    int r = add_seen(collection, api, object, &is_new, err);
    if (r < 0 || !is_new) {
        return r;
    }
    if (namespace[0] && (r = xb_seen_add(&collection->namespaces, namespace, &ignored, err)) < 0) {
        return r;
    }
    bool pod = api->resource.group[0] == '\0' && strcmp(api->resource.plural, "pods") == 0;
    return pod ? take_pod(collection, api, object, err) : take_item(collection, api, object, err);
}

/* ---- kinds ---- */

struct listing {
    struct collection *collection;
    const struct xb_kube_api *api;
};

static int on_item(void *context, xb_json *object, struct xb_error *err)
{
    struct listing *listing = context;
    const struct xb_filter *filter = listing->collection->options->filter;
    const char *namespace = xb_json_str(object, "metadata.namespace", "");
    if ((listing->api->resource.namespaced &&
         (!xb_filter_takes_namespace(filter, namespace) ||
          xb_seen_has(&listing->collection->left_out, namespace))) ||
        !xb_filter_takes_object(filter, object)) {
        return 0;
    }
    return xb_collect_take(listing->collection, listing->api, object, err);
}

/* Lists one kind; what the server refuses is an error of this kind only. */
static int list_kind(struct collection *collection, const struct xb_kube_api *api,
                     const char *namespace, struct xb_error *err)
{
    struct listing listing = {collection, api};
    const struct xb_kube_list list = {
        .resource = &api->resource, .namespace = namespace, .cancel = collection->options->cancel};
    int r = xb_kube_list_pages(collection->options->client, &list, on_item, &listing, err);
    /* Some versions are gone in the middle of a long list: what was taken is skipped next time. */
    for (int try = 0; r < 0 && err->kind == XB_ERR_RETRY && try < XB_KUBE_LIST_RESTARTS_MAX;
         try++) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_list_pages(collection->options->client, &list, on_item, &listing, err);
    }
    if (r < 0 && (err->kind == XB_ERR_DENIED || err->kind == XB_ERR_NOT_FOUND ||
                  err->kind == XB_ERR_INVALID || err->kind == XB_ERR_RETRY)) {
        xb_record_log_line(collection->options->log, XB_RECORD_ERROR, namespace ? namespace : "",
                           "listing %s%s%s: %s", api->resource.plural,
                           api->resource.group[0] ? "." : "", api->resource.group, err->text);
        return 0;
    }
    return r;
}

static bool collectable(const struct xb_kube_api *api)
{
    static const char *const never[] = {"volumesnapshots", "volumesnapshotcontents"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (strcmp(api->resource.group, "snapshot.storage.k8s.io") == 0 &&
            strcmp(api->resource.plural, never[i]) == 0) {
            return false;
        }
    }
    return api->preferred && xb_kube_api_can(api, "list") && xb_kube_api_can(api, "create") &&
           xb_kube_api_can(api, "get") && xb_kube_api_can(api, "delete");
}

static int collect_kind(struct collection *collection, const struct xb_kube_api *api,
                        struct xb_error *err)
{
    const struct xb_filter *filter = collection->options->filter;
    const char *space[XB_SHORT_NAMES_MAX];
    const struct xb_filter_kind kind = xb_collect_kind(api, space);
    size_t named = xb_filter_named_count(filter);
    bool namespaces =
        api->resource.group[0] == '\0' && strcmp(api->resource.plural, "namespaces") == 0;
    if (!collectable(api) || namespaces || !xb_filter_takes_kind(filter, &kind)) {
        return 0;
    }
    if (!api->resource.namespaced || named == 0 || named > NAMED_LISTS_MAX ||
        !xb_filter_only_named(filter)) {
        return list_kind(collection, api, NULL, err);
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < named; i++) {
        r = list_kind(collection, api, xb_filter_named(filter, i), err);
    }
    return r;
}

/* Pods first, then their claims and volumes, as Velero does. */
static int collect_first(struct collection *collection, struct xb_error *err)
{
    static const char *const first[] = {"pods", "persistentvolumeclaims", "persistentvolumes"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof first / sizeof first[0]; i++) {
        const struct xb_kube_api *api =
            xb_kube_discovery_find_plural(collection->discovery, "", NULL, first[i]);
        r = api ? collect_kind(collection, api, err) : 0;
    }
    return r;
}

static int on_namespace(void *context, xb_json *object, struct xb_error *err)
{
    struct listing *listing = context;
    struct collection *collection = listing->collection;
    const struct xb_filter *filter = collection->options->filter;
    const char *name = xb_json_str(object, "metadata.name", "");
    bool holds = xb_seen_has(&collection->namespaces, name);
    bool active = strcmp(xb_json_str(object, "status.phase", "Active"), "Active") == 0;
    if (!active || !xb_filter_takes_namespace(filter, name) ||
        (!holds && !xb_filter_takes_object(filter, object))) {
        return 0;
    }
    return xb_collect_take(collection, listing->api, object, err);
}

static int collect_namespaces(struct collection *collection, struct xb_error *err)
{
    const struct xb_filter *filter = collection->options->filter;
    struct listing listing = {
        collection, xb_kube_discovery_find_plural(collection->discovery, "", NULL, "namespaces")};
    const struct xb_kube_list list = {.resource = &xb_core_namespaces,
                                      .cancel = collection->options->cancel};
    if (!listing.api) {
        return 0;
    }
    int r = xb_kube_list_pages(collection->options->client, &list, on_namespace, &listing, err);
    for (size_t i = 0; r == 0 && i < xb_filter_named_count(filter); i++) {
        XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
        struct xb_error missing = XB_ERROR_INIT;
        const struct xb_kube_ref ref = {.resource = &xb_core_namespaces,
                                        .name = xb_filter_named(filter, i)};
        if (xb_kube_get(collection->options->client, &ref, &found, &missing) < 0 &&
            missing.kind == XB_ERR_NOT_FOUND) {
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR, ref.name,
                               "namespace %s is named in the backup and does not exist", ref.name);
        }
    }
    return r;
}

static int leave_out(void *context, xb_json *object, struct xb_error *err)
{
    struct collection *collection = context;
    bool ignored = false;
    return xb_seen_add(&collection->left_out, xb_json_str(object, "metadata.name", ""), &ignored,
                       err);
}

/* The label on a namespace keeps all of it out, as if the backup excluded it by name. */
static int find_left_out(struct collection *collection, struct xb_error *err)
{
    const struct xb_kube_list list = {.resource = &xb_core_namespaces,
                                      .label_selector = "velero.io/exclude-from-backup=true",
                                      .cancel = collection->options->cancel};
    return xb_kube_list_pages(collection->options->client, &list, leave_out, collection, err);
}

static int collect_all(struct collection *collection, struct xb_error *err)
{
    int r = find_left_out(collection, err);
    if (r == 0) {
        r = collect_first(collection, err);
    }
    for (size_t i = 0; r == 0 && i < xb_kube_discovery_count(collection->discovery); i++) {
        r = collect_kind(collection, xb_kube_discovery_at(collection->discovery, i), err);
    }
    const char *failed = NULL;
    for (size_t i = 0; (failed = xb_kube_discovery_failed(collection->discovery, i)); i++) {
        xb_record_log_line(collection->options->log, XB_RECORD_ERROR, NULL,
                           "an API does not answer, its objects are not in the backup: %s", failed);
    }
    if (r == 0) {
        r = xb_collect_account_for_claims(collection, err);
    }
    return r < 0 ? r : collect_namespaces(collection, err);
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
    int r = xb_kube_discover(options->client, &collection.discovery, err);
    if (r == 0) {
        r = collect_all(&collection, err);
    }
    xb_kube_discovery_free(collection.discovery);
    free(collection.items.slots);
    free(collection.namespaces.slots);
    free(collection.left_out.slots);
    free(collection.kinds.slots);
    xb_claims_free(&collection.claims);
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
