/* SPDX-License-Identifier: Apache-2.0
 * A restore's beginning and end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/restore_internal.h"
#include "coordinator/record/upload.h"
#include "shared/base/log.h"

#define FINALIZER "restores.velero.io/external-resources-finalizer"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

/* ---- start ---- */

static void add_problem(xb_json *problems, const char *what)
{
    json_object_array_add(problems, json_object_new_string(what));
}

static int find_by_schedule(struct xb_step_work *work, char out[XB_VELERO_NAME_BYTES],
                            struct xb_error *err);

static int keep_newest(void *context, xb_json *backup, struct xb_error *err)
{
    xb_json **newest = context;
    (void)err;
    const char *phase = xb_json_str(backup, "status.phase", "");
    if (strcmp(phase, "Completed") == 0 &&
        (!*newest || strcmp(xb_json_str(*newest, "status.startTimestamp", ""),
                            xb_json_str(backup, "status.startTimestamp", "")) < 0)) {
        if (*newest) {
            json_object_put(*newest);
        }
        *newest = json_object_get(backup);
    }
    return 0;
}

static int find_by_schedule(struct xb_step_work *work, char out[XB_VELERO_NAME_BYTES],
                            struct xb_error *err)
{
    char selector[XB_VELERO_LABEL_BYTES + 64];
    char label[XB_VELERO_LABEL_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *newest = NULL;
    int r = xb_velero_label(text(work, "spec.scheduleName"), label, err);
    if (r < 0) {
        return r;
    }
    snprintf(selector, sizeof selector, "velero.io/schedule-name=%s", label);
    const struct xb_kube_list list = {.resource = &xb_velero_backups,
                                      .namespace = text(work, "metadata.namespace"),
                                      .label_selector = selector};
    r = xb_kube_list_pages(work->coordinator->client, &list, keep_newest, &newest, err);
    snprintf(out, XB_VELERO_NAME_BYTES, "%s",
             newest ? xb_json_str(newest, "metadata.name", "") : "");
    return r;
}

static int check_backup(struct xb_step_work *work, const char *name, xb_json *problems,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    char message[512];
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = name};
    int r = xb_kube_get(work->coordinator->client, &ref, &backup, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        snprintf(message, sizeof message, "backup %.200s does not exist", name);
        add_problem(problems, message);
        return 0;
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    const char *phase = xb_json_str(backup, "status.phase", "");
    if (strcmp(phase, "Completed") != 0 && strcmp(phase, "PartiallyFailed") != 0) {
        snprintf(message, sizeof message, "backup %.200s cannot be restored: its phase is %.60s",
                 name, phase[0] ? phase : "New");
        add_problem(problems, message);
    }
    r = xb_open_location(work->coordinator, xb_json_str(backup, "spec.storageLocation", ""), true,
                         &store, identity, &why);
    if (r < 0 && why.kind == XB_ERR_RETRY) {
        *err = why;
        return r;
    }
    if (r < 0) {
        add_problem(problems, why.text);
    }
    return 0;
}

static void check_supported(xb_json *restore, xb_json *problems)
{
    xb_json *hooks = xb_json_get(restore, "spec.hooks.resources");
    if (json_object_is_type(hooks, json_type_array) && json_object_array_length(hooks) > 0) {
        add_problem(problems, "hooks are not supported by this version of Xebec");
    }
    if (xb_json_get(restore, "spec.resourceModifier")) {
        add_problem(problems, "resource modifiers are not supported by this version of Xebec");
    }
    if (xb_json_get(restore, "spec.restoreStatus")) {
        add_problem(problems, "restoring status is not supported by this version of Xebec");
    }
}

static int check_spec(struct xb_step_work *work, char backup[XB_VELERO_NAME_BYTES],
                      xb_json *problems, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    const char *by_name = text(work, "spec.backupName");
    const char *by_schedule = text(work, "spec.scheduleName");
    snprintf(backup, XB_VELERO_NAME_BYTES, "%s", by_name);
    int r = 0;
    if ((by_name[0] != 0) == (by_schedule[0] != 0)) {
        add_problem(problems, "either a backup or schedule must be specified as a source for the "
                              "restore, but not both");
    } else if (by_schedule[0]) {
        r = find_by_schedule(work, backup, err);
        if (r == 0 && !backup[0]) {
            add_problem(problems, "no completed backups found for schedule");
        }
    }
    if (r == 0 && backup[0]) {
        r = check_backup(work, backup, problems, err);
    }
    if (r < 0 || (r = xb_filter_new(xb_json_get(work->object, "spec"), &filter, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < xb_filter_problem_count(filter); i++) {
        add_problem(problems, xb_filter_problem(filter, i));
    }
    check_supported(work->object, problems);
    return 0;
}

/* The list of finalizers with ours in it (or without). */
static xb_json *finalizers(struct xb_step_work *work, bool with)
{
    xb_json *list = json_object_new_array();
    xb_json *old = xb_json_get(work->object, "metadata.finalizers");
    size_t count = json_object_is_type(old, json_type_array) ? json_object_array_length(old) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(old, i);
        if (strcmp(json_object_get_string(one), FINALIZER) != 0) {
            json_object_array_add(list, json_object_get(one));
        }
    }
    if (with) {
        json_object_array_add(list, json_object_new_string(FINALIZER));
    }
    return list;
}

static int start(struct xb_step_work *work, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    char backup[XB_VELERO_NAME_BYTES];
    int r = check_spec(work, backup, problems, err);
    if (r < 0) {
        return r;
    }
    bool refused = json_object_array_length(problems) > 0;
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_json *status = json_object_new_object();
    json_object_object_add(metadata, "finalizers", finalizers(work, true));
    xb_json_put_text(status, "phase", refused ? "FailedValidation" : "InProgress");
    if (refused) {
        json_object_object_add(status, "validationErrors", json_object_get(problems));
        xb_log_info("restore refused", "restore", text(work, "metadata.name"), "why",
                    json_object_to_json_string_ext(problems, JSON_C_TO_STRING_PLAIN));
    } else {
        json_object_object_add(status, "startTimestamp", xb_velero_now());
        xb_json_put_text(spec, "backupName", backup);
    }
    json_object_object_add(patch, "metadata", metadata);
    json_object_object_add(patch, "spec", spec);
    json_object_object_add(patch, "status", status);
    return xb_act_patch(work->coordinator, &xb_velero_restores, work->object, patch, err);
}

/* ---- publish ---- */

static void note_order(struct xb_step_work *work, xb_json *order)
{
    const char *phase = xb_json_str(order, "status.phase", "New");
    const char *namespace = xb_json_str(order, "spec.pod.namespace", "");
    const char *pod = xb_json_str(order, "spec.pod.name", "");
    const char *volume = xb_json_str(order, "spec.volume", "");
    if (strcmp(phase, "Completed") == 0) {
        xb_record_log_line(work->run->log, XB_RECORD_INFO, namespace,
                           "volume %s of pod %s is restored (%lld bytes)%s%s", volume, pod,
                           (long long)xb_json_int(order, "status.progress.totalBytes", 0),
                           xb_json_str(order, "status.message", "")[0] ? "; " : "",
                           xb_json_str(order, "status.message", ""));
        return;
    }
    xb_record_log_line(work->run->log, XB_RECORD_ERROR, namespace,
                       "volume %s of pod %s: pod volume restore %s: %s%s", volume, pod, phase,
                       work->timed_out ? "timed out; " : "",
                       xb_json_str(order, "status.message", "no reason was given"));
}

static xb_json *volume_info(xb_json *order)
{
    xb_json *info = json_object_new_object();
    xb_json *pvr = json_object_new_object();
    xb_json_put_text(info, "restoreMethod", "PodVolumeRestore");
    json_object_object_add(info, "snapshotDataMoved", json_object_new_boolean(false));
    xb_json_put_text(pvr, "snapshotHandle", xb_json_str(order, "spec.snapshotID", ""));
    json_object_object_add(
        pvr, "size", json_object_new_int64(xb_json_int(order, "status.progress.totalBytes", 0)));
    xb_json_put_text(pvr, "uploaderType", "kopia");
    xb_json_put_text(pvr, "volumeName", xb_json_str(order, "spec.volume", ""));
    xb_json_put_text(pvr, "podName", xb_json_str(order, "spec.pod.name", ""));
    xb_json_put_text(pvr, "podNamespace", xb_json_str(order, "spec.pod.namespace", ""));
    json_object_object_add(info, "pvrInfo", pvr);
    return info;
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
    xb_json *list = NULL;
    xb_json *infos = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(work->extra); i++) {
        xb_json *order = json_object_array_get_idx(work->extra, i);
        note_order(work, order);
        json_object_array_add(infos, volume_info(order));
    }
    if (json_object_array_length(work->extra) < json_object_array_length(run->orders)) {
        xb_record_log_line(run->log, XB_RECORD_ERROR, NULL,
                           "%zu pod volume restores were deleted before they had ended",
                           json_object_array_length(run->orders) -
                               json_object_array_length(work->extra));
    }
    int r = put_json(work, store, "-volumeinfo.json.gz", infos, err);
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

/* Where the restore writes down what it did: the backup's location, also one that takes no backups.
 */
static int open_store(struct xb_step_work *work, struct xb_store **ret, struct xb_error *err)
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
    int r = open_store(work, &store, &why);
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

static int publish(struct xb_step_work *work, struct xb_error *err)
{
    struct xb_run *run = work->run;
    int r = xb_check_leading(work->coordinator, err);
    if (r < 0 || (r = write_down(work, err)) < 0) {
        return r;
    }
    uint64_t errors = xb_record_log_errors(run->log);
    uint64_t warnings = xb_record_log_warnings(run->log);
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "itemsRestored", json_object_new_int64((int64_t)run->items));
    json_object_object_add(progress, "totalItems", json_object_new_int64((int64_t)run->items));
    json_object_object_add(status, "progress", progress);
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
    return xb_act_patch_status(work->coordinator, &xb_velero_restores, work->object, status, err);
}

/* ---- removal ---- */

static int remove_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    return xb_store_delete(context, item->name, err);
}

