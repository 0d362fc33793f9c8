/* SPDX-License-Identifier: Apache-2.0
 * Pods into the tarball, with their hooks around them: block by block, as hooks bracket a block as
 * a whole. Which pods share a claim is known when all of them were seen: those that use claims are
 * put off until then, by name only, and asked for again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/volumes.h"
#include "shared/velero/velero.h"

/* ---- one block, at its end and when a pod of it is left out ---- */

static int end_block(struct collection *collection, size_t first, int r, struct xb_error *err)
{
    const struct xb_collect_options *options = collection->options;
    struct xb_collected *result = collection->result;
    struct xb_error after = XB_ERROR_INIT;
    int ended = options->after_block(options->context, result->volumes + first,
                                     result->volume_count - first, r < 0 ? err : NULL, &after);
    if (r == 0 && ended < 0) {
        *err = after;
        r = ended;
    }
    return r;
}

/* Its volumes have that reason. */
static int leave_out(struct collection *collection, size_t first, const char *why,
                     struct xb_error *err)
{
    struct xb_collected *result = collection->result;
    for (size_t i = first; i < result->volume_count; i++) {
        struct xb_collected_volume *volume = &result->volumes[i];
        if (!volume->skipped && !(volume->skipped = strdup(why))) {
            return xb_error_no_memory(err, "a volume");
        }
    }
    return 0;
}

/* ---- a pod alone ---- */

/* It is written only after its pre hooks, which may forbid it. */
static int take_alone(struct collection *collection, const struct xb_taking *taking,
                      struct xb_error *err)
{
    const struct xb_collect_options *options = collection->options;
    struct xb_collected *result = collection->result;
    char why[XB_COLLECTED_WHY_BYTES] = "";
    size_t first = result->volume_count;
    int r = xb_collect_pod_volumes(collection, taking->object, err);
    if (r < 0 || !options->before_pod) {
        return r < 0 ? r : xb_collect_write(collection, taking, err);
    }
    const struct xb_collected_pod pod = {.pod = taking->object,
                                         .alone = true,
                                         .volumes = result->volumes + first,
                                         .count = result->volume_count - first};
    r = options->before_pod(options->context, &pod, why, err);
    if (r == 0) {
        r = why[0] ? leave_out(collection, first, why, err)
                   : xb_collect_write(collection, taking, err);
    }
    return end_block(collection, first, r, err);
}

/* ---- several ---- */

/* As it is now. One that is gone, or another one of that name, is noted. */
static int get_pod(struct collection *collection, struct xb_block_pod *pod, xb_json **ret,
                   struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    const struct xb_kube_ref ref = {.resource = &collection->pod_api->resource,
                                    .namespace = pod->namespace,
                                    .name = pod->name,
                                    .cancel = collection->options->cancel};
    int r = xb_kube_get(collection->options->client, &ref, &found, err);
    if (r < 0 && (err->kind == XB_ERR_RETRY || err->kind == XB_ERR_CANCELLED)) {
        return r;
    }
    if (r == 0 && strcmp(xb_json_str(found, "metadata.uid", ""), pod->uid) == 0 &&
        !xb_json_get(found, "metadata.deletionTimestamp")) {
        *ret = XB_TAKE(found);
        return 0;
    }
    bool refused = r < 0 && err->kind != XB_ERR_NOT_FOUND;
    xb_record_log_line(collection->options->log, refused ? XB_RECORD_ERROR : XB_RECORD_WARNING,
                       pod->namespace, "pod %s is not in the backup: %s", pod->name,
                       refused ? err->text : "it was deleted before its turn came");
    *err = (struct xb_error)XB_ERROR_INIT;
    pod->gone = true;
    return 0;
}

static int open_one(struct collection *collection, struct xb_block_pod *pod, struct xb_error *err)
{
    const struct xb_collect_options *options = collection->options;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    char why[XB_COLLECTED_WHY_BYTES] = "";
    int r = get_pod(collection, pod, &object, err);
    if (r < 0 || !object) {
        return r;
    }
    const struct xb_collected_pod one = {.pod = object};
    r = options->before_pod(options->context, &one, why, err);
    if (r == 0 && why[0] && !(pod->why = strdup(why))) {
        r = xb_error_no_memory(err, "a pod");
    }
    return r;
}

/* The volumes of those that are left out come last: a claim that they share is backed up through
 * another pod. */
