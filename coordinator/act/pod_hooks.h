/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_hooks.h - the hooks of a backup's pods, as the coordinator sees to them; for the files of
 * this folder only.
 *
 * What for:  a pod with volumes to back up gets its orders, with their bracket, when the
 *            collection comes to it; the node's agent runs its hooks. Where the agent has no
 *            runtime's socket, or the pod no volume to back up, the coordinator runs them
 *            through the API server.
 * Threads:   one step at a time per backup.
 * Blocking:  yes, as long as the hooks take.
 * Errors:    a hook that fails is an error line in the backup's log, and the backup
 *            PartiallyFailed.
 */
#pragma once

#include "coordinator/act/ordering.h"
#include "shared/velero/bracket.h"

/* xb_collect_options.before_pod and after_pod; the context is a struct xb_ordering. */
int xb_pod_hooks_before(void *ordering, const struct xb_collected_pod *pod, bool *ret_take,
                        struct xb_error *err) XB_MUST_CHECK;
void xb_pod_hooks_after(void *ordering, xb_json *pod);

/* XB_STEP_HOOKS: runs the post hooks of the pods whose leaders are in work->extra. */
int xb_pod_hooks_close(struct xb_step_work *work, const atomic_bool *cancel,
                       struct xb_error *err) XB_MUST_CHECK;

/* At the end: what all records say into the log, and the counts into `work`. */
void xb_pod_hooks_merge(struct xb_step_work *work);

/* ---- for the files of pod_hooks ---- */

/* Runs hooks through the API server. */
struct xb_pod_hooks_executor {
    struct xb_coordinator *coordinator;
    xb_json *pod, *leader; /* leader NULL: the record is written nowhere */
};
struct xb_bracket_run xb_pod_hooks_how(struct xb_pod_hooks_executor *executor,
                                       const atomic_bool *cancel);
/* A record's results into the backup's log. */
struct xb_pod_hooks_name {
    const char *namespace, *pod;
};
void xb_pod_hooks_note(struct xb_record_log *log, struct xb_pod_hooks_name pod, xb_json *results);
/* An order of the backup, as it is now. */
int xb_pod_hooks_order(struct xb_step_work *work, const char *name, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;
