/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/budget.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/blocks.h"

enum { CANCEL_LOOK_MS = 100 };

struct xb_budget *xb_budget_process(void)
{
    static struct xb_budget process = XB_BUDGET_INIT(XB_BUDGET_BYTES_DEFAULT);
    return &process;
}

int xb_budget_choose(uint64_t bytes, struct xb_error *err)
{
    if (bytes == 0) {
        return 0;
    }
    if (bytes < XB_BUDGET_BYTES_MIN || bytes > XB_BUDGET_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ERANGE,
                            "%llu bytes of memory for file data: from 8M to 4G are possible "
                            "(--memory or XEBEC_MEMORY; 40M if nothing is said)",
                            (unsigned long long)bytes);
    }
    xb_budget_resize(xb_budget_process(), (size_t)bytes);
    return 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t reserved_by(const struct xb_budget_share *share)
{
    return larger(share->floor, share->taken);
}

static bool fits(const struct xb_budget *budget, size_t bytes)
{
    return budget->reserved <= budget->max && bytes <= budget->max - budget->reserved;
}

/* Spares count as free: unlinks those that there is no room for any more. */
static struct xb_block *take_surplus(struct xb_budget *budget)
{
    struct xb_block *surplus = NULL;
    while (budget->spares && budget->taken + budget->spare_bytes > budget->max) {
        struct xb_block *block = budget->spares;
        budget->spares = block->next;
        budget->spare_bytes -= XB_BLOCK_BYTES;
        block->next = surplus;
        surplus = block;
    }
    return surplus;
}

static void unlock(struct xb_budget *budget)
{
    struct xb_block *surplus = take_surplus(budget);
    pthread_mutex_unlock(&budget->lock);
    xb_blocks_release(surplus);
}

void xb_budget_resize(struct xb_budget *budget, size_t bytes)
{
    pthread_mutex_lock(&budget->lock);
    budget->max = bytes;
    pthread_cond_broadcast(&budget->turn);
    unlock(budget);
}

/* A while; with the lock held. */
static void wait_a_while(struct xb_budget *budget)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += CANCEL_LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&budget->turn, &budget->lock, &until);
}

/* With the lock held. Out of the line, wherever in it. */
static void step_out(struct xb_budget *budget, const struct xb_budget_joiner *joiner)
{
    struct xb_budget_joiner **at = &budget->joiners;
    while (*at != joiner) {
        at = &(*at)->next;
    }
    *at = joiner->next;
    if (budget->joiners) {
        pthread_cond_broadcast(&budget->turn);
    }
}

bool xb_budget_join_unless(struct xb_budget *budget, size_t floor, const atomic_bool *cancel,
                           struct xb_budget_share *ret)
{
    struct xb_budget_joiner joiner = {.next = NULL};
    bool cancelled = false;
    pthread_mutex_lock(&budget->lock);
    struct xb_budget_joiner **last = &budget->joiners;
    while (*last) {
        last = &(*last)->next;
    }
    *last = &joiner;
    while (!cancelled &&
           (budget->joiners != &joiner || !(budget->reserved == 0 || fits(budget, floor)))) {
        if (cancel) {
            wait_a_while(budget);
            cancelled = atomic_load(cancel);
        } else {
            pthread_cond_wait(&budget->turn, &budget->lock);
        }
    }
    step_out(budget, &joiner);
    if (!cancelled) {
        budget->reserved += floor;
        *ret = (struct xb_budget_share){.budget = budget, .floor = floor};
    } else if (budget->waiting > 0) {
        pthread_cond_broadcast(&budget->turn); /* they took no more than their floors meanwhile */
    }
    unlock(budget);
    return !cancelled;
}

void xb_budget_join(struct xb_budget *budget, size_t floor, struct xb_budget_share *ret)
{
    (void)!xb_budget_join_unless(budget, floor, NULL, ret);
}

