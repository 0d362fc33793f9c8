/* SPDX-License-Identifier: Apache-2.0
 *
 * spool.h - items on scratch disk, in groups, in the order in which they came.
 *
 * What for:  a restore needs items kind by kind, the tarball has them in another order, and a
 *            cluster's worth of them does not fit in memory. One file per group; memory is
 *            proportional to the number of groups (kinds), not of items.
 * Ownership: the caller owns the spool; freeing it removes its folder.
 * Threads:   one at a time.    Blocking: yes.
 * Errors:    FULL when the scratch disk is full; IO.
 * Limits:    groups <= XB_SPOOL_GROUPS_MAX.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "coordinator/record/tarball.h"

enum { XB_SPOOL_GROUPS_MAX = 4096 };

struct xb_spool;

/* Makes `folder` (its parent must exist), emptying what an earlier life left there. */
int xb_spool_new(const char *folder, struct xb_spool **ret, struct xb_error *err) XB_MUST_CHECK;

/* Appends an item to the group of its resource. */
int xb_spool_add(struct xb_spool *spool, const struct xb_tarball_item *item, const char *json,
                 size_t len, struct xb_error *err) XB_MUST_CHECK;

size_t xb_spool_group_count(const struct xb_spool *spool);
/* The resource ("deployments.apps") and number of items of group `index`, in order of first
 * appearance. */
const char *xb_spool_group_name(const struct xb_spool *spool, size_t index);

/* Hands out every item of a group in order. */
int xb_spool_read(struct xb_spool *spool, size_t index, xb_tarball_item_fn *fn, void *context,
                  struct xb_error *err) XB_MUST_CHECK;

void xb_spool_free(struct xb_spool *spool);
XB_DEFINE_CLEANUP(xb_spool_freep, struct xb_spool, xb_spool_free);
