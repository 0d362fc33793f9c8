/* SPDX-License-Identifier: Apache-2.0
 *
 * nodes.h - other nodes for what is bound to a node of the cluster that was backed up.
 *
 * What for:  volumes of a node's disk (`local`, hostPath) say by affinity where they are, and pods
 *            may say where they want to be. In another cluster these nodes have other names, or are
 *            not there at all.
 * Ownership: everything is lent; an object is changed in place and stays the caller's.
 * Threads:   an object belongs to one thread; the map is only read.
 * Blocking:  never (pure).
 * Shapes:    objects are hostile: what is not as Kubernetes has it is left as it is.
 * Errors:    FULL (no memory).
 * Source:    Kubernetes: nodeSelector, nodeAffinity, label kubernetes.io/hostname.
 */
#pragma once

#include <stdbool.h>

#include "shared/codec/json.h"

struct xb_node_map {
    xb_json *names; /* "old": "new"; NULL: none */
    xb_json *there; /* "name": anything, of the nodes that are here; NULL: not known */
    void (*mapped)(void *context, const char *from, const char *to); /* told of each change */
    /* Told of nodes that something must be on, none of which is here. `names`: with commas. */
    void (*lost)(void *context, const char *names);
    void *context;
};

/* Of PersistentVolumes, pods, and all kinds that have a pod's template. */
bool xb_restore_has_nodes(const char *resource);

/* Affinity by the label kubernetes.io/hostname or the field metadata.name, and node selectors. */
int xb_restore_map_nodes(const struct xb_node_map *map, const char *resource, xb_json *object,
                         struct xb_error *err) XB_MUST_CHECK;
