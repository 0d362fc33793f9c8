/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.h - bytes both ways, over the connection that a request would have had.
 *
 * What for:  inside shared/http only: protocols that begin as an HTTP request and go on as another
 *            (websocket.h). libcurl connects, through proxies and with TLS as the client's settings
 *            say.
 * Ownership: the client outlives its connections.
 * Threads:   one at a time.    Blocking: until the deadline.
 * Errors:    RETRY with -ETIMEDOUT: the deadline is over; RETRY otherwise: not connected, or
 *            broken; DENIED: TLS said no; CANCELLED; INVALID: no URL.
 */
#pragma once

#include "shared/http/websocket.h"

struct xb_http_connection;

enum { XB_HTTP_CANCEL_LOOKS = 4, XB_HTTP_RECEIVE_BYTES_MAX = 1 << 20 };

int xb_http_connection_open(struct xb_http_client *client, const char *url,
                            const struct xb_http_until *until, struct xb_http_connection **ret,
                            struct xb_error *err) XB_MUST_CHECK;
/* Sends all of it. */
int xb_http_connection_send(struct xb_http_connection *connection, const void *data, size_t len,
                            const struct xb_http_until *until, struct xb_error *err) XB_MUST_CHECK;
/* Waits for some bytes, at most XB_HTTP_RECEIVE_BYTES_MAX, and returns how many; 0: the peer has
 * closed. */
int xb_http_connection_receive(struct xb_http_connection *connection, void *out, size_t size,
                               const struct xb_http_until *until,
                               struct xb_error *err) XB_MUST_CHECK;
void xb_http_connection_close(struct xb_http_connection *connection);
XB_DEFINE_CLEANUP(xb_http_connection_closep, struct xb_http_connection, xb_http_connection_close);
