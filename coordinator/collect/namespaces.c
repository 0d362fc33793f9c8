/* SPDX-License-Identifier: Apache-2.0
 * The namespaces of a backup: which there are, which are named and missing, whose objects are in
 * it (velero-contract section 3, "Collection"). */
#include <stdio.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/item.h"
#include "shared/velero/velero.h"

static int add_labelled(void *context, const char *text, size_t len, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    int r = xb_item_head(text, len, &xb_core_namespaces, &head, err);
    if (r < 0) {
        return r;
    }
    xb_json *name = json_object_get(xb_json_get(head, "metadata.name"));
    if (json_object_array_add(context, name) < 0) {
        json_object_put(name);
        return xb_error_no_memory(err, "the excluded namespaces");
    }
    return 0;
}

int xb_collect_exclude_labelled(struct xb_kube_client *client, xb_json *spec,
                                const atomic_bool *cancel, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *names = json_object_new_array();
    const struct xb_kube_list list = {.resource = &xb_core_namespaces,
                                      .label_selector = "velero.io/exclude-from-backup=true",
                                      .cancel = cancel};
    if (!names) {
        return xb_error_no_memory(err, "the excluded namespaces");
    }
    int r = xb_kube_list_texts(client, &list, add_labelled, names, err);
    return r ? r : xb_filter_exclude_namespaces(spec, names, err);
}

struct look {
    const struct xb_filter *filter;
    bool all_in; /* so far */
    struct collection *collection;
};

static int look_at(void *context, const char *text, size_t len, struct xb_error *err)
{
    struct look *look = context;
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    bool ignored = false;
    int r = xb_item_head(text, len, &xb_core_namespaces, &head, err);
    if (r < 0) {
        return r;
    }
    const char *name = xb_json_str(head, "metadata.name", "");
    look->all_in = look->all_in && xb_filter_takes_namespace(look->filter, name);
    return xb_seen_add(&look->collection->existing, name, &ignored, err);
}

int xb_collect_look_at_namespaces(struct collection *collection, struct xb_error *err)
{
    struct xb_filter *filter = collection->options->filter;
    struct look look = {.filter = filter, .all_in = true, .collection = collection};
    const struct xb_kube_list list = {.resource = &xb_core_namespaces,
                                      .cancel = collection->options->cancel};
    if (!xb_filter_lists_namespaces(filter)) {
        return 0;
    }
    int r = xb_kube_list_texts(collection->options->client, &list, look_at, &look, err);
    for (size_t i = 0; r == 0 && i < xb_filter_named_count(filter); i++) {
        const char *name = xb_filter_named(filter, i);
        if (!xb_seen_has(&collection->existing, name)) {
            look.all_in = false;
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR, name,
                               "namespace %s is named in the backup and does not exist", name);
        }
    }
    if (r == 0 && look.all_in) {
        xb_filter_tell_all_namespaces(filter);
    }
    return r;
}

struct listing {
    struct collection *collection;
    const struct xb_kube_api *api;
    bool kind_taken;
};

/* Whether a namespace's own object is in: its labels are selected, or it is one of the chosen (but
 * of everything, when labels select), or something in it was taken. */
static bool tracked(const struct collection *collection, xb_json *head)
{
    const struct xb_filter *filter = collection->options->filter;
    const char *name = xb_json_str(head, "metadata.name", "");
    bool selects = xb_filter_selects(filter);
    if (strcmp(xb_json_str(head, "status.phase", "Active"), "Active") != 0) {
        return false;
    }
    return (selects && xb_filter_selects_labels(filter, xb_json_get(head, "metadata.labels"))) ||
           (xb_filter_takes_namespace(filter, name) &&
            (!selects || !xb_filter_takes_all_namespaces(filter) ||
             xb_seen_has(&collection->namespaces, name)));
}

static int on_namespace(void *context, const char *text, size_t len, struct xb_error *err)
{
    struct listing *listing = context;
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    int r = xb_item_head(text, len, &listing->api->resource, &head, err);
    if (r < 0 || !listing->kind_taken || !tracked(listing->collection, head)) {
        return r;
    }
    const struct xb_taking taking = {.api = listing->api, .object = head, .text = text, .len = len};
    return xb_collect_take(listing->collection, &taking, err);
}

int xb_collect_namespaces(struct collection *collection, struct xb_error *err)
{
    struct listing listing = {
        .collection = collection,
        .api = xb_kube_discovery_find_plural(collection->discovery, "", NULL, "namespaces")};
    const struct xb_kube_list list = {.resource = &xb_core_namespaces,
                                      .cancel = collection->options->cancel};
    if (!listing.api) {
        return 0;
    }
    const struct xb_filter_kind kind = xb_kind_of(listing.api);
    listing.kind_taken = xb_filter_takes_kind(collection->options->filter, &kind);
    return xb_kube_list_texts(collection->options->client, &list, on_namespace, &listing, err);
}
