/* SPDX-License-Identifier: Apache-2.0
 * Backups that have expired: somebody asks for them to be deleted. */
#include <string.h>

#include "coordinator/act/retention.h"
#include "coordinator/retention/due.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define FAILURE_LABEL "velero.io/gc-failure"

enum { LOOK_AGAIN_S = 60 };

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

/* Why the backup cannot be deleted, as the label's value; NULL: it can. */
static const char *find_failure(struct xb_step_work *work, struct xb_error *why)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    const char *name = text(work, "spec.storageLocation");
    int r = xb_get_location(work->coordinator, name, &location, why);
    if (r < 0) {
        return why->kind == XB_ERR_NOT_FOUND || why->kind == XB_ERR_INVALID ? "BSLNotFound"
                                                                            : "BSLCannotGet";
    }
    if (strcmp(xb_json_str(location, "spec.accessMode", ""), "ReadOnly") == 0) {
        (void)!xb_error_set(why, XB_ERR_INVALID, -1, "backup storage location %s is read-only",
                            name);
        return "BSLReadOnly";
    }
    return NULL;
}

/* `failure` NULL takes the label off. */
static int put_label(struct xb_step_work *work, const char *failure, struct xb_error *err)
{
    const char *old = xb_json_str(work->object, "metadata.labels.velero\\.io/gc-failure", "");
    if (strcmp(old, failure ? failure : "") == 0) {
        return 0;
    }
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    json_object_object_add(labels, FAILURE_LABEL, failure ? json_object_new_string(failure) : NULL);
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(patch, "metadata", metadata);
    return xb_act_patch(work->coordinator, &xb_velero_backups, work->object, patch, err);
}

static int request_deletion(struct xb_step_work *work, struct xb_error *err)
{
    char label[XB_VELERO_LABEL_BYTES];
    char prefix[XB_VELERO_NAME_BYTES + 1];
    int r = xb_velero_label(text(work, "metadata.name"), label, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_json_putp) xb_json *request = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *spec = json_object_new_object();
    const struct xb_kube_ref ref = {.resource = &xb_velero_deletions,
                                    .namespace = text(work, "metadata.namespace")};
    snprintf(prefix, sizeof prefix, "%.253s-", text(work, "metadata.name"));
    xb_json_put_text(metadata, "generateName", prefix);
    xb_json_put_text(labels, "velero.io/backup-name", label);
    xb_json_put_text(labels, "velero.io/backup-uid", text(work, "metadata.uid"));
    json_object_object_add(metadata, "labels", labels);
    xb_json_put_text(annotations, XB_DELETION_EXPIRED_ANNOTATION, "true");
    json_object_object_add(metadata, "annotations", annotations);
    xb_json_put_text(spec, "backupName", text(work, "metadata.name"));
    xb_json_put_text(request, "apiVersion", "velero.io/v1");
    xb_json_put_text(request, "kind", "DeleteBackupRequest");
    json_object_object_add(request, "metadata", metadata);
    json_object_object_add(request, "spec", spec);
    return xb_kube_create(work->coordinator->client, &ref, request, NULL, err);
}

static int act(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    struct xb_error why = XB_ERROR_INIT;
    (void)cancel;
    const char *failure = find_failure(work, &why);
    int r = put_label(work, failure, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND ? 0 : r;
    }
    if (failure) {
        xb_log_warning("an expired backup cannot be deleted", "backup", text(work, "metadata.name"),
                       "why", why.text);
        return 0;
    }
    if ((r = xb_check_leading(work->coordinator, err)) < 0) {
        return r;
    }
    xb_log_info("a backup has expired", "backup", text(work, "metadata.name"), "expiration",
                text(work, "status.expiration"));
    return request_deletion(work, err);
}

/* ---- plan ---- */

struct pending {
    const char *backup;
    bool found;
};

static bool look_at_request(void *context, const char *key, xb_json *request)
{
    struct pending *pending = context;
    (void)key;
    pending->found |= strcmp(xb_json_str(request, "spec.backupName", ""), pending->backup) == 0 &&
                      strcmp(xb_json_str(request, "status.phase", ""), "Processed") != 0;
    return !pending->found;
}

/* Nothing can be done while it is asked for already, or the location is away for a while. */
static bool must_wait(struct xb_coordinator *coordinator, xb_json *backup)
{
    struct pending pending = {.backup = xb_json_str(backup, "metadata.name", "")};
    char key[2 * XB_VELERO_NAME_BYTES];
    snprintf(key, sizeof key, "%.253s/%.253s", xb_json_str(backup, "metadata.namespace", ""),
             xb_json_str(backup, "spec.storageLocation", ""));
    xb_json *location = xb_kube_informer_get(coordinator->watched[XB_WATCH_LOCATIONS], key);
    bool away = location && strcmp(xb_json_str(location, "status.phase", ""), "Available") != 0;
    xb_kube_informer_each(coordinator->watched[XB_WATCH_DELETIONS], look_at_request, &pending);
    return away || pending.found ||
           !xb_kube_informer_synced(coordinator->watched[XB_WATCH_DELETIONS]);
}

static void done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_coordinator *coordinator = context;
    (void)work;
    if (!err) {
        json_object_object_add(coordinator->collected_ns, key,
                               json_object_new_int64(xb_clock_wall_ns()));
    }
}

enum xb_plan xb_plan_collect(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *backup = xb_kube_informer_get(coordinator->watched[XB_WATCH_COLLECT], key);
    xb_json *last = NULL;
    if (!backup || xb_json_get(backup, "metadata.deletionTimestamp")) {
        json_object_object_del(coordinator->collected_ns, key);
        return XB_PLAN_NONE;
    }
    if (!xb_velero_backup_phase_final(xb_json_str(backup, "status.phase", ""))) {
        return XB_PLAN_NONE; /* its end marks it again */
    }
    (void)json_object_object_get_ex(coordinator->collected_ns, key, &last);
    int64_t due_ns =
        xb_due_collect(xb_json_str(backup, "status.expiration", ""),
                       last ? json_object_get_int64(last) : 0, coordinator->options->collect_ns);
    if (due_ns == XB_DUE_NEVER) {
        return XB_PLAN_NONE;
    }
    if (now_ns < due_ns || must_wait(coordinator, backup)) {
        int64_t soon_ns = now_ns + LOOK_AGAIN_S * XB_NS_PER_S;
        ret->at_ns = now_ns < due_ns ? due_ns : soon_ns;
        return XB_PLAN_AT;
    }
    struct xb_step_work *work = xb_step_work_new(coordinator, backup);
    if (!work) {
        return XB_PLAN_NONE;
    }
    *ret = (struct xb_action){.work = work, .run = act, .done = done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}
