/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/internal.h"
#include "agent/job/origin.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/hooks.h"
#include "shared/velero/location.h"
#include "shared/velero/velero.h"

int xb_order_patch(struct xb_order *order, xb_json *status, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    const struct xb_kube_ref ref = xb_order_ref(order);
    json_object_object_add(patch, "status", status);
    return xb_kube_merge_patch(order->agent->client, &ref, patch, NULL, err);
}

int xb_order_refresh(struct xb_order *order, struct xb_error *err)
{
    const struct xb_kube_ref ref = xb_order_ref(order);
    xb_json *fresh = NULL;
    int r = xb_kube_get(order->agent->client, &ref, &fresh, err);
    if (r < 0) {
        return r;
    }
    if (strcmp(xb_json_str(fresh, "metadata.uid", ""), xb_order_text(order, "metadata.uid")) != 0) {
        json_object_put(fresh);
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "it was replaced by another one");
    }
    json_object_put(order->object);
    order->object = fresh;
    return 0;
}

int xb_order_end(struct xb_order *order, const char *phase, const char *message,
                 struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    char cut[XB_ORDER_MESSAGE_BYTES];
    snprintf(cut, sizeof cut, "%s", message);
    json_object_object_add(status, "phase", json_object_new_string(phase));
    json_object_object_add(status, "message", json_object_new_string(cut));
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    xb_log_info("order ended", "order", order->key, "phase", phase, "message", cut);
    int r = xb_order_patch(order, status, err);
    order->ended = r == 0 ? phase : NULL;
    return r;
}

void xb_order_progress(struct xb_order *order, uint64_t done, uint64_t total)
{
    int64_t now = xb_clock_mono_ns();
    struct xb_error err = XB_ERROR_INIT;
    if (now - order->patched_ns < XB_NS_PER_S) {
        return;
    }
    order->patched_ns = now;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "bytesDone", json_object_new_int64((int64_t)done));
    json_object_object_add(progress, "totalBytes",
                           json_object_new_int64((int64_t)(total > done ? total : done)));
    json_object_object_add(status, "progress", progress);
    json_object_object_add(patch, "status", status);
    /* The end of the reading waits for this, and with it an application that is held. */
    const struct xb_kube_ref ref = xb_order_ref(order);
    if (xb_kube_merge_patch(order->agent->hasty, &ref, patch, NULL, &err) < 0) {
        xb_log_warning("progress could not be told", "order", order->key, "error", err.text);
        order->patched_ns = xb_clock_mono_ns();
    }
}

static int check_location(const struct xb_order *order, xb_json *backup, struct xb_error *err)
{
    const char *location = xb_json_str(backup, "spec.storageLocation", "");
    return !location[0] || strcmp(location, xb_order_text(order, "spec.backupStorageLocation")) == 0
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EPERM,
                              "its storage location is not the backup's: %s is at %s",
                              xb_json_str(backup, "metadata.name", ""), location);
}

/* An order under the name of a backup, but about a pod that it does not take, or for another place,
 * is nobody's: whoever wrote it would get at data by a backup of somebody else. */
static int check_backup(const struct xb_order *order, xb_json *backup, struct xb_error *err)
{
    const char *name = xb_json_str(backup, "metadata.name", "");
    if (!xb_hooks_lists_take(xb_json_get(backup, "spec.includedNamespaces"),
                             xb_json_get(backup, "spec.excludedNamespaces"),
                             xb_order_text(order, "spec.pod.namespace"))) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "the pod's namespace is not in the backup: %s does not take %.63s",
                            name, xb_order_text(order, "spec.pod.namespace"));
    }
    return check_location(order, backup, err);
}

/* The data is read from where the restore's backup is, and from nowhere else: another location may
 * hold a repository of the same namespace, of another cluster or another time. */
