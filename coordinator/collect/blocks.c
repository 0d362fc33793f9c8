/* SPDX-License-Identifier: Apache-2.0
 * Item blocks: pods that share a claim are bracketed as one (velero-contract section 3, "Item
 * order"). A forest of pods, each pointing at an earlier one of its block. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "shared/base/fnv.h"

struct claim {
    uint64_t hash; /* of namespace and name; 0 is free */
    size_t pod;    /* the first that uses it */
};

struct xb_blocks {
    struct claim *claims;
    size_t count, cap;
    bool joining, has_joint;
    size_t joint; /* the first of those that are joined whatever they share */
};

int xb_blocks_new(struct xb_blocks **ret, struct xb_error *err)
{
    struct xb_blocks *blocks = calloc(1, sizeof *blocks);
    if (!blocks) {
        return xb_error_no_memory(err, "item blocks");
    }
    *ret = blocks;
    return 0;
}

void xb_blocks_free(struct xb_blocks *blocks)
{
    if (blocks) {
        free(blocks->claims);
        free(blocks);
    }
}

void xb_blocks_join_all(struct xb_blocks *blocks, bool join)
{
    blocks->joining = join;
    blocks->has_joint = false;
}

static size_t root_of(struct xb_collected *result, size_t pod)
{
    while (result->pods[pod].block != pod) {
        /* Halves the way for the next one. */
        result->pods[pod].block = result->pods[result->pods[pod].block].block;
        pod = result->pods[pod].block;
    }
    return pod;
}

static void join(struct xb_collected *result, size_t left, size_t right)
{
    left = root_of(result, left);
    right = root_of(result, right);
    if (left != right) {
        result->pods[left < right ? right : left].block = left < right ? left : right;
    }
}

static size_t slot_of(const struct xb_blocks *blocks, uint64_t hash)
{
    size_t at = (size_t)(hash ^ hash >> 31) & (blocks->cap - 1);
    while (blocks->claims[at].hash && blocks->claims[at].hash != hash) {
        at = (at + 1) & (blocks->cap - 1);
    }
    return at;
}

static int grow(struct xb_blocks *blocks, struct xb_error *err)
{
    struct xb_blocks grown = {.cap = blocks->cap ? 2 * blocks->cap : 64};
    grown.claims = calloc(grown.cap, sizeof *grown.claims);
    if (!grown.claims) {
        return xb_error_no_memory(err, "item blocks");
    }
    for (size_t i = 0; i < blocks->cap; i++) {
        if (blocks->claims[i].hash) {
            grown.claims[slot_of(&grown, blocks->claims[i].hash)] = blocks->claims[i];
        }
    }
    free(blocks->claims);
    blocks->claims = grown.claims;
    blocks->cap = grown.cap;
    return 0;
}

static int use_claim(struct xb_blocks *blocks, struct xb_collected *result, size_t pod,
                     const char *claim, struct xb_error *err)
{
    char place[600];
    if (2 * (blocks->count + 1) > blocks->cap) {
        int r = grow(blocks, err);
        if (r < 0) {
            return r;
        }
    }
    snprintf(place, sizeof place, "%s/%s", result->pods[pod].namespace, claim);
    uint64_t hash = xb_fnv1a(place) | 1;
    size_t at = slot_of(blocks, hash);
    if (blocks->claims[at].hash) {
        join(result, blocks->claims[at].pod, pod);
        return 0;
    }
    blocks->claims[at] = (struct claim){hash, pod};
    blocks->count++;
    return 0;
}

static int add_pod(struct xb_collected *result, xb_json *pod, struct xb_error *err)
{
    if (result->pod_count == XB_COLLECTED_PODS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d pods", XB_COLLECTED_PODS_MAX);
    }
    if (result->pod_count == result->pod_cap) {
        size_t cap = result->pod_cap ? 2 * result->pod_cap : 64;
        struct xb_block_pod *pods = reallocarray(result->pods, cap, sizeof *pods);
        if (!pods) {
            return xb_error_no_memory(err, "the pods");
        }
        result->pods = pods;
        result->pod_cap = cap;
    }
    struct xb_block_pod one = {
        .namespace = strdup(xb_json_str(pod, "metadata.namespace", "")),
        .name = strdup(xb_json_str(pod, "metadata.name", "")),
        .uid = strdup(xb_json_str(pod, "metadata.uid", "")),
        .block = result->pod_count,
    };
    result->pods[result->pod_count++] = one;
    return one.namespace && one.name && one.uid ? 0 : xb_error_no_memory(err, "the pods");
}

int xb_blocks_add(struct xb_blocks *blocks, struct xb_collected *result, xb_json *pod,
                  struct xb_error *err)
{
    int r = add_pod(result, pod, err);
    if (r < 0) {
        return r;
    }
    size_t index = result->pod_count - 1;
    if (blocks->joining && blocks->has_joint) {
        join(result, blocks->joint, index);
    } else if (blocks->joining) {
        blocks->joint = index;
        blocks->has_joint = true;
    }
    /* One that does not run has nobody to quiesce. */
    if (strcmp(xb_json_str(pod, "status.phase", ""), "Running") != 0) {
        return 0;
    }
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *claim = xb_json_str(json_object_array_get_idx(volumes, i),
                                        "persistentVolumeClaim.claimName", "");
        r = claim[0] ? use_claim(blocks, result, index, claim, err) : 0;
    }
    return r;
}

void xb_blocks_finish(struct xb_blocks *blocks, struct xb_collected *result)
{
    (void)blocks;
    for (size_t i = 0; i < result->pod_count; i++) {
        result->pods[i].block = root_of(result, i);
    }
}
