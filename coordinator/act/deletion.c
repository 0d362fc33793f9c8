/* SPDX-License-Identifier: Apache-2.0
 * DeleteBackupRequests: the facts for the plan, and its steps. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/retention.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

/* ---- the request ---- */

static int patch_request(struct xb_step_work *work, xb_json *patch, struct xb_error *err)
{
    int r = xb_act_patch(work->coordinator, &xb_velero_deletions, work->object, patch, err);
    return r < 0 && err->kind == XB_ERR_NOT_FOUND ? 0 : r;
}

/* It cannot be done, and says why. */
static int answer(struct xb_step_work *work, const struct xb_error *why, struct xb_error *err)
{
    char message[XB_ERROR_TEXT_BYTES + 32];
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json *errors = json_object_new_array();
    snprintf(message, sizeof message, "backup deletion failed: %s", why->text);
    json_object_array_add(errors, json_object_new_string(message));
    xb_json_put_text(status, "phase", "Processed");
    json_object_object_add(status, "errors", errors);
    json_object_object_add(patch, "status", status);
    xb_log_warning("a backup is not deleted", "backup", text(work, "spec.backupName"), "why",
                   why->text);
    return patch_request(work, patch, err);
}

/* A failure that may pass is tried again for a while; every other one is the answer. */
static int answer_or_retry(struct xb_step_work *work, struct xb_error *err)
{
    int64_t created_ns = 0;
    struct xb_error why = *err;
    struct xb_error ignored = XB_ERROR_INIT;
    bool known =
        xb_time_parse(text(work, "metadata.creationTimestamp"), &created_ns, &ignored) == 0;
    bool early = known && xb_clock_wall_ns() - created_ns < XB_DELETION_RETRY_S * XB_NS_PER_S;
    bool passing = why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CONFLICT;
    if (why.kind == XB_ERR_CANCELLED || (passing && early)) {
        return why.code;
    }
    *err = (struct xb_error)XB_ERROR_INIT;
    return answer(work, &why, err);
}

static int delete_object(struct xb_step_work *work, const struct xb_kube_resource *resource,
                         xb_json *object, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace = xb_json_str(object, "metadata.namespace", ""),
                                    .name = xb_json_str(object, "metadata.name", "")};
    const struct xb_kube_delete_options options = {.uid =
                                                       xb_json_str(object, "metadata.uid", NULL)};
    int r = xb_kube_delete(work->coordinator->client, &ref, &options, err);
    return r < 0 && (err->kind == XB_ERR_NOT_FOUND || err->kind == XB_ERR_CONFLICT) ? 0 : r;
}

/* ---- begin ---- */

/* *ret stays NULL if there is none. */
static int find_backup(struct xb_step_work *work, xb_json **ret, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = text(work, "spec.backupName")};
    if (!xb_velero_name_valid(ref.name)) {
        return 0;
    }
    int r = xb_kube_get(work->coordinator->client, &ref, ret, err);
    return r < 0 && err->kind == XB_ERR_NOT_FOUND ? 0 : r;
}

static int find_location(struct xb_step_work *work, xb_json *backup, xb_json **ret,
                         struct xb_error *err)
{
    const char *name = xb_json_str(backup, "spec.storageLocation", "");
    if (!name[0]) {
        return 0;
    }
    int r = xb_get_location(work->coordinator, name, ret, err);
    return r < 0 && (err->kind == XB_ERR_NOT_FOUND || err->kind == XB_ERR_INVALID) ? 0 : r;
}

static int check(struct xb_step_work *work, xb_json *backup, bool *ret_recorded,
                 struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    struct xb_error missing = XB_ERROR_INIT;
    int r = backup ? find_location(work, backup, &location, &missing) : 0;
    if (r < 0) {
        *err = missing;
        return r;
    }
    return xb_deletion_check(work->object, backup, location, ret_recorded, err);
}

/* Guarded by its version: a backup that has begun to run meanwhile is left alone. */
static int mark_backup(struct xb_step_work *work, xb_json *backup, struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(metadata, "resourceVersion",
                     xb_json_str(backup, "metadata.resourceVersion", ""));
    xb_json_put_text(status, "phase", "Deleting");
    json_object_object_add(patch, "metadata", metadata);
    json_object_object_add(patch, "status", status);
    return xb_act_patch(work->coordinator, &xb_velero_backups, backup, patch, err);
}

