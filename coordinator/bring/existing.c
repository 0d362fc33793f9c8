/* SPDX-License-Identifier: Apache-2.0
 * What becomes of an item whose object is there already. */
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/existing.h"

/* By its label, and because it is younger than the Restore: an earlier restore may have had the
 * same name. Both times are the API server's. */
bool xb_bring_made_by_us(const struct xb_bring *bring, xb_json *existing)
{
    if (strcmp(xb_json_str(existing, "metadata.creationTimestamp", ""),
               xb_json_str(bring->restore, "metadata.creationTimestamp", "")) < 0) {
        return false;
    }
    xb_json *labels = xb_json_get(existing, "metadata.labels");
    xb_json *label = NULL;
    return labels && json_object_object_get_ex(labels, "velero.io/restore-name", &label) &&
           strcmp(json_object_get_string(label), bring->restore_label) == 0;
}

static bool updates(const struct xb_bring *bring)
{
    return strcmp(xb_json_str(bring->restore, "spec.existingResourcePolicy", ""), "update") == 0;
}

static int put_patch(struct xb_bring *bring, const struct xb_bring_item *item, xb_json *patch,
                     struct xb_error *err)
{
    const struct xb_kube_ref ref = xb_bring_ref(item);
    int r = xb_bring_may_write(bring, err);
    return r ? r : xb_kube_merge_patch(bring->options->client, &ref, patch, NULL, err);
}

static int put_labels(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    int r = xb_restore_label_patch(existing, item->object, &patch, err);
    r = r < 0 || !patch ? r : put_patch(bring, item, patch, err);
    return r < 0 ? xb_error_wrap(err, "the labels of backup and restore cannot be put on") : r;
}

/* With Velero, too, what could not be changed as a whole is one that failed, by a warning. */
static int put_or_label(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                        xb_json *patch, struct xb_error *err)
{
    int r = put_patch(bring, item, patch, err);
    if (r == 0) {
        item->outcome = XB_BRING_UPDATED;
        return 0;
    }
    if (err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_FULL) {
        return r;
    }
    xb_bring_say(item, XB_RECORD_WARNING, "is there already, and cannot be changed: %s", err->text);
    *err = (struct xb_error)XB_ERROR_INIT;
    item->outcome = XB_BRING_FAILED;
    return updates(bring) ? put_labels(bring, item, existing, err) : 0;
}

static int merge_account(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp)
    xb_json *patch = xb_restore_merge_service_account(existing, item->object);
    item->outcome = XB_BRING_SKIPPED;
    return patch ? put_or_label(bring, item, existing, patch, err) : 0;
}

static int update(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                  struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    int r = xb_restore_update_patch(existing, item->object, &patch, err);
    item->outcome = XB_BRING_SKIPPED;
    return r < 0 || !patch ? r : put_or_label(bring, item, existing, patch, err);
}

int xb_bring_meet_existing(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const struct xb_kube_ref ref = xb_bring_ref(item);
    XB_CLEANUP(xb_json_putp) xb_json *existing = NULL;
    int r = xb_kube_get(bring->options->client, &ref, &existing, err);
    if (r < 0) {
        return r;
    }
    if (xb_bring_made_by_us(bring, existing)) { /* before this coordinator began */
        item->live = XB_TAKE(existing);
        item->there = true;
        item->outcome = XB_BRING_CREATED;
        return 0;
    }
    bool account = xb_bring_is(item, "serviceaccounts");
    if (xb_restore_equal(existing, item->object)) {
        item->outcome = XB_BRING_SKIPPED;
        return updates(bring) && !account ? put_labels(bring, item, existing, err) : 0;
    }
    r = xb_bring_tell_difference(bring, item, existing, err);
    if (r < 0) {
        return r;
    }
    if (account) {
        return merge_account(bring, item, existing, err);
    }
    if (updates(bring)) {
        return update(bring, item, existing, err);
    }
    xb_bring_say(item, XB_RECORD_WARNING,
                 "is there already, and differs from the backup; it was left as it is");
    item->outcome = XB_BRING_FAILED; /* as Velero lists it */
    return 0;
}
