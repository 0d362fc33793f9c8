/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h - memory for what was read of a store, as far as the process's budget allows.
 *
 * What for:  restores into folders and onto devices, and proofs: how large a content is shows only
 *            when its turn comes, so a request above the share's floor makes the floor larger.
 * Ownership: the caller's struct, between begin and end.
 * Threads:   any number take and give; a thread that takes holds nothing of it yet.
 * Blocking:  begin and take, until others give back. Both end when it is cancelled; what is taken
 *            then is not charged, and not to be used for long.
 * Errors:    begin: CANCELLED.
 */
#pragma once

#include <stdatomic.h>

#include "shared/base/budget.h"
#include "shared/base/error.h"

struct xb_restore_memory {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct xb_budget_share share; /* of the process's budget; none: cancelled */
    atomic_uint_least64_t taken;  /* or about to be */
    bool growing;                 /* one waits for a larger floor, all others for him */
    const atomic_bool *cancel;    /* may be NULL */
};

int xb_restore_memory_begin(struct xb_restore_memory *memory, const atomic_bool *cancel,
                            struct xb_error *err) XB_MUST_CHECK;
void xb_restore_memory_take(struct xb_restore_memory *memory, uint64_t bytes);
/* The same, if it need not wait. */
bool xb_restore_memory_try(struct xb_restore_memory *memory, uint64_t bytes);
void xb_restore_memory_give(struct xb_restore_memory *memory, uint64_t bytes);
void xb_restore_memory_end(struct xb_restore_memory *memory);
