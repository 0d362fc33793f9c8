/* SPDX-License-Identifier: Apache-2.0
 *
 * pending.h - contents written since the last flush, found by id.
 *
 * What for:  deduplicates within a session and becomes the session's index. Internal.
 * Ownership: the caller owns the struct; an empty one is all zeros.
 * Threads:   the caller locks.    Blocking: never.
 * Limits:    XB_PENDING_MAX entries; a flush is due at XB_PENDING_DUE.
 */
#pragma once

#include "shared/repository/index.h"

enum { XB_PENDING_MAX = 8000000, XB_PENDING_DUE = 60000 };

struct xb_pending {
    struct xb_index_entry *entries; /* in order of arrival, or sorted */
    uint32_t count, cap;
    uint32_t *slots; /* open addressing: position + 1, 0 is free */
    uint32_t slot_count;
    struct xb_names packs;
};

void xb_pending_free(struct xb_pending *pending); /* frees what it owns and zeroes it */

/* The entry of that id, or NULL; valid until the next add. */
struct xb_index_entry *xb_pending_find(const struct xb_pending *pending,
                                       const struct xb_content_id *id);
/* Adds an entry whose id is not there yet. */
int xb_pending_add(struct xb_pending *pending, const struct xb_index_entry *entry,
                   struct xb_error *err) XB_MUST_CHECK;
/* Puts the entries into id order. What xb_pending_find has lent is no longer valid. */
void xb_pending_sort(struct xb_pending *pending);
