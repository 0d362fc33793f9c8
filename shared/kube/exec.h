/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - runs a command in a container, through the API server.
 *
 * What for:  hooks where no agent can run them by the node's runtime (agent/hooks/cri.h), and after
 *            a restore. One that is held open and told to end: session.h.
 * Ownership: as shared/base/exec.h.
 * Threads:   any number at once; each call has a connection of its own, with the client's server,
 *            TLS and token.
 * Blocking:  up to XB_KUBE_EXEC_CONNECT_TIMEOUT_MS until the command is started, then up to its
 *            timeout.
 * Shapes:    a WebSocket with subprotocol v5.channel.k8s.io or v4.channel.k8s.io; standard output,
 *            standard error and the error channel, whose Status holds the exit code. No standard
 *            input, no terminal. A timeout or `cancel` closes the connection and ends the wait. The
 *            process itself is not killed by that (no API of Kubernetes does): it goes on, or
 *            blocks for good once nobody takes its output. What it said before is in the result.
 * Errors:    as shared/base/exec.h; DENIED names the right that is missing (get, and create, on
 *            pods/exec).
 * Limits:    XB_KUBE_EXEC_*.
 * Source:    Kubernetes API conventions, remotecommand subprotocols; RFC 6455.
 */
#pragma once

#include "shared/base/exec.h"
#include "shared/kube/client.h"

enum {
    XB_KUBE_EXEC_CONNECT_TIMEOUT_MS = 20 * 1000,
    XB_KUBE_EXEC_STATUS_BYTES_MAX = 64 << 10, /* the Status at the end */
    XB_KUBE_EXEC_DRAIN_MS = 2000 /* for output that is still under way when the Status comes */
};

struct xb_kube_exec_target {
    const char *namespace, *pod;
    const char *container; /* a name */
};

/* *ret is filled on success only. */
int xb_kube_exec(struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                 const struct xb_exec_command *command, struct xb_exec_result *ret,
                 struct xb_error *err) XB_MUST_CHECK;