static int check_restore(struct xb_order *order, xb_json *restore, struct xb_error *err)
{
    const char *origin = NULL;
    const char *name = xb_json_str(restore, "spec.backupName", "");
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    int r = xb_order_origin(order->object, restore, &origin, err);
    if (r < 0) {
        return r;
    }
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "its restore is of no backup");
    }
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = name};
    r = xb_kube_get(order->agent->client, &ref, &backup, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND
                   ? xb_error_set(err, XB_ERR_INVALID, -ENOENT,
                                  "the backup of its restore, %s, does not exist", name)
                   : r;
    }
    return check_location(order, backup, err);
}

int xb_order_get_owner(struct xb_order *order, const char *kind, xb_json **ret,
                       struct xb_error *err)
{
    const struct xb_kube_resource *resource =
        strcmp(kind, "Backup") == 0 ? &xb_velero_backups : &xb_velero_restores;
    xb_json *owner = xb_velero_owner(order->object, kind);
    const char *name = xb_json_str(owner, "name", "");
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    if (!owner || !xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "it has no owner of kind %s", kind);
    }
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = name};
    int r = xb_kube_get(order->agent->client, &ref, &found, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND
                   ? xb_error_set(err, XB_ERR_INVALID, -ENOENT, "its owner, %s %s, does not exist",
                                  kind, name)
                   : r;
    }
    if (strcmp(xb_json_str(found, "metadata.uid", ""), xb_json_str(owner, "uid", "?")) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOENT,
                            "its owner, %s %s, is another one than that of today", kind, name);
    }
    const char *phase = xb_json_str(found, "status.phase", "");
    if (xb_velero_backup_phase_final(phase)) {
        return xb_error_set(err, XB_ERR_INVALID, -ESTALE, "its owner, %s %s, has ended (%s)", kind,
                            name, phase);
    }
    r = resource == &xb_velero_backups ? check_backup(order, found, err)
                                       : check_restore(order, found, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(found);
    return 0;
}

int xb_order_check_owner(struct xb_order *order, const char *kind, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *owner = NULL;
    return xb_order_get_owner(order, kind, &owner, err);
}

int xb_order_get_pod(struct xb_order *order, xb_json **ret, struct xb_error *err)
{
    const char *namespace = xb_order_text(order, "spec.pod.namespace");
    const char *name = xb_order_text(order, "spec.pod.name");
    const char *uid = xb_order_text(order, "spec.pod.uid");
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    if (!xb_velero_name_valid(namespace) || !xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "spec.pod names no pod");
    }
    const struct xb_kube_ref ref = {
        .resource = &xb_core_pods, .namespace = namespace, .name = name};
    int r = xb_kube_get(order->agent->client, &ref, &pod, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND
                   ? xb_error_set(err, XB_ERR_INVALID, -ENOENT, "pod %s/%s does not exist",
                                  namespace, name)
                   : r;
    }
    if (strcmp(xb_json_str(pod, "metadata.uid", ""), uid) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ESTALE,
                            "pod %s/%s is another one now (its uid is not %.40s)", namespace, name,
                            uid);
    }
    if (strcmp(xb_json_str(pod, "spec.nodeName", ""), order->agent->options->node) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EXDEV, "pod %s/%s is not on node %s", namespace,
                            name, order->agent->options->node);
    }
    *ret = XB_TAKE(pod);
    return 0;
}

/* ---- the repository ---- */

static int get_password(struct xb_order *order, struct xb_secret **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_secrets,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = "velero-repo-credentials"};
    int r = xb_kube_get(order->agent->client, &ref, &secret, err);
    if (r < 0) {
        return r;
    }
    return xb_velero_secret(secret, "repository-password", true, ret, err);
}

/* The store that the coordinator saw, and no other folder that happens to be mounted here. */
static int check_identity(struct xb_order *order, xb_json *location, struct xb_store *store,
                          struct xb_error *err)
{
    char seen[XB_STORE_IDENTITY_BYTES];
    xb_json *annotations = xb_json_get(order->object, "metadata.annotations");
    xb_json *wanted = NULL;
    (void)json_object_object_get_ex(annotations, XB_STORE_IDENTITY_ANNOTATION, &wanted);
    int r = xb_location_identity(location, store, seen, err);
    if (r == 0 && wanted && strcmp(json_object_get_string(wanted), seen) != 0) {
        r = xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                         "this node sees another store at %s than the coordinator: nothing was "
                         "written",
                         xb_store_describe(store));
    }
    return r;
}

