/* SPDX-License-Identifier: Apache-2.0
 * What a restore's record says of its volumes, as Velero's own struct RestoreVolumeInfo does. */
#include <string.h>

#include "coordinator/act/restore_internal.h"

/* Like Velero, fields without a value are left out here, but for two. */
static void put_if(xb_json *object, const char *key, const char *value)
{
    if (value[0]) {
        xb_json_put_text(object, key, value);
    }
}

static xb_json *order_info(xb_json *order)
{
    xb_json *info = json_object_new_object();
    int64_t size = xb_json_int(order, "status.progress.totalBytes", 0);
    put_if(info, "snapshotHandle", xb_json_str(order, "spec.snapshotID", ""));
    if (size > 0) {
        json_object_object_add(info, "size", json_object_new_int64(size));
    }
    xb_json_put_text(info, "uploaderType", "kopia");
    xb_json_put_text(info, "volumeName", xb_json_str(order, "spec.volume", ""));
    xb_json_put_text(info, "podName", xb_json_str(order, "spec.pod.name", ""));
    xb_json_put_text(info, "podNamespace", xb_json_str(order, "spec.pod.namespace", ""));
    xb_json_put_text(info, "Phase", ""); /* of backups only; Velero writes it all the same */
    return info;
}

static xb_json *volume_info(xb_json *order, const char *claim, const char *volume)
{
    xb_json *info = json_object_new_object();
    xb_json_put_text(info, "pvcName", claim);
    xb_json_put_text(info, "pvcNamespace", xb_json_str(order, "spec.pod.namespace", ""));
    put_if(info, "pvName", volume);
    xb_json_put_text(info, "restoreMethod", "PodVolumeRestore");
    json_object_object_add(info, "snapshotDataMoved", json_object_new_boolean(false));
    json_object_object_add(info, "pvrInfo", order_info(order));
    return info;
}

/* The volume that the claim is bound to by now; "" if there is none, or the claim is gone. */
static int find_volume(struct xb_step_work *work, xb_json *order, const char *claim, xb_json **ret,
                       struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_pvcs,
                                    .namespace = xb_json_str(order, "spec.pod.namespace", ""),
                                    .name = claim};
    int r = xb_kube_get(work->coordinator->client, &ref, ret, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

/* A volume without a claim goes with its pod: Velero does not tell of it either. */
static int add_info(struct xb_step_work *work, xb_json *order, xb_json *infos, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    const char *claim = xb_json_str(order, "metadata.annotations.velero\\.io/pvc-name", "");
    if (!xb_velero_name_valid(claim)) {
        return 0;
    }
    int r = find_volume(work, order, claim, &found, err);
    bool bound = strcmp(xb_json_str(found, "status.phase", ""), "Bound") == 0;
    if (r == 0) {
        json_object_array_add(
            infos,
            volume_info(order, claim, bound ? xb_json_str(found, "spec.volumeName", "") : ""));
    }
    return r;
}

int xb_restore_infos(struct xb_step_work *work, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *infos = json_object_new_array();
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        r = add_info(work, json_object_array_get_idx(work->extra, i), infos, err);
    }
    if (r == 0) {
        *ret = XB_TAKE(infos);
    }
    return r;
}
