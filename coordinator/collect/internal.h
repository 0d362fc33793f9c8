/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a collection under way; for the files of this folder only.
 *
 * What for:  collect.c goes through the kinds, namespaces.c through the namespaces, take.c puts an
 *            object into the tarball, related.c brings in what it drags in, pods.c takes pods,
 *            block by block, pod_volumes.c finds their volumes, claim_data.c what is behind claims,
 *            with a pod or without, fetched.c gets single objects, blocks.c joins pods that belong
 *            together.
 */
#pragma once

#include "coordinator/collect/claims.h"
#include "coordinator/collect/collect.h"
#include "coordinator/collect/kinds.h"
#include "coordinator/collect/seen.h"

/* Kinds that two groups serve: those of the group that comes first are taken. */
enum { XB_COHABITING_KINDS = 5 };

/* The last claims and volumes that were asked for. */
enum { XB_FETCHED_MAX = 128, XB_FETCHED_PLACE_BYTES = 2048 };
struct xb_fetched_object {
    char *place; /* NULL: none */
    xb_json *object;
};
struct xb_fetched {
    struct xb_fetched_object objects[XB_FETCHED_MAX];
    size_t next;
};

struct collection {
    const struct xb_collect_options *options;
    struct xb_kube_discovery *discovery;
    struct xb_collected *result;
    struct xb_seen items;      /* by uid */
    struct xb_seen namespaces; /* those that hold a taken item */
    struct xb_seen asked;      /* what was dragged in, so that it is asked for once */
    struct xb_seen existing;   /* namespaces */
    const char *cohabiting[XB_COHABITING_KINDS]; /* the group that was taken */
    bool volumes_by_default;
    struct xb_claims claims;
    struct xb_fetched fetched;
    xb_json *bindings; /* of accounts (accounts.h), loaded with the first of them */
    size_t binding_count;
    struct xb_blocks *blocks;          /* pods that were put off */
    const struct xb_kube_api *pod_api; /* theirs */
    bool pods_ordered;                 /* spec.orderedResources names pods */
};

/* An object to be taken: its text as the server sent it, or taken apart; or both. Of the text's
 * kind only the head must be there. */
struct xb_taking {
    const struct xb_kube_api *api;
    xb_json *object;  /* the whole, or with a text the head */
    const char *text; /* NULL: none */
    size_t len;
};

/* Puts one object into the tarball unless it is there already, and what it drags in after it. */
int xb_collect_take(struct collection *collection, const struct xb_taking *taking,
                    struct xb_error *err) XB_MUST_CHECK;
/* The same for one that is new and may be taken, right now. */
int xb_collect_write(struct collection *collection, const struct xb_taking *taking,
                     struct xb_error *err) XB_MUST_CHECK;
/* A pod, now if it is alone in its block for sure. Else it is put off until all pods are known. */
int xb_collect_take_pod(struct collection *collection, const struct xb_taking *taking,
                        struct xb_error *err) XB_MUST_CHECK;
/* Those that were put off. */
int xb_collect_blocks(struct collection *collection, struct xb_error *err) XB_MUST_CHECK;
/* What the object drags in. */
int xb_collect_related(struct collection *collection, const struct xb_kube_api *api,
                       xb_json *object, struct xb_error *err) XB_MUST_CHECK;
/* A claim or volume; that of before if it was asked for a moment ago. It must not be changed. */
int xb_collect_fetch(struct collection *collection, const struct xb_kube_resource *resource,
                     const char *namespace, const char *name, xb_json **ret,
                     struct xb_error *err) XB_MUST_CHECK;
bool xb_collect_has_fetched(struct collection *collection, const struct xb_kube_resource *resource,
                            const char *namespace, const char *name);
void xb_collect_forget_fetched(struct xb_fetched *fetched);
/* The pod's volumes, into the result. */
int xb_collect_pod_volumes(struct collection *collection, xb_json *pod,
                           struct xb_error *err) XB_MUST_CHECK;
int xb_collect_add_volume(struct collection *collection, const struct xb_collected_volume *volume,
                          struct xb_error *err) XB_MUST_CHECK;

/* A claim and what it is bound to. */
struct xb_behind {
    xb_json *claim, *persistent_volume; /* NULL: none, or not there */
};
int xb_collect_look_behind(struct collection *collection, const char *namespace, const char *claim,
                           struct xb_behind *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_collect_put_behind(struct xb_behind *behind);
/* What the record says of it. */
int xb_collect_fill_behind(struct xb_collected_volume *volume, const struct xb_behind *behind,
                           struct xb_error *err) XB_MUST_CHECK;
/* A claim is in the backup: something must be said of its data. */
int xb_collect_note_claim(struct collection *collection, xb_json *claim,
                          struct xb_error *err) XB_MUST_CHECK;
/* At the end: claims that no running pod of the backup mounts are warnings, and in the result. */
int xb_collect_account_for_claims(struct collection *collection,
                                  struct xb_error *err) XB_MUST_CHECK;

/* Velero takes a list of all namespaces for all of them: then so does the filter. */
int xb_collect_look_at_namespaces(struct collection *collection,
                                  struct xb_error *err) XB_MUST_CHECK;
/* The namespaces' own objects, after all others. */
int xb_collect_namespaces(struct collection *collection, struct xb_error *err) XB_MUST_CHECK;

/* The objects that spec.orderedResources names of this kind, in its order. */
int xb_collect_ordered(struct collection *collection, const struct xb_kube_api *api,
                       struct xb_error *err) XB_MUST_CHECK;

/* ---- blocks (pure) ---- */

struct xb_blocks;

struct xb_block_pod {
    char *namespace, *name, *uid;
    size_t index, block; /* its own, and that of the first pod of its block */
    char *why;           /* it is left out; NULL: it is not */
    bool gone;
};

int xb_blocks_new(struct xb_blocks **ret, struct xb_error *err) XB_MUST_CHECK;
/* Adds the pod, joined with those that share a claim with it. */
int xb_blocks_add(struct xb_blocks *blocks, xb_json *pod, struct xb_error *err) XB_MUST_CHECK;
/* Joins the next pods that are added, until it is told that it must not. */
void xb_blocks_join_all(struct xb_blocks *blocks, bool join);
/* A claim is one of a group: pods that use claims of one group of their namespace are joined. */
int xb_blocks_group(struct xb_blocks *blocks, xb_json *claim, const char *group,
                    struct xb_error *err) XB_MUST_CHECK;
/* Puts the pods of each block side by side; none may be added any more. Blocks, and the pods in
 * them, stay in the order in which they came. */
void xb_blocks_finish(struct xb_blocks *blocks);
/* The block whose first pod is the one at `at`; 0: there are no more. */
size_t xb_blocks_at(struct xb_blocks *blocks, size_t at, struct xb_block_pod **ret);
size_t xb_blocks_count(const struct xb_blocks *blocks); /* of pods */
void xb_blocks_free(struct xb_blocks *blocks);
