/* SPDX-License-Identifier: Apache-2.0
 * What is behind a claim; and the data of claims that no running pod of the backup mounts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/volumes.h"
#include "shared/velero/velero.h"

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static xb_json *lend(xb_json *json)
{
    return json ? json_object_get(json) : NULL;
}

/* ---- claims ---- */

void xb_collect_put_behind(struct xb_behind *behind)
{
    xb_json_putp(&behind->claim);
    xb_json_putp(&behind->persistent_volume);
}

/* The claim and what it is bound to; whatever is missing of it is left NULL. */
int xb_collect_look_behind(struct collection *collection, const char *namespace, const char *claim,
                           struct xb_behind *ret, struct xb_error *err)
{
    struct xb_behind behind = {NULL, NULL};
    int r = xb_collect_fetch(collection, &xb_core_pvcs, namespace, claim, &behind.claim, err);
    if (r < 0) {
        return r;
    }
    const char *volume = xb_json_str(behind.claim, "spec.volumeName", "");
    struct xb_error why = XB_ERROR_INIT;
    if (volume[0] &&
        xb_collect_fetch(collection, &xb_core_pvs, NULL, volume, &behind.persistent_volume, &why) <
            0 &&
        why.kind != XB_ERR_NOT_FOUND) {
        xb_collect_put_behind(&behind);
        *err = why;
        return why.code;
    }
    *ret = behind;
    return 0;
}

int xb_collect_fill_behind(struct xb_collected_volume *volume, const struct xb_behind *behind,
                           struct xb_error *err)
{
    volume->claim_uid = copy(xb_json_str(behind->claim, "metadata.uid", ""));
    volume->persistent_volume = copy(xb_json_str(behind->claim, "spec.volumeName", ""));
    if (!behind->persistent_volume) {
        return 0;
    }
    xb_json *labels = xb_json_get(behind->persistent_volume, "metadata.labels");
    volume->pv_info = json_object_new_object();
    if (!volume->pv_info) {
        return xb_error_no_memory(err, "a volume");
    }
    json_object_object_add(
        volume->pv_info, "reclaimPolicy",
        json_object_new_string(
            xb_json_str(behind->persistent_volume, "spec.persistentVolumeReclaimPolicy", "")));
    json_object_object_add(volume->pv_info, "labels", lend(labels));
    return 0;
}

/* ---- claims that no pod accounts for ---- */

struct alone {
    enum xb_policy_action action;
    char *node; /* that has its data, and can read it; NULL: none */
    char reason[2 * XB_COLLECTED_WHY_BYTES];
};

int xb_collect_note_claim(struct collection *collection, xb_json *claim, struct xb_error *err)
{
    struct xb_claim *entry = NULL;
    int r = xb_claims_get(&collection->claims, xb_json_str(claim, "metadata.namespace", ""),
                          xb_json_str(claim, "metadata.name", ""), &entry, err);
    if (r == 0) {
        entry->collected = true;
    }
    return r;
}

/* Takes what is already said of the claim's data where it is read without a pod. */
static int say_elsewhere(struct collection *collection, const struct xb_claim *claim,
                         struct xb_error *err)
{
    for (size_t i = 0; claim->listed && i < collection->result->volume_count; i++) {
        struct xb_collected_volume *volume = &collection->result->volumes[i];
        char reason[XB_VOLUME_CLAIM_BYTES];
        if (!volume->claim || strcmp(volume->claim, claim->name) != 0 ||
            strcmp(volume->pod_namespace, claim->namespace) != 0) {
            continue;
        }
        snprintf(reason, sizeof reason, "its claim %.253s is backed up without a pod", claim->name);
        free(volume->skipped);
        volume->skipped = strdup(reason);
        if (!volume->skipped) {
            return xb_error_no_memory(err, "a volume");
        }
    }
    return 0;
}

/* Of a claim itself: read on `node`, or skipped. */
static int list_alone(struct collection *collection, const struct xb_claim *claim,
                      const struct xb_behind *behind, const struct alone *alone,
                      struct xb_error *err)
{
    struct xb_collected_volume volume = {.pod_namespace = copy(claim->namespace),
                                         .pod = copy(alone->node ? "" : NULL),
                                         .node = copy(alone->node),
                                         .volume = copy(alone->node ? claim->name : NULL),
                                         .claim = copy(claim->name),
                                         .skipped = copy(alone->node ? NULL : alone->reason)};
    bool whole =
        volume.pod_namespace && volume.claim &&
        (alone->node ? volume.pod && volume.node && volume.volume : volume.skipped != NULL);
    int r =
        whole ? xb_collect_fill_behind(&volume, behind, err) : xb_error_no_memory(err, "a volume");
    if (r == 0) {
        r = xb_collect_add_volume(collection, &volume, err);
    }
    if (r < 0) {
        xb_collected_volume_free(&volume);
    }
    return r;
}

