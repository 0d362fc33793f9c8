/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_volumes.h - makes a restored pod wait for the data of its volumes.
 *
 * What for:  the pod's first init container, `restore-wait`, keeps the application from starting
 *            until the agent has written all volumes back; its being there and running is what
 *            tells an agent, Velero's too, that the volumes are mounted and nobody uses them.
 * Ownership: the pod is changed in place and stays the caller's.
 * Threads:   one per pod.    Blocking: never (pure).
 * Errors:    INVALID for a volume that the pod does not have, or no image or restore UID; CORRUPT
 *            for a pod whose spec or initContainers are none; FULL. The pod is then as it was.
 * Source:    velero-contract section 4, "Pod volumes".
 */
#pragma once

#include <stddef.h>

#include "coordinator/restore/transform.h"

/* Takes every old `restore-wait` and `restic-wait` away (they would wait for an old restore for
 * ever) and, if there are volumes, puts a new one first. One that is a raw block device cannot hold
 * the sign that it is back: it gets an emptyDir in its place. So call it for every pod, also with
 * no volumes. Init containers of restore hooks belong right after the new one. */
int xb_restore_add_wait(const struct xb_restore_context *context, xb_json *pod,
                        const char *const *volumes, size_t count,
                        struct xb_error *err) XB_MUST_CHECK;
