/* SPDX-License-Identifier: Apache-2.0
 * A restore's end: what it did is written down, then its phase says so. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/hook_records.h"
#include "coordinator/act/orders.h"
#include "coordinator/act/restore_internal.h"
#include "coordinator/bring/bring.h"
#include "coordinator/record/upload.h"
#include "shared/base/log.h"
#include "shared/velero/in_place.h"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

static void note_order(struct xb_step_work *work, xb_json *order)
{
    const char *phase = xb_json_str(order, "status.phase", "New");
    const char *namespace = xb_json_str(order, "spec.pod.namespace", "");
    const char *pod = xb_json_str(order, "spec.pod.name", "");
    const char *volume = xb_json_str(order, "spec.volume", "");
    const char *message = xb_json_str(order, "status.message", "");
    if (strcmp(phase, "Completed") == 0) {
        xb_record_log_line(work->run->log, XB_RECORD_INFO, namespace,
                           "volume %s of pod %s is restored (%lld bytes)", volume, pod,
                           (long long)xb_json_int(order, "status.progress.totalBytes", 0));
        if (message[0]) { /* an agent says something of a volume only if people should know it */
            xb_record_log_line(work->run->log, XB_RECORD_WARNING, namespace,
                               "volume %s of pod %s: %s", volume, pod, message);
        }
        return;
    }
    xb_record_log_line(
        work->run->log, XB_RECORD_ERROR, namespace,
        "volume %s of pod %s: pod volume restore %s: %s%s", volume, pod, phase,
        work->timed_out || xb_orders_was_late(work->run, xb_json_str(order, "metadata.name", ""))
            ? "timed out, because it made no progress; "
            : "",
        xb_json_str(order, "status.message", "no reason was given"));
}

static int put_json(struct xb_step_work *work, struct xb_store *store, const char *suffix,
                    xb_json *json, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_restore_key(text(work, "metadata.name"), suffix, key, err);
    if (r == 0) {
        r = xb_upload_json_gz(store, key, json, err);
    }
    json_object_put(json);
    return r;
}

static int put_files(struct xb_step_work *work, struct xb_store *store, struct xb_error *err)
{
    struct xb_run *run = work->run;
    char key[XB_VELERO_KEY_BYTES];
    xb_json *list = NULL, *infos = NULL;
    int r = xb_restore_infos(work, &infos, err);
    r = r ? r : put_json(work, store, "-volumeinfo.json.gz", infos, err);
    if (r < 0 || (r = xb_resource_list_json(&run->list, &list, err)) < 0 ||
        (r = put_json(work, store, "-resource-list.json.gz", list, err)) < 0 ||
        (r = put_json(work, store, "-itemoperations.json.gz", json_object_new_array(), err)) < 0 ||
        (r = put_json(work, store, "-results.gz", xb_record_log_results(run->log), err)) < 0 ||
        (r = xb_record_log_finish(run->log, err)) < 0 ||
        (r = xb_velero_restore_key(text(work, "metadata.name"), "-logs.gz", key, err)) < 0) {
        return r;
    }
    return xb_upload_file(store, key, xb_record_log_path(run->log), true, err);
}

int xb_restore_store(struct xb_step_work *work, struct xb_store **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = text(work, "spec.backupName")};
    int r = xb_kube_get(work->coordinator->client, &ref, &backup, err);
    return r < 0 ? r
                 : xb_open_location_for_restore(work->coordinator,
                                                xb_json_str(backup, "spec.storageLocation", ""),
                                                ret, err);
}

/* A store that cannot be written to keeps no record of a restore; the restore is done all the same,
 * and its end stands in its object. */
