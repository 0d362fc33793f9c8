/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/websocket.h"

#include <errno.h>
#include <stdio.h>

#include "shared/http/connection.h"
#include "shared/http/frames.h"
#include "shared/http/handshake.h"

enum { SWITCHING_PROTOCOLS = 101, REQUEST_BYTES_MAX = 1 << 20 };

struct xb_http_websocket {
    struct xb_http_connection *connection;
    struct xb_http_frames *frames;
    struct xb_buf replies;
    struct xb_buf early; /* what came together with the handshake's answer */
    size_t early_at;
    char protocol[XB_HTTP_HANDSHAKE_WORD_BYTES];
    unsigned char in[XB_HTTP_FRAMES_FEED_BYTES_MAX];
};

/* Once something was sent, trying again is not the same as trying. */
static int after_sending(int r, struct xb_error *err)
{
    if (r < 0 && err->kind == XB_ERR_RETRY) {
        err->kind = XB_ERR_IO;
    }
    return r;
}

/* A deadline of the caller's own is no failure of the connection. */
static int while_open(int r, struct xb_error *err)
{
    return r < 0 && err->code != -ETIMEDOUT ? after_sending(r, err) : r;
}

/* Receives the head of the answer into `text`, and whatever came with it. */
static int receive_head(struct xb_http_websocket *socket, const struct xb_http_handshake *handshake,
                        struct xb_buf *text, const struct xb_http_until *until,
                        struct xb_http_handshake_answer *ret, struct xb_error *err)
{
    do {
        int n = xb_http_connection_receive(socket->connection, socket->in, sizeof socket->in, until,
                                           err);
        if (n == 0) {
            return xb_error_set(err, XB_ERR_IO, -ECONNRESET,
                                "the server closed the connection without an answer");
        }
        int r = n < 0 ? n : xb_buf_append(text, socket->in, (size_t)n, err);
        r = r ? r : xb_http_handshake_parse(handshake, text->data, text->len, ret, err);
        if (r < 0) {
            return r;
        }
    } while (ret->head_len == 0);
    return 0;
}

/* The body of a refusal, as far as it can be had: it only explains. */
static void receive_body(struct xb_http_websocket *socket, int64_t body_len, struct xb_buf *text,
                         const struct xb_http_until *until)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int n = 1;
    while (n > 0 && body_len > 0 && text->len < (size_t)body_len) {
        n = xb_http_connection_receive(socket->connection, socket->in, sizeof socket->in, until,
                                       &ignored);
        if (n > 0 && xb_buf_append(text, socket->in, (size_t)n, &ignored) < 0) {
            n = 0; /* as much as is kept of a bad answer */
        }
    }
}

static int shake_hands(struct xb_http_websocket *socket,
                       const struct xb_http_websocket_options *options,
                       const struct xb_http_until *until, struct xb_http_response *refusal,
                       struct xb_error *err)
{
    struct xb_http_handshake handshake = {
        .url = options->url, .protocols = options->protocols, .bearer = options->bearer};
    struct xb_http_handshake_answer answer = {.head_len = 0};
    struct xb_buf request = XB_BUF_INIT(REQUEST_BYTES_MAX);
    struct xb_buf text = XB_BUF_INIT(XB_HTTP_HANDSHAKE_HEAD_BYTES_MAX + sizeof socket->in);
    struct xb_buf rest = XB_BUF_INIT(XB_HTTP_ERROR_BODY_BYTES_MAX);
    xb_http_handshake_key(&handshake);
    int r = xb_http_handshake_request(&handshake, &request, err);
    if (r == 0) {
        r = xb_http_connection_send(socket->connection, request.data, request.len, until, err);
        r = r ? r : receive_head(socket, &handshake, &text, until, &answer, err);
        r = after_sending(r, err);
    }
    xb_buf_wipe(&request);
    if (r == 0) {
        r = xb_buf_append(&rest, text.data + answer.head_len, text.len - answer.head_len, err);
    }
    xb_buf_free(&text);
    if (r == 0 && answer.status != SWITCHING_PROTOCOLS) {
        receive_body(socket, answer.body_len, &rest, until);
        *refusal = (struct xb_http_response){
            .status = answer.status, .retry_after_ms = answer.retry_after_ms, .body = rest};
        return 0;
    }
    socket->early = rest;
    snprintf(socket->protocol, sizeof socket->protocol, "%s", answer.protocol);
    return r;
}

