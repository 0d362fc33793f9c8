/* SPDX-License-Identifier: Apache-2.0
 *
 * budget.h - how many bytes of file data may be under way in the whole process.
 *
 * What for:  memory that does not grow with the number of volumes, files and threads: whoever
 *            backs up or restores charges the buffers that hold file data to one budget.
 * How:       a share is one piece of work (a file that is read, a window that is restored), with
 *            any number of threads. xb_budget_join reserves its floor: the bytes with which it can
 *            go on to its end whatever others do. More than that is asked for with
 *            xb_budget_try, and given back with xb_budget_give. Who has no use for less waits with
 *            xb_budget_wait; that ends because other threads give back.
 * Deadlock:  there is none, if (1) nobody joins while a share that waits for him holds bytes, (2)
 *            one request is never above the share's floor where the thread waits for it, and (3)
 *            what a waiting thread holds itself leaves the floor room for its request. Those who
 *            join get their turn in the order of arrival, and nobody takes more than his floor
 *            while one waits. A floor above the whole budget is let in when nobody else holds
 *            anything.
 * Ownership: the caller's structs; a share must be empty when it leaves. The process's budget
 *            lives for ever.
 * Threads:   any, for budgets and shares.
 * Blocking:  join and wait; a join can be cancelled.
 * Errors:    none but for sizes out of bounds: the accounts need no memory. Blocks (blocks.h) are
 * what is mostly charged; spare ones count as free, and are given up before the budget would be
 * exceeded.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

#define XB_BUDGET_BYTES_DEFAULT ((size_t)40 << 20)

/* What a user may choose. With less, everything still comes to its end, but nothing overlaps. */
#define XB_BUDGET_BYTES_MIN ((size_t)8 << 20)
#define XB_BUDGET_BYTES_MAX ((size_t)4 << 30)

struct xb_block;

/* Who waits in xb_budget_join; on that thread's stack. */
struct xb_budget_joiner {
    struct xb_budget_joiner *next;
};

struct xb_budget {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    size_t max;
    size_t reserved;                  /* of every share the larger of floor and taken */
    size_t taken;                     /* really in use */
    size_t peak;                      /* of `taken`, for measurements */
    struct xb_budget_joiner *joiners; /* in the order of arrival */
    unsigned waiting;                 /* in xb_budget_wait */
    struct xb_block *spares;
    size_t spare_bytes;
};

#define XB_BUDGET_INIT(bytes)                                                                      \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER, .max = (bytes)        \
    }

struct xb_budget_share {
    struct xb_budget *budget; /* NULL: has not joined */
    size_t floor, taken;
};

/* The one of this process, of XB_BUDGET_BYTES_DEFAULT unless a user wanted another size. */
struct xb_budget *xb_budget_process(void);

/* Gives the process's budget that size (0: leaves it as it is). INVALID outside the bounds. */
int xb_budget_choose(uint64_t bytes, struct xb_error *err) XB_MUST_CHECK;

/* Others' shares keep what they have; a smaller budget is reached as they give back. */
void xb_budget_resize(struct xb_budget *budget, size_t bytes);

/* Waits for its turn, then until the floor is free. */
void xb_budget_join(struct xb_budget *budget, size_t floor, struct xb_budget_share *ret);
/* The same, but looks ten times a second whether it is to give up: then false, and *ret is as it
 * was. cancel may be NULL. */
bool xb_budget_join_unless(struct xb_budget *budget, size_t floor, const atomic_bool *cancel,
                           struct xb_budget_share *ret) XB_MUST_CHECK;

/* Charges so many bytes; false if they are not free now. */
bool xb_budget_try(struct xb_budget_share *share, size_t bytes);
/* The same, but waits until it succeeds. */
void xb_budget_wait(struct xb_budget_share *share, size_t bytes);

void xb_budget_give(struct xb_budget_share *share, size_t bytes);

/* Gives the floor back. Leaving a share that has not joined does nothing. */
void xb_budget_leave(struct xb_budget_share *share);

/* Gives spare blocks back to the system, e.g. when the last backup is over. */
void xb_budget_trim(struct xb_budget *budget);
