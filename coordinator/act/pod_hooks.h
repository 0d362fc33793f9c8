/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_hooks.h - the hooks of a backup's pods, as the coordinator sees to them; for the files of
 * this folder only.
 *
 * What for:  a pod that is alone in its item block gets its orders, with their bracket, when the
 *            collection comes to it, and its node's agent runs its hooks. The coordinator runs them
 *            through the API server where the agent has no runtime's socket, the pod has no volume
 *            to back up, or the block has more pods, maybe on other nodes: then it runs the pre
 *            hooks of all, makes the orders, waits for them and runs the post hooks of all, before
 *            the collection goes on. So nothing is frozen for longer than its own copies take. It
 *            does the same for a pod with a session (sessions.h), which nobody else may open.
 * Threads:   one step at a time per backup.
 * Blocking:  yes, as long as the hooks, or the copies, take.
 * Errors:    a hook that fails is an error line in the backup's log, and the backup
 *            PartiallyFailed.
 * Rules:     what the coordinator runs it writes into the pod's record first (hook_records.h): who
 *            takes the backup up after it knows what is frozen, and runs no hook twice.
 */
#pragma once

#include "coordinator/act/hook_records.h"
#include "coordinator/act/ordering.h"
#include "coordinator/act/sessions.h"
#include "shared/velero/bracket.h"

/* xb_collect_options.before_pod and after_block; the context is a struct xb_ordering. */
int xb_pod_hooks_before(void *ordering, const struct xb_collected_pod *pod,
                        char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err) XB_MUST_CHECK;
int xb_block_hooks_after(void *ordering, struct xb_collected_volume *volumes, size_t count,
                         const struct xb_error *failed, struct xb_error *err) XB_MUST_CHECK;

/* XB_STEP_HOOKS: runs the post hooks of the pods whose leaders are in work->extra. */
int xb_pod_hooks_close(struct xb_step_work *work, const atomic_bool *cancel,
                       struct xb_error *err) XB_MUST_CHECK;

/* At the end: what all records say into the log, and the counts into `work`. *ret_unheld is an
 * object by uid of the pods whose session was lost before everything was copied. */
int xb_pod_hooks_merge(struct xb_step_work *work, xb_json **ret_unheld,
                       struct xb_error *err) XB_MUST_CHECK;

/* Results of hooks, into a log. */
void xb_pod_hooks_note_results(struct xb_record_log *log, const struct xb_hook_pod *pod,
                               xb_json *results);

/* ---- for the files of pod_hooks and restore_hooks ---- */

/* Runs hooks through the API server. */
struct xb_pod_hooks_executor {
    struct xb_step_work *work;
    const struct xb_hook_pod *pod;
    xb_json *leader;      /* the order that has the record; NULL: the pod's own */
    struct xb_held *held; /* with the pod's own record: its session */
    const atomic_bool *cancel;
};
struct xb_bracket_run xb_pod_hooks_how(struct xb_pod_hooks_executor *executor,
                                       const atomic_bool *cancel);
/* An order of the backup as it is now. */
int xb_pod_hooks_order(struct xb_step_work *work, const char *name, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;
/* The pod as it is now; NOT_FOUND if it is gone, or another one. */
int xb_pod_hooks_get_pod(struct xb_step_work *work, const struct xb_hook_pod *pod, xb_json **ret,
                         struct xb_error *err) XB_MUST_CHECK;

/* Before that: makes the orders of a pod that is alone, and waits, within limits, until its node's
 * agent has prepared what their copies need: that takes seconds in which nothing has to be held. */
int xb_block_hooks_prepare(struct xb_ordering *orders, struct xb_collected_volume *volumes,
                           size_t count, struct xb_error *err) XB_MUST_CHECK;
/* Runs a pod's pre hooks here; its post hooks follow with the end of its block. An empty `why`: the
 * pod is to be taken. */
int xb_block_hooks_open(struct xb_ordering *orders, const struct xb_hook_pod *pod,
                        const struct xb_hooks *hooks, char why[XB_COLLECTED_WHY_BYTES],
                        struct xb_error *err) XB_MUST_CHECK;
