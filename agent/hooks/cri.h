/* SPDX-License-Identifier: Apache-2.0
 *
 * cri.h - runs a command in a container of this node, through its container runtime.
 *
 * What for:  hooks, right where the data is: no round trip to the API server, and no right to run
 *            commands in every pod of the cluster.
 * Ownership: as shared/base/exec.h. Nothing is kept between calls: a runtime that restarts replaces
 *            its socket, so each call looks for it anew and uses a connection of its own (on a kept
 *            one libcurl could send a request again, and run it twice).
 * Threads:   any number at once.
 * Blocking:  the command's timeout, rounded up to whole seconds, plus XB_CRI_GRACE_MS; and up to
 *            twice XB_CRI_ASK_TIMEOUT_MS per runtime for finding the container (a runtime that
 *            restarts is waited for).
 * Shapes:    below `root` each runtime's folder is mounted under the name that it has below the
 *            host's /run (never the socket alone: after a restart that would be the old one). The
 *            container is the one whose labels name the pod (uid, and if they are given namespace
 *            and name) and the container, that is running, and whose attempt is the highest: a
 *            container of another pod can never match.
 *            Where several runtimes have sockets, each is asked. A timeout has the runtime kill the
 *            process; what that has started itself lives on, and the output so far is lost, as the
 *            CRI hands none out. `cancel` closes the connection, upon which the runtime kills the
 *            process, too.
 * Errors:    as shared/base/exec.h; NOT_FOUND with code -ENODEV: no runtime's socket is there.
 *            FULL: the command ended, but said more than the runtime can hand out (containerd: 16
 *            MiB).
 * Limits:    XB_CRI_*. Whatever comes from the socket is hostile until parsed.
 * Source:    Kubernetes CRI v1 (runtime.v1.RuntimeService), gRPC over HTTP/2.
 */
#pragma once

#include "shared/base/exec.h"

enum {
    XB_CRI_ASK_TIMEOUT_MS = 10 * 1000,
    XB_CRI_GRACE_MS = 2000,            /* for the runtime to say that it has killed the process */
    XB_CRI_ANSWER_BYTES_MAX = 1 << 20, /* every answer but that of the command itself */
    XB_CRI_EXEC_BYTES_MAX = 64 << 20   /* ... of which only the result's limits are kept */
};

/* Where the host's runtime folders are mounted in the agent's container. */
#define XB_CRI_ROOT "/host_run"

struct xb_cri_target {
    const char *pod_uid;   /* as the kubelet knows it: xb_volume_pod_uid() */
    const char *container; /* a name */
    /* Where the uid is an annotation's word (a static pod's), a pod's namespace and name, which the
     * container must have, too. NULL: the uid is enough. */
    const char *pod_namespace, *pod_name;
};

/* Whether any runtime's socket is there now. `root` NULL: XB_CRI_ROOT. */
bool xb_cri_present(const char *root);

/* *ret is filled on success only. `root` NULL: XB_CRI_ROOT. */
int xb_cri_exec(const char *root, const struct xb_cri_target *target,
                const struct xb_exec_command *command, struct xb_exec_result *ret,
                struct xb_error *err) XB_MUST_CHECK;