static int write_down(struct xb_step_work *work, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_restore_store(work, &store, &why);
    if (r == 0) {
        r = put_files(work, store, &why);
    }
    if (r < 0 && store && (why.kind == XB_ERR_DENIED || why.code == -EROFS)) {
        xb_log_warning("the location takes no record of the restore: there will be no logs of it",
                       "restore", text(work, "metadata.name"), "why", why.text);
        return 0;
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

xb_json *xb_restore_progress(uint64_t items, uint64_t items_total)
{
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "itemsRestored", json_object_new_int64((int64_t)items));
    json_object_object_add(progress, "totalItems", json_object_new_int64((int64_t)items_total));
    return progress;
}

void xb_restore_mark(xb_json *patch, const char *mark)
{
    xb_json *metadata = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    json_object_object_add(annotations, XB_BRING_MARK_ANNOTATION,
                           mark ? json_object_new_string(mark) : NULL);
    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(patch, "metadata", metadata);
}

/* Pods that were made for a new claim's sake have done their work. They are told by their deadline,
 * because the coordinator deletes nothing outside its namespace. */
static void end_pods(struct xb_step_work *work)
{
    struct xb_in_place in_place;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_in_place_parse(work->object, &in_place, &err) < 0 || !in_place.into_claim[0]) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(work->extra); i++) {
        xb_json *order = json_object_array_get_idx(work->extra, i);
        XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
        const struct xb_kube_ref ref = {.resource = &xb_core_pods,
                                        .namespace = xb_json_str(order, "spec.pod.namespace", ""),
                                        .name = xb_json_str(order, "spec.pod.name", "")};
        int r = xb_json_set_int(patch, "spec.activeDeadlineSeconds", 1, &err);
        /* Another one of that name has another uid, which no patch may change. */
        r = r ? r
              : xb_json_set_str(patch, "metadata.uid", xb_json_str(order, "spec.pod.uid", ""),
                                &err);
        if (r < 0 || xb_kube_merge_patch(work->coordinator->client, &ref, patch, NULL, &err) < 0) {
            xb_record_log_line(work->run->log, XB_RECORD_WARNING, ref.namespace,
                               "pod %s, which had the new claim, could not be ended: %s", ref.name,
                               err.text);
        }
    }
}

/* Once: what is written down may be written again, when the store did not answer. */
static void note_all(struct xb_step_work *work)
{
    struct xb_run *run = work->run;
    if (run->noted) {
        return;
    }
    end_pods(work);
    size_t count = json_object_array_length(work->extra);
    for (size_t i = 0; i < count; i++) {
        note_order(work, json_object_array_get_idx(work->extra, i));
    }
    if (count < json_object_array_length(run->orders)) {
        xb_record_log_line(run->log, XB_RECORD_ERROR, NULL,
                           "%zu pod volume restores were deleted before they had ended",
                           json_object_array_length(run->orders) - count);
    }
    run->noted = true;
}

int xb_restore_publish(struct xb_step_work *work, struct xb_error *err)
{
    struct xb_run *run = work->run;
    int r = xb_check_leading(work->coordinator, err);
    if (r < 0) {
        return r;
    }
    note_all(work);
    if ((r = write_down(work, err)) < 0) {
        return r;
    }
    uint64_t errors = xb_record_log_errors(run->log);
    uint64_t warnings = xb_record_log_warnings(run->log);
    xb_json *status = json_object_new_object();
    json_object_object_add(status, "progress", xb_restore_progress(run->items, run->items));
    xb_json *hooks = json_object_new_object();
    json_object_object_add(hooks, "hooksAttempted", json_object_new_int64(run->hooks_attempted));
    json_object_object_add(hooks, "hooksFailed", json_object_new_int64(run->hooks_failed));
    json_object_object_add(status, "hookStatus", hooks);
    xb_json_put_text(status, "phase", errors ? "PartiallyFailed" : "Completed");
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    if (errors) {
        json_object_object_add(status, "errors", json_object_new_int64((int64_t)errors));
    }
    if (warnings) {
        json_object_object_add(status, "warnings", json_object_new_int64((int64_t)warnings));
    }
    xb_log_info("restore ended", "restore", text(work, "metadata.name"), "phase",
                errors ? "PartiallyFailed" : "Completed");
    xb_json *patch = json_object_new_object();
    json_object_object_add(patch, "status", status);
    xb_restore_mark(patch, NULL);
    r = xb_act_patch(work->coordinator, &xb_velero_restores, work->object, patch, err);
    if (r == 0 && run->hooks_attempted > 0) {
        xb_hook_records_remove(work);
    }
    return r;
}
