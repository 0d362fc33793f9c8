/* SPDX-License-Identifier: Apache-2.0
 * Which items the restore's filters take. */
#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"
#include "coordinator/restore/genuine.h"

/* By what is known without looking at the object. */
int xb_bring_choose_kind(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const struct xb_tarball_item *from = item->from;
    (void)err;
    item->api = xb_bring_api(bring, from->resource, from->version);
    if (!item->api && xb_bring_pretend_kind(bring, item)) {
        return 0;
    }
    if (!item->api) {
        xb_bring_say(item, XB_RECORD_ERROR, "the cluster does not serve this kind (version %s)",
                     from->version);
        item->outcome = XB_BRING_FAILED;
        return 0;
    }
    const struct xb_filter_kind kind = xb_kind_of(item->api);
    bool taken = xb_filter_takes_kind(bring->filter, &kind) &&
                 (!from->namespace[0] || xb_filter_takes_namespace(bring->filter, from->namespace));
    if (!taken && !xb_bring_comes_along(bring, from)) {
        item->outcome = XB_BRING_LEFT_OUT;
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
