/* SPDX-License-Identifier: Apache-2.0
 * Which items the restore's filters take. */
#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"

/* By what is known without looking at the object. */
int xb_bring_choose_kind(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const struct xb_tarball_item *from = item->from;
    (void)err;
    item->api = xb_bring_api(bring, from->resource, from->version);
    if (!item->api) {
        xb_bring_say(item, XB_RECORD_ERROR, "the cluster does not serve this kind (version %s)",
                     from->version);
        item->outcome = XB_BRING_FAILED;
        return 0;
    }
    const struct xb_filter_kind kind = xb_kind_of(item->api);
    if (!xb_filter_takes_kind(bring->filter, &kind) ||
        (from->namespace[0] && !xb_filter_takes_namespace(bring->filter, from->namespace))) {
        item->outcome = XB_BRING_LEFT_OUT;
    }
    return 0;
}

int xb_bring_choose_object(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    (void)err;
    if (!xb_filter_takes_object(bring->filter, item->object)) {
        item->outcome = XB_BRING_LEFT_OUT;
    }
    return 0;
}
