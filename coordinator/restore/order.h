/* SPDX-License-Identifier: Apache-2.0
 *
 * order.h - which kinds are restored first, which last, and which never.
 *
 * What for:  a restore goes kind by kind, so that what others need is there before them: types
 *            before their objects, volumes and accounts before pods, pods before the controllers
 *            that adopt them. Names: plural and group as the record's folders have them: "pods",
 *            "deployments.apps". The bare plural of a kind that is in the table is known too
 *            ("customresourcedefinitions").
 * Ownership: the caller owns an order; NULL stands for Velero's.
 * Threads:   any; an order is read-only.    Blocking: never (pure).
 * Errors:    INVALID for a flag with two "-"; FULL.
 * Limits:    XB_RESTORE_PRIORITIES_MAX kinds.
 * Source:    velero-contract section 4, "Order" and "Always excluded".
 */
#pragma once

#include <stdbool.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_RESTORE_PRIORITIES_MAX = 1000, XB_RESTORE_RESOURCE_BYTES = 320 };

struct xb_restore_order;

/* What a user's word for a kind ("po", "deploy") is called in records; false: none that is known.
 */
typedef bool xb_restore_word_fn(void *context, const char *word,
                                char ret[XB_RESTORE_RESOURCE_BYTES]);

/* An order of the flag's form: "a,b,-,y,z", first ones, "-", last ones. Definitions are first in
 * each. `fn` may be NULL: then words are what records have. */
int xb_restore_order_new(const char *priorities, xb_restore_word_fn *fn, void *context,
                         struct xb_restore_order **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_restore_order_free(struct xb_restore_order *order);
XB_DEFINE_CLEANUP(xb_restore_order_freep, struct xb_restore_order, xb_restore_order_free);

/* A kind's place: the first ones each have their own, all without a place of their own share the
 * one in the middle, the last ones follow. Never negative. */
int xb_restore_rank(const struct xb_restore_order *order, const char *resource);

/* Which of two comes first, as strcmp: by rank, then by name. */
int xb_restore_order_compare(const struct xb_restore_order *order, const char *left,
                             const char *right);

/* Kinds that belong to a cluster's own life and are never made from a backup. */
bool xb_restore_never(const char *resource);