static int take_one(struct collection *collection, struct xb_block_pod *pod, bool left_out,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    size_t first = collection->result->volume_count;
    if (pod->gone || (pod->why != NULL) != left_out) {
        return 0;
    }
    int r = get_pod(collection, pod, &object, err);
    if (r < 0 || !object || (r = xb_collect_pod_volumes(collection, object, err)) < 0) {
        return r;
    }
    const struct xb_taking taking = {.api = collection->pod_api, .object = object};
    return left_out ? leave_out(collection, first, pod->why, err)
                    : xb_collect_write(collection, &taking, err);
}

static int take_together(struct collection *collection, struct xb_block_pod *pods, size_t count,
                         struct xb_error *err)
{
    size_t first = collection->result->volume_count;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = open_one(collection, &pods[i], err);
    }
    for (size_t i = 0; r == 0 && i < 2 * count; i++) {
        r = take_one(collection, &pods[i % count], i >= count, err);
    }
    return end_block(collection, first, r, err);
}

static int take_again(struct collection *collection, struct xb_block_pod *pod, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    int r = get_pod(collection, pod, &object, err);
    const struct xb_taking taking = {.api = collection->pod_api, .object = object};
    return r < 0 || !object ? r : take_alone(collection, &taking, err);
}

/* ---- what is put off, and when its time has come ---- */

static bool uses_claims(xb_json *pod)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    for (size_t i = 0; i < count; i++) {
        if (xb_json_str(json_object_array_get_idx(volumes, i), "persistentVolumeClaim.claimName",
                        "")[0]) {
            return true;
        }
    }
    return false;
}

int xb_collect_take_pod(struct collection *collection, const struct xb_taking *taking,
                        struct xb_error *err)
{
    bool shares = xb_volume_pod_runs(taking->object) && uses_claims(taking->object);
    if (!taking->api->preferred) {
        return xb_collect_write(collection, taking, err);
    }
    if (!collection->options->before_pod || (!shares && !collection->pods_ordered)) {
        return take_alone(collection, taking, err);
    }
    collection->pod_api = taking->api;
    return xb_blocks_add(collection->blocks, taking->object, err);
}

/* As Velero's server sets it. */
static const char *group_label(const struct collection *collection)
{
    const char *key =
        xb_json_str(collection->options->backup, "spec.volumeGroupSnapshotLabelKey", "");
    return key[0] ? key : "velero.io/volume-group";
}

static int add_to_group(void *context, xb_json *claim, struct xb_error *err)
{
    struct collection *collection = context;
    xb_json *group = NULL;
    return json_object_object_get_ex(xb_json_get(claim, "metadata.labels"), group_label(collection),
                                     &group) &&
                   json_object_get_string_len(group) > 0
               ? xb_blocks_group(collection->blocks, claim, json_object_get_string(group), err)
               : 0;
}

/* Claims with the same value of that label are one volume group, and their pods one block. */
static int join_groups(struct collection *collection, struct xb_error *err)
{
    const char *key = group_label(collection);
    const struct xb_kube_list list = {
        .resource = &xb_core_pvcs, .label_selector = key, .cancel = collection->options->cancel};
    struct xb_error why = XB_ERROR_INIT;
    if (xb_blocks_count(collection->blocks) < 2 ||
        xb_kube_list_pages(collection->options->client, &list, add_to_group, collection, &why) ==
            0) {
        return 0;
    }
    if (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED || why.code == -ENOMEM) {
        *err = why;
        return why.code;
    }
    xb_record_log_line(collection->options->log, XB_RECORD_WARNING, NULL,
                       "volume groups cannot be found by the label %s: %s", key, why.text);
    return 0;
}

int xb_collect_blocks(struct collection *collection, struct xb_error *err)
{
    struct xb_block_pod *pods = NULL;
    size_t count = 0;
    if (xb_blocks_count(collection->blocks) == 0) {
        return 0;
    }
    int r = join_groups(collection, err);
    xb_blocks_finish(collection->blocks);
    for (size_t at = 0; r == 0 && (count = xb_blocks_at(collection->blocks, at, &pods)) > 0;
         at += count) {
        r = count > 1 ? take_together(collection, pods, count, err)
                      : take_again(collection, pods, err);
    }
    xb_blocks_free(collection->blocks);
    collection->blocks = NULL;
    return r ? r : xb_blocks_new(&collection->blocks, err);
}
