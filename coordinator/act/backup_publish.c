/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/backup_publish.h"
#include "coordinator/act/orders.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/pod_hooks.h"
#include "coordinator/collect/volume_info.h"
#include "coordinator/record/upload.h"
#include "shared/base/log.h"
#include "shared/velero/point_in_time.h"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

/* ---- merging ---- */

/* Of which moment its data is, and what has to be done about that. */
static void note_point(struct xb_step_work *work, const struct xb_collected_volume *volume,
                       xb_json *order)
{
    struct xb_point_in_time point;
    struct xb_error why = XB_ERROR_INIT;
    char said[XB_POINT_IN_TIME_TEXT_BYTES];
    int r = xb_point_in_time_parse(order, &point, &why);
    if (r <= 0) { /* as an agent of Velero's leaves it */
        if (r < 0) {
            xb_record_log_line(work->run->log, XB_RECORD_WARNING, volume->pod_namespace,
                               "volume %s of pod %s: %s", volume->volume, volume->pod, why.text);
        }
        return;
    }
    xb_point_in_time_say(&point, said);
    xb_record_log_line(work->run->log, point.changed_files ? XB_RECORD_WARNING : XB_RECORD_INFO,
                       volume->pod_namespace, "volume %s of pod %s was %s", volume->volume,
                       volume->pod, said);
    if (point.problem[0]) {
        xb_record_log_line(work->run->log, XB_RECORD_ERROR, volume->pod_namespace,
                           "volume %s of pod %s: %s", volume->volume, volume->pod, point.problem);
    }
}

struct merging {
    struct xb_step_work *work;
    xb_json *unheld; /* by uid: pods whose session was lost */
};

static void note_volume(void *context, const struct xb_collected_volume *volume, xb_json *order)
{
    const struct merging *merging = context;
    struct xb_step_work *work = merging->work;
    const char *phase = order ? xb_json_str(order, "status.phase", "New") : "deleted";
    const char *kind = volume->pod_uid ? "pod " : "no pod";
    if (strcmp(phase, "Completed") == 0) {
        xb_record_log_line(work->run->log, XB_RECORD_INFO, volume->pod_namespace,
                           "volume %s of %s%s is in snapshot %s (%lld bytes)", volume->volume, kind,
                           volume->pod, xb_velero_snapshot_of(order),
                           (long long)xb_json_int(order, "status.progress.totalBytes", 0));
        note_point(work, volume, order);
        if (volume->pod_uid && json_object_object_get_ex(merging->unheld, volume->pod_uid, NULL)) {
            xb_record_log_line(work->run->log, XB_RECORD_ERROR, volume->pod_namespace,
                               "volume %s of pod %s: " XB_VOLUME_UNHELD, volume->volume,
                               volume->pod);
        }
        return;
    }
    xb_record_log_line(work->run->log, XB_RECORD_ERROR, volume->pod_namespace,
                       "volume %s of %s%s: pod volume backup %s: %s%s", volume->volume, kind,
                       volume->pod, phase,
                       xb_orders_was_late(work->run, xb_json_str(order, "metadata.name", ""))
                           ? "timed out, because it made no progress; "
                           : "",
                       order ? xb_json_str(order, "status.message", "no reason was given")
                             : "it was deleted before it had ended");
}

static void cancel_order(struct xb_step_work *work, xb_json *order)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""))) {
        return;
    }
    xb_json *patch = json_object_new_object();
    xb_json *spec = json_object_new_object();
    json_object_object_add(spec, "cancel", json_object_new_boolean(true));
    json_object_object_add(patch, "spec", spec);
    if (xb_act_patch(work->coordinator, &xb_velero_pvbs, order, patch, &err) < 0) {
        xb_log_error(&err, "an order could not be cancelled");
    }
}

/* Orders that were still open when their time was over must not go on. */
static void cancel_open(struct xb_step_work *work)
{
    for (size_t i = 0; work->timed_out && i < json_object_array_length(work->extra); i++) {
        cancel_order(work, json_object_array_get_idx(work->extra, i));
    }
}

