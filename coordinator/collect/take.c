/* SPDX-License-Identifier: Apache-2.0
 * One object into the tarball. */
#include <stdio.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/item.h"

static int write_item(struct collection *collection, const struct xb_taking *taking,
                      struct xb_error *err)
{
    char resource[640];
    const struct xb_kube_resource *kind = &taking->api->resource;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_TARBALL_ITEM_BYTES_MAX);
    snprintf(resource, sizeof resource, "%s%s%s", kind->plural, kind->group[0] ? "." : "",
             kind->group);
    const struct xb_tarball_item item = {.resource = resource,
                                         .version = kind->version,
                                         .namespace =
                                             xb_json_str(taking->object, "metadata.namespace", ""),
                                         .name = xb_json_str(taking->object, "metadata.name", ""),
                                         .other_version = !taking->api->preferred};
    int r = taking->text ? xb_item_text(taking->text, taking->len, kind, &text, err)
                         : xb_json_write(taking->object, &text, err);
    if (r < 0 || (r = xb_tarball_writer_add(collection->options->writer, &item, text.data, text.len,
                                            err)) < 0) {
        return xb_error_wrap(err, "%s %s", resource, item.name);
    }
    return xb_resource_list_add(&collection->result->list, taking->object, NULL, err);
}

/* By uid, as some kinds are served by two groups; what has none by its place. Versions that are
 * asked for beside the preferred one are items of their own. */
static int add_seen(struct collection *collection, const struct xb_taking *taking, bool *ret_new,
                    struct xb_error *err)
{
    char place[2048];
    const struct xb_kube_resource *kind = &taking->api->resource;
    const char *uid = xb_json_str(taking->object, "metadata.uid", "");
    const char *version = taking->api->preferred ? "" : kind->version;
    if (uid[0]) {
        snprintf(place, sizeof place, "%s%s%s", uid, version[0] ? "/" : "", version);
    } else {
        snprintf(place, sizeof place, "%s.%s/%s/%s/%s", kind->plural, kind->group, version,
                 xb_json_str(taking->object, "metadata.namespace", ""),
                 xb_json_str(taking->object, "metadata.name", ""));
    }
    return xb_seen_add(&collection->items, place, ret_new, err);
}

int xb_collect_write(struct collection *collection, const struct xb_taking *taking,
                     struct xb_error *err)
{
    int r = write_item(collection, taking, err);
    if (r < 0) {
        if (err->kind == XB_ERR_INVALID || err->kind == XB_ERR_CORRUPT) {
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR,
                               xb_json_str(taking->object, "metadata.namespace", ""), "%s",
                               err->text);
            *err = (struct xb_error)XB_ERROR_INIT;
            return 0;
        }
        return r;
    }
    collection->result->items++;
    if (collection->options->progress) {
        collection->options->progress(collection->options->context, collection->result->items);
    }
    return taking->api->preferred ? xb_collect_related(collection, taking->api, taking->object, err)
                                  : 0;
}

static bool is_core(const struct xb_kube_api *api, const char *plural)
{
    return api->resource.group[0] == '\0' && strcmp(api->resource.plural, plural) == 0;
}

/* Of pods and claims more than the head is looked at. What is passed on stays as the server wrote
 * it, but for claims, which are cleaned. */
static int take_apart(struct collection *collection, const struct xb_taking *taking,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *whole = NULL;
    struct xb_taking own = *taking;
    bool claim = is_core(taking->api, "persistentvolumeclaims");
    bool pod = is_core(taking->api, "pods");
    if (taking->text && (claim || pod)) {
        int r = xb_json_parse(taking->text, taking->len, &whole, err);
        r = r ? r : xb_kube_item_complete(whole, &taking->api->resource, err);
        if (r < 0) {
            return r;
        }
        own.object = whole;
    }
    if (claim) {
        xb_item_clean_claim(own.object,
                            xb_json_str(collection->options->backup, "metadata.name", ""));
        own.text = NULL;
    }
    return pod ? xb_collect_take_pod(collection, &own, err)
               : xb_collect_write(collection, &own, err);
}

int xb_collect_take(struct collection *collection, const struct xb_taking *taking,
                    struct xb_error *err)
{
    const char *namespace = xb_json_str(taking->object, "metadata.namespace", "");
    bool is_new = false;
    bool ignored = false;
    if (xb_json_get(taking->object, "metadata.deletionTimestamp") ||
        xb_filter_excluded_by_label(taking->object)) {
        return 0;
    }
    int r = add_seen(collection, taking, &is_new, err);
    if (r < 0 || !is_new) {
        return r;
    }
    if (namespace[0] && (r = xb_seen_add(&collection->namespaces, namespace, &ignored, err)) < 0) {
        return r;
    }
    return take_apart(collection, taking, err);
}
