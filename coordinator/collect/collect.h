/* SPDX-License-Identifier: Apache-2.0
 *
 * collect.h - from a Backup's spec to the items in its tarball.
 *
 * What for:  lists every kind page by page and streams what the filter takes into the tarball; adds
 *            what items drag in (a claim its volume, an account its roles, a custom resource its
 *            definition); finds the volumes to be backed up.
 * Ownership: the caller owns everything it passes, and the result (xb_collected_free).
 * Threads:   one call per thread.    Blocking: yes (API, scratch disk): on a worker.
 * Errors:    those that end the backup. What is wrong with one kind or object is an error line in
 *            the log, and the backup PartiallyFailed.
 * Memory:    one page of objects; 8 bytes per item; per item its name for the resource list; the
 *            volumes; the names of pods that use claims.
 * Source:    velero-contract section 3.
 */
#pragma once

#include <stdatomic.h>

#include "coordinator/collect/filter.h"
#include "coordinator/collect/policy.h"
#include "coordinator/collect/resource_list.h"
#include "coordinator/record/log.h"
#include "coordinator/record/tarball.h"
#include "shared/kube/discovery.h"

enum {
    XB_COLLECTED_VOLUMES_MAX = 100000,
    XB_COLLECTED_PODS_MAX = 500000, /* that use claims */
    XB_COLLECTED_WHY_BYTES = 300
};

/* A volume of a pod. Or the data of a claim without one (pod_namespace is the claim's then):
 * skipped and without node and volume, a claim that no pod of the backup has among its volumes;
 * else one that no running pod mounts, and which is read where it lies. */
struct xb_collected_volume {
    char *pod_namespace, *pod, *pod_uid;         /* the latter NULL: without a pod */
    char *node, *volume;                         /* volume: the claim's name, without a pod */
    char *claim, *claim_uid, *persistent_volume; /* NULL: no claim */
    xb_json *pv_info; /* reclaimPolicy and labels, as volumeinfo has them; NULL: no such volume */
    char *skipped;    /* why it is not backed up; NULL: it is */
    bool elsewhere;   /* its node cannot read it; another pod's, which shares the claim, may */
    bool ordered;     /* the caller has made its order */
};
void xb_collected_volume_free(struct xb_collected_volume *volume); /* what it owns */

struct xb_collected {
    struct xb_resource_list list;
    struct xb_collected_volume *volumes;
    size_t volume_count, volume_cap;
    uint64_t items;
};

struct xb_collected_pod {
    xb_json *pod;
    bool alone;                          /* in its block: then its volumes are chosen already */
    struct xb_collected_volume *volumes; /* lent for the call */
    size_t count;
};

struct xb_collect_options {
    struct xb_kube_client *client;
    xb_json *backup;                /* the object */
    struct xb_filter *filter;       /* a valid one; its names are resolved here */
    const struct xb_policy *policy; /* NULL: none */
    bool all_versions;              /* of every object, beside the preferred one */
    struct xb_tarball_writer *writer;
    struct xb_record_log *log;
    const atomic_bool *cancel;
    void (*progress)(void *context, uint64_t items); /* may be NULL */
    /* Around the pods of an item block, for their hooks: before_pod for each of them, then all
     * their items are taken and their volumes chosen, then after_block. Pods that share a claim, or
     * whose claims are of one volume group, and those that spec.orderedResources names, are one
     * block; any other pod is alone. before_pod leaves the pod out, with its volumes, by a `why`
     * that is not empty. after_block is called whenever before_pod was; `failed`: something went
     * wrong, and the collection ends with it. Both NULL: nobody wants to know. */
    int (*before_pod)(void *context, const struct xb_collected_pod *pod,
                      char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err);
    int (*after_block)(void *context, struct xb_collected_volume *volumes, size_t count,
                       const struct xb_error *failed, struct xb_error *err);
    /* Whether volumes can be read on a node: else NOT_FOUND, and a claim that pods of several nodes
     * share is read through another one. Other errors end the collection. NULL: on all. */
    int (*readable)(void *context, const char *node, struct xb_error *err);
    /* The folders of a node that its agent may read for hostPath volumes, lent; NULL: none. */
    const char *(*host_paths)(void *context, const char *node);
    /* Whether a node's agent may read raw block devices. NULL: none may. */
    bool (*block_devices)(void *context, const char *node);
    /* The node on whose disk a PersistentVolume is and whose agent may read it there, to be freed;
     * NULL, and why there is none. NULL: nobody looks. */
    int (*node_of)(void *context, xb_json *persistent_volume, char **ret,
                   char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err);
    void *context;
};

/* Namespaces that the label velero.io/exclude-from-backup=true keeps out join the spec's excludes,
 * before it is judged. */
int xb_collect_exclude_labelled(struct xb_kube_client *client, xb_json *spec,
                                const atomic_bool *cancel, struct xb_error *err) XB_MUST_CHECK;
int xb_collect(const struct xb_collect_options *options, struct xb_collected *ret,
               struct xb_error *err) XB_MUST_CHECK;
void xb_collected_free(struct xb_collected *collected); /* what it owns */
