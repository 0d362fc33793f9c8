/* SPDX-License-Identifier: Apache-2.0
 *
 * pace.h - how many requests at a time a server is given.
 *
 * What for:  a client that has thousands of requests to make should keep a server busy and no more.
 *            It begins with few at a time, takes more as long as they are answered as quickly as
 *            before, and half as many when the server says that it is too much: 429, 503, and no
 *            answer in time (504).
 * Signs:     these are all that the API server's priority and fairness tells its clients. A request
 *            that finds no seat at its level waits in a queue: answers take longer, and the pace
 *            grows no more. One that finds its queue full, or has waited too long, gets 429 with
 *            Retry-After: the pace is halved, and shared/http waits so long before that request is
 *            made again, XB_HTTP_DELAY_MAX_MS at most. The headers X-Kubernetes-PF-FlowSchema-UID
 *            and -PriorityLevel-UID come with every answer and only name the level, whether it is
 *            full or idle, so nobody reads them. How full a level is stands in the server's
 *            metrics, which a client may not see.
 * Ownership: the caller owns the pace, which outlives the clients that use it; any number of
 *            clients share it.
 * Threads:   any; struct xb_kube_limit: one at a time.
 * Blocking:  xb_kube_pace_enter, until there is room. The limit never: it has no clock of its own.
 * Limits:    at least 1, at most `most`.
 * Source:    Kubernetes, "API Priority and Fairness".
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_KUBE_PACE_FIRST = 4 };

enum xb_kube_sign {
    XB_KUBE_SIGN_GOOD,
    XB_KUBE_SIGN_NONE,    /* tells nothing about the server's load */
    XB_KUBE_SIGN_TOO_MUCH /* it asks for less */
};

/* The limit alone. */
struct xb_kube_limit {
    double at_a_time, most;
    double quick; /* how many are surely not too many: up to there it grows by each answer */
    int64_t cut_ns;
    double usual_ns, lately_ns; /* how long answers take at their best, and now; 0: unknown */
};
void xb_kube_limit_begin(struct xb_kube_limit *limit, unsigned most);
/* An answer, and how long it took. True: the limit was cut. */
bool xb_kube_limit_sign(struct xb_kube_limit *limit, enum xb_kube_sign sign, int64_t took_ns,
                        int64_t now_ns);

struct xb_kube_pace;
int xb_kube_pace_new(unsigned most, struct xb_kube_pace **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_kube_pace_free(struct xb_kube_pace *pace);
XB_DEFINE_CLEANUP(xb_kube_pace_freep, struct xb_kube_pace, xb_kube_pace_free);

/* Waits for room; false when *cancel (may be NULL) became true meanwhile. */
bool xb_kube_pace_enter(struct xb_kube_pace *pace, const atomic_bool *cancel);
/* After every enter that was true. */
void xb_kube_pace_leave(struct xb_kube_pace *pace, enum xb_kube_sign sign, int64_t took_ns);

struct xb_kube_pace_state {
    unsigned at_a_time, highest; /* now, and ever */
    uint64_t cuts;               /* how often it was too much */
};
struct xb_kube_pace_state xb_kube_pace_look(struct xb_kube_pace *pace);
