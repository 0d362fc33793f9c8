/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_stream.h - the connection to a command in a container, from its start to its Status.
 *
 * What for:  inside shared/kube only: what exec.h and session.h have in common.
 * Ownership: the caller's; a stream that was begun, or not, is ended by xb_exec_stream_done.
 *            The command's and the target's texts are not kept.
 * Threads:   one at a time.
 * Blocking:  yes, until the given deadline; opening up to XB_KUBE_EXEC_CONNECT_TIMEOUT_MS.
 * Errors:    as shared/base/exec.h, with the pod and the container in the text.
 * Limits:    XB_KUBE_EXEC_*.
 * Source:    Kubernetes remotecommand, versions 4 and 5.
 */
#pragma once

#include "shared/http/websocket.h"
#include "shared/kube/exec_channels.h"

struct xb_exec_stream {
    struct xb_kube_client *client;
    char what[400]; /* for texts: "exec in pod ..." */
    struct xb_buf url;
    struct xb_exec_result result;
    struct xb_exec_channels channels;
    struct xb_http_websocket *socket;
};

struct xb_exec_wanted {
    const struct xb_kube_exec_target *target;
    const struct xb_exec_command *command;
    bool input;       /* standard input is open */
    const char *line; /* to be waited for; NULL: none; kept */
};

/* Starts the command. */
int xb_exec_stream_open(struct xb_exec_stream *stream, struct xb_kube_client *client,
                        const struct xb_exec_wanted *wanted, struct xb_error *err) XB_MUST_CHECK;
/* Takes what comes until the command has ended or the connection is closed: 0; `line` is seen: 1.
 * RETRY with -ETIMEDOUT: the deadline is over. */
int xb_exec_stream_listen(struct xb_exec_stream *stream, const struct xb_http_until *until,
                          struct xb_error *err) XB_MUST_CHECK;
/* After listen returned 0: the exit code into the result, or why it is not known. */
int xb_exec_stream_end(struct xb_exec_stream *stream, struct xb_error *err) XB_MUST_CHECK;
/* A line into standard input, and then its end, where the server knows how to tell that. */
int xb_exec_stream_say_last(struct xb_exec_stream *stream, const char *text,
                            const struct xb_http_until *until, struct xb_error *err) XB_MUST_CHECK;
/* Puts pod and container before an error's text that has them not. */
int xb_exec_stream_fail(const struct xb_exec_stream *stream, struct xb_error *err);
void xb_exec_stream_done(struct xb_exec_stream *stream);