/* Whether its data can be read where it lies, by whatever node has it. */
static int find_node(struct collection *collection, const struct xb_claim *claim,
                     const struct xb_behind *behind, struct alone *alone, struct xb_error *err)
{
    static const char unmounted[] = "no running pod in the backup mounts it";
    const struct xb_collect_options *options = collection->options;
    char why[XB_COLLECTED_WHY_BYTES] = "";
    bool wanted = !claim->unwanted && (collection->volumes_by_default ||
                                       alone->action == XB_POLICY_FS_BACKUP || claim->wanted);
    int r =
        wanted && options->node_of && behind->persistent_volume
            ? options->node_of(options->context, behind->persistent_volume, &alone->node, why, err)
            : 0;
    snprintf(alone->reason, sizeof alone->reason, "%s%s%s", unmounted, why[0] ? ", and " : "", why);
    return r;
}

static int account_for(struct collection *collection, const struct xb_claim *claim,
                       struct xb_error *err)
{
    struct xb_behind behind = {NULL, NULL};
    struct xb_error why = XB_ERROR_INIT;
    struct alone alone = {.node = NULL};
    if (xb_collect_look_behind(collection, claim->namespace, claim->name, &behind, &why) < 0) {
        if (why.kind == XB_ERR_NOT_FOUND) {
            return 0; /* deleted since */
        }
        if (why.kind == XB_ERR_CANCELLED) {
            *err = why;
            return why.code;
        }
    }
    const struct xb_policy_volume described = {.claim = behind.claim,
                                               .persistent_volume = behind.persistent_volume};
    alone.action = xb_policy_match(collection->options->policy, &described);
    const char *policy = xb_volume_policy_reason(alone.action);
    int r = policy ? 0 : find_node(collection, claim, &behind, &alone, err);
    if (policy) {
        snprintf(alone.reason, sizeof alone.reason, "%s", policy);
    }
    if (r == 0 && alone.node) {
        r = say_elsewhere(collection, claim, err);
    } else if (r == 0) {
        xb_record_log_line(collection->options->log,
                           alone.action == XB_POLICY_SKIP ? XB_RECORD_INFO : XB_RECORD_WARNING,
                           claim->namespace, "the data of claim %s is not backed up: %s",
                           claim->name, alone.reason);
    }
    if (r == 0 && (alone.node || !claim->listed)) {
        r = list_alone(collection, claim, &behind, &alone, err);
    }
    free(alone.node);
    xb_collect_put_behind(&behind);
    return r;
}

/* A volume that was left to another pod: it was found, or the data is nowhere. */
static int settle_elsewhere(struct collection *collection, struct xb_collected_volume *volume,
                            struct xb_error *err)
{
    struct xb_claim *claim = NULL;
    int r = xb_claims_get(&collection->claims, volume->pod_namespace, volume->claim, &claim, err);
    if (r == 0 && claim->taken_by) {
        char reason[XB_VOLUME_CLAIM_BYTES];
        snprintf(reason, sizeof reason, "its claim %s is backed up through pod %s", volume->claim,
                 claim->taken_by);
        free(volume->skipped);
        volume->skipped = strdup(reason);
        r = volume->skipped ? 0 : xb_error_no_memory(err, "a volume");
    }
    if (r == 0) {
        xb_record_log_line(collection->options->log,
                           claim->taken_by ? XB_RECORD_INFO : XB_RECORD_ERROR,
                           volume->pod_namespace, "volume %s of pod %s is not backed up: %s",
                           volume->volume, volume->pod, volume->skipped);
    }
    return r;
}

int xb_collect_account_for_claims(struct collection *collection, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < collection->result->volume_count; i++) {
        struct xb_collected_volume *volume = &collection->result->volumes[i];
        r = volume->elsewhere ? settle_elsewhere(collection, volume, err) : 0;
    }
    for (size_t i = 0; r == 0 && i < collection->claims.count; i++) {
        const struct xb_claim *claim = &collection->claims.items[i];
        if (claim->collected && !claim->mounted) {
            r = account_for(collection, claim, err);
        }
    }
    return r;
}
