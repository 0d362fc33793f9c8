/* SPDX-License-Identifier: Apache-2.0
 * Item blocks: pods that share a claim are bracketed as one (velero-contract section 3, "Item
 * order"). A forest of pods, each pointing at an earlier one of its block. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/text_hash.h"
#include "shared/crypto/hash.h"

struct claim {
    uint64_t hash; /* of namespace and name, of a claim or of a group; 0 is free */
    size_t pod;    /* the first that uses it */
};

struct xb_blocks {
    struct xb_block_pod *pods;
    size_t count, cap;
    struct claim *claims;
    size_t claim_count, claim_cap;
    struct xb_hash *key; /* of the hashes */
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
    if (!blocks) {
        return;
    }
    for (size_t i = 0; i < blocks->count; i++) {
        free(blocks->pods[i].namespace);
        free(blocks->pods[i].name);
        free(blocks->pods[i].uid);
        free(blocks->pods[i].why);
    }
    free(blocks->pods);
    free(blocks->claims);
    xb_hash_free(blocks->key);
    free(blocks);
}

size_t xb_blocks_count(const struct xb_blocks *blocks)
{
    return blocks->count;
}

void xb_blocks_join_all(struct xb_blocks *blocks, bool join)
{
    blocks->joining = join;
    blocks->has_joint = false;
}

/* ---- the forest ---- */

static size_t root_of(struct xb_blocks *blocks, size_t pod)
{
    struct xb_block_pod *pods = blocks->pods;
    while (pods[pod].block != pod) {
        pods[pod].block = pods[pods[pod].block].block; /* halves the way for the next one */
        pod = pods[pod].block;
    }
    return pod;
}

static void join(struct xb_blocks *blocks, size_t left, size_t right)
{
    left = root_of(blocks, left);
    right = root_of(blocks, right);
    if (left != right) {
        blocks->pods[left < right ? right : left].block = left < right ? left : right;
    }
}

/* ---- claims ---- */

static size_t slot_of(const struct xb_blocks *blocks, uint64_t hash)
{
    size_t at = (size_t)(hash ^ hash >> 31) & (blocks->claim_cap - 1);
    while (blocks->claims[at].hash && blocks->claims[at].hash != hash) {
        at = (at + 1) & (blocks->claim_cap - 1);
    }
    return at;
}

static int grow(struct xb_blocks *blocks, struct xb_error *err)
{
    struct xb_blocks grown = {.claim_cap = blocks->claim_cap ? 2 * blocks->claim_cap : 64};
    grown.claims = calloc(grown.claim_cap, sizeof *grown.claims);
    if (!grown.claims) {
        return xb_error_no_memory(err, "item blocks");
    }
    for (size_t i = 0; i < blocks->claim_cap; i++) {
        if (blocks->claims[i].hash) {
            grown.claims[slot_of(&grown, blocks->claims[i].hash)] = blocks->claims[i];
        }
    }
    free(blocks->claims);
    blocks->claims = grown.claims;
    blocks->claim_cap = grown.claim_cap;
    return 0;
}

static int hash_of(struct xb_blocks *blocks, const char *namespace, const char *what,
                   const char *name, uint64_t *ret, struct xb_error *err)
{
    char place[1024];
    snprintf(place, sizeof place, "%.300s/%s/%.500s", namespace, what, name);
    return xb_text_hash(&blocks->key, place, ret, err);
}

/* The pod uses this claim, or is of this group; so may others. */
static int use(struct xb_blocks *blocks, size_t pod, const char *what, const char *name,
               struct xb_error *err)
{
    uint64_t hash = 0;
    int r = hash_of(blocks, blocks->pods[pod].namespace, what, name, &hash, err);
    if (r < 0) {
        return r;
    }
    if (2 * (blocks->claim_count + 1) > blocks->claim_cap) {
        r = grow(blocks, err);
        if (r < 0) {
            return r;
        }
    }
    size_t at = slot_of(blocks, hash);
    if (blocks->claims[at].hash) {
        join(blocks, blocks->claims[at].pod, pod);
        return 0;
    }
    blocks->claims[at] = (struct claim){hash, pod};
    blocks->claim_count++;
    return 0;
}

int xb_blocks_group(struct xb_blocks *blocks, xb_json *claim, const char *group,
                    struct xb_error *err)
{
    const char *namespace = xb_json_str(claim, "metadata.namespace", "");
    const char *name = xb_json_str(claim, "metadata.name", "");
    uint64_t hash = 0;
    int r = hash_of(blocks, namespace, "claim", name, &hash, err);
    if (r < 0 || !blocks->claims) {
        return r;
    }
    const struct claim *used = &blocks->claims[slot_of(blocks, hash)];
    return used->hash ? use(blocks, used->pod, "group", group, err) : 0;
}

/* ---- pods ---- */

static int add_pod(struct xb_blocks *blocks, xb_json *pod, struct xb_error *err)
{
    if (blocks->count == XB_COLLECTED_PODS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d pods with claims",
                            XB_COLLECTED_PODS_MAX);
    }
    if (blocks->count == blocks->cap) {
        size_t cap = blocks->cap ? 2 * blocks->cap : 64;
        struct xb_block_pod *pods = reallocarray(blocks->pods, cap, sizeof *pods);
        if (!pods) {
            return xb_error_no_memory(err, "the pods");
        }
        blocks->pods = pods;
        blocks->cap = cap;
    }
    struct xb_block_pod one = {
        .namespace = strdup(xb_json_str(pod, "metadata.namespace", "")),
        .name = strdup(xb_json_str(pod, "metadata.name", "")),
        .uid = strdup(xb_json_str(pod, "metadata.uid", "")),
        .index = blocks->count,
        .block = blocks->count,
    };
    blocks->pods[blocks->count++] = one;
    return one.namespace && one.name && one.uid ? 0 : xb_error_no_memory(err, "the pods");
}

int xb_blocks_add(struct xb_blocks *blocks, xb_json *pod, struct xb_error *err)
{
    int r = add_pod(blocks, pod, err);
    if (r < 0) {
        return r;
    }
    size_t index = blocks->count - 1;
    if (blocks->joining && blocks->has_joint) {
        join(blocks, blocks->joint, index);
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
        r = claim[0] ? use(blocks, index, "claim", claim, err) : 0;
    }
    return r;
}

/* ---- block by block ---- */

static int by_block(const void *left, const void *right)
{
    const struct xb_block_pod *one = left;
    const struct xb_block_pod *two = right;
    if (one->block != two->block) {
        return one->block < two->block ? -1 : 1;
    }
    return one->index < two->index ? -1 : one->index > two->index;
}

void xb_blocks_finish(struct xb_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        blocks->pods[i].block = root_of(blocks, i);
    }
    if (blocks->count > 0) {
        qsort(blocks->pods, blocks->count, sizeof *blocks->pods, by_block);
    }
}

size_t xb_blocks_at(struct xb_blocks *blocks, size_t at, struct xb_block_pod **ret)
{
    size_t count = 0;
    while (at + count < blocks->count && blocks->pods[at + count].block == blocks->pods[at].block) {
        count++;
    }
    *ret = count ? &blocks->pods[at] : NULL;
    return count;
}
