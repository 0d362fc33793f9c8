/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - a command in a container that is held open: it says when it is ready, and is told
 *             when to end.
 *
 * What for:  what a database holds only as long as one connection to it lives (a global lock, a
 *            backup mode), across the copies of its volumes.
 * Ownership: terms are lent for the call; the client outlives the session. What a session says of
 *            itself is lent until it is freed.
 * Threads:   one at a time.
 * Blocking:  begin: as xb_kube_exec, up to the command's timeout; end: up to that timeout; look: a
 *            few milliseconds, or up to XB_KUBE_SESSION_ANSWER_MS.
 * Shapes:    as exec.h, with a standard input. Its end is told where the server knows how (version
 *            5 of the protocol). It comes also when the connection ends in any way, a death of
 *            this process among them: so whatever the command holds, it ends by itself.
 * Errors:    of begin: as exec.h. All else is a state.
 * Limits:    XB_KUBE_SESSION_*; what it prints as shared/base/exec.h.
 * Source:    Kubernetes remotecommand, versions 4 and 5.
 */
#pragma once

#include "shared/kube/exec.h"

enum {
    XB_KUBE_SESSION_LINE_BYTES_MAX = 1 << 10,
    XB_KUBE_SESSION_ANSWER_MS = 15000, /* for the server to answer a ping */
    XB_KUBE_SESSION_PING_MS = 5000     /* one so often, while it is looked at */
};

struct xb_kube_session_terms {
    struct xb_exec_command command; /* its timeout: to become ready, and anew to end */
    const char *ready;              /* the line of standard output by which it says that it is */
    const char *end;                /* the line that it is told at the end; "": only the end */
};

enum xb_kube_session_state {
    XB_KUBE_SESSION_READY, /* and alive, as far as the server knows */
    XB_KUBE_SESSION_LATE,  /* not ready, or not ended, within its time */
    XB_KUBE_SESSION_ENDED, /* the result has its exit code */
    XB_KUBE_SESSION_LOST   /* how it ended is not known */
};

struct xb_kube_session;

/* Starts it and waits until it is ready. 0: *ret is there, whatever its state. */
int xb_kube_session_begin(struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                          const struct xb_kube_session_terms *terms, struct xb_kube_session **ret,
                          struct xb_error *err) XB_MUST_CHECK;
enum xb_kube_session_state xb_kube_session_state(const struct xb_kube_session *session);
/* Takes what has come; `ask`: waits for the server's answer that the connection still stands. */
enum xb_kube_session_state xb_kube_session_look(struct xb_kube_session *session, bool ask);
/* Tells a ready one to end, and waits for that. */
enum xb_kube_session_state xb_kube_session_end(struct xb_kube_session *session);
/* What it has said; and, where it is LOST, why. */
const struct xb_exec_result *xb_kube_session_result(const struct xb_kube_session *session);
const char *xb_kube_session_why(const struct xb_kube_session *session);
/* Closes the connection, whatever the command does. */
void xb_kube_session_free(struct xb_kube_session *session);
XB_DEFINE_CLEANUP(xb_kube_session_freep, struct xb_kube_session, xb_kube_session_free);