/* The location's store, proven to be the right one. */
static int open_store(struct xb_order *order, bool read_only, struct xb_store **ret,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    const struct xb_location_access access = {.client = order->agent->client,
                                              .namespace =
                                                  xb_order_text(order, "metadata.namespace"),
                                              .read_only = read_only,
                                              .limits = order->agent->options->limits};
    const char *name = xb_order_text(order, "spec.backupStorageLocation");
    const struct xb_kube_ref ref = {.resource = &xb_velero_locations,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = name};
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "spec.backupStorageLocation is empty");
    }
    int r = xb_kube_get(order->agent->client, &ref, &location, err);
    if (r < 0 || (r = xb_location_open(location, &access, &store, err)) < 0 ||
        (r = check_identity(order, location, store, err)) < 0) {
        return xb_error_wrap(err, "storage location %s", name);
    }
    *ret = XB_TAKE(store);
    return 0;
}

int xb_order_open_repository(struct xb_order *order, const char *namespace, bool read_only,
                             struct xb_order_place *place, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    struct xb_store *below = NULL;
    int r = open_store(order, read_only, &store, err);
    if (r < 0 || (r = get_password(order, &password, err)) < 0 ||
        (r = xb_location_repository_store(store, namespace, false, &below, err)) < 0) {
        return r;
    }
    /* As every Velero does, so that either may go on where the other left off. */
    struct xb_repository_open_options options = {
        .read_only = read_only, .username = "default", .hostname = "default"};
    char folder[XB_CACHE_PATH_BYTES];
    if (xb_repository_cache_folder_default(folder, &options.cache_wanted)) {
        options.cache_folder = folder;
    }
    return xb_repository_open(below, password, &options, &place->repository, err);
}

int xb_order_open(struct xb_order *order, const char *repository_namespace, bool read_only,
                  struct xb_order_place *ret, struct xb_error *err)
{
    struct xb_order_place place;
    int r = xb_order_open_volume(order, &place, err);
    if (r < 0) {
        return r;
    }
    if ((r = xb_order_open_repository(order, repository_namespace, read_only, &place, err)) < 0) {
        xb_order_close(&place);
        return r;
    }
    *ret = place;
    return 0;
}

/* ---- from beginning to end ---- */

static int begin(struct xb_order *order, const struct xb_order_task *task, struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    json_object_object_add(status, "phase", json_object_new_string("InProgress"));
    if (task->tells_node) {
        json_object_object_add(status, "node", json_object_new_string(order->agent->options->node));
    }
    if (!xb_order_text(order, "status.startTimestamp")[0]) {
        json_object_object_add(status, "acceptedTimestamp", xb_velero_now());
        json_object_object_add(status, "startTimestamp", xb_velero_now());
    }
    return xb_order_patch(order, status, err);
}

int xb_order_run(struct xb_order *order, const struct xb_order_task *task, const atomic_bool *stop,
                 struct xb_error *err)
{
    int r = xb_order_refresh(order, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND ? 0 : r;
    }
    if (xb_velero_data_phase_final(xb_order_text(order, "status.phase"))) {
        return 0;
    }
    if (xb_json_bool(order->object, "spec.cancel", false)) {
        return xb_order_end(order, "Canceled", "cancelled before it began", err);
    }
    xb_log_info(task->doing, "order", order->key, "pod", xb_order_text(order, "spec.pod.name"),
                "volume", xb_order_text(order, "spec.volume"));
    r = xb_order_check_owner(order, task->owner, err);
    if (r == 0 && (r = begin(order, task, err)) == 0) {
        r = task->carry_out(order, err);
    }
    if (r == 0 || atomic_load(stop) || err->kind == XB_ERR_RETRY) {
        return r;
    }
    struct xb_error why = *err;
    bool cancelled = why.kind == XB_ERR_CANCELLED;
    return xb_order_end(order, cancelled ? "Canceled" : "Failed",
                        cancelled ? "cancelled on request" : why.text, err);
}