static int mark_request(struct xb_step_work *work, xb_json *backup, struct xb_error *err)
{
    char label[XB_VELERO_LABEL_BYTES];
    int r = xb_velero_label(text(work, "spec.backupName"), label, err);
    if (r < 0) {
        return r;
    }
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(labels, "velero.io/backup-name", label);
    xb_json_put_text(labels, "velero.io/backup-uid", xb_json_str(backup, "metadata.uid", ""));
    xb_json_put_text(status, "phase", "InProgress");
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(patch, "metadata", metadata);
    json_object_object_add(patch, "status", status);
    return patch_request(work, patch, err);
}

static int begin(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    XB_CLEANUP(xb_removal_free)
    struct xb_removal removal = {.coordinator = work->coordinator, .cancel = cancel};
    struct xb_error why = XB_ERROR_INIT;
    bool recorded = false;
    int r = find_backup(work, &backup, &why);
    removal.backup = backup;
    if (r < 0 || (r = check(work, backup, &recorded, &why)) < 0 ||
        (r = xb_removal_prepare(&removal, recorded, &why)) < 0) {
        *err = why;
        return answer_or_retry(work, err);
    }
    r = mark_backup(work, backup, err);
    return r < 0 ? r : mark_request(work, backup, err);
}

/* ---- going on ---- */

static int remove_restore(void *context, xb_json *restore, struct xb_error *err)
{
    struct xb_step_work *work = context;
    if (strcmp(xb_json_str(restore, "spec.backupName", ""), text(work, "spec.backupName")) != 0) {
        return 0;
    }
    xb_log_info("a restore is deleted with its backup", "restore",
                xb_json_str(restore, "metadata.name", ""), "backup", text(work, "spec.backupName"));
    return delete_object(work, &xb_velero_restores, restore, err);
}

/* Their parts of the store go by their finalizer, for which the backup's object must be there. */
static int remove_restores(struct xb_step_work *work, const atomic_bool *cancel,
                           struct xb_error *err)
{
    const struct xb_kube_list list = {.resource = &xb_velero_restores,
                                      .namespace = text(work, "metadata.namespace"),
                                      .cancel = cancel};
    return xb_kube_list_pages(work->coordinator->client, &list, remove_restore, work, err);
}

struct answered {
    struct xb_step_work *work;
    const char *uid;
};

static int remove_request(void *context, xb_json *request, struct xb_error *err)
{
    struct answered *answered = context;
    const char *own = text(answered->work, "metadata.uid");
    bool itself = strcmp(xb_json_str(request, "metadata.uid", "-"), own) == 0;
    bool same = strcmp(xb_json_str(request, "spec.backupName", ""),
                       text(answered->work, "spec.backupName")) == 0 &&
                strcmp(xb_json_str(request, "metadata.labels.velero\\.io/backup-uid", "-"),
                       answered->uid) == 0;
    return itself || same ? delete_object(answered->work, &xb_velero_deletions, request, err) : 0;
}

/* All is done: answered, and with it all requests for the same backup are. */
static int finish(struct xb_step_work *work, const char *uid, struct xb_error *err)
{
    struct answered answered = {work, uid};
    const struct xb_kube_list list = {.resource = &xb_velero_deletions,
                                      .namespace = text(work, "metadata.namespace")};
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Processed");
    json_object_object_add(patch, "status", status);
    int r = patch_request(work, patch, err);
    if (r < 0) {
        return r;
    }
    xb_log_info("backup deleted", "backup", text(work, "spec.backupName"));
    return xb_kube_list_pages(work->coordinator->client, &list, remove_request, &answered, err);
}

static int remove_backup(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    const char *uid = text(work, "metadata.labels.velero\\.io/backup-uid");
    XB_CLEANUP(xb_removal_free)
    struct xb_removal removal = {.coordinator = work->coordinator, .cancel = cancel};
    struct xb_error why = XB_ERROR_INIT;
    bool recorded = false;
    int r = find_backup(work, &backup, &why);
    if (r == 0 && (!backup || strcmp(xb_json_str(backup, "metadata.uid", ""), uid) != 0)) {
        return finish(work, uid, err); /* the object goes last: nothing is left to do */
    }
    removal.backup = backup;
    if (r < 0 || (r = check(work, backup, &recorded, &why)) < 0 ||
        (r = xb_removal_prepare(&removal, recorded, &why)) < 0 ||
        (r = xb_removal_carry_out(&removal, &why)) < 0 ||
        (r = delete_object(work, &xb_velero_backups, backup, &why)) < 0) {
        *err = why;
        return answer_or_retry(work, err);
    }
    return finish(work, uid, err);
}

