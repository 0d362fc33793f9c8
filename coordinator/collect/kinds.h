/* SPDX-License-Identifier: Apache-2.0
 *
 * kinds.h - the kinds of objects that the cluster serves, as backups see them.
 *
 * What for:  which kinds can be backed up, and what a user's word for one means.
 * Ownership: what comes back belongs to the discovery.    Threads: any.    Blocking: never (pure).
 * Source:    velero-contract section 3, "Collection".
 */
#pragma once

#include "coordinator/collect/filter.h"
#include "shared/kube/discovery.h"

/* Whether objects of it can be listed, read, made and removed: no other kind can be backed up. */
bool xb_kind_collectable(const struct xb_kube_api *api);
struct xb_filter_kind xb_kind_of(const struct xb_kube_api *api);

/* A plural, short name, singular or kind, in any case, also with its group or the beginning of it
 * ("storageclasses.storage"). Where several groups have it, the first in the server's order. An
 * xb_filter_resolve_fn: `discovery` is a struct xb_kube_discovery. */
bool xb_kind_resolve(void *discovery, const char *word, struct xb_filter_kind *ret);
