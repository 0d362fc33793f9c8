/* SPDX-License-Identifier: Apache-2.0
 * What PersistentVolumes, claims and pods say of a volume. */
#include <stdio.h>
#include <string.h>

#include "agent/volume/internal.h"

bool xb_volume_is_csi(xb_json *persistent_volume)
{
    return xb_json_get(persistent_volume, "spec.csi") != NULL;
}

size_t xb_volume_drivers(xb_json *persistent_volume, const char *ret[XB_VOLUME_DRIVERS_MAX])
{
    static const char *const keys[XB_VOLUME_DRIVERS_MAX] = {"pv.kubernetes.io/provisioned-by",
                                                            "pv.kubernetes.io/migrated-to"};
    xb_json *annotations = xb_json_get(persistent_volume, "metadata.annotations");
    size_t count = 0;
    for (size_t i = 0; i < XB_VOLUME_DRIVERS_MAX; i++) {
        xb_json *value = NULL;
        if (json_object_is_type(annotations, json_type_object) &&
            json_object_object_get_ex(annotations, keys[i], &value) &&
            json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0) {
            ret[count++] = json_object_get_string(value);
        }
    }
    return count;
}

bool xb_volume_is_device(xb_json *persistent_volume)
{
    return strcmp(xb_json_str(persistent_volume, "spec.volumeMode", ""), "Block") == 0;
}

const char *xb_volume_host_path(xb_json *persistent_volume)
{
    return xb_json_get(persistent_volume, "spec.hostPath")
               ? xb_json_str(persistent_volume, "spec.hostPath.path", "")
               : NULL;
}

const char *xb_volume_node_path(xb_json *persistent_volume)
{
    const char *path = xb_json_get(persistent_volume, "spec.local")
                           ? xb_json_str(persistent_volume, "spec.local.path", "")
                           : xb_volume_host_path(persistent_volume);
    return xb_json_get(persistent_volume, "spec.nodeAffinity.required") ? path : NULL;
}

/* ---- whose it is ---- */

static bool same_text(xb_json *a, const char *path_a, xb_json *b, const char *path_b)
{
    const char *text = xb_json_str(a, path_a, "");
    return text[0] && strcmp(text, xb_json_str(b, path_b, "")) == 0;
}

const char *xb_volume_binding_doubt(xb_json *claim, xb_json *persistent_volume)
{
    if (!same_text(claim, "spec.volumeName", persistent_volume, "metadata.name") ||
        strcmp(xb_json_str(claim, "status.phase", ""), "Bound") != 0) {
        return "its claim is not bound to a volume";
    }
    return same_text(claim, "metadata.uid", persistent_volume, "spec.claimRef.uid") &&
                   same_text(claim, "metadata.name", persistent_volume, "spec.claimRef.name") &&
                   same_text(claim, "metadata.namespace", persistent_volume,
                             "spec.claimRef.namespace")
               ? NULL
               : "the volume that its claim names is not bound to that claim";
}

const char *xb_volume_ownership_doubt(xb_json *claim, xb_json *pod)
{
    xb_json *owners = xb_json_get(claim, "metadata.ownerReferences");
    size_t count =
        json_object_is_type(owners, json_type_array) ? json_object_array_length(owners) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *owner = json_object_array_get_idx(owners, i);
        if (xb_json_bool(owner, "controller", false)) {
            return same_text(pod, "metadata.uid", owner, "uid") &&
                           strcmp(xb_json_str(owner, "kind", ""), "Pod") == 0
                       ? NULL
                       : "the claim of that name is not the pod's own";
        }
    }
    return "the claim of that name is not the pod's own";
}

/* ---- its pod ---- */

static size_t length_of(xb_json *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static bool named_in(xb_json *containers, const char *list, const char *volume)
{
    for (size_t i = 0; i < length_of(containers); i++) {
        xb_json *mounts = xb_json_get(json_object_array_get_idx(containers, i), list);
        for (size_t j = 0; j < length_of(mounts); j++) {
            xb_json *mount = json_object_array_get_idx(mounts, j);
            if (strcmp(xb_json_str(mount, "name", ""), volume) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool xb_volume_mounted(xb_json *pod, const char *volume)
{
    static const char *const lists[] = {"volumeMounts", "volumeDevices"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (named_in(xb_json_get(pod, "spec.containers"), lists[i], volume) ||
            named_in(xb_json_get(pod, "spec.initContainers"), lists[i], volume)) {
            return true;
        }
    }
    return false;
}

const char *xb_volume_sign(xb_json *pod, const char *volume)
{
    xb_json *containers = xb_json_get(pod, "spec.initContainers");
    char path[300];
    snprintf(path, sizeof path, "/restores/%.255s", volume);
    for (size_t i = 0; i < length_of(containers); i++) {
        xb_json *container = json_object_array_get_idx(containers, i);
        xb_json *mounts = xb_json_get(container, "volumeMounts");
        bool waits = strcmp(xb_json_str(container, "name", ""), "restore-wait") == 0;
        for (size_t j = 0; waits && j < length_of(mounts); j++) {
            xb_json *mount = json_object_array_get_idx(mounts, j);
            if (strcmp(xb_json_str(mount, "mountPath", ""), path) == 0) {
                return xb_json_str(mount, "name", NULL);
            }
        }
    }
    return NULL;
}

static bool one_runs(xb_json *statuses)
{
    size_t count =
        json_object_is_type(statuses, json_type_array) ? json_object_array_length(statuses) : 0;
    for (size_t i = 0; i < count; i++) {
        if (xb_json_get(json_object_array_get_idx(statuses, i), "state.running")) {
            return true;
        }
    }
    return false;
}

bool xb_volume_pod_started(xb_json *pod)
{
    return one_runs(xb_json_get(pod, "status.containerStatuses")) ||
           one_runs(xb_json_get(pod, "status.initContainerStatuses"));
}
