/* SPDX-License-Identifier: Apache-2.0
 * A claim like one of the backup, and a pod that does nothing but have it: whose volume the data of
 * a restore in place goes into. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/pod_volumes.h"

static const char *const volume_name = "data";

/* ---- the claim as the backup has it ---- */

struct search {
    const char *namespace, *claim;
    xb_json *found;
};

static int look_at_item(void *context, const struct xb_tarball_item *item, const char *json,
                        size_t len, struct xb_error *err)
{
    struct search *search = context;
    return search->found || strcmp(item->resource, "persistentvolumeclaims") != 0 ||
                   strcmp(item->namespace, search->namespace) != 0 ||
                   strcmp(item->name, search->claim) != 0
               ? 0
               : xb_json_parse(json, len, &search->found, err);
}

static int find_claim(struct xb_bring *bring, const char *claim, xb_json **ret,
                      struct xb_error *err)
{
    struct search search = {.namespace = bring->in_place.namespace, .claim = claim};
    char tarball[PATH_MAX];
    int r = xb_bring_load_tarball(bring, tarball, err);
    if (r == 0) {
        r = xb_tarball_read(tarball, look_at_item, &search, err);
        unlink(tarball);
    }
    if (r == 0 && !search.found) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "backup %s does not have the claim %s/%s itself, of which the new one "
                            "would be a copy",
                            bring->context.backup_name, search.namespace, claim);
    }
    if (r < 0) {
        json_object_put(search.found);
        return r;
    }
    *ret = search.found;
    return 0;
}

/* ---- made ---- */

/* Whether it is new or, after a coordinator that died, our own. */
static int make(struct xb_bring *bring, const struct xb_kube_resource *resource, xb_json *object,
                xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *live = NULL;
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace = xb_json_str(object, "metadata.namespace", ""),
                                    .name = xb_json_str(object, "metadata.name", "")};
    int r = xb_bring_may_write(bring, err);
    r = r ? r : xb_kube_create(bring->options->client, &ref, object, &live, err);
    if (r < 0 && err->kind == XB_ERR_CONFLICT && err->code == -EEXIST) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_get(bring->options->client, &ref, &live, err);
        if (r == 0 && !xb_bring_made_by_us(bring, live)) {
            return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                                "%s %s/%s is there already: give another name, or restore into a "
                                "pod that has it (annotation %s)",
                                resource->plural, ref.namespace, ref.name,
                                XB_IN_PLACE_INTO_ANNOTATION);
        }
    }
    pthread_mutex_lock(&bring->lock);
    r = r ? r : xb_bring_list(bring, live, "created", err);
    pthread_mutex_unlock(&bring->lock);
    if (r == 0) {
        *ret = XB_TAKE(live);
    }
    return r;
}

/* A fresh volume of the class that it has here. */
static int make_claim(struct xb_bring *bring, const char *claim, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *live = NULL;
    const struct xb_tarball_item from = {.resource = "persistentvolumeclaims",
                                         .version = "",
                                         .namespace = bring->in_place.namespace,
                                         .name = claim};
    struct xb_bring_item item = {.from = &from};
    enum xb_restore_decision decision = XB_RESTORE_SKIP;
    char reason[XB_RESTORE_REASON_BYTES];
    int r = find_claim(bring, claim, &item.object, err);
    if (r < 0) {
        return r;
    }
    xb_restore_pvc_detach(item.object);
    xb_restore_pvc_drop_source(item.object);
    /* A generic ephemeral volume's was its pod's own, and the new one is nobody's. */
    json_object_object_del(xb_json_get(item.object, "metadata"), "ownerReferences");
    r = xb_restore_transform(&bring->context, from.resource, item.object, &decision, reason, err);
    r = r ? r : xb_bring_change_names(bring, &item, err);
    r = r ? r : xb_json_set_str(item.object, "metadata.name", bring->in_place.into_claim, err);
    r = r ? r : make(bring, &xb_core_pvcs, item.object, &live, err);
    xb_record_lines_put(&item.lines, bring->options->log);
    json_object_put(item.object);
    return r;
}

static const char pod_text[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"\",\"namespace\":\"\","
    "\"labels\":{}},\"spec\":{\"restartPolicy\":\"Never\",\"automountServiceAccountToken\":false,"
    "\"enableServiceLinks\":false,\"activeDeadlineSeconds\":14400,"
    "\"terminationGracePeriodSeconds\":1,\"securityContext\":{},\"containers\":[],\"volumes\":["
    "{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":\"\"}}]}}";

/* Where the pod security level wants it, the pod refuses root, and so its container does. */
static int is_restricted(const struct xb_bring *bring, const char *namespace, bool *ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces, .name = namespace};
    int r = xb_kube_get(bring->options->client, &ref, &object, err);
    if (r == 0) {
        const char *level =
            xb_json_str(object, "metadata.labels.pod-security\\.kubernetes\\.io/enforce", "");
        *ret = strcmp(level, "restricted") == 0;
    }
    return r;
}

