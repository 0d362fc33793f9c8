/* SPDX-License-Identifier: Apache-2.0
 * A restore's steps: its work, its end by failure, and its removal. */
#include <string.h>

#include "coordinator/act/orders.h"
#include "coordinator/act/restore_hooks.h"
#include "coordinator/act/restore_internal.h"
#include "coordinator/bring/bring.h"
#include "coordinator/bring/dry_run.h"
#include "coordinator/bring/finish.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define FINALIZER "restores.velero.io/external-resources-finalizer"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

/* ---- work ---- */

/* The status as people see it, and the mark as the next run finds it. */
static void show_progress(void *context, const struct xb_bring_progress *progress)
{
    struct xb_step_work *work = context;
    struct xb_error err = XB_ERROR_INIT;
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    json_object_object_add(status, "progress",
                           xb_restore_progress(progress->items, progress->items_total));
    json_object_object_add(patch, "status", status);
    if (progress->mark) {
        xb_restore_mark(patch, progress->mark);
    }
    if (xb_check_leading(work->coordinator, &err) < 0) {
        json_object_put(patch);
        return;
    }
    (void)!xb_act_patch(work->coordinator, &xb_velero_restores, work->object, patch, &err);
}

static const char *mark_of(xb_json *restore)
{
    xb_json *annotations = xb_json_get(restore, "metadata.annotations");
    xb_json *mark = NULL;
    return annotations && json_object_object_get_ex(annotations, XB_BRING_MARK_ANNOTATION, &mark) &&
                   json_object_is_type(mark, json_type_string)
               ? json_object_get_string(mark)
               : NULL;
}

static bool may_write(void *context)
{
    const struct xb_step_work *work = context;
    return xb_kube_lease_held(work->coordinator->lease);
}

static int open_backup(struct xb_step_work *work, xb_json **ret, struct xb_store **ret_store,
                       char identity[XB_STORE_IDENTITY_BYTES], struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = text(work, "spec.backupName")};
    int r = xb_kube_get(work->coordinator->client, &ref, ret, err);
    return r < 0
               ? r
               : xb_open_location(work->coordinator, xb_json_str(*ret, "spec.storageLocation", ""),
                                  true, ret_store, identity, err);
}

static int bring(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    struct xb_run *run = work->run;
    struct xb_coordinator *coordinator = work->coordinator;
    bool dry_run = false;
    int r = xb_restore_is_dry_run(work->object, &dry_run, err);
    r = r ? r : xb_run_begin(coordinator, run, "restore", err);
    r = r || dry_run ? r : xb_need_password(coordinator, err);
    r = r ? r : open_backup(work, &backup, &store, identity, err);
    if (r < 0) {
        return r;
    }
    const struct xb_bring_options options = {
        .client = dry_run ? coordinator->dry : coordinator->bulk,
        .dry_run = dry_run,
        .restore = work->object,
        .backup = backup,
        .store = store,
        .identity = identity,
        .folder = run->folder,
        .log = run->log,
        .priorities = coordinator->options->priorities,
        .helper_image = coordinator->options->helper_image,
        .terminating_ns = coordinator->options->terminating_ns,
        .definitions_ns = coordinator->options->resource_timeout_ns,
        .cancel = cancel,
        .may_write = may_write,
        .progress = show_progress,
        .context = work,
        .mark = mark_of(work->object)};
    struct xb_brought brought = {.items = 0};
    r = xb_bring(&options, &brought, err);
    r = r ? r : xb_restore_hooks_begin(work, brought.hooked, options.mark != NULL, err);
    if (r < 0) {
        xb_brought_free(&brought);
        return r;
    }
    const struct xb_kube_pace_state pace = xb_kube_pace_look(coordinator->pace);
    xb_record_log_line(run->log, XB_RECORD_INFO, NULL,
                       "up to %u requests at a time; the API server asked %llu times for fewer",
                       pace.highest, (unsigned long long)pace.cuts);
    json_object_put(run->orders);
    run->orders = brought.orders;
    json_object_put(brought.hooked);
    json_object_put(run->volumes);
    run->volumes = brought.volumes;
    run->list = brought.list;
    run->items = brought.items;
    run->items_total = brought.items_total;
    run->made_ns = xb_clock_wall_ns();
    run->timeout_ns = xb_orders_timeout_ns(work);
    run->worked = true;
    return 0;
}

/* ---- finalizers ---- */

xb_json *xb_restore_finalizers(xb_json *restore, bool with)
{
    xb_json *list = json_object_new_array();
    xb_json *old = xb_json_get(restore, "metadata.finalizers");
    size_t count = json_object_is_type(old, json_type_array) ? json_object_array_length(old) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(old, i);
        if (strcmp(json_object_get_string(one), FINALIZER) != 0) {
            json_object_array_add(list, json_object_new_string(json_object_get_string(one)));
        }
    }
    if (with) {
        json_object_array_add(list, json_object_new_string(FINALIZER));
    }
    return list;
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
    json_object_object_add(metadata, "finalizers", xb_restore_finalizers(work->object, false));
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
    int r = xb_restore_store(work, &store, &why);
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

/* What is left is the end: what follows from all items together, and the record. */
static int finalize(struct xb_step_work *work, struct xb_error *err)
{
    bool errors = xb_record_log_errors(work->run->log) > 0;
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", errors ? "FinalizingPartiallyFailed" : "Finalizing");
    json_object_object_add(status, "progress",
                           xb_restore_progress(work->run->items, work->run->items));
    return xb_act_patch_status(work->coordinator, &xb_velero_restores, work->object, status, err);
}

/* While its phase is Finalizing. */
static int finish_volumes(struct xb_step_work *work, const atomic_bool *cancel,
                          struct xb_error *err)
{
    struct xb_coordinator *coordinator = work->coordinator;
    const struct xb_bring_finish finish = {.client = coordinator->bulk,
                                           .volumes = work->run->volumes,
                                           .log = work->run->log,
                                           .timeout_ns = coordinator->options->resource_timeout_ns,
                                           .cancel = cancel,
                                           .may_write = may_write,
                                           .context = work};
    return xb_bring_finish_volumes(&finish, err);
}

int xb_act_restore(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    if (work->step == XB_STEP_REMOVE) {
        return is_held(work) ? remove_record(work, err) : 0;
    }
    if (work->step == XB_STEP_START) {
        return xb_restore_start(work, err);
    }
    if (work->step == XB_STEP_FINALIZE) {
        return finalize(work, err);
    }
    int r = work->step == XB_STEP_WORK    ? bring(work, cancel, err)
            : work->step == XB_STEP_HOOKS ? xb_restore_hooks_step(work, cancel, err)
                                          : finish_volumes(work, cancel, err);
    if (r == 0 && work->step == XB_STEP_PUBLISH) {
        r = xb_restore_publish(work, err);
    }
    if (r == 0 || err->kind == XB_ERR_RETRY || err->kind == XB_ERR_CANCELLED) {
        return r;
    }
    struct xb_error why = *err;
    *err = (struct xb_error)XB_ERROR_INIT;
    return fail(work, why.text, err);
}
