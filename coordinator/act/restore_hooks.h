/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_hooks.h - the commands that a restore runs in its pods; for the files of this folder
 * only.
 *
 * What for:  pods are looked at until their containers are up, and their hooks run then, while
 *            volumes of others are still being brought. The restore waits for all of them.
 * Ownership: the run owns what is known of its pods.
 * Threads:   one step at a time per restore; it runs the hooks of several pods on threads of its
 *            own.
 * Blocking:  a step, as long as hooks run.
 * Errors:    a hook that fails, or that cannot be run within its time, is an error line in the
 *            restore's log, and the restore PartiallyFailed. Of a step: RETRY and CANCELLED.
 * Rules:     what is run is written into the pod's record first (hook_records.h), and how it ended
 *            after: who takes the restore up after it runs nothing twice. A hook that fails, and
 *            says Fail, is the last of the whole restore. One without a time of its own is waited
 *            for as long as resource_timeout_ns, once all volumes are there.
 * Limits:    XB_RESTORE_HOOKS_*.
 */
#pragma once

#include "coordinator/act/internal.h"

enum {
    XB_RESTORE_HOOKS_THREADS = 8, /* pods whose hooks run at the same time */
    XB_RESTORE_HOOKS_LOOK_MS = 1000
};

/* Keeps the pods (array: namespace, name, uid) for the steps that follow. `resumes`: an earlier
 * process may have begun. */
int xb_restore_hooks_begin(struct xb_step_work *work, xb_json *pods, bool resumes,
                           struct xb_error *err) XB_MUST_CHECK;
/* XB_STEP_HOOKS: runs what can be run now. */
int xb_restore_hooks_step(struct xb_step_work *work, const atomic_bool *cancel,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_restore_hooks_free(struct xb_restore_hooks *hooks);

/* For the plan: how many pods have hooks that are not over; when to look again (monotonic). */
size_t xb_restore_hooks_open(const struct xb_run *run);
int64_t xb_restore_hooks_look_ns(const struct xb_run *run);
