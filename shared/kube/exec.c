/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/exec.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/http/websocket.h"
#include "shared/kube/exec_channels.h"
#include "shared/kube/request.h"

enum {
    URL_BYTES_MAX = 4 * XB_EXEC_ARGUMENTS_BYTES_MAX + XB_EXEC_ARGUMENTS_MAX * 16,
    UNAUTHORIZED = 401
};

/* The best first: version 5 can close single streams, which nobody needs before there is input. */
#define PROTOCOLS "v5.channel.k8s.io, v4.channel.k8s.io"

static const struct xb_kube_resource pods = {"", "v1", "pods", "Pod", true};

static int make_url(const struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                    const char *const *argv, struct xb_buf *out, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &pods,
                                    .namespace = target->namespace,
                                    .name = target->pod,
                                    .subresource = "exec"};
    int r = xb_kube_url(client, &ref, out, err);
    r = r ? r : xb_buf_append_str(out, "?stdout=true&stderr=true&container=", err);
    r = r ? r : xb_http_escape(out, target->container, err);
    for (size_t i = 0; argv[i] && r == 0; i++) {
        r = xb_buf_append_str(out, "&command=", err); /* an empty argument is one, too */
        r = r ? r : xb_http_escape(out, argv[i], err);
    }
    return r;
}

/* What one call is about. */
struct exchange {
    struct xb_kube_client *client;
    const char *url, *what;
    struct xb_exec_channels *channels;
    const atomic_bool *cancel;
};

static int open_once(const struct exchange *exchange, bool anew, struct xb_http_websocket **ret,
                     struct xb_http_response *refusal, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *bearer = NULL;
    int r = xb_kube_bearer(exchange->client, anew, &bearer, err);
    if (r < 0) {
        return r;
    }
    const struct xb_http_websocket_options options = {
        .client = xb_kube_http(exchange->client),
        .url = exchange->url,
        .protocols = PROTOCOLS,
        .bearer = bearer,
        .on_piece = xb_exec_channels_feed,
        .context = exchange->channels,
    };
    const struct xb_http_until until = {
        .deadline_ns = xb_clock_mono_ns() + XB_KUBE_EXEC_CONNECT_TIMEOUT_MS * XB_NS_PER_MS,
        .cancel = exchange->cancel};
    return xb_http_websocket_open(&options, &until, ret, refusal, err);
}

/* With a fresh token when the first was refused. */
static int open_socket(const struct exchange *exchange, struct xb_http_websocket **ret,
                       struct xb_error *err)
{
    struct xb_http_response refusal = {.status = 0};
    int r = open_once(exchange, false, ret, &refusal, err);
    if (r == 0 && refusal.status == UNAUTHORIZED && xb_kube_bearer_renewable(exchange->client)) {
        xb_http_response_free(&refusal);
        refusal = (struct xb_http_response){.status = 0};
        r = open_once(exchange, true, ret, &refusal, err);
    }
    if (r == 0 && refusal.status != 0) {
        r = xb_kube_status_error(&refusal, exchange->what, err);
    }
    xb_http_response_free(&refusal);
    return r;
}

/* Until the server closes, the time is over, or, once the Status is there, nothing follows it. */
static int listen_to(struct xb_http_websocket *socket, const struct exchange *exchange,
                     int64_t timeout_ms, struct xb_error *err)
{
    int64_t now = xb_clock_mono_ns();
    struct xb_http_until until = {.deadline_ns = now + timeout_ms * XB_NS_PER_MS,
                                  .cancel = exchange->cancel};
    bool told = false;
    for (;;) {
        int r = xb_http_websocket_read(socket, &until, err);
        if (r <= 0) {
            return r;
        }
        if (!told && xb_exec_channels_told(exchange->channels)) {
            int64_t drained = xb_clock_mono_ns() + XB_KUBE_EXEC_DRAIN_MS * XB_NS_PER_MS;
            until.deadline_ns = drained < until.deadline_ns ? drained : until.deadline_ns;
            told = true;
        }
    }
}

static int run(const struct exchange *exchange, int64_t timeout_ms, struct xb_error *err)
{
    XB_CLEANUP(xb_http_websocket_freep) struct xb_http_websocket *socket = NULL;
    struct xb_error failure = XB_ERROR_INIT;
    int r = open_socket(exchange, &socket, err);
    if (r < 0) {
        return r;
    }
    r = listen_to(socket, exchange, timeout_ms, &failure);
    if (xb_exec_channels_told(exchange->channels)) {
        return xb_exec_channels_end(exchange->channels, exchange->what, err);
    }
    if (r == 0) {
        return xb_error_set(err, XB_ERR_IO, -ECONNRESET,
                            "the connection was closed before the end of the command was told");
    }
    if (failure.kind == XB_ERR_RETRY && failure.code == -ETIMEDOUT) {
        exchange->channels->result->timed_out = true;
        return 0;
    }
    *err = failure;
    return r;
}

int xb_kube_exec(struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                 const struct xb_exec_command *command, struct xb_exec_result *ret,
                 struct xb_error *err)
{
    char what[400];
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    snprintf(what, sizeof what, "exec in pod %.150s/%.150s, container %.60s", target->namespace,
             target->pod, target->container);
    int r = xb_exec_command_check(command, err);
    r = r ? r : make_url(client, target, command->argv, &url, err);
    if (r < 0) {
        xb_buf_free(&url);
        return xb_error_wrap(err, "%.300s", what);
    }
    struct xb_exec_result result = xb_exec_result_for(command);
    struct xb_exec_channels channels = XB_EXEC_CHANNELS_INIT(&result);
    const struct exchange exchange = {.client = client,
                                      .url = url.data,
                                      .what = what,
                                      .channels = &channels,
                                      .cancel = command->cancel};
    r = run(&exchange, xb_exec_timeout_ms(command), err);
    xb_exec_channels_done(&channels);
    xb_buf_free(&url);
    if (r < 0) {
        xb_exec_result_free(&result);
        return strncmp(err->text, what, strlen(what)) == 0 ? r : xb_error_wrap(err, "%.300s", what);
    }
    *ret = result;
    return 0;
}