/* Once per run: each line about a volume counts. */
static int merge(struct xb_step_work *work, struct xb_error *err)
{
    struct xb_run *run = work->run;
    xb_json *infos = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *unheld = NULL;
    if (run->infos) {
        return 0;
    }
    int r = xb_pod_hooks_merge(work, &unheld, err);
    if (r < 0) {
        return r;
    }
    struct merging merging = {.work = work, .unheld = unheld};
    const struct xb_volume_infos what = {.collected = &run->collected,
                                         .orders = work->extra,
                                         .unheld = unheld,
                                         .ended = note_volume,
                                         .context = &merging};
    r = xb_volume_infos(&what, &infos, err);
    if (r < 0) {
        return r;
    }
    run->hooks_attempted = work->hooks_attempted;
    run->hooks_failed = work->hooks_failed;
    run->infos = infos;
    cancel_open(work);
    return 0;
}

/* ---- the record ---- */

static int put_json(struct xb_step_work *work, struct xb_store *store, const char *suffix,
                    xb_json *json, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_backup_key(text(work, "metadata.name"), suffix, key, err);
    if (r == 0 && (r = xb_check_leading(work->coordinator, err)) == 0) {
        r = xb_upload_json_gz(store, key, json, err);
    }
    if (json) {
        json_object_put(json);
    }
    return r;
}

static int ask_leading(void *context, struct xb_error *err)
{
    return xb_check_leading(context, err);
}

/* The tarball takes a while: whether this process still leads is asked when it is there, too. */
static int put_file(struct xb_step_work *work, struct xb_store *store, const char *suffix,
                    const char *path, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_backup_key(text(work, "metadata.name"), suffix, key, err);
    if (r < 0 || (r = xb_check_leading(work->coordinator, err)) < 0) {
        return r;
    }
    const struct xb_upload_question leading = {ask_leading, work->coordinator};
    return strcmp(suffix, ".tar.gz") == 0 ? xb_upload_file_if(store, key, path, &leading, err)
                                          : xb_upload_file(store, key, path, true, err);
}

static int put_files(struct xb_step_work *work, struct xb_store *store, struct xb_error *err)
{
    struct xb_run *run = work->run;
    xb_json *list = NULL;
    int r = xb_resource_list_json(&run->collected.list, &list, err);
    if (r < 0) {
        return r;
    }
    if ((r = put_json(work, store, "-resource-list.json.gz", list, err)) < 0 ||
        (r = put_file(work, store, ".tar.gz", run->tarball, err)) < 0 ||
        (r = put_json(work, store, "-podvolumebackups.json.gz", json_object_get(work->extra),
                      err)) < 0 ||
        (r = put_json(work, store, "-volumesnapshots.json.gz", NULL, err)) < 0 ||
        (r = put_json(work, store, "-itemoperations.json.gz", json_object_new_array(), err)) < 0 ||
        (r = put_json(work, store, "-volumeinfo.json.gz", json_object_get(run->infos), err)) < 0 ||
        (r = put_json(work, store, "-results.gz", xb_record_log_results(run->log), err)) < 0 ||
        (r = xb_record_log_finish(run->log, err)) < 0) {
        return r;
    }
    xb_metrics_tarball(work->coordinator, work->object, run->tarball);
    return put_file(work, store, "-logs.gz", xb_record_log_path(run->log), err);
}

/* What the object says from Finalizing on. */
static xb_json *counted_status(const struct xb_run *run)
{
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "totalItems", json_object_new_int64((int64_t)run->items));
    json_object_object_add(progress, "itemsBackedUp", json_object_new_int64((int64_t)run->items));
    json_object_object_add(status, "progress", progress);
    xb_json *hooks = json_object_new_object();
    json_object_object_add(hooks, "hooksAttempted", json_object_new_int64(run->hooks_attempted));
    json_object_object_add(hooks, "hooksFailed", json_object_new_int64(run->hooks_failed));
    json_object_object_add(status, "hookStatus", hooks);
    return status;
}

