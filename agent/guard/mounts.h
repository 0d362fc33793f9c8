/* SPDX-License-Identifier: Apache-2.0
 *
 * mounts.h - whether a file system may be frozen.
 *
 * What for:  inside agent/guard only. A frozen file system stops whoever writes to it: it must be
 *            one pod's volume as a whole, and nothing else.
 * Ownership: nothing is kept.    Threads: any.    Blocking: never (pure).
 * Shapes:    `mounts` is the list of the agent's own namespace: its own root, what the kubelet
 *            and the runtime have mounted into its container (their state's file systems), and
 *            below `pods_root` every volume of the node that is a mount.
 * Rules:     the mount is of a kind that can be frozen; it begins at the file system's own root (a
 *            folder of a larger one is somebody else's, too); and every mount of that file system
 *            that is seen at all is below the pod's own folder, or where the node has it mounted
 *            in order to give it to the pod as a local volume, or one of these as it is in the
 *            root of an agent's container (".../rootfs/host_pods/UID/..."), which is seen below the
 *            runtime's folder. The node's root, the kubelet's and the runtime's state, the agent's
 *            scratch space and other pods' volumes all fall out.
 * Errors:    DENIED: it must not be frozen, and why; INVALID: no pod has such a uid.
 */
#pragma once

#include <stdint.h>

#include "shared/base/mounts.h"

struct xb_guard_mount_question {
    uint64_t mount_id; /* of what would be frozen */
    const char *pods_root, *pod_uid;
    const char *home; /* where the node has mounted it, to give it to the pod; NULL: not known */
};

/* 0: it may. */
int xb_guard_mounts_judge(const struct xb_mounts *mounts,
                          const struct xb_guard_mount_question *question,
                          struct xb_error *err) XB_MUST_CHECK;
