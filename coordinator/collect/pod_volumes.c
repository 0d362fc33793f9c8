/* SPDX-License-Identifier: Apache-2.0
 * The volumes of a pod that is taken: which are backed up, and what claim and volume are behind
 * each. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/volumes.h"
#include "shared/velero/velero.h"

struct pod_context {
    struct collection *collection;
    xb_json *pod;
};

static int add_volume(struct collection *collection, const struct xb_collected_volume *volume,
                      struct xb_error *err)
{
    struct xb_collected *result = collection->result;
    if (result->volume_count == XB_COLLECTED_VOLUMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -1, "more than %d volumes", XB_COLLECTED_VOLUMES_MAX);
    }
    if (result->volume_count == result->volume_cap) {
        size_t cap = result->volume_cap ? 2 * result->volume_cap : 16;
        struct xb_collected_volume *volumes = reallocarray(result->volumes, cap, sizeof *volumes);
        if (!volumes) {
            return xb_error_no_memory(err, "the volumes");
        }
        result->volumes = volumes;
        result->volume_cap = cap;
    }
    result->volumes[result->volume_count++] = *volume;
    return 0;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* What the claim says of the volume behind it; also why it cannot be backed up. */
static int look_at_claim(struct collection *collection, const char *namespace, const char *claim,
                         struct xb_collected_volume *volume, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *behind = NULL;
    const struct xb_kube_ref ref = {
        .resource = &xb_core_pvcs, .namespace = namespace, .name = claim};
    int r = xb_kube_get(collection->options->client, &ref, &found, err);
    if (r < 0) {
        return r;
    }
    volume->claim_uid = copy(xb_json_str(found, "metadata.uid", ""));
    volume->persistent_volume = copy(xb_json_str(found, "spec.volumeName", ""));
    if (!volume->persistent_volume || !volume->persistent_volume[0]) {
        volume->skipped = volume->skipped ? volume->skipped : copy("its claim is not bound");
        return 0;
    }
    const struct xb_kube_ref behind_ref = {.resource = &xb_core_pvs,
                                           .name = volume->persistent_volume};
    r = xb_kube_get(collection->options->client, &behind_ref, &behind, err);
    if (r == 0 && xb_json_get(behind, "spec.hostPath") && !volume->skipped) {
        volume->skipped = copy("its PersistentVolume is a hostPath, which belongs to the node");
    }
    return r;
}

/* Several pods may share a claim: its data is backed up once. */
static bool claim_is_taken(const struct collection *collection, const char *namespace,
                           const char *claim)
{
    const struct xb_collected *result = collection->result;
    for (size_t i = 0; i < result->volume_count; i++) {
        const struct xb_collected_volume *volume = &result->volumes[i];
        if (volume->claim && !volume->skipped && strcmp(volume->claim, claim) == 0 &&
            strcmp(volume->pod_namespace, namespace) == 0) {
            return true;
        }
    }
    return false;
}

/* A volume's data without its claim could not be restored. */
static bool takes_claims(struct collection *collection)
{
    static const struct xb_filter_kind claims = {"", "persistentvolumeclaims", true};
    return xb_filter_takes_related(collection->options->filter, &claims);
}

static int on_choice(void *context, const struct xb_volume_choice *choice, struct xb_error *err)
{
    struct pod_context *pod = context;
    struct collection *collection = pod->collection;
    const char *namespace = xb_json_str(pod->pod, "metadata.namespace", "");
    const char *name = xb_json_str(pod->pod, "metadata.name", "");
    struct xb_collected_volume volume = {
        .pod_namespace = copy(namespace),
        .pod = copy(name),
        .pod_uid = copy(xb_json_str(pod->pod, "metadata.uid", "")),
        .node = copy(xb_json_str(pod->pod, "spec.nodeName", "")),
        .volume = copy(choice->volume),
        .claim = copy(choice->claim),
        .skipped = choice->verdict == XB_VOLUME_TAKE ? NULL : copy(choice->reason)};
    int r = 0;
    if (choice->claim && !volume.skipped && !takes_claims(collection)) {
        volume.skipped = copy("the backup leaves out PersistentVolumeClaims");
    }
    if (choice->claim && !volume.skipped && claim_is_taken(collection, namespace, choice->claim)) {
        volume.skipped = copy("another pod's volume on the same claim is backed up");
    }
    if (choice->claim) {
        struct xb_error why = XB_ERROR_INIT;
        if (look_at_claim(collection, namespace, choice->claim, &volume, &why) < 0 &&
            !volume.skipped) {
            xb_record_log_line(collection->options->log, XB_RECORD_ERROR, namespace,
                               "volume %s of pod %s: %s", choice->volume, name, why.text);
            volume.skipped = copy(why.text);
        }
    }
    if (volume.skipped) {
        xb_record_log_line(collection->options->log,
                           choice->verdict == XB_VOLUME_MISSED ? XB_RECORD_WARNING : XB_RECORD_INFO,
                           namespace, "volume %s of pod %s is not backed up: %s", choice->volume,
                           name, volume.skipped);
    }
    r = add_volume(collection, &volume, err);
    return r;
}

int xb_collect_pod_volumes(struct collection *collection, xb_json *pod, struct xb_error *err)
{
    struct pod_context context = {collection, pod};
    return xb_choose_volumes(pod, collection->volumes_by_default, on_choice, &context, err);
}
