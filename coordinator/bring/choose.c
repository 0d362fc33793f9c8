/* SPDX-License-Identifier: Apache-2.0
 * Which items the restore's filters take. */
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"
#include "coordinator/restore/genuine.h"

/* The kind as its folder names it: one that is not served here is left out, too, if the filters do
 * not take it. `plural`: for the name. */
static struct xb_filter_kind kind_of(const struct xb_bring_item *item,
                                     char plural[XB_VELERO_NAME_BYTES])
{
    const char *resource = item->from->resource;
    size_t len = strcspn(resource, ".");
    if (item->api) {
        return xb_kind_of(item->api);
    }
    snprintf(plural, XB_VELERO_NAME_BYTES, "%.*s", (int)(len < 250 ? len : 250), resource);
    return (struct xb_filter_kind){.group = resource[len] ? resource + len + 1 : "",
                                   .plural = plural,
                                   .namespaced = item->from->namespace[0] != '\0'};
}

/* By what is known without looking at the object. */
int xb_bring_choose_kind(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const struct xb_tarball_item *from = item->from;
    char plural[XB_VELERO_NAME_BYTES];
    (void)err;
    item->api = xb_bring_api(bring, from->resource, from->version);
    const struct xb_filter_kind kind = kind_of(item, plural);
    bool taken = xb_filter_takes_kind(bring->filter, &kind) &&
                 (!from->namespace[0] || xb_filter_takes_namespace(bring->filter, from->namespace));
    if (!taken && !xb_bring_comes_along(bring, from)) {
        item->outcome = XB_BRING_LEFT_OUT;
    } else if (!item->api && !xb_bring_pretend_kind(bring, item)) {
        xb_bring_say(item, XB_RECORD_ERROR, "the cluster does not serve this kind (version %s)",
                     from->version);
        item->outcome = XB_BRING_FAILED;
    }
    return 0;
}

/* Folders have said so far what it is. */
int xb_bring_check_place(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    (void)bring;
    const struct xb_restore_place place = {.group = item->api->resource.group,
                                           .kind = item->api->resource.kind,
                                           .namespace = item->from->namespace,
                                           .name = item->from->name};
    return xb_restore_check_place(item->object, &place, err);
}

bool xb_bring_selects(const struct xb_bring *bring, xb_json *object)
{
    return !xb_filter_selects(bring->filter) ||
           xb_filter_selects_labels(bring->filter, xb_json_get(object, "metadata.labels"));
}

int xb_bring_choose_object(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    (void)err;
    if (!xb_bring_selects(bring, item->object) && !xb_bring_comes_along(bring, item->from)) {
        item->outcome = XB_BRING_LEFT_OUT;
    }
    return 0;
}
