/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h - the one thread that decides.
 *
 * What for:  both programs run one loop: timers, signals, watches and whatever other threads hand
 *            over. Nothing on it may block; what blocks runs on a worker pool and posts its end
 *            back.
 * Ownership: the caller owns the loop, and frees timers, streams and everything else that uses it
 *            before it.
 * Threads:   everything on the thread that runs the loop (or before it runs, after it ended),
 *            except xb_loop_task_post, xb_loop_stop and xb_loop_lag_ms: any thread.
 * Blocking:  xb_loop_run only.
 * Source:    libuv (this is its only user).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_LOOP_BEAT_MS = 500 };

struct xb_loop;
struct xb_timer;
struct xb_http_multi;
typedef void xb_loop_fn(void *context);

int xb_loop_new(struct xb_loop **ret, struct xb_error *err) XB_MUST_CHECK;
/* What was posted and has not run is dropped. */
void xb_loop_free(struct xb_loop *loop);
XB_DEFINE_CLEANUP(xb_loop_freep, struct xb_loop, xb_loop_free);

/* Runs until xb_loop_stop. May be called again afterwards. */
int xb_loop_run(struct xb_loop *loop, struct xb_error *err) XB_MUST_CHECK;
/* Also before xb_loop_run: that then returns soon. */
void xb_loop_stop(struct xb_loop *loop);

/* Calls fn once on the loop thread, in the order of posting. It cannot fail: the task is the
 * caller's, zeroed but for fn and context. Posting a task that waits already does nothing. */
struct xb_loop_task {
    xb_loop_fn *fn;
    void *context;
    struct xb_loop_task *next; /* the loop's own, as is queued */
    bool queued;
};
void xb_loop_task_post(struct xb_loop *loop, struct xb_loop_task *task);
/* After this the task does not run any more (unless posted again). Loop thread only. */
void xb_loop_task_cancel(struct xb_loop *loop, struct xb_loop_task *task);

/* Timers: new ones are stopped. */
int xb_timer_new(struct xb_loop *loop, xb_loop_fn *fn, void *context, struct xb_timer **ret,
                 struct xb_error *err) XB_MUST_CHECK;
/* Calls fn after delay_ms, then every repeat_ms (0: once). Replaces what was set before. */
void xb_timer_start(struct xb_timer *timer, int64_t delay_ms, int64_t repeat_ms);
void xb_timer_stop(struct xb_timer *timer);
void xb_timer_free(struct xb_timer *timer);
XB_DEFINE_CLEANUP(xb_timer_freep, struct xb_timer, xb_timer_free);

/* Calls fn on the loop thread for SIGTERM and SIGINT (a second signal again). Once per loop. */
typedef void xb_loop_signal_fn(void *context, int signal_number);
int xb_loop_signals(struct xb_loop *loop, xb_loop_signal_fn *fn, void *context,
                    struct xb_error *err) XB_MUST_CHECK;

/* Streams on this loop: see shared/http/stream.h. Freed with the loop. */
struct xb_http_multi *xb_loop_http(struct xb_loop *loop);

/* How much later than it should the loop's heartbeat is, in ms: near 0 while the loop turns, and
 * growing when something blocks it. For liveness checks, from any thread. 0 before the loop runs.
 */
int64_t xb_loop_lag_ms(const struct xb_loop *loop);
