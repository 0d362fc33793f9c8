/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/session.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/kube/exec_stream.h"

enum { LOOK_MS = 2 };

struct xb_kube_session {
    struct xb_exec_stream stream;
    char *ready, *end;
    int timeout_ms;
    enum xb_kube_session_state state;
    struct xb_error why;
    size_t pings;      /* that were sent */
    int64_t pinged_ns; /* monotonic: the last one */
};

static bool line_valid(const char *text)
{
    return strlen(text) <= XB_KUBE_SESSION_LINE_BYTES_MAX && !strpbrk(text, "\r\n");
}

static int make(const struct xb_kube_session_terms *terms, struct xb_kube_session **ret,
                struct xb_error *err)
{
    if (!line_valid(terms->ready) || !terms->ready[0] || !line_valid(terms->end)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a session is ready, and ends, by a line of at most %d bytes",
                            XB_KUBE_SESSION_LINE_BYTES_MAX);
    }
    XB_CLEANUP(xb_kube_session_freep) struct xb_kube_session *session = calloc(1, sizeof *session);
    if (!session || !(session->ready = strdup(terms->ready)) ||
        !(session->end = strdup(terms->end))) {
        return xb_error_no_memory(err, "a session in a pod");
    }
    session->timeout_ms = xb_exec_timeout_ms(&terms->command);
    *ret = XB_TAKE(session);
    return 0;
}

static enum xb_kube_session_state lose(struct xb_kube_session *session, const struct xb_error *why)
{
    session->why = *why;
    (void)xb_exec_stream_fail(&session->stream, &session->why);
    return session->state = XB_KUBE_SESSION_LOST;
}

/* Its Status is there, or the connection is closed. */
static enum xb_kube_session_state finish(struct xb_kube_session *session)
{
    const struct xb_http_until drained = {.deadline_ns = xb_clock_mono_ns() +
                                                         XB_KUBE_EXEC_DRAIN_MS * XB_NS_PER_MS};
    struct xb_error why = XB_ERROR_INIT;
    if (xb_exec_channels_told(&session->stream.channels)) {
        (void)!xb_exec_stream_listen(&session->stream, &drained, &why);
        why = (struct xb_error)XB_ERROR_INIT;
    }
    return xb_exec_stream_end(&session->stream, &why) < 0
               ? lose(session, &why)
               : (session->state = XB_KUBE_SESSION_ENDED);
}

/* ---- begin ---- */

static int wait_until_ready(struct xb_kube_session *session, const atomic_bool *cancel,
                            struct xb_error *err)
{
    const struct xb_http_until until = {
        .deadline_ns = xb_clock_mono_ns() + session->timeout_ms * XB_NS_PER_MS, .cancel = cancel};
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_exec_stream_listen(&session->stream, &until, &why);
    if (r < 0 && why.kind == XB_ERR_CANCELLED) {
        *err = why;
        return xb_exec_stream_fail(&session->stream, err);
    }
    if (r > 0) {
        session->state = XB_KUBE_SESSION_READY;
    } else if (r == 0) {
        finish(session);
    } else if (why.code == -ETIMEDOUT) {
        session->state = XB_KUBE_SESSION_LATE;
    } else {
        lose(session, &why);
    }
    return 0;
}

int xb_kube_session_begin(struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                          const struct xb_kube_session_terms *terms, struct xb_kube_session **ret,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_kube_session_freep) struct xb_kube_session *session = NULL;
    int r = make(terms, &session, err);
    if (r < 0) {
        return r;
    }
    const struct xb_exec_wanted wanted = {
        .target = target, .command = &terms->command, .input = true, .line = session->ready};
    if ((r = xb_exec_stream_open(&session->stream, client, &wanted, err)) < 0 ||
        (r = wait_until_ready(session, terms->command.cancel, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(session);
    return 0;
}

/* ---- while it lasts ---- */

static int ping(struct xb_kube_session *session, struct xb_error *err)
{
    const struct xb_http_until until = {.deadline_ns = xb_clock_mono_ns() +
                                                       XB_KUBE_SESSION_ANSWER_MS * XB_NS_PER_MS};
    session->pinged_ns = xb_clock_mono_ns();
    session->pings++;
    return xb_http_websocket_ping(session->stream.socket, &until, err);
}

static bool answered(const struct xb_kube_session *session)
{
    return xb_http_websocket_pongs(session->stream.socket) >= session->pings;
}

/* What is there, or comes until the deadline or the server's answer. */
static void take(struct xb_kube_session *session, int64_t deadline_ns, bool until_answered)
{
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_http_until until = {.deadline_ns = deadline_ns};
    int r = 1;
    while (r > 0 && !xb_exec_channels_told(&session->stream.channels) &&
           !(until_answered && answered(session))) {
        r = xb_http_websocket_read(session->stream.socket, &until, &why);
    }
    if (r == 0 || xb_exec_channels_told(&session->stream.channels)) {
        finish(session);
    } else if (r < 0 && why.code != -ETIMEDOUT) {
        lose(session, &why);
    }
}

enum xb_kube_session_state xb_kube_session_look(struct xb_kube_session *session, bool ask)
{
    const int64_t now_ns = xb_clock_mono_ns();
    struct xb_error why = XB_ERROR_INIT;
    if (session->state != XB_KUBE_SESSION_READY) {
        return session->state;
    }
    bool waits = session->pings > 0 && !answered(session);
    bool due = now_ns - session->pinged_ns >= XB_KUBE_SESSION_PING_MS * XB_NS_PER_MS;
    if ((ask || (due && !waits)) && ping(session, &why) < 0) {
        return lose(session, &why);
    }
    int64_t ms = ask ? XB_KUBE_SESSION_ANSWER_MS : LOOK_MS;
    take(session, now_ns + ms * XB_NS_PER_MS, ask);
    if (session->state == XB_KUBE_SESSION_READY && !answered(session) &&
        xb_clock_mono_ns() - session->pinged_ns >= XB_KUBE_SESSION_ANSWER_MS * XB_NS_PER_MS) {
        xb_error_set(&why, XB_ERR_IO, -ETIMEDOUT, "the API server has not answered for %d s",
                     XB_KUBE_SESSION_ANSWER_MS / 1000);
        lose(session, &why);
    }
    return session->state;
}

/* ---- the end ---- */

enum xb_kube_session_state xb_kube_session_end(struct xb_kube_session *session)
{
    const struct xb_http_until until = {.deadline_ns = xb_clock_mono_ns() +
                                                       session->timeout_ms * XB_NS_PER_MS};
    struct xb_error why = XB_ERROR_INIT;
    if (session->state != XB_KUBE_SESSION_READY) {
        return session->state;
    }
    int r = xb_exec_stream_say_last(&session->stream, session->end, &until, &why);
    if (r < 0) {
        return lose(session, &why);
    }
    r = xb_exec_stream_listen(&session->stream, &until, &why);
    if (r == 0) {
        return finish(session);
    }
    return why.code == -ETIMEDOUT ? (session->state = XB_KUBE_SESSION_LATE) : lose(session, &why);
}

enum xb_kube_session_state xb_kube_session_state(const struct xb_kube_session *session)
{
    return session->state;
}

const struct xb_exec_result *xb_kube_session_result(const struct xb_kube_session *session)
{
    return &session->stream.result;
}

const char *xb_kube_session_why(const struct xb_kube_session *session)
{
    return session->why.text;
}

void xb_kube_session_free(struct xb_kube_session *session)
{
    if (!session) {
        return;
    }
    xb_exec_stream_done(&session->stream);
    free(session->ready);
    free(session->end);
    free(session);
}