static int act(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    switch ((enum xb_deletion_step)work->what) {
    case XB_DELETION_BEGIN:
        return begin(work, cancel, err);
    case XB_DELETION_RESTORES:
        return remove_restores(work, cancel, err);
    case XB_DELETION_REMOVE:
        return remove_backup(work, cancel, err);
    case XB_DELETION_DROP:
        return delete_object(work, &xb_velero_deletions, work->object, err);
    case XB_DELETION_NONE:
    case XB_DELETION_WAIT:
    default:
        return 0;
    }
}

/* ---- plan ---- */

struct view {
    const char *key, *backup;
    xb_json *request;
    struct xb_deletion_facts *facts;
};

static bool look_at_request(void *context, const char *key, xb_json *other)
{
    const struct view *view = context;
    if (strcmp(key, view->key) != 0 &&
        strcmp(xb_json_str(other, "spec.backupName", ""), view->backup) == 0 &&
        strcmp(xb_json_str(other, "status.phase", ""), "Processed") != 0 &&
        xb_deletion_before(other, view->request)) {
        view->facts->first = false;
    }
    return true;
}

static bool look_at_restore(void *context, const char *key, xb_json *restore)
{
    const struct view *view = context;
    (void)key;
    view->facts->restores += strcmp(xb_json_str(restore, "spec.backupName", ""), view->backup) == 0;
    return true;
}

static bool is_old(const struct xb_run *run, xb_json *object)
{
    return run->acted_on[0] &&
           strcmp(run->acted_on, xb_json_str(object, "metadata.resourceVersion", "")) == 0;
}

static void done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_step_work *step = work;
    bool restores = step->what == XB_DELETION_RESTORES;
    (void)context;
    (void)key;
    if (restores && !err) {
        step->run->made_ns = xb_clock_wall_ns();
    }
    /* Every other step has changed the request: what the cache shows until then is old. */
    snprintf(step->run->acted_on, sizeof step->run->acted_on, "%.63s",
             err || restores ? "" : xb_json_str(step->object, "metadata.resourceVersion", ""));
}

static struct xb_deletion_result plan(struct xb_coordinator *coordinator, const char *key,
                                      xb_json *request, struct xb_deletion_facts *facts)
{
    struct view view = {key, xb_json_str(request, "spec.backupName", ""), request, facts};
    struct xb_error ignored = XB_ERROR_INIT;
    facts->phase = xb_json_str(request, "status.phase", "");
    facts->created_ns = facts->now_ns;
    (void)!xb_time_parse(xb_json_str(request, "metadata.creationTimestamp", ""), &facts->created_ns,
                         &ignored);
    facts->first = true;
    xb_kube_informer_each(coordinator->watched[XB_WATCH_DELETIONS], look_at_request, &view);
    xb_kube_informer_each(coordinator->watched[XB_WATCH_RESTORES], look_at_restore, &view);
    return xb_deletion_plan(facts);
}

enum xb_plan xb_plan_deletions(void *context, const char *key, int64_t now_ns,
                               struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *request = xb_kube_informer_get(coordinator->watched[XB_WATCH_DELETIONS], key);
    if (!request || xb_json_get(request, "metadata.deletionTimestamp")) {
        xb_run_drop(&coordinator->deletion_runs, key);
        return XB_PLAN_NONE;
    }
    if (!xb_kube_informer_synced(coordinator->watched[XB_WATCH_RESTORES])) {
        ret->at_ns = now_ns + XB_NS_PER_S;
        return XB_PLAN_AT;
    }
    struct xb_run *run = xb_run_of(&coordinator->deletion_runs, key, request);
    if (!run) {
        return xb_plan_no_run(now_ns, ret);
    }
    if (is_old(run, request)) {
        return XB_PLAN_NONE;
    }
    struct xb_deletion_facts facts = {.now_ns = now_ns, .restores_ns = run->made_ns};
    const struct xb_deletion_result next = plan(coordinator, key, request, &facts);
    if (next.step == XB_DELETION_NONE) {
        return XB_PLAN_NONE;
    }
    if (next.step == XB_DELETION_WAIT) {
        ret->at_ns = next.at_ns;
        return XB_PLAN_AT;
    }
    struct xb_step_work *work = xb_step_work_new(coordinator, request);
    if (!work) {
        return XB_PLAN_NONE;
    }
    work->run = run;
    work->what = next.step;
    *ret = (struct xb_action){.work = work, .run = act, .done = done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}
