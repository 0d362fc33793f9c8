/* SPDX-License-Identifier: Apache-2.0
 * Which volumes of a pod have data in the backup, and the orders to bring it back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/restore_internal.h"

enum { POD_VOLUMES_MAX = 256 };

xb_json *xb_restore_data_of(const struct restoring *restoring, const char *namespace,
                            const char *pod, const char *volume)
{
    size_t count = json_object_array_length(restoring->data);
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(restoring->data, i);
        if (strcmp(xb_json_str(one, "spec.pod.namespace", ""), namespace) == 0 &&
            strcmp(xb_json_str(one, "spec.pod.name", ""), pod) == 0 &&
            strcmp(xb_json_str(one, "spec.volume", ""), volume) == 0 &&
            strcmp(xb_json_str(one, "status.phase", ""), "Completed") == 0 &&
            xb_json_str(one, "status.snapshotID", "")[0]) {
            return one;
        }
    }
    return NULL;
}

static bool data_with(const struct restoring *restoring, const char *path, const char *value,
                      const char *namespace)
{
    size_t count = json_object_array_length(restoring->data);
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(restoring->data, i);
        xb_json *annotations = xb_json_get(one, "metadata.annotations");
        xb_json *claim = NULL;
        if (annotations && json_object_object_get_ex(annotations, "velero.io/pvc-name", &claim) &&
            strcmp(path, "claim") == 0 && strcmp(json_object_get_string(claim), value) == 0 &&
            strcmp(xb_json_str(one, "spec.pod.namespace", ""), namespace) == 0) {
            return true;
        }
    }
    return false;
}

bool xb_restore_claim_has_data(const struct restoring *restoring, xb_json *claim)
{
    return data_with(restoring, "claim", xb_json_str(claim, "metadata.name", ""),
                     xb_json_str(claim, "metadata.namespace", ""));
}

bool xb_restore_pv_has_data(const struct restoring *restoring, xb_json *volume)
{
    return data_with(restoring, "claim", xb_json_str(volume, "spec.claimRef.name", ""),
                     xb_json_str(volume, "spec.claimRef.namespace", ""));
}

static size_t volumes_with_data(const struct restoring *restoring, const char *namespace,
                                xb_json *pod, const char *names[POD_VOLUMES_MAX])
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    const char *name = xb_json_str(pod, "metadata.name", "");
    size_t found = 0;
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    for (size_t i = 0; i < count && found < POD_VOLUMES_MAX; i++) {
        const char *volume = xb_json_str(json_object_array_get_idx(volumes, i), "name", "");
        if (xb_restore_data_of(restoring, namespace, name, volume)) {
            names[found++] = volume;
        }
    }
    return found;
}

int xb_restore_prepare_pod(struct restoring *restoring, const char *namespace, xb_json *pod,
                           struct xb_error *err)
{
    const char *names[POD_VOLUMES_MAX];
    size_t count = volumes_with_data(restoring, namespace, pod, names);
    return xb_restore_add_wait(&restoring->context, pod, names, count, err);
}

static xb_json *make_order(const struct restoring *restoring, const char *namespace, xb_json *pod,
                           xb_json *data, const char *name)
{
    xb_json *owner = restoring->work->object;
    xb_json *order = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_json *reference = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *metadata = xb_order_metadata(owner, "Restore", name);
    json_object_object_add(xb_json_get(metadata, "labels"), "velero.io/pod-uid",
                           json_object_new_string(xb_json_str(pod, "metadata.uid", "")));
    xb_json_put_text(annotations, XB_STORE_IDENTITY_ANNOTATION, restoring->identity);
    json_object_object_add(metadata, "annotations", annotations);
    xb_json_put_text(reference, "kind", "Pod");
    xb_json_put_text(reference, "namespace", xb_json_str(pod, "metadata.namespace", ""));
    xb_json_put_text(reference, "name", xb_json_str(pod, "metadata.name", ""));
    xb_json_put_text(reference, "uid", xb_json_str(pod, "metadata.uid", ""));
    json_object_object_add(spec, "pod", reference);
    xb_json_put_text(spec, "volume", xb_json_str(data, "spec.volume", ""));
    xb_json_put_text(spec, "backupStorageLocation",
                     xb_json_str(restoring->backup, "spec.storageLocation", ""));
    xb_json_put_text(spec, "repoIdentifier", "");
    xb_json_put_text(spec, "uploaderType", "kopia");
    xb_json_put_text(spec, "snapshotID", xb_json_str(data, "status.snapshotID", ""));
    xb_json_put_text(spec, "sourceNamespace", namespace);
    json_object_object_add(
        spec, "snapshotSize",
        json_object_new_int64(xb_json_int(data, "status.progress.totalBytes", 0)));
    if (xb_json_bool(owner, "spec.uploaderConfig.writeSparseFiles", false)) {
        xb_json *settings = json_object_new_object();
        xb_json_put_text(settings, "WriteSparseFiles", "true");
        json_object_object_add(spec, "uploaderSettings", settings);
    }
    xb_json_put_text(order, "apiVersion", "velero.io/v1");
    xb_json_put_text(order, "kind", "PodVolumeRestore");
    json_object_object_add(order, "metadata", metadata);
    json_object_object_add(order, "spec", spec);
    return order;
}

static int order_volume(struct restoring *restoring, const char *namespace, xb_json *pod,
                        const char *volume, struct xb_error *err)
{
    xb_json *owner = restoring->work->object;
    char name[XB_VELERO_NAME_BYTES];
    const char *parts[] = {xb_json_str(owner, "metadata.uid", ""),
                           xb_json_str(pod, "metadata.uid", ""), volume, NULL};
    xb_json *data =
        xb_restore_data_of(restoring, namespace, xb_json_str(pod, "metadata.name", ""), volume);
    int r = xb_velero_derived_name(xb_json_str(owner, "metadata.name", ""), parts, name, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *order = make_order(restoring, namespace, pod, data, name);
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvrs,
                                    .namespace = xb_json_str(owner, "metadata.namespace", "")};
    r = xb_kube_create(restoring->work->coordinator->client, &ref, order, NULL, err);
    if (r < 0 && err->kind != XB_ERR_CONFLICT) {
        return r;
    }
    *err = (struct xb_error)XB_ERROR_INIT;
    json_object_array_add(restoring->run->orders, json_object_new_string(name));
    return 0;
}

int xb_restore_order_pod(struct restoring *restoring, const char *namespace, xb_json *pod,
                         struct xb_error *err)
{
    const char *names[POD_VOLUMES_MAX];
    size_t count = volumes_with_data(restoring, namespace, pod, names);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = order_volume(restoring, namespace, pod, names[i], err);
    }
    return r;
}
