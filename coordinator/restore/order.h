/* SPDX-License-Identifier: Apache-2.0
 *
 * order.h - which kinds are restored first, which last, and which never.
 *
 * What for:  a restore goes kind by kind, so that what others need is there before them: types
 *            before their objects, volumes and accounts before pods, pods before the controllers
 *            that adopt them. Names: plural and group as the record's folders have them: "pods",
 *            "deployments.apps". The bare plural of a kind that is in the table is known too
 *            ("customresourcedefinitions").
 * Ownership: none.
 * Threads:   any.    Blocking: never (pure).
 * Errors:    none.
 * Source:    velero-contract section 4, "Order" and "Always excluded".
 */
#pragma once

#include <stdbool.h>

/* A kind's place: the first ones each have their own, all without a place of their own share the
 * one in the middle, the last ones follow. Never negative. */
int xb_restore_rank(const char *resource);

/* For qsort over an array of `const char *`: by rank, then by name. */
int xb_restore_order_compare(const void *a, const void *b);

/* Kinds that belong to a cluster's own life and are never made from a backup. */
bool xb_restore_never(const char *resource);
