/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_hooks.h - what a restore runs in the pods that it makes: init containers before the
 * application, commands after it has started.
 *
 * What for:  one answer to "which hooks has this pod, restored?" and to "can they run now?".
 * Ownership: the caller owns what it gets (xb_hook_list_free, json_object_put).
 * Threads:   any.
 * Blocking:  never (pure).
 * Shapes:    as with backups (hooks.h), the pod's annotations come first, and the spec's hooks only
 *            where there are none of that sort; but onError unset means Continue here. A value that
 *            makes no sense is a problem, not set aside: a restored application that was prepared
 *            in another way than somebody asked for is worse than an error.
 *            An init container that a pod brings along under the name of a new one is an earlier
 *            restore's, and goes.
 * Errors:    INVALID, with the name of the annotation or field.
 * Limits:    XB_HOOKS_MAX.
 * Source:    velero-contract sections 1 and 4, "Restore hooks".
 */
#pragma once

#include "shared/velero/hooks.h"

/* The commands for a pod that was made (an object of the API), in their order. */
int xb_restore_hooks_of(xb_json *restore, xb_json *pod, struct xb_hook_list *ret,
                        struct xb_error *err) XB_MUST_CHECK;

/* Puts the init containers first of those of a pod that is to be made. The pod is in the namespace
 * that it goes into. */
int xb_restore_hooks_add_init(xb_json *restore, xb_json *pod, struct xb_error *err) XB_MUST_CHECK;

/* What is wrong with spec.hooks of a restore: the first fault. */
int xb_restore_hooks_check(xb_json *restore, struct xb_error *err) XB_MUST_CHECK;

enum xb_restore_hook_turn {
    XB_RESTORE_HOOK_WAITS,
    XB_RESTORE_HOOK_RUNS, /* its container is up */
    XB_RESTORE_HOOK_NEVER /* the pod has ended */
};

/* Whether a command can run in a container of a pod as it is now: running, or with `ready` ready.
 * `why`: why not, in words. */
enum xb_restore_hook_turn xb_restore_hook_look(xb_json *pod, const char *container, bool ready,
                                               char *why, size_t size);
