/* SPDX-License-Identifier: Apache-2.0
 * The status of an object, which the cluster says of it as a rule, for those that are to have that
 * of the backup. */
#include <ctype.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"

#define ANNOTATION "metadata.annotations.velero\\.io/restore-status"

/* The annotation beats the spec; written by people, in any case and with blanks. */
static bool wants_status(const struct xb_bring *bring, struct xb_bring_item *item)
{
    const struct xb_filter_kind kind = xb_kind_of(item->api);
    bool wants = bring->status_filter && xb_filter_takes_kind(bring->status_filter, &kind);
    const char *text = xb_json_str(item->object, ANNOTATION, NULL);
    if (!text) {
        return wants;
    }
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        len--;
    }
    if (len == 4 && strncasecmp(text, "true", 4) == 0) {
        return true;
    }
    if (len == 5 && strncasecmp(text, "false", 5) == 0) {
        return false;
    }
    xb_bring_say(item, XB_RECORD_INFO,
                 "annotation velero.io/restore-status: '%.60s' is neither true nor false; the "
                 "restore's own word counts",
                 text);
    return wants;
}

int xb_bring_keep_status(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    xb_json *status = xb_json_get(item->object, "status");
    (void)err;
    if (status && wants_status(bring, item)) {
        item->status = json_object_get(status); /* of this item alone, like the object */
    }
    return 0;
}

/* What refuses it has the object all the same, so it is a warning, as with Velero. */
int xb_bring_return_status(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    if (!item->status || !item->there || item->done_before) {
        return 0;
    }
    struct xb_kube_ref ref = xb_bring_ref(item);
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    ref.subresource = "status";
    int r = patch ? xb_json_set(patch, "status", json_object_get(item->status), err)
                  : xb_error_no_memory(err, "a status");
    r = r ? r : xb_bring_may_write(bring, err);
    r = r ? r : xb_kube_merge_patch(bring->options->client, &ref, patch, NULL, err);
    if (r < 0 && err->kind != XB_ERR_CANCELLED && err->kind != XB_ERR_FULL) {
        xb_bring_say(item, XB_RECORD_WARNING, "its status cannot be restored: %s", err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

/* The spec's part about it, as a filter of its own. Without one no status is restored. */
int xb_bring_status_filter(xb_json *restore, struct xb_filter **ret, struct xb_error *err)
{
    xb_json *lists = xb_json_get(restore, "spec.restoreStatus");
    return lists ? xb_filter_new(lists, ret, err) : 0;
}
