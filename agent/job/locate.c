/* SPDX-License-Identifier: Apache-2.0
 * Where the volume of an order is on this node, as far as the API's word for it can be believed. */
#include <errno.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/kube/selector.h"
#include "shared/velero/host_paths.h"
#include "shared/velero/velero.h"

/* ---- static pods ---- */

struct claimed {
    const char *own, *uid; /* the pod's in the API, and what it says is its kubelet's */
};

static int compare_pod(void *context, xb_json *pod, struct xb_error *err)
{
    const struct claimed *claimed = context;
    const char *uid = xb_json_str(pod, "metadata.uid", "");
    if (strcmp(uid, claimed->own) != 0 &&
        (strcmp(uid, claimed->uid) == 0 || xb_volume_mirrors(pod, claimed->uid))) {
        return xb_error_set(err, XB_ERR_INVALID, -EEXIST,
                            "pod %.250s says that it is the same static pod: neither is believed",
                            xb_json_str(pod, "metadata.name", "?"));
    }
    return 0;
}

/* An annotation is anybody's word: what it claims must be no other pod's of this node. */
int xb_order_pod_uid(struct xb_order *order, xb_json *pod, const char **ret, struct xb_error *err)
{
    char on_node[XB_VELERO_NAME_BYTES + 32];
    const char *uid = NULL;
    int r = xb_volume_pod_uid(pod, &uid, err);
    if (r < 0) {
        return r;
    }
    struct claimed claimed = {xb_json_str(pod, "metadata.uid", ""), uid};
    const struct xb_kube_list list = {.resource = &xb_core_pods, .field_selector = on_node};
    snprintf(on_node, sizeof on_node, "spec.nodeName=%s", order->agent->options->node);
    if (strcmp(uid, claimed.own) != 0 &&
        (r = xb_kube_list_pages(order->agent->client, &list, compare_pod, &claimed, err)) < 0) {
        return r;
    }
    *ret = uid;
    return 0;
}

/* ---- the volume ---- */

/* Whether a CSI driver of the cluster made the volume or has taken it over. */
static int find_driver(struct xb_order *order, xb_json *volume, bool *ret, struct xb_error *err)
{
    const char *names[XB_VOLUME_DRIVERS_MAX];
    size_t count = xb_volume_drivers(volume, names);
    *ret = xb_volume_is_csi(volume);
    for (size_t i = 0; i < count && !*ret; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *driver = NULL;
        struct xb_error why = XB_ERROR_INIT;
        const struct xb_kube_ref ref = {.resource = &xb_storage_csidrivers, .name = names[i]};
        if (!xb_velero_name_valid(names[i])) {
            continue; /* such as rancher.io/local-path, which can be no driver's name */
        }
        *ret = xb_kube_get(order->agent->client, &ref, &driver, &why) == 0;
        if (!*ret && why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return xb_error_wrap(err, "looking for the CSI driver %s", names[i]);
        }
    }
    return 0;
}

static int get(struct xb_order *order, const struct xb_kube_ref *ref, xb_json **ret,
               struct xb_error *err)
{
    return xb_kube_get(order->agent->client, ref, ret, err);
}

static int refuse(const struct xb_order *order, const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "volume %s: %s",
                        xb_order_text(order, "spec.volume"), why);
}

/* The claim's PersistentVolume. A claim names what its author likes: both must say the same. */
static int find_persistent_volume(struct xb_order *order, const struct xb_volume_source *source,
                                  struct xb_order_place *place, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *claim = NULL;
    const struct xb_kube_ref claim_ref = {.resource = &xb_core_pvcs,
                                          .namespace = xb_order_text(order, "spec.pod.namespace"),
                                          .name = source->claim};
    int r = get(order, &claim_ref, &claim, err);
    if (r < 0) {
        return r;
    }
    const char *name = xb_json_str(claim, "spec.volumeName", "");
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "claim %s is not bound to a volume",
                            source->claim);
    }
    const struct xb_kube_ref volume_ref = {.resource = &xb_core_pvs, .name = name};
    r = get(order, &volume_ref, &place->persistent_volume, err);
    if (r < 0) {
        return r;
    }
    const char *why = xb_volume_binding_doubt(claim, place->persistent_volume);
    if (!why && source->ephemeral) {
        why = xb_volume_ownership_doubt(claim, place->pod);
    }
    return why ? refuse(order, why, err) : 0;
}

/* A volume of a node's own disk says which nodes have it. */
static int check_affinity(struct xb_order *order, xb_json *persistent_volume, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *node = NULL;
    xb_json *wanted = xb_json_get(persistent_volume, "spec.nodeAffinity.required");
    const struct xb_kube_ref ref = {.resource = &xb_core_nodes,
                                    .name = order->agent->options->node};
    int r = wanted ? get(order, &ref, &node, err) : 0;
    return r == 0 && wanted && !xb_node_selector_matches(wanted, node)
               ? refuse(order, "its PersistentVolume is not on this node, by its affinity", err)
               : r;
}