/* Errors and warnings are counted where they can be read: in a record that is there. */
static xb_json *final_status(const struct xb_run *run)
{
    xb_json *status = counted_status(run);
    uint64_t errors = xb_record_log_errors(run->log);
    xb_json_put_text(status, "phase", errors ? "PartiallyFailed" : "Completed");
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    if (errors) {
        json_object_object_add(status, "errors", json_object_new_int64((int64_t)errors));
    }
    uint64_t warnings = xb_record_log_warnings(run->log);
    if (warnings) {
        json_object_object_add(status, "warnings", json_object_new_int64((int64_t)warnings));
    }
    return status;
}

/* The marker's text: the object as it will be. */
static int marker_text(struct xb_step_work *work, xb_json *status, struct xb_buf *out,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *copy = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_KUBE_OBJECT_BYTES_MAX);
    int r = xb_json_write(work->object, &plain, err);
    if (r < 0 || (r = xb_json_parse(plain.data, plain.len, &copy, err)) < 0) {
        return r;
    }
    xb_json *target = xb_json_get(copy, "status");
    if (!target) {
        target = json_object_new_object();
        json_object_object_add(copy, "status", target);
    }
    json_object_object_foreach(status, key, value)
    {
        json_object_object_add(target, key, json_object_get(value));
    }
    json_object_object_del(xb_json_get(copy, "metadata"), "managedFields");
    xb_json_put_text(copy, "apiVersion", "velero.io/v1");
    xb_json_put_text(copy, "kind", "Backup");
    return xb_json_write_pretty(copy, out, err);
}

/* Puts the marker, if nobody has. One of this very backup, of an attempt before a crash, is as
 * good: its status then is what counts. */
static int put_marker(struct xb_step_work *work, struct xb_store *store, xb_json **status,
                      struct xb_error *err)
{
    const struct xb_store_put_options exclusive = {.exclusive = true};
    XB_CLEANUP(xb_buf_free) struct xb_buf marker = XB_BUF_INIT(XB_KUBE_OBJECT_BYTES_MAX);
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_marker_key(text(work, "metadata.name"), key, err);
    if (r < 0 || (r = marker_text(work, *status, &marker, err)) < 0 ||
        (r = xb_check_leading(work->coordinator, err)) < 0) {
        return r;
    }
    return xb_store_put(store, key, marker.data, marker.len, &exclusive, err);
}

/* 1: this backup's marker is there already, *ret is its status; 0: none; CONFLICT: another's. */
static int look_for_marker(struct xb_step_work *work, struct xb_store *store, xb_json **ret,
                           struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf marker = XB_BUF_INIT(XB_KUBE_OBJECT_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_marker_key(text(work, "metadata.name"), key, err);
    if (r < 0) {
        return r;
    }
    struct xb_error missing = XB_ERROR_INIT;
    if (xb_store_get(store, key, 0, XB_STORE_TO_END, &marker, &missing) < 0) {
        if (missing.kind == XB_ERR_NOT_FOUND) {
            return 0;
        }
        *err = missing;
        return err->code;
    }
    r = xb_json_parse(marker.data ? marker.data : "", marker.len, &json, err);
    if (r < 0 || strcmp(xb_json_str(json, "metadata.uid", ""), text(work, "metadata.uid")) != 0) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                            "backup already exists in object storage: %s is another backup's", key);
    }
    *ret = json_object_get(xb_json_get(json, "status"));
    return 1;
}

static int remove_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    return xb_store_delete(context, item->name, err);
}

/* A backup whose object was deleted while it ran leaves nothing in the store: its record would come
 * back as an object that nobody wants. */
static int check_wanted(struct xb_step_work *work, struct xb_store *store, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = text(work, "metadata.name")};
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    struct xb_error why = XB_ERROR_INIT;
    char prefix[XB_VELERO_NAME_BYTES + 16];
    int r = xb_kube_get(work->coordinator->client, &ref, &now, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    if (r == 0 && strcmp(xb_json_str(now, "metadata.uid", ""), text(work, "metadata.uid")) == 0 &&
        !xb_json_get(now, "metadata.deletionTimestamp")) {
        return 0;
    }
    snprintf(prefix, sizeof prefix, "backups/%s/", text(work, "metadata.name"));
    if ((r = xb_check_leading(work->coordinator, err)) < 0 ||
        (r = xb_store_list(store, prefix, remove_item, store, err)) < 0) {
        return r;
    }
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the backup was deleted while it ran");
}