static int release(struct xb_step_work *work, struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    json_object_object_add(metadata, "finalizers", finalizers(work, false));
    json_object_object_add(patch, "metadata", metadata);
    int r = xb_act_patch(work->coordinator, &xb_velero_restores, work->object, patch, err);
    return r < 0 && err->kind == XB_ERR_NOT_FOUND ? 0 : r;
}

static bool is_held(const struct xb_step_work *work)
{
    xb_json *list = xb_json_get(work->object, "metadata.finalizers");
    return list && strstr(json_object_to_json_string(list), "external-resources-finalizer");
}

int xb_restore_release(struct xb_coordinator *coordinator, xb_json *restore, struct xb_error *err)
{
    struct xb_step_work work = {.coordinator = coordinator, .object = restore};
    return is_held(&work) ? release(&work, err) : 0;
}

/* The restore's part of the store, then the finalizer. A store or backup that is gone holds nothing
 * back. */
static int remove_record(struct xb_step_work *work, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    struct xb_error why = XB_ERROR_INIT;
    char prefix[XB_VELERO_NAME_BYTES + 16];
    snprintf(prefix, sizeof prefix, "restores/%s/", text(work, "metadata.name"));
    int r = open_store(work, &store, &why);
    if (r == 0) {
        r = xb_store_list(store, prefix, remove_item, store, &why);
    }
    if (r < 0 && why.kind == XB_ERR_RETRY) {
        *err = why;
        return r;
    }
    return release(work, err);
}

static int fail(struct xb_step_work *work, const char *reason, struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Failed");
    xb_json_put_text(status, "failureReason", reason);
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    xb_log_info("restore failed", "restore", text(work, "metadata.name"), "why", reason);
    return xb_act_patch_status(work->coordinator, &xb_velero_restores, work->object, status, err);
}

int xb_act_restore(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    if (work->step == XB_STEP_REMOVE) {
        return is_held(work) ? remove_record(work, err) : 0;
    }
    if (work->step == XB_STEP_START) {
        return start(work, err);
    }
    int r = work->step == XB_STEP_WORK ? xb_restore_apply(work, cancel, err) : publish(work, err);
    if (r == 0 || err->kind == XB_ERR_RETRY || err->kind == XB_ERR_CANCELLED) {
        return r;
    }
    struct xb_error why = *err;
    *err = (struct xb_error)XB_ERROR_INIT;
    return fail(work, why.text, err);
}