/* Whether this agent may open it, and the volume is one of this node's. */
static int allow_host_path(struct xb_order *order, const char *path, struct xb_order_place *place,
                           struct xb_error *err)
{
    const struct xb_agent_options *options = order->agent->options;
    place->where.host =
        (struct xb_volume_host){.root = options->host_root,
                                .path = path,
                                .allowed = xb_host_paths_find(options->host_paths, path)};
    if (place->where.host.allowed == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "volume %s: the node's %.300s is not beneath a folder that this agent "
                            "may read and write (its flag --host-path-allow)",
                            xb_order_text(order, "spec.volume"), path);
    }
    return check_affinity(order, place->persistent_volume, err);
}

/* The kubelet mounts nothing for a hostPath that could be looked at: so the pod must prove by what
 * runs in it that the kubelet has let it have its volumes. */
static int find_host_path(struct xb_order *order, const char *path, struct xb_order_place *place,
                          struct xb_error *err)
{
    if (!xb_volume_mounted(place->pod, xb_order_text(order, "spec.volume")) ||
        !xb_volume_pod_started(place->pod)) {
        return refuse(order, "no container of the pod has it", err);
    }
    return allow_host_path(order, path, place, err);
}

/* The claim's own data, which lies on this node whether a pod has it or not. */
static int find_claimed(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    struct xb_volume_source source = {.claim = ""};
    const char *claim = xb_order_text(order, "spec.volume");
    if (!xb_velero_name_valid(claim)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "spec.pod and spec.volume are empty");
    }
    snprintf(source.claim, sizeof source.claim, "%s", claim);
    int r = find_persistent_volume(order, &source, place, err);
    if (r < 0) {
        return r;
    }
    const char *path = xb_volume_node_path(place->persistent_volume);
    if (xb_volume_is_device(place->persistent_volume)) {
        return refuse(order, "it is a raw block device, which is found through a pod only", err);
    }
    if (!path) {
        return refuse(order, "its PersistentVolume does not say on which node's disk it is", err);
    }
    return allow_host_path(order, path, place, err);
}

/* A device is the pod's for sure if a container has it: then the kubelet has made the link. */
static int find_device(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    if (!order->agent->options->block_devices) {
        return refuse(order,
                      "it is a raw block device, which this agent may not read and write (its flag "
                      "--block-devices)",
                      err);
    }
    place->where.devices = order->agent->options->dev_root;
    return xb_volume_mounted(place->pod, xb_order_text(order, "spec.volume")) &&
                   xb_volume_pod_started(place->pod)
               ? 0
               : refuse(order, "no container of the pod has it", err);
}

static int find_volume(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    struct xb_volume_source source;
    const char *volume = xb_order_text(order, "spec.volume");
    int r = xb_volume_source(place->pod, volume, &source, err);
    if (r < 0 || source.refused) {
        return r < 0 ? r : refuse(order, source.refused, err);
    }
    place->where.folder = volume;
    place->where.csi = source.csi;
    if (source.claim[0]) {
        if ((r = find_persistent_volume(order, &source, place, err)) < 0 ||
            (r = find_driver(order, place->persistent_volume, &place->where.csi, err)) < 0) {
            return r;
        }
        place->where.folder = xb_json_str(place->persistent_volume, "metadata.name", "");
        source.host_path = xb_volume_host_path(place->persistent_volume);
        if (xb_volume_is_device(place->persistent_volume)) {
            return find_device(order, place, err);
        }
    }
    return source.host_path ? find_host_path(order, source.host_path, place, err) : 0;
}

bool xb_order_has_pod(const struct xb_order *order)
{
    return xb_order_text(order, "spec.pod.name")[0] || xb_order_text(order, "spec.pod.uid")[0] ||
           order->resource != &xb_velero_pvbs;
}

/* With the pod that it is of, or a claim without one. */
static int look_up(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    if (!xb_order_has_pod(order)) {
        return find_claimed(order, place, err);
    }
    int r = xb_order_get_pod(order, &place->pod, err);
    r = r ? r : find_volume(order, place, err);
    return r ? r : xb_order_pod_uid(order, place->pod, &place->where.pod_uid, err);
}

static int open_volume(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    int r = look_up(order, place, err);
    if (r < 0) {
        return r;
    }
    place->where.pods_root = order->agent->options->pods_root;
    r = xb_volume_open(&place->where, &place->volume, err);
    return r < 0 ? xb_error_wrap(err, "volume %s", xb_order_text(order, "spec.volume")) : 0;
}

int xb_order_open_volume(struct xb_order *order, struct xb_order_place *ret, struct xb_error *err)
{
    struct xb_order_place place = {.volume = {.fd = -1}};
    int r = open_volume(order, &place, err);
    if (r < 0) {
        xb_order_close(&place);
        return r;
    }
    *ret = place;
    return 0;
}

/* A pod that was deleted meanwhile takes its files with it, and so does a claim: what was read then
 * is a part. */
int xb_order_still_there(struct xb_order *order, const struct xb_order_place *place,
                         struct xb_error *err)
{
    struct xb_order_place again = {.volume = {.fd = -1}};
    int r = xb_order_has_pod(order) ? xb_order_get_pod(order, &again.pod, err)
                                    : look_up(order, &again, err);
    xb_order_close(&again);
    return r ? r : xb_volume_still_there(&place->where, &place->volume, err);
}

void xb_order_close(struct xb_order_place *place)
{
    xb_volume_close(&place->volume);
    xb_repository_free(place->repository);
    json_object_put(place->pod);
    json_object_put(place->persistent_volume);
    *place = (struct xb_order_place){.volume = {.fd = -1}};
}
