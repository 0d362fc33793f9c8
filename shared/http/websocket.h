/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket.h - a WebSocket to a server that a client of http.h knows.
 *
 * What for:  commands run through the API server (shared/kube/exec.h, session.h).
 * Ownership: the client outlives the socket; options are lent for the call.
 * Threads:   one at a time.    Blocking: until the given deadline.
 * Shapes:    messages come in pieces as they arrive, so they may be of any length. Pings of the
 *            server are answered while it is read.
 * Errors:    of open: RETRY, DENIED, INVALID: as http.h, nothing was asked for; IO: the request was
 *            sent, and no whole answer came; CORRUPT: the answer is no WebSocket's; CANCELLED. Of
 *            read: RETRY with -ETIMEDOUT: the deadline is over; IO: the connection broke; CORRUPT;
 *            CANCELLED; what on_piece returned. Of send and ping: IO: not sent, or not all of it;
 *            CANCELLED; after either the socket is good for nothing.
 * Limits:    as http.h; XB_HTTP_WEBSOCKET_SEND_BYTES_MAX.
 * Source:    RFC 6455.
 */
#pragma once

#include "shared/http/http.h"

struct xb_http_websocket;

enum { XB_HTTP_WEBSOCKET_SEND_BYTES_MAX = 64 << 10 };

/* Until when a call may take, and what ends it before. */
struct xb_http_until {
    int64_t deadline_ns;       /* monotonic */
    const atomic_bool *cancel; /* looked at a few times a second; may be NULL */
};

/* A piece of a message, never empty; `begins`: the first one. */
typedef int xb_http_websocket_piece_fn(void *context, bool begins, const void *data, size_t len,
                                       struct xb_error *err);

struct xb_http_websocket_options {
    struct xb_http_client *client;
    const char *url;                /* http or https, as for a GET */
    const char *protocols;          /* "a, b": subprotocols, the best first */
    const struct xb_secret *bearer; /* may be NULL */
    xb_http_websocket_piece_fn *on_piece;
    void *context;
};

/* *ret is the open socket. When the server answers with another status than 101, *ret stays NULL,
 * and *refusal (to be freed) has status and body, the latter cut at XB_HTTP_ERROR_BODY_BYTES_MAX.
 */
int xb_http_websocket_open(const struct xb_http_websocket_options *options,
                           const struct xb_http_until *until, struct xb_http_websocket **ret,
                           struct xb_http_response *refusal, struct xb_error *err) XB_MUST_CHECK;
/* Waits for something to come and hands it out. 1: more may come; 0: the server has closed. */
int xb_http_websocket_read(struct xb_http_websocket *socket, const struct xb_http_until *until,
                           struct xb_error *err) XB_MUST_CHECK;
/* A binary message. */
int xb_http_websocket_send(struct xb_http_websocket *socket, const void *data, size_t len,
                           const struct xb_http_until *until, struct xb_error *err) XB_MUST_CHECK;
/* Asks the server for a pong, and how many of these have come. */
int xb_http_websocket_ping(struct xb_http_websocket *socket, const struct xb_http_until *until,
                           struct xb_error *err) XB_MUST_CHECK;
size_t xb_http_websocket_pongs(const struct xb_http_websocket *socket);
/* The one that the server has chosen. */
const char *xb_http_websocket_protocol(const struct xb_http_websocket *socket);
void xb_http_websocket_free(struct xb_http_websocket *socket);
XB_DEFINE_CLEANUP(xb_http_websocket_freep, struct xb_http_websocket, xb_http_websocket_free);
