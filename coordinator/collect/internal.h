/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a collection under way; for the files of this folder only.
 *
 * What for:  collect.c goes through the kinds, related.c brings in what items drag in,
 *            pod_volumes.c finds the volumes of a pod.
 */
#pragma once

#include "coordinator/collect/claims.h"
#include "coordinator/collect/collect.h"

struct xb_seen {
    uint64_t *slots; /* 0 is free */
    size_t count, cap;
};

struct collection {
    const struct xb_collect_options *options;
    struct xb_kube_discovery *discovery;
    struct xb_collected *result;
    struct xb_seen items;      /* by uid */
    struct xb_seen namespaces; /* those that hold a taken item */
    struct xb_seen left_out;   /* namespaces whose label keeps them out */
    struct xb_seen kinds;      /* whose definition was asked for */
    bool volumes_by_default;
    struct xb_claims claims;
    xb_json *bindings; /* all ClusterRoleBindings, loaded with the first account */
};

/* *ret_new: it was not there before. */
int xb_seen_add(struct xb_seen *seen, const char *text, bool *ret_new,
                struct xb_error *err) XB_MUST_CHECK;
bool xb_seen_has(const struct xb_seen *seen, const char *text);

/* Puts one object into the tarball unless it is there already. */
int xb_collect_take(struct collection *collection, const struct xb_kube_api *api, xb_json *object,
                    struct xb_error *err) XB_MUST_CHECK;
/* What the object drags in. */
int xb_collect_related(struct collection *collection, const struct xb_kube_api *api,
                       xb_json *object, struct xb_error *err) XB_MUST_CHECK;
/* The pod's volumes, into the result. */
int xb_collect_pod_volumes(struct collection *collection, xb_json *pod,
                           struct xb_error *err) XB_MUST_CHECK;
/* A claim is in the backup: something must be said of its data. */
int xb_collect_note_claim(struct collection *collection, xb_json *claim,
                          struct xb_error *err) XB_MUST_CHECK;
/* At the end: claims that no running pod of the backup mounts are warnings, and in the result. */
int xb_collect_account_for_claims(struct collection *collection,
                                  struct xb_error *err) XB_MUST_CHECK;
/* The filter's view of a kind; short names in the caller's space. */
enum { XB_SHORT_NAMES_MAX = 16 };
struct xb_filter_kind xb_collect_kind(const struct xb_kube_api *api,
                                      const char *space[XB_SHORT_NAMES_MAX]);
