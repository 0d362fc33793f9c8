/* SPDX-License-Identifier: Apache-2.0
 * Where the volume of an order is on this node, as far as the API's word for it can be believed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/velero/velero.h"

static const char *text(const struct xb_order *order, const char *path)
{
    return xb_json_str(order->object, path, "");
}

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

/* The name of the folder below the plugin's: the volume's own, or its PersistentVolume's. */
static int volume_folder(struct xb_order *order, const struct xb_volume_source *source,
                         struct xb_order_place *place, struct xb_error *err)
{
    struct xb_kube_client *client = order->agent->client;
    if (!source->claim[0]) {
        place->folder = strdup(text(order, "spec.volume"));
        place->where.csi = source->csi;
        return place->folder ? 0 : xb_error_no_memory(err, "a volume");
    }
    XB_CLEANUP(xb_json_putp) xb_json *claim = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *volume = NULL;
    const struct xb_kube_ref claim_ref = {.resource = &xb_core_pvcs,
                                          .namespace = text(order, "spec.pod.namespace"),
                                          .name = source->claim};
    int r = xb_kube_get(client, &claim_ref, &claim, err);
    if (r < 0) {
        return r;
    }
    const char *name = xb_json_str(claim, "spec.volumeName", "");
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "claim %s is not bound to a volume",
                            source->claim);
    }
    const struct xb_kube_ref volume_ref = {.resource = &xb_core_pvs, .name = name};
    r = xb_kube_get(client, &volume_ref, &volume, err);
    if (r < 0) {
        return r;
    }
    const char *refused = xb_volume_refusal(volume);
    if (refused) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "volume %s: %s",
                            text(order, "spec.volume"), refused);
    }
    if ((r = find_driver(order, volume, &place->where.csi, err)) < 0) {
        return r;
    }
    place->folder = strdup(name);
    return place->folder ? 0 : xb_error_no_memory(err, "a volume");
}

static int open_volume(struct xb_order *order, struct xb_order_place *place, struct xb_error *err)
{
    struct xb_volume_source source;
    const char *volume = text(order, "spec.volume");
    int r = xb_volume_source(place->pod, volume, &source, err);
    if (r == 0 && source.refused) {
        r = xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "volume %s: %s", volume, source.refused);
    }
    if (r == 0) {
        r = volume_folder(order, &source, place, err);
    }
    if (r < 0) {
        return r;
    }
    if ((r = xb_order_pod_uid(order, place->pod, &place->where.pod_uid, err)) < 0) {
        return r;
    }
    place->where.pods_root = order->agent->options->pods_root;
    place->where.folder = place->folder;
    r = xb_volume_open(&place->where, &place->volume, err);
    return r < 0 ? xb_error_wrap(err, "volume %s", volume) : 0;
}

int xb_order_open_volume(struct xb_order *order, struct xb_order_place *ret, struct xb_error *err)
{
    struct xb_order_place place = {.volume = {.fd = -1}};
    int r = xb_order_get_pod(order, &place.pod, err);
    if (r < 0 || (r = open_volume(order, &place, err)) < 0) {
        xb_order_close(&place);
        return r;
    }
    *ret = place;
    return 0;
}

void xb_order_close(struct xb_order_place *place)
{
    xb_volume_close(&place->volume);
    xb_repository_free(place->repository);
    if (place->pod) {
        json_object_put(place->pod);
    }
    free(place->folder);
    *place = (struct xb_order_place){.volume = {.fd = -1}};
}