/* Takes `status` over. */
static int end_with(struct xb_step_work *work, xb_json *status, struct xb_error *err)
{
    xb_log_info("backup ended", "backup", text(work, "metadata.name"), "phase",
                xb_json_str(status, "phase", "?"));
    int r = xb_act_patch_status(work->coordinator, &xb_velero_backups, work->object, status, err);
    if (r == 0) {
        xb_hook_records_remove(work);
    }
    return r;
}

/* Where `velero backup describe` shows it: among the Backup's annotations. */
static void put_points(const struct xb_run *run, xb_json *patch)
{
    char points[XB_VOLUME_POINTS_BYTES];
    xb_volume_points(run->infos, points);
    if (points[0]) {
        xb_json *metadata = json_object_new_object();
        xb_json *annotations = json_object_new_object();
        xb_json_put_text(annotations, XB_POINT_IN_TIME_ANNOTATION, points);
        json_object_object_add(metadata, "annotations", annotations);
        json_object_object_add(patch, "metadata", metadata);
    }
}

int xb_backup_finalize(struct xb_step_work *work, struct xb_error *err)
{
    int r = merge(work, err);
    if (r < 0 || (r = xb_check_leading(work->coordinator, err)) < 0) {
        return r;
    }
    xb_json *patch = json_object_new_object();
    xb_json *status = counted_status(work->run);
    xb_json_put_text(status, "phase",
                     xb_record_log_errors(work->run->log) ? "FinalizingPartiallyFailed"
                                                          : "Finalizing");
    json_object_object_add(patch, "status", status);
    put_points(work->run, patch);
    return xb_act_patch(work->coordinator, &xb_velero_backups, work->object, patch, err);
}

static int publish(struct xb_step_work *work, struct xb_store *store, struct xb_error *err)
{
    xb_json *status = NULL;
    int r = look_for_marker(work, store, &status, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        if ((r = merge(work, err)) < 0 || (r = check_wanted(work, store, err)) < 0 ||
            (r = put_files(work, store, err)) < 0 || (r = check_wanted(work, store, err)) < 0) {
            return r;
        }
        status = final_status(work->run);
        r = put_marker(work, store, &status, err);
        if (r < 0) {
            json_object_put(status);
            return r;
        }
    }
    return end_with(work, status, err);
}

int xb_backup_publish(struct xb_step_work *work, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    int r = xb_open_location(work->coordinator, text(work, "spec.storageLocation"), false, &store,
                             identity, err);
    return r < 0 ? r : publish(work, store, err);
}

int xb_backup_end(struct xb_step_work *work, bool *ret_ended, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    xb_json *status = NULL;
    int r = xb_open_location(work->coordinator, text(work, "spec.storageLocation"), false, &store,
                             identity, err);
    if (r < 0 || (r = look_for_marker(work, store, &status, err)) <= 0) {
        return r;
    }
    r = end_with(work, status, err);
    *ret_ended = r == 0;
    return r;
}

/* What was ordered before something went wrong is of no use any more. */
static void cancel_ordered(struct xb_step_work *work)
{
    xb_json *names = work->run->orders;
    for (size_t i = 0; names && i < json_object_array_length(names); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(names, i));
        XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
        struct xb_error err = XB_ERROR_INIT;
        if (xb_pod_hooks_order(work, name, &order, &err) == 0) {
            cancel_order(work, order);
        }
    }
}

int xb_backup_fail(struct xb_step_work *work, const char *reason, struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Failed");
    xb_json_put_text(status, "failureReason", reason);
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    cancel_ordered(work);
    xb_log_info("backup failed", "backup", text(work, "metadata.name"), "why", reason);
    int r = xb_act_patch_status(work->coordinator, &xb_velero_backups, work->object, status, err);
    if (r == 0) {
        xb_hook_records_remove(work);
    }
    return r;
}
