/* SPDX-License-Identifier: Apache-2.0
 *
 * control.h - the level-triggered frame: dirty keys, a pure planner, one action at a time per key.
 *
 * What for:  every control loop has this shape (design decision 4). Events only mark a key dirty;
 *            the planner looks at the cached world and returns one next action; the action is
 *            carried out on the worker pool; its end marks the key dirty again. Progress is in the
 *            world, so a crash resumes by planning again.
 * Ownership: the caller owns the control, the workers and the loop, which outlive it. An action's
 *            `work` belongs to the frame, which frees it on the loop thread.
 * Threads:   loop thread, except xb_control_dirty (any). plan, done and free run on the loop
 *            thread, run on a worker.
 * Blocking:  xb_control_drain and xb_control_free wait for actions that run; nothing else.
 * Errors:    a failed action is logged here, and its key planned again after a pause that doubles
 *            from XB_CONTROL_BACKOFF_FIRST_MS to XB_CONTROL_BACKOFF_MAX_MS; CONFLICT at once, for
 *            XB_CONTROL_CONFLICTS_MAX times in a row; DENIED, INVALID, CORRUPT and BUG start at
 *            XB_CONTROL_BACKOFF_SLOW_MS. Marking dirty does not shorten a pause.
 * Limits:    XB_CONTROL_*.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/error.h"
#include "shared/base/workers.h"
#include "shared/runtime/loop.h"

enum {
    XB_CONTROL_KEYS_MAX = 262144,
    XB_CONTROL_KEY_BYTES_MAX = 1024,
    XB_CONTROL_ACTIONS_MAX = 16, /* default for actions in flight */
    XB_CONTROL_PLANS_PER_TURN = 64,
    XB_CONTROL_BACKOFF_FIRST_MS = 1000,
    XB_CONTROL_BACKOFF_SLOW_MS = 5000,
    XB_CONTROL_BACKOFF_MAX_MS = 60 * 1000,
    XB_CONTROL_CONFLICTS_MAX = 10,
    XB_CONTROL_LOOK_AGAIN_MS =
        10 * 60 * 1000 /* far deadlines are checked this often: clocks jump */
};

enum xb_plan {
    XB_PLAN_NONE, /* nothing to do until the key is dirty again */
    XB_PLAN_ACT,  /* run the action */
    XB_PLAN_AT    /* look again at action.at_ns */
};

struct xb_action {
    int64_t at_ns; /* with XB_PLAN_AT: wall time */
    void *work;    /* with XB_PLAN_ACT: what the functions below get */
    /* On a worker; may block. *cancel becomes true when it should give up (CANCELLED). */
    int (*run)(void *work, const atomic_bool *cancel, struct xb_error *err);
    /* On the loop thread, before the key is planned again; err is NULL after success. May be NULL.
     * For putting the answer into the cache. */
    void (*done)(void *context, const char *key, void *work, const struct xb_error *err);
    void (*free)(void *work); /* may be NULL */
};

/* Pure: looks at the caller's cache only. `now_ns` is wall time. Fills *ret unless NONE. */
typedef enum xb_plan xb_control_plan_fn(void *context, const char *key, int64_t now_ns,
                                        struct xb_action *ret);

struct xb_control_options {
    const char *name; /* in logs */
    struct xb_loop *loop;
    struct xb_workers *workers;
    xb_control_plan_fn *plan;
    void *context;
    unsigned actions_max; /* in flight; 0: XB_CONTROL_ACTIONS_MAX */
};

struct xb_control;

int xb_control_new(const struct xb_control_options *options, struct xb_control **ret,
                   struct xb_error *err) XB_MUST_CHECK;

/* Plans the key soon; a key that is dirty already stays so once. A key that cannot be remembered
 * (XB_CONTROL_KEYS_MAX) is logged as an error: callers mark keys again from time to time. */
void xb_control_dirty(struct xb_control *control, const char *key);

/* Tells the key's action to give up, if one is in flight: its object is gone. */
void xb_control_cancel(struct xb_control *control, const char *key);

/* Paused: no new actions, and those in flight are told to give up (the lease is lost). Going on
 * plans every known key. A new control is not paused. */
void xb_control_pause(struct xb_control *control, bool paused);

/* No new actions from now on; those in flight are told to give up. Cannot be undone. */
void xb_control_stop(struct xb_control *control);
/* xb_control_stop, then waits until no action runs. When the loop still turns, call it from
 * another thread or accept that the loop stands still meanwhile. */
void xb_control_drain(struct xb_control *control);
/* Drains first. Work of actions that ended but were not reported is freed without done. */
void xb_control_free(struct xb_control *control);
XB_DEFINE_CLEANUP(xb_control_freep, struct xb_control, xb_control_free);

struct xb_control_counts {
    size_t keys, dirty, running;
    uint64_t plans, actions, failures;
};
/* For metrics. Any thread. */
void xb_control_counts(struct xb_control *control, struct xb_control_counts *ret);
