/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/exec_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/kube/request.h"

enum {
    URL_BYTES_MAX = 4 * XB_EXEC_ARGUMENTS_BYTES_MAX + XB_EXEC_ARGUMENTS_MAX * 16,
    UNAUTHORIZED = 401,
    CHANNEL_STDIN = 0,
    CHANNEL_CLOSE = 255 /* version 5: the next byte is the channel that is closed */
};

/* The best first. */
#define CLOSES "v5.channel.k8s.io"
#define PROTOCOLS CLOSES ", v4.channel.k8s.io"

static const struct xb_kube_resource pods = {"", "v1", "pods", "Pod", true};

static int make_url(struct xb_exec_stream *stream, const struct xb_exec_wanted *wanted,
                    struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &pods,
                                    .namespace = wanted->target->namespace,
                                    .name = wanted->target->pod,
                                    .subresource = "exec"};
    const char *const *argv = wanted->command->argv;
    struct xb_buf *out = &stream->url;
    int r = xb_kube_url(stream->client, &ref, out, err);
    r = r ? r : xb_buf_append_str(out, wanted->input ? "?stdin=true&" : "?", err);
    r = r ? r : xb_buf_append_str(out, "stdout=true&stderr=true&container=", err);
    r = r ? r : xb_http_escape(out, wanted->target->container, err);
    for (size_t i = 0; argv[i] && r == 0; i++) {
        r = xb_buf_append_str(out, "&command=", err); /* an empty argument is one, too */
        r = r ? r : xb_http_escape(out, argv[i], err);
    }
    return r;
}

static int open_once(struct xb_exec_stream *stream, bool anew, const atomic_bool *cancel,
                     struct xb_http_response *refusal, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *bearer = NULL;
    int r = xb_kube_bearer(stream->client, anew, &bearer, err);
    if (r < 0) {
        return r;
    }
    const struct xb_http_websocket_options options = {
        .client = xb_kube_http(stream->client),
        .url = stream->url.data,
        .protocols = PROTOCOLS,
        .bearer = bearer,
        .on_piece = xb_exec_channels_feed,
        .context = &stream->channels,
    };
    const struct xb_http_until until = {
        .deadline_ns = xb_clock_mono_ns() + XB_KUBE_EXEC_CONNECT_TIMEOUT_MS * XB_NS_PER_MS,
        .cancel = cancel};
    return xb_http_websocket_open(&options, &until, &stream->socket, refusal, err);
}

/* With a fresh token when the first was refused. */
static int open_socket(struct xb_exec_stream *stream, const atomic_bool *cancel,
                       struct xb_error *err)
{
    struct xb_http_response refusal = {.status = 0};
    int r = open_once(stream, false, cancel, &refusal, err);
    if (r == 0 && refusal.status == UNAUTHORIZED && xb_kube_bearer_renewable(stream->client)) {
        xb_http_response_free(&refusal);
        refusal = (struct xb_http_response){.status = 0};
        r = open_once(stream, true, cancel, &refusal, err);
    }
    if (r == 0 && refusal.status != 0) {
        r = xb_kube_status_error(&refusal, stream->what, err);
    }
    xb_http_response_free(&refusal);
    return r;
}

int xb_exec_stream_open(struct xb_exec_stream *stream, struct xb_kube_client *client,
                        const struct xb_exec_wanted *wanted, struct xb_error *err)
{
    *stream = (struct xb_exec_stream){.client = client, .url = XB_BUF_INIT(URL_BYTES_MAX)};
    snprintf(stream->what, sizeof stream->what, "exec in pod %.150s/%.150s, container %.60s",
             wanted->target->namespace, wanted->target->pod, wanted->target->container);
    int r = xb_exec_command_check(wanted->command, err);
    r = r ? r : make_url(stream, wanted, err);
    if (r == 0) {
        stream->result = xb_exec_result_for(wanted->command);
        stream->channels = (struct xb_exec_channels)XB_EXEC_CHANNELS_INIT(&stream->result);
        stream->channels.line.text = wanted->line;
        r = open_socket(stream, wanted->command->cancel, err);
    }
    return r < 0 ? xb_exec_stream_fail(stream, err) : 0;
}

/* Once the Status is there, what follows it is waited for a little. */
int xb_exec_stream_listen(struct xb_exec_stream *stream, const struct xb_http_until *until,
                          struct xb_error *err)
{
    struct xb_http_until now = *until;
    bool told = false;
    const bool seen = stream->channels.line.seen;
    for (;;) {
        struct xb_error why = XB_ERROR_INIT;
        if (!told && xb_exec_channels_told(&stream->channels)) {
            int64_t drained_ns = xb_clock_mono_ns() + XB_KUBE_EXEC_DRAIN_MS * XB_NS_PER_MS;
            now.deadline_ns = drained_ns < now.deadline_ns ? drained_ns : now.deadline_ns;
            told = true;
        }
        int r = xb_http_websocket_read(stream->socket, &now, &why);
        if (r == 0 || (r < 0 && xb_exec_channels_told(&stream->channels))) {
            return 0;
        }
        if (r < 0) {
            *err = why;
            return r;
        }
        if (!seen && stream->channels.line.seen) {
            return 1;
        }
    }
}

int xb_exec_stream_end(struct xb_exec_stream *stream, struct xb_error *err)
{
    if (!xb_exec_channels_told(&stream->channels)) {
        xb_error_set(err, XB_ERR_IO, -ECONNRESET,
                     "the connection was closed before the end of the command was told");
        return xb_exec_stream_fail(stream, err);
    }
    int r = xb_exec_channels_end(&stream->channels, stream->what, err);
    return r < 0 ? xb_exec_stream_fail(stream, err) : 0;
}

int xb_exec_stream_say_last(struct xb_exec_stream *stream, const char *text,
                            const struct xb_http_until *until, struct xb_error *err)
{
    static const unsigned char closed[] = {CHANNEL_CLOSE, CHANNEL_STDIN};
    XB_CLEANUP(xb_buf_free) struct xb_buf line = XB_BUF_INIT(XB_HTTP_WEBSOCKET_SEND_BYTES_MAX);
    int r = 0;
    if (text[0]) {
        r = xb_buf_append(&line, "\0", 1, err);
        r = r ? r : xb_buf_append_str(&line, text, err);
        r = r ? r : xb_buf_append_str(&line, "\n", err);
        r = r ? r : xb_http_websocket_send(stream->socket, line.data, line.len, until, err);
    }
    if (r == 0 && strcmp(xb_http_websocket_protocol(stream->socket), CLOSES) == 0) {
        r = xb_http_websocket_send(stream->socket, closed, sizeof closed, until, err);
    }
    return r < 0 ? xb_exec_stream_fail(stream, err) : 0;
}

int xb_exec_stream_fail(const struct xb_exec_stream *stream, struct xb_error *err)
{
    return strncmp(err->text, stream->what, strlen(stream->what)) == 0
               ? err->code
               : xb_error_wrap(err, "%.300s", stream->what);
}

void xb_exec_stream_done(struct xb_exec_stream *stream)
{
    xb_http_websocket_free(stream->socket);
    xb_exec_channels_done(&stream->channels);
    xb_exec_result_free(&stream->result);
    xb_buf_free(&stream->url);
    *stream = (struct xb_exec_stream){.client = NULL};
}
