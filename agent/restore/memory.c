/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/memory.h"

#include <errno.h>

#include "agent/restore/restore.h"

int xb_restore_memory_begin(struct xb_restore_memory *memory, const atomic_bool *cancel,
                            struct xb_error *err)
{
    struct xb_budget_share share = {.budget = NULL};
    if (!xb_budget_join_unless(xb_budget_process(), XB_RESTORE_FLOOR_BYTES, cancel, &share)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    *memory = (struct xb_restore_memory){.lock = PTHREAD_MUTEX_INITIALIZER,
                                         .idle = PTHREAD_COND_INITIALIZER,
                                         .share = share,
                                         .cancel = cancel};
    return 0;
}

/* With the lock held. What is larger than the floor waits until it is alone, and until the process
 * has so much for it. */
static void grow(struct xb_restore_memory *memory, size_t bytes)
{
    memory->growing = true;
    while (atomic_load(&memory->taken) > 0) {
        pthread_cond_wait(&memory->idle, &memory->lock);
    }
    pthread_mutex_unlock(&memory->lock);
    xb_budget_leave(&memory->share);
    (void)!xb_budget_join_unless(xb_budget_process(), bytes, memory->cancel, &memory->share);
    pthread_mutex_lock(&memory->lock);
    memory->growing = false;
    pthread_cond_broadcast(&memory->idle);
}

void xb_restore_memory_take(struct xb_restore_memory *memory, uint64_t bytes)
{
    pthread_mutex_lock(&memory->lock);
    while (memory->growing) {
        pthread_cond_wait(&memory->idle, &memory->lock);
    }
    if (memory->share.budget && bytes > memory->share.floor) {
        grow(memory, (size_t)bytes);
    }
    const bool charged = memory->share.budget != NULL;
    atomic_fetch_add(&memory->taken, bytes);
    pthread_mutex_unlock(&memory->lock);
    if (charged) {
        xb_budget_wait(&memory->share, (size_t)bytes);
    }
}

bool xb_restore_memory_try(struct xb_restore_memory *memory, uint64_t bytes)
{
    pthread_mutex_lock(&memory->lock);
    bool taken =
        !memory->growing && (!memory->share.budget || xb_budget_try(&memory->share, (size_t)bytes));
    if (taken) {
        atomic_fetch_add(&memory->taken, bytes);
    }
    pthread_mutex_unlock(&memory->lock);
    return taken;
}

void xb_restore_memory_give(struct xb_restore_memory *memory, uint64_t bytes)
{
    if (memory->share.budget) {
        xb_budget_give(&memory->share, (size_t)bytes);
    }
    pthread_mutex_lock(&memory->lock);
    atomic_fetch_sub(&memory->taken, bytes);
    pthread_cond_broadcast(&memory->idle);
    pthread_mutex_unlock(&memory->lock);
}

void xb_restore_memory_end(struct xb_restore_memory *memory)
{
    xb_budget_leave(&memory->share);
    pthread_mutex_destroy(&memory->lock);
    pthread_cond_destroy(&memory->idle);
}
