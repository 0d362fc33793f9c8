/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/sessions.h"

#include <stdio.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

enum { TRY_AGAIN_MS = 1000, WHY_BYTES = XB_ERROR_TEXT_BYTES + 300 };

static void fail(xb_json *result, const char *why)
{
    json_object_object_add(result, "error", json_object_new_string(why));
}

static int open_it(struct xb_held *held, const struct xb_held_pod *pod,
                   const struct xb_hook *session, struct xb_error *err)
{
    const struct timespec pause = {.tv_sec = TRY_AGAIN_MS / 1000};
    const struct xb_kube_exec_target target = {
        .namespace = pod->namespace, .pod = pod->name, .container = session->container};
    const struct xb_kube_session_terms terms = {
        .command = {.argv = (const char *const *)session->argv,
                    .timeout_ms = session->timeout_ms,
                    .output_bytes_max = XB_BRACKET_OUTPUT_BYTES,
                    .cancel = pod->cancel},
        .ready = session->ready,
        .end = session->end};
    xb_log_info("beginning a session", "namespace", pod->namespace, "pod", pod->name, "container",
                session->container);
    int r = xb_kube_session_begin(pod->client, &target, &terms, &held->session, err);
    for (int try = 1; r < 0 && err->kind == XB_ERR_RETRY && try < XB_BRACKET_TRIES_MAX; try++) {
        (void)nanosleep(&pause, NULL);
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_session_begin(pod->client, &target, &terms, &held->session, err);
    }
    return r;
}

int xb_held_begin(struct xb_held *held, const struct xb_held_pod *pod,
                  const struct xb_hook *session, xb_json *result, struct xb_error *err)
{
    char why[WHY_BYTES];
    char within[XB_TIME_TEXT_BYTES];
    struct xb_error failure = XB_ERROR_INIT;
    *held = (struct xb_held){.session = NULL};
    if (open_it(held, pod, session, &failure) < 0) {
        fail(result, failure.text);
        if (failure.kind == XB_ERR_CANCELLED) {
            *err = failure;
            return failure.code;
        }
        return 0;
    }
    switch (xb_kube_session_state(held->session)) {
    case XB_KUBE_SESSION_READY:
        return 1;
    case XB_KUBE_SESSION_LATE:
        xb_duration_format((int64_t)session->timeout_ms * XB_NS_PER_MS, within);
        snprintf(why, sizeof why, "it has not said '%.100s' within %s", session->ready, within);
        break;
    case XB_KUBE_SESSION_ENDED:
        snprintf(why, sizeof why, "it ended, with exit code %d, before it said '%.100s'",
                 xb_kube_session_result(held->session)->exit_code, session->ready);
        break;
    case XB_KUBE_SESSION_LOST:
        snprintf(why, sizeof why, "%s", xb_kube_session_why(held->session));
        break;
    }
    fail(result, why);
    xb_bracket_put_said(result, xb_kube_session_result(held->session));
    xb_held_free(held);
    return 0;
}

bool xb_held_look(struct xb_held *held)
{
    return held->session && xb_kube_session_look(held->session, false) != XB_KUBE_SESSION_READY;
}

void xb_held_copied(struct xb_held *held)
{
    held->copied =
        held->session && xb_kube_session_look(held->session, true) == XB_KUBE_SESSION_READY;
}

bool xb_held_lasts(struct xb_held *held, xb_json *result)
{
    static const char what_then[] = "nobody knows whether the application was held while it was "
                                    "copied";
    char why[WHY_BYTES];
    if (!held->session) {
        snprintf(why, sizeof why, "the coordinator that held it ended, or was cut off from it: %s",
                 what_then);
        fail(result, why);
        return false;
    }
    if (held->copied) {
        return true;
    }
    switch (xb_kube_session_look(held->session, true)) {
    case XB_KUBE_SESSION_READY:
        return true;
    case XB_KUBE_SESSION_ENDED:
        snprintf(why, sizeof why, "it ended, with exit code %d, before everything was copied: %s",
                 xb_kube_session_result(held->session)->exit_code, what_then);
        break;
    case XB_KUBE_SESSION_LATE:
    case XB_KUBE_SESSION_LOST:
        snprintf(why, sizeof why, "it was lost before everything was copied (%s): %s",
                 xb_kube_session_why(held->session), what_then);
        break;
    }
    fail(result, why);
    xb_bracket_put_said(result, xb_kube_session_result(held->session));
    xb_held_free(held);
    return false;
}

bool xb_held_end(struct xb_held *held, xb_json *result)
{
    if (!held->session) {
        return false;
    }
    bool early = xb_kube_session_state(held->session) != XB_KUBE_SESSION_READY;
    const struct xb_exec_result *said = xb_kube_session_result(held->session);
    switch (xb_kube_session_end(held->session)) {
    case XB_KUBE_SESSION_ENDED:
        json_object_object_add(result, "exit", json_object_new_int(said->exit_code));
        if (early) {
            fail(result, "it ended before it was told to, though after everything was copied");
        }
        break;
    case XB_KUBE_SESSION_READY:
    case XB_KUBE_SESSION_LATE:
        fail(result, "it was told to end, and has not within its time: what it holds ends with its "
                     "standard input");
        break;
    case XB_KUBE_SESSION_LOST:
        fail(result, xb_kube_session_why(held->session));
        break;
    }
    xb_bracket_put_said(result, said);
    xb_held_free(held); /* one that is late hears of its end by that, before post hooks are run */
    return true;
}

void xb_held_free(struct xb_held *held)
{
    xb_kube_session_free(held->session);
    *held = (struct xb_held){.session = NULL};
}
