/* SPDX-License-Identifier: Apache-2.0
 * Who owns which field (metadata.managedFields). Whoever creates an object owns all of it, so that
 * a manager that applies it afterwards (server-side apply: Flux, Argo CD) could not take a field
 * away any more: we would own it too. So where the backup's object was applied by somebody, its
 * fields get their owners back. All others are spared that second request. */
#include <string.h>

#include "coordinator/bring/internal.h"

int xb_bring_keep_owners(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    xb_json *owners = xb_json_get(item->object, "metadata.managedFields");
    size_t count =
        json_object_is_type(owners, json_type_array) ? json_object_array_length(owners) : 0;
    (void)bring;
    (void)err;
    for (size_t i = 0; i < count && !item->owners; i++) {
        xb_json *one = json_object_array_get_idx(owners, i);
        if (strcmp(xb_json_str(one, "operation", ""), "Apply") == 0) {
            item->owners = json_object_get(owners);
        }
    }
    return 0;
}

/* The object is restored in any case; that its owners are not is a warning. */
int xb_bring_return_owners(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    if (!item->owners || !item->there || item->done_before) {
        return 0;
    }
    const struct xb_kube_ref ref = xb_bring_ref(item);
    struct xb_error why = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    int r = xb_json_set(patch, "metadata.managedFields", json_object_get(item->owners), err);
    r = r ? r : xb_bring_may_write(bring, err);
    if (r == 0 && xb_kube_merge_patch(bring->options->client, &ref, patch, NULL, &why) < 0) {
        xb_bring_say(item, XB_RECORD_WARNING, "its fields did not get their owners back: %s",
                     why.text);
    }
    return r;
}
