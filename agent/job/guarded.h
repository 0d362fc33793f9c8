/* SPDX-License-Identifier: Apache-2.0
 *
 * guarded.h - a pod's bracket as the guard beside the agent sees it.
 *
 * What for:  inside agent/job only: bracket.c runs hooks, and this has the guard run the post hooks
 *            (agent/guard/guard.h), so that they are run whatever becomes of the agent. What the
 *            guard has run is handed out as if it were run here, one hook after the other.
 * Ownership: a guarded bracket lends the order, the pod and the hooks; xb_guarded_free.
 * Threads:   one at a time.
 * Blocking:  as the guard's functions.
 * Rules:     no guard, or one that does not take the bracket, is no error: then the agent runs the
 *            hooks, now or when it is started again.
 */
#pragma once

#include "agent/guard/guard.h"
#include "agent/job/internal.h"

enum { XB_GUARDED_ID_BYTES = 128 };

struct xb_guarded {
    struct xb_order *order;
    xb_json *pod;
    const struct xb_hook_list *post;
    struct xb_guard *guard; /* NULL: nothing of it is guarded */
    char id[XB_GUARDED_ID_BYTES];
    bool closed, ran; /* it was asked to run them; and has */
    struct xb_guard_results results;
    size_t next;       /* of the results */
    int64_t copied_ms; /* wall, when nothing more had to be held; 0: not yet */
};

/* Of the bracket of that order in that backup; `pod` and `post` must be known before anything but
 * _replay and _free. */
void xb_guarded_init(struct xb_guarded *guarded, struct xb_order *order, xb_json *backup,
                     xb_json *pod, const struct xb_hook_list *post);
void xb_guarded_free(struct xb_guarded *guarded);

/* Before the first pre hook. */
void xb_guarded_arm(struct xb_guarded *guarded);
/* Behind the last one. If the guard took the agent for dead meanwhile, that goes into the record:
 * whether the application is held now, nobody knows. */
void xb_guarded_held(struct xb_guarded *guarded, struct xb_bracket_record *record);
/* Copies of everything have been made. */
void xb_guarded_copied(struct xb_guarded *guarded);
/* Whether a bracket that was left open is so no longer: the guard has run its post hooks, or it is
 * of an agent before this one, at whose end its guard did. */
bool xb_guarded_lapsed(struct xb_guarded *guarded);
/* Has the post hooks run, if that has not been done; what was thawed too early goes into the
 * record. */
void xb_guarded_thaw(struct xb_guarded *guarded, struct xb_bracket_record *record);
/* Whether the guard has run the hook that is next; then *ret_r is what came of it. */
bool xb_guarded_replay(struct xb_guarded *guarded, int *ret_r, struct xb_exec_result *ret,
                       struct xb_error *err);
/* It is written down. */
void xb_guarded_over(struct xb_guarded *guarded);

/* An order's volume has been read, or will not be (`again`: it will be once more, when a server is
 * back). Where that was the last one of its bracket, or no server may be waited for, the pod is
 * thawed at once: the API is told afterwards. */
void xb_order_read_over(struct xb_order *order, bool again);
