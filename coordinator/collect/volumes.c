/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/volumes.h"

#include <stdio.h>
#include <string.h>

#include "shared/velero/host_paths.h"

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
        xb_json *container = json_object_array_get_idx(containers, i);
        if (xb_json_find(xb_json_get(container, list), "name", volume)) {
            return true;
        }
    }
    return false;
}

/* A path of the node is an application's data only where an administrator says so; else it is
 * nothing that anybody could want, as with Velero. */
static bool is_the_nodes(xb_json *volume, const struct xb_volume_facts *facts)
{
    return xb_json_get(volume, "hostPath") &&
           xb_host_paths_find(facts->host_paths, xb_json_str(volume, "hostPath.path", "")) == 0;
}

static const char *never_taken(xb_json *volume, const struct xb_volume_facts *facts)
{
    static const struct {
        const char *field, *why;
    } kinds[] = {{"secret", "the Secret itself is in the backup"},
                 {"configMap", "the ConfigMap itself is in the backup"},
                 {"projected", "a projected volume is made anew with the pod"},
                 {"downwardAPI", "a downwardAPI volume is made anew with the pod"}};
    if (is_the_nodes(volume, facts)) {
        return "a hostPath volume belongs to the node, unless it is beneath a folder that the "
               "node's agent may read (its flag --host-path-allow)";
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (xb_json_get(volume, kinds[i].field)) {
            return kinds[i].why;
        }
    }
    return strncmp(xb_json_str(volume, "name", ""), "default-token", 13) == 0
               ? "a token is made anew with the pod"
               : NULL;
}

const char *xb_volume_claim(xb_json *pod, xb_json *volume, char space[XB_VOLUME_CLAIM_BYTES])
{
    if (!xb_json_get(volume, "ephemeral")) {
        return xb_json_str(volume, "persistentVolumeClaim.claimName", NULL);
    }
    snprintf(space, XB_VOLUME_CLAIM_BYTES, "%s-%s", xb_json_str(pod, "metadata.name", ""),
             xb_json_str(volume, "name", ""));
    return space;
}

bool xb_volume_pod_runs(xb_json *pod)
{
    return strcmp(xb_json_str(pod, "status.phase", ""), "Running") == 0;
}

static bool is_device(xb_json *pod, const char *volume)
{
    return named_in(xb_json_get(pod, "spec.containers"), "volumeDevices", volume) ||
           named_in(xb_json_get(pod, "spec.initContainers"), "volumeDevices", volume);
}

static bool is_mounted(xb_json *pod, const char *volume)
{
    return named_in(xb_json_get(pod, "spec.containers"), "volumeMounts", volume) ||
           named_in(xb_json_get(pod, "spec.initContainers"), "volumeMounts", volume);
}

bool xb_volume_in_use(xb_json *pod, const char *volume)
{
    return is_device(pod, volume) || is_mounted(pod, volume);
}

/* Why a volume that is wanted cannot be read on its node. */
static const char *not_readable(xb_json *pod, const char *name, const struct xb_volume_facts *facts)
{
    xb_json *volume = facts->persistent_volume;
    if (xb_json_get(volume, "spec.hostPath") &&
        xb_host_paths_find(facts->host_paths, xb_json_str(volume, "spec.hostPath.path", "")) == 0) {
        return "its PersistentVolume is a hostPath, which is not beneath a folder that the node's "
               "agent may read (its flag --host-path-allow)";
    }
    if (is_device(pod, name) && !facts->block_devices) {
        return "it is a raw block device, which the node's agent may not read (its flag "
               "--block-devices)";
    }
    if (!xb_volume_pod_runs(pod)) {
        return "its pod is not running";
    }
    if (!xb_volume_in_use(pod, name)) {
        return "no container mounts it";
    }
    if (facts->claim && !facts->persistent_volume) {
        return "its claim is not bound to a volume";
    }
    return NULL;
}

const char *xb_volume_policy_reason(enum xb_policy_action action)
{
    switch (action) {
    case XB_POLICY_SKIP:
        return "the resource policies skip it";
    case XB_POLICY_SNAPSHOT:
        return "the resource policies want a snapshot of it, which Xebec does not make: let them "
               "say fs-backup";
    case XB_POLICY_CUSTOM:
        return "the resource policies leave it to a plugin (custom), and Xebec runs none";
    case XB_POLICY_NONE:
    case XB_POLICY_FS_BACKUP:
        break;
    }
    return NULL;
}

static struct xb_volume_choice skip(const char *reason, bool wanted)
{
    return (struct xb_volume_choice){.verdict = wanted ? XB_VOLUME_MISSED : XB_VOLUME_SKIP,
                                     .reason = reason};
}

struct xb_volume_choice xb_volume_choose(xb_json *pod, xb_json *volume,
                                         const struct xb_volume_facts *facts)
{
    const char *name = xb_json_str(volume, "name", "");
    const char *never = never_taken(volume, facts);
    const char *policy = xb_volume_policy_reason(facts->action);
    bool asked = annotated(pod, "backup.velero.io/backup-volumes", name);
    char space[XB_VOLUME_CLAIM_BYTES];
    if (never) {
        return skip(never, asked);
    }
    if (facts->claims_left_out && xb_volume_claim(pod, volume, space)) {
        return skip("the backup leaves out PersistentVolumeClaims", false);
    }
    if (policy) {
        return skip(policy, facts->action != XB_POLICY_SKIP);
    }
    if (facts->action == XB_POLICY_NONE && facts->by_default &&
        annotated(pod, "backup.velero.io/backup-volumes-excludes", name)) {
        return skip("it is excluded by the pod's annotation", false);
    }
    if (facts->action == XB_POLICY_NONE && !facts->by_default && !asked) {
        return skip("it is not selected for file-system backup (annotation "
                    "backup.velero.io/backup-volumes, or --default-volumes-to-fs-backup)",
                    false);
    }
    const char *reason = not_readable(pod, name, facts);
    return reason ? skip(reason, true) : (struct xb_volume_choice){.verdict = XB_VOLUME_TAKE};
}
