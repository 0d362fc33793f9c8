/* SPDX-License-Identifier: Apache-2.0
 * A restore's beginning: is it one that can be done? */
#include <stdio.h>
#include <string.h>

#include "coordinator/act/restore_internal.h"
#include "coordinator/bring/bring.h"
#include "coordinator/bring/validate.h"
#include "shared/base/log.h"
#include "shared/velero/in_place.h"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

static void add_problem(xb_json *problems, const char *what)
{
    json_object_array_add(problems, json_object_new_string(what));
}

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

/* One volume in place: what is wanted. */
static void check_in_place(xb_json *restore, xb_json *problems)
{
    struct xb_in_place in_place;
    struct xb_error why = XB_ERROR_INIT;
    if (xb_in_place_parse(restore, &in_place, &why) < 0) {
        add_problem(problems, why.text);
    }
}

static int check_modifiers(struct xb_step_work *work, xb_json *problems, struct xb_error *err)
{
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_bring_read_modifiers(work->coordinator->client, work->object, &modifiers, &why);
    if (r < 0 && (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED)) {
        *err = why;
        return r;
    }
    if (r < 0) {
        add_problem(problems, why.text);
    }
    return 0;
}

static int check_spec(struct xb_step_work *work, char backup[XB_VELERO_NAME_BYTES],
                      xb_json *problems, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    int r = xb_validate_restore(work->object, problems, &filter, err);
    check_in_place(work->object, problems);
    backup[0] = '\0';
    if (r < 0 || json_object_array_length(problems) > 0) {
        return r;
    }
    const char *by_name = text(work, "spec.backupName");
    const char *by_schedule = text(work, "spec.scheduleName");
    snprintf(backup, XB_VELERO_NAME_BYTES, "%s", by_name);
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
    return r < 0 ? r : check_modifiers(work, problems, err);
}

int xb_restore_start(struct xb_step_work *work, struct xb_error *err)
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
    json_object_object_add(metadata, "finalizers", xb_restore_finalizers(work->object, true));
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
