/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.h - a fixed pool of threads with a bounded queue.
 *
 * What for:  everything that blocks or burns CPU, in both programs (design decision 5).
 * Ownership: the caller owns the pool. A job's context belongs to whoever made it.
 * Threads:   submit from any thread. Jobs run on pool threads.
 * Blocking:  submit blocks while the queue is full, unless told not to; free waits for all jobs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

struct xb_workers;
typedef void xb_worker_fn(void *context);

int xb_workers_new(unsigned threads, size_t queue_max, struct xb_workers **ret,
                   struct xb_error *err) XB_MUST_CHECK;
/* Waits for room, then queues. */
void xb_workers_submit(struct xb_workers *workers, xb_worker_fn *fn, void *context);
/* Queues if there is room; false if not. */
bool xb_workers_try_submit(struct xb_workers *workers, xb_worker_fn *fn, void *context);
/* Returns when every job submitted so far has ended. */
void xb_workers_drain(struct xb_workers *workers);
void xb_workers_free(struct xb_workers *workers);
XB_DEFINE_CLEANUP(xb_workers_freep, struct xb_workers, xb_workers_free);
