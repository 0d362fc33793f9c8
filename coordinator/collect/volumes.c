/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/volumes.h"

#include <string.h>

/* Whether the comma-separated list of a pod's annotation holds the name. */
static bool annotated(xb_json *pod, const char *annotation, const char *name)
{
    xb_json *annotations = xb_json_get(pod, "metadata.annotations");
    xb_json *value = NULL;
    if (!annotations || !json_object_object_get_ex(annotations, annotation, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return false;
    }
    const char *at = json_object_get_string(value);
    size_t len = strlen(name);
    while (*at) {
        at += strspn(at, " ,");
        size_t word = strcspn(at, " ,");
        if (word == len && memcmp(at, name, len) == 0) {
            return true;
        }
        at += word;
    }
    return false;
}

static bool named_in(xb_json *containers, const char *list, const char *volume)
{
    size_t count =
        json_object_is_type(containers, json_type_array) ? json_object_array_length(containers) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *mounts = xb_json_get(json_object_array_get_idx(containers, i), list);
        size_t mount_count =
            json_object_is_type(mounts, json_type_array) ? json_object_array_length(mounts) : 0;
        for (size_t j = 0; j < mount_count; j++) {
            if (strcmp(xb_json_str(json_object_array_get_idx(mounts, j), "name", ""), volume) ==
                0) {
                return true;
            }
        }
    }
    return false;
}

static const char *never_taken(xb_json *volume)
{
    static const struct {
        const char *field, *why;
    } kinds[] = {{"hostPath", "a hostPath volume belongs to the node"},
                 {"secret", "the Secret itself is in the backup"},
                 {"configMap", "the ConfigMap itself is in the backup"},
                 {"projected", "a projected volume is made anew with the pod"},
                 {"downwardAPI", "a downwardAPI volume is made anew with the pod"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (xb_json_get(volume, kinds[i].field)) {
            return kinds[i].why;
        }
    }
    return strncmp(xb_json_str(volume, "name", ""), "default-token", 13) == 0
               ? "a token is made anew with the pod"
               : NULL;
}

/* Why a volume that is wanted cannot be read on its node. */
static const char *not_readable(xb_json *pod, const char *name)
{
    xb_json *containers = xb_json_get(pod, "spec.containers");
    xb_json *init = xb_json_get(pod, "spec.initContainers");
    if (named_in(containers, "volumeDevices", name)) {
        return "it is a raw block device";
    }
    if (strcmp(xb_json_str(pod, "status.phase", ""), "Running") != 0) {
        return "its pod is not running";
    }
    if (!named_in(containers, "volumeMounts", name) && !named_in(init, "volumeMounts", name)) {
        return "no container mounts it";
    }
    return NULL;
}

static void choose(xb_json *pod, xb_json *volume, bool by_default, struct xb_volume_choice *choice)
{
    const char *name = xb_json_str(volume, "name", "");
    const char *never = never_taken(volume);
    bool asked = annotated(pod, "backup.velero.io/backup-volumes", name);
    bool excluded = annotated(pod, "backup.velero.io/backup-volumes-excludes", name);
    choice->volume = name;
    choice->claim = xb_json_str(volume, "persistentVolumeClaim.claimName", NULL);
    choice->verdict = XB_VOLUME_SKIP;
    if (never) {
        choice->reason = never;
        choice->verdict = asked ? XB_VOLUME_MISSED : XB_VOLUME_SKIP;
    } else if (by_default && excluded) {
        choice->reason = "it is excluded by the pod's annotation";
    } else if (!by_default && !asked) {
        choice->reason = "it is not selected for file-system backup (annotation "
                         "backup.velero.io/backup-volumes, or --default-volumes-to-fs-backup)";
    } else {
        choice->reason = not_readable(pod, name);
        choice->verdict = choice->reason ? XB_VOLUME_MISSED : XB_VOLUME_TAKE;
    }
}

int xb_choose_volumes(xb_json *pod, bool by_default, xb_volume_choice_fn *fn, void *context,
                      struct xb_error *err)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct xb_volume_choice choice = {.volume = NULL};
        choose(pod, json_object_array_get_idx(volumes, i), by_default, &choice);
        r = fn(context, &choice, err);
    }
    return r;
}
