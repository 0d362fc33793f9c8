/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bring/finish.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/http/retry.h"

enum { PAUSE_FIRST_MS = 500, PAUSE_MAX_MS = 10000 };

static const struct xb_kube_resource claims = {"", "v1", "persistentvolumeclaims",
                                               "PersistentVolumeClaim", true};
static const struct xb_kube_resource volumes = {"", "v1", "persistentvolumes", "PersistentVolume",
                                                false};
static const struct xb_kube_resource classes = {"storage.k8s.io", "v1", "storageclasses",
                                                "StorageClass", false};

/* ---- the patch ---- */

static int add_labels(xb_json *pv, xb_json *wanted, xb_json *patch, struct xb_error *err)
{
    xb_json *labels = xb_json_get(wanted, "labels");
    xb_json *now = xb_json_get(pv, "metadata.labels");
    XB_CLEANUP(xb_json_putp) xb_json *missing = json_object_new_object();
    if (!missing) {
        return xb_error_no_memory(err, "labels");
    }
    if (!labels) {
        return 0;
    }
    json_object_object_foreach(labels, key, value)
    {
        xb_json *old = NULL;
        if (now) {
            (void)json_object_object_get_ex(now, key, &old);
        }
        if (value && !json_object_equal(old, value) &&
            json_object_object_add(missing, key, json_object_get(value)) < 0) {
            json_object_put(value);
            return xb_error_no_memory(err, "labels");
        }
    }
    return json_object_object_length(missing) == 0
               ? 0
               : xb_json_set(patch, "metadata.labels", XB_TAKE(missing), err);
}

int xb_bring_finish_patch(xb_json *pv, xb_json *wanted, xb_json **ret, struct xb_error *err)
{
    static const char path[] = "spec.persistentVolumeReclaimPolicy";
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    const char *policy = xb_json_str(wanted, "reclaimPolicy", "");
    int r = patch ? add_labels(pv, wanted, patch, err) : xb_error_no_memory(err, "a patch");
    if (r == 0 && policy[0] && strcmp(policy, xb_json_str(pv, path, "")) != 0) {
        r = xb_json_set_str(patch, path, policy, err);
    }
    if (r == 0 && json_object_object_length(patch) > 0) {
        *ret = XB_TAKE(patch);
    }
    return r;
}

/* ---- one volume ---- */

enum state { OPEN, DONE };

/* A claim that waits for a pod that uses it may do so for ever, and nothing is wrong. */
static int look_at_pending(const struct xb_bring_finish *finish, xb_json *claim, enum state *state,
                           struct xb_error *err)
{
    const char *name = xb_json_str(claim, "spec.storageClassName", "");
    const struct xb_kube_ref ref = {.resource = &classes, .name = name};
    XB_CLEANUP(xb_json_putp) xb_json *class = NULL;
    if (!name[0]) {
        return 0;
    }
    int r = xb_kube_get(finish->client, &ref, &class, err);
    if (r == 0 &&
        strcmp(xb_json_str(class, "volumeBindingMode", ""), "WaitForFirstConsumer") == 0) {
        const char *namespace = xb_json_str(claim, "metadata.namespace", "");
        xb_record_log_line(finish->log, XB_RECORD_INFO, namespace,
                           "persistentvolumeclaims %s/%s: waits for a pod that uses it (storage "
                           "class %s); its volume will have the reclaim policy of its class",
                           namespace, xb_json_str(claim, "metadata.name", ""), name);
        *state = DONE;
    }
    return r;
}

static int put_back(const struct xb_bring_finish *finish, const struct xb_kube_ref *ref,
                    xb_json *pv, xb_json *wanted, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    const char *namespace = xb_json_str(wanted, "namespace", "");
    int r = xb_bring_finish_patch(pv, wanted, &patch, err);
    if (r < 0 || !patch) {
        return r;
    }
    if (!finish->may_write(finish->context)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "another coordinator leads now");
    }
    r = xb_kube_merge_patch(finish->client, ref, patch, NULL, err);
    if (r == 0) {
        xb_record_log_line(finish->log, XB_RECORD_INFO, namespace,
                           "persistentvolumeclaims %s/%s: its volume %s has the reclaim policy and "
                           "labels of the backup again",
                           namespace, xb_json_str(wanted, "claim", ""), ref->name);
    }
    return r;
}