/* With the lock held. */
static bool take(struct xb_budget_share *share, size_t bytes)
{
    struct xb_budget *budget = share->budget;
    size_t more = larger(share->floor, share->taken + bytes) - reserved_by(share);
    bool others_wait = budget->joiners != NULL;
    if (more > 0 && (others_wait || !fits(budget, more))) {
        return false;
    }
    share->taken += bytes;
    budget->reserved += more;
    budget->taken += bytes;
    budget->peak = larger(budget->peak, budget->taken);
    return true;
}

bool xb_budget_try(struct xb_budget_share *share, size_t bytes)
{
    struct xb_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    bool taken = take(share, bytes);
    unlock(budget);
    return taken;
}

void xb_budget_wait(struct xb_budget_share *share, size_t bytes)
{
    struct xb_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    budget->waiting++;
    while (!take(share, bytes)) {
        pthread_cond_wait(&budget->turn, &budget->lock);
    }
    budget->waiting--;
    unlock(budget);
}

/* With the lock held; somebody may have waited for what became free, or, below the floor, for the
 * share's own bytes. */
static void give(struct xb_budget_share *share, size_t bytes)
{
    struct xb_budget *budget = share->budget;
    size_t before = reserved_by(share);
    share->taken -= bytes;
    budget->taken -= bytes;
    budget->reserved -= before - reserved_by(share);
    if (budget->waiting > 0 || budget->joiners) {
        pthread_cond_broadcast(&budget->turn);
    }
}

void xb_budget_give(struct xb_budget_share *share, size_t bytes)
{
    struct xb_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    give(share, bytes);
    unlock(budget);
}

void xb_budget_leave(struct xb_budget_share *share)
{
    struct xb_budget *budget = share->budget;
    if (!budget) {
        return;
    }
    pthread_mutex_lock(&budget->lock);
    budget->reserved -= reserved_by(share);
    budget->taken -= share->taken;
    pthread_cond_broadcast(&budget->turn);
    unlock(budget);
    *share = (struct xb_budget_share){.budget = NULL};
}

void xb_budget_trim(struct xb_budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    struct xb_block *spares = budget->spares;
    budget->spares = NULL;
    budget->spare_bytes = 0;
    pthread_mutex_unlock(&budget->lock);
    xb_blocks_release(spares);
}

/* ---- blocks: here, because a spare is found and charged under one lock ---- */

static int fill(struct xb_budget_share *share, struct xb_block *spare, struct xb_block **ret,
                struct xb_error *err)
{
    struct xb_block *block = spare ? spare : xb_block_make(err);
    if (!block) {
        xb_budget_give(share, XB_BLOCK_BYTES);
        return err->code;
    }
    block->share = share;
    block->next = NULL;
    atomic_store(&block->refs, 1);
    *ret = block;
    return 0;
}

/* With the lock held, which it releases. */
static struct xb_block *take_spare(struct xb_budget *budget)
{
    struct xb_block *spare = budget->spares;
    if (spare) {
        budget->spares = spare->next;
        budget->spare_bytes -= XB_BLOCK_BYTES;
    }
    unlock(budget);
    return spare;
}

int xb_block_try(struct xb_budget_share *share, struct xb_block **ret, struct xb_error *err)
{
    struct xb_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    if (!take(share, XB_BLOCK_BYTES)) {
        unlock(budget);
        *ret = NULL;
        return 0;
    }
    return fill(share, take_spare(budget), ret, err);
}

int xb_block_wait(struct xb_budget_share *share, struct xb_block **ret, struct xb_error *err)
{
    struct xb_budget *budget = share->budget;
    pthread_mutex_lock(&budget->lock);
    budget->waiting++;
    while (!take(share, XB_BLOCK_BYTES)) {
        pthread_cond_wait(&budget->turn, &budget->lock);
    }
    budget->waiting--;
    return fill(share, take_spare(budget), ret, err);
}

void xb_block_unref(struct xb_block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (!block->share) {
        free(block);
        return;
    }
    struct xb_budget *budget = block->share->budget;
    pthread_mutex_lock(&budget->lock);
    give(block->share, XB_BLOCK_BYTES);
    block->share = NULL;
    block->next = budget->spares;
    budget->spares = block;
    budget->spare_bytes += XB_BLOCK_BYTES;
    unlock(budget);
}