int xb_http_websocket_open(const struct xb_http_websocket_options *options,
                           const struct xb_http_until *until, struct xb_http_websocket **ret,
                           struct xb_http_response *refusal, struct xb_error *err)
{
    XB_CLEANUP(xb_http_websocket_freep)
    struct xb_http_websocket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return xb_error_no_memory(err, "a WebSocket");
    }
    struct xb_http_response answer = {.status = 0};
    socket->replies = (struct xb_buf)XB_BUF_INIT(XB_HTTP_FRAMES_REPLY_BYTES_MAX);
    int r = xb_http_frames_new(options->on_piece, options->context, &socket->frames, err);
    r = r ? r
          : xb_http_connection_open(options->client, options->url, until, &socket->connection, err);
    r = r ? r : shake_hands(socket, options, until, &answer, err);
    if (r < 0) {
        return r;
    }
    if (answer.status != 0) {
        *refusal = answer;
    } else {
        *ret = XB_TAKE(socket);
    }
    return 0;
}

static int feed(struct xb_http_websocket *socket, const void *data, size_t len,
                const struct xb_http_until *until, struct xb_error *err)
{
    int r = xb_http_frames_feed(socket->frames, data, len, &socket->replies, err);
    if (r == 0 && socket->replies.len > 0) {
        r = xb_http_connection_send(socket->connection, socket->replies.data, socket->replies.len,
                                    until, err);
        /* A server that has said goodbye need not hear ours. */
        r = r < 0 && xb_http_frames_closed(socket->frames) ? 0 : r;
        xb_buf_clear(&socket->replies);
    }
    return r < 0 ? while_open(r, err) : xb_http_frames_closed(socket->frames) ? 0 : 1;
}

int xb_http_websocket_read(struct xb_http_websocket *socket, const struct xb_http_until *until,
                           struct xb_error *err)
{
    size_t early = socket->early.len - socket->early_at;
    if (early > 0) {
        const char *at = socket->early.data + socket->early_at;
        size_t len = early < sizeof socket->in ? early : sizeof socket->in;
        socket->early_at += len;
        return feed(socket, at, len, until, err);
    }
    int n =
        xb_http_connection_receive(socket->connection, socket->in, sizeof socket->in, until, err);
    return n > 0 ? feed(socket, socket->in, (size_t)n, until, err) : while_open(n, err);
}

/* What the frames have put into the replies. */
static int send_out(struct xb_http_websocket *socket, int r, const struct xb_http_until *until,
                    struct xb_error *err)
{
    r = r ? r
          : xb_http_connection_send(socket->connection, socket->replies.data, socket->replies.len,
                                    until, err);
    xb_buf_clear(&socket->replies);
    return after_sending(r, err);
}

int xb_http_websocket_send(struct xb_http_websocket *socket, const void *data, size_t len,
                           const struct xb_http_until *until, struct xb_error *err)
{
    if (len > XB_HTTP_WEBSOCKET_SEND_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a message of %zu bytes", len);
    }
    return send_out(socket,
                    xb_http_frames_message(socket->frames, data, len, &socket->replies, err), until,
                    err);
}

int xb_http_websocket_ping(struct xb_http_websocket *socket, const struct xb_http_until *until,
                           struct xb_error *err)
{
    return send_out(socket, xb_http_frames_ping(socket->frames, &socket->replies, err), until, err);
}

size_t xb_http_websocket_pongs(const struct xb_http_websocket *socket)
{
    return xb_http_frames_pongs(socket->frames);
}

const char *xb_http_websocket_protocol(const struct xb_http_websocket *socket)
{
    return socket->protocol;
}

void xb_http_websocket_free(struct xb_http_websocket *socket)
{
    if (!socket) {
        return;
    }
    xb_http_connection_close(socket->connection);
    xb_http_frames_free(socket->frames);
    xb_buf_free(&socket->replies);
    xb_buf_free(&socket->early);
    free(socket);
}