static int look_at_bound(const struct xb_bring_finish *finish, xb_json *claim, xb_json *wanted,
                         enum state *state, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &volumes,
                                    .name = xb_json_str(claim, "spec.volumeName", "")};
    XB_CLEANUP(xb_json_putp) xb_json *pv = NULL;
    int r = ref.name[0] ? xb_kube_get(finish->client, &ref, &pv, err) : 0;
    if (r < 0 || strcmp(xb_json_str(pv, "status.phase", ""), "Bound") != 0) {
        return r;
    }
    if (strcmp(xb_json_str(pv, "spec.claimRef.name", ""), xb_json_str(wanted, "claim", "")) != 0 ||
        strcmp(xb_json_str(pv, "spec.claimRef.namespace", ""),
               xb_json_str(wanted, "namespace", "")) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "volume %s is bound to another claim",
                            ref.name);
    }
    *state = DONE;
    return put_back(finish, &ref, pv, wanted, err);
}

static int look(const struct xb_bring_finish *finish, xb_json *wanted, enum state *state,
                struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &claims,
                                    .namespace = xb_json_str(wanted, "namespace", ""),
                                    .name = xb_json_str(wanted, "claim", "")};
    XB_CLEANUP(xb_json_putp) xb_json *claim = NULL;
    int r = xb_kube_get(finish->client, &ref, &claim, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) { /* somebody has deleted it since */
        *err = (struct xb_error)XB_ERROR_INIT;
        *state = DONE;
        return 0;
    }
    const char *phase = xb_json_str(claim, "status.phase", "");
    if (r == 0 && strcmp(phase, "Pending") == 0) {
        return look_at_pending(finish, claim, state, err);
    }
    return r == 0 && strcmp(phase, "Bound") == 0 ? look_at_bound(finish, claim, wanted, state, err)
                                                 : r;
}

static void complain(const struct xb_bring_finish *finish, xb_json *wanted, const char *why)
{
    const char *namespace = xb_json_str(wanted, "namespace", "");
    xb_record_log_line(finish->log, XB_RECORD_ERROR, namespace,
                       "persistentvolumeclaims %s/%s: its volume does not get back the reclaim "
                       "policy and labels of the backup: %s",
                       namespace, xb_json_str(wanted, "claim", ""), why);
}

/* ---- all ---- */

/* Takes those that are done off the list. */
static int look_at_all(const struct xb_bring_finish *finish, struct xb_error *err)
{
    for (size_t i = json_object_array_length(finish->volumes); i-- > 0;) {
        xb_json *wanted = json_object_array_get_idx(finish->volumes, i);
        struct xb_error why = XB_ERROR_INIT;
        enum state state = OPEN;
        int r = look(finish, wanted, &state, &why);
        if (r < 0 && (why.kind == XB_ERR_CANCELLED || why.kind == XB_ERR_FULL)) {
            *err = why;
            return r;
        }
        if (r < 0 && why.kind != XB_ERR_RETRY) {
            complain(finish, wanted, why.text);
            state = DONE;
        }
        if (state == DONE) {
            json_object_array_del_idx(finish->volumes, i, 1);
        }
    }
    return 0;
}

int xb_bring_finish_volumes(const struct xb_bring_finish *finish, struct xb_error *err)
{
    int64_t began = xb_clock_mono_ns();
    int64_t pause_ms = PAUSE_FIRST_MS;
    for (;;) {
        int r = look_at_all(finish, err);
        if (r < 0 || json_object_array_length(finish->volumes) == 0) {
            return r;
        }
        if (xb_clock_mono_ns() - began > finish->timeout_ns) {
            break;
        }
        if (!xb_http_retry_sleep(pause_ms, finish->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
        }
        pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
    }
    for (size_t i = json_object_array_length(finish->volumes); i-- > 0;) {
        complain(finish, json_object_array_get_idx(finish->volumes, i),
                 "the claim was not bound in time (--resource-timeout)");
        json_object_array_del_idx(finish->volumes, i, 1);
    }
    return 0;
}
