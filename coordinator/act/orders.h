/* SPDX-License-Identifier: Apache-2.0
 *
 * orders.h - how the orders of a run get on; for the files of this folder only.
 *
 * What for:  a run waits for its orders until each has ended, or has made no progress for so long
 *            that it is told to end. A volume that takes days and gets on is left alone.
 * Ownership: what is known of orders belongs to the run.
 * Threads:   the loop thread, but xb_orders_cancel, xb_orders_seek and xb_orders_was_late, which a
 *            worker calls with the run.
 * Rules:     time is counted by the monotonic clock, and anew after a restart. An order that has
 *            not begun gets on as long as any order of its node does: it is not its turn yet.
 */
#pragma once

#include "coordinator/act/internal.h"

struct xb_orders_view {
    size_t open;     /* not ended and not given up */
    size_t late;     /* of these: to be cancelled */
    size_t idle;     /* of these: not begun for long, and their pods were not looked for since */
    size_t given_up; /* cancelled, and their agent does not answer */
    int64_t look_ns; /* wall: look again */
};

/* Whether it is too early to look again, and until when (wall). A look takes longer the more orders
 * there are, and each of them makes for several looks: they take no more than a share of the loop's
 * time. With few orders never. */
bool xb_orders_wait(const struct xb_run *run, int64_t now_ns, int64_t *ret_until_ns);

/* How long an order may make no progress: by the object's annotation velero.io/pod-volume-timeout,
 * else --fs-backup-timeout. An annotation that says nothing usable is a warning in the run's log.
 */
int64_t xb_orders_timeout_ns(const struct xb_step_work *work);

struct xb_orders_view xb_orders_look(struct xb_run *run, struct xb_kube_informer *informer,
                                     const char *namespace, int64_t now_ns);

/* The late ones, as an array of objects, and what to do with them. */
xb_json *xb_orders_late(struct xb_run *run, struct xb_kube_informer *informer,
                        const char *namespace);
int xb_orders_cancel(void *work, const atomic_bool *cancel, struct xb_error *err);
/* Notes that they have been told. */
void xb_orders_cancelled(struct xb_run *run);

/* Of the idle ones as many as one step looks after, as an array; and what a worker does with them:
 * an order whose pod is gone, or another one of that name by now, is Failed, for nobody will ever
 * begin it. `work->extra` has the orders, of restores. */
xb_json *xb_orders_idle(struct xb_run *run, struct xb_kube_informer *informer,
                        const char *namespace);
int xb_orders_seek(void *work, const atomic_bool *cancel, struct xb_error *err);
/* Notes that their pods were looked for. */
void xb_orders_sought(struct xb_run *run);

/* Whether the order was cancelled because it made no progress. */
bool xb_orders_was_late(const struct xb_run *run, const char *name);

void xb_orders_forget(struct xb_run *run);