/* A pod to be: of which claim, and in the place of which namespace of the backup. */
struct holder {
    const char *from_namespace, *namespace, *claim;
    xb_json *pod;
};

/* The pod, with its volume and a container that waits for it. */
static int write_pod(struct xb_bring *bring, const struct holder *holder, struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    bool restricted = false;
    xb_json *pod = holder->pod;
    const char *parts[] = {bring->context.restore_uid, holder->claim, NULL};
    int r = xb_velero_derived_name("xebec-restore", parts, name, err);
    r = r ? r : is_restricted(bring, holder->namespace, &restricted, err);
    r = r ? r : xb_json_set_str(pod, "metadata.name", name, err);
    r = r ? r : xb_restore_settle(&bring->context, holder->from_namespace, pod, err);
    xb_json *volume = json_object_array_get_idx(xb_json_get(pod, "spec.volumes"), 0);
    r = r ? r : xb_json_set_str(volume, "persistentVolumeClaim.claimName", holder->claim, err);
    if (r == 0 && restricted) {
        json_object_object_add(xb_json_get(pod, "spec.securityContext"), "runAsNonRoot",
                               json_object_new_boolean(true));
    }
    return r ? r : xb_restore_add_wait(&bring->context, pod, &volume_name, 1, err);
}

/* The waiting container is all that the pod has: nobody tells it of the end, because a sign in the
 * volume would stay there. The coordinator ends the pod (coordinator/act/restore_publish.c). */
static int wait_only(xb_json *pod, struct xb_error *err)
{
    xb_json *spec = xb_json_get(pod, "spec");
    int r =
        xb_json_set(spec, "containers", json_object_get(xb_json_get(spec, "initContainers")), err);
    json_object_object_del(spec, "initContainers");
    return r;
}

/* The waiting container is told of the end by the sign, and takes it away; what follows is the same
 * program with nothing to wait for, which ends at once, and with it the pod. */
static int wait_first(xb_json *pod, struct xb_error *err)
{
    static const char nothing[] = "{\"name\":\"nothing\",\"emptyDir\":{}}";
    static const char mounts[] = "[{\"name\":\"nothing\",\"mountPath\":\"/restores\"}]";
    xb_json *wait = json_object_array_get_idx(xb_json_get(pod, "spec.initContainers"), 0);
    xb_json *last = NULL, *volume = NULL, *mounted = NULL;
    int r = xb_json_parse(nothing, sizeof nothing - 1, &volume, err);
    if (r == 0) {
        json_object_array_add(xb_json_get(pod, "spec.volumes"), volume);
        r = json_object_deep_copy(wait, &last, NULL) < 0
                ? xb_error_no_memory(err, "a container")
                : xb_json_parse(mounts, sizeof mounts - 1, &mounted, err);
    }
    if (r < 0) {
        json_object_put(last);
        return r;
    }
    json_object_array_add(xb_json_get(pod, "spec.containers"), last);
    r = xb_json_set(last, "volumeMounts", mounted, err);
    return r ? r : xb_json_set_str(last, "name", "done", err);
}

int xb_bring_hold_claim(struct xb_bring *bring, const char *namespace, const char *claim,
                        xb_json **ret_pod, const char **ret_volume, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    int r = xb_json_parse(pod_text, strlen(pod_text), &pod, err);
    const struct holder holder = {namespace, xb_restore_namespace(&bring->context, namespace),
                                  claim, pod};
    r = r ? r : write_pod(bring, &holder, err);
    r = r ? r : wait_first(pod, err);
    r = r ? r : make(bring, &xb_core_pods, pod, ret_pod, err);
    if (r == 0) {
        *ret_volume = volume_name;
    }
    return r;
}

int xb_bring_new_claim(struct xb_bring *bring, xb_json *data, xb_json **ret_pod,
                       const char **ret_volume, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const char *claim = xb_json_str(data, "metadata.annotations.velero\\.io/pvc-name", "");
    const char *namespace = xb_in_place_namespace(bring->restore, &bring->in_place);
    if (!claim[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "the volume had no claim, of which a new one could be a copy: restore "
                            "it into a pod (annotation %s)",
                            XB_IN_PLACE_INTO_ANNOTATION);
    }
    int r = xb_bring_read_settings(bring, err);
    r = r ? r : make_claim(bring, claim, err);
    r = r ? r : xb_json_parse(pod_text, strlen(pod_text), &pod, err);
    const struct holder holder = {bring->in_place.namespace, namespace, bring->in_place.into_claim,
                                  pod};
    r = r ? r : write_pod(bring, &holder, err);
    r = r ? r : wait_only(pod, err);
    r = r ? r : make(bring, &xb_core_pods, pod, ret_pod, err);
    if (r == 0) {
        *ret_volume = volume_name;
    }
    return r;
}
