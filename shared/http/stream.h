/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h - GET requests that stay open, driven by somebody else's event loop.
 *
 * What for:  watches. The loop is abstract (struct xb_http_reactor), so that this module knows
 *            none; shared/runtime glues it to libuv.
 * Ownership: the caller owns the multi; it outlives its streams. A stream belongs to the multi: its
 *            handle is valid until on_end begins or cancel returns. The client must outlive the
 *            stream; the request is copied by curl except the headers, the token and the body, of
 *            which the stream keeps copies of its own.
 * Threads:   everything on the loop's thread.    Blocking: never.
 * Shapes:    on_head once, then on_data any number of times (2xx only), then on_end exactly once,
 *            unless cancelled: after xb_http_stream_cancel nothing is called any more. Callbacks
 *            may start and cancel streams, their own too.
 * Errors:    as http.h, in on_end.
 * Limits:    the body of another answer than 2xx is cut at XB_HTTP_ERROR_BODY_BYTES_MAX.
 */
#pragma once

#include "shared/http/http.h"

struct xb_http_multi;
struct xb_http_stream;

enum { XB_HTTP_READ = 1, XB_HTTP_WRITE = 2 };

/* What the loop does for the multi. */
struct xb_http_reactor {
    void *context;
    /* Calls xb_http_multi_ready when `fd` is ready for `events`; 0 ends it. *slot is the reactor's
     * own note for this socket, NULL at first. */
    int (*socket)(void *context, int fd, unsigned events, void **slot);
    /* Calls xb_http_multi_timeout once after `ms`; a new call replaces the old; -1: not any more.
     */
    void (*timer)(void *context, int64_t ms);
};

int xb_http_multi_new(const struct xb_http_reactor *reactor, struct xb_http_multi **ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* Cancels what still streams. */
void xb_http_multi_free(struct xb_http_multi *multi);
/* `failed`: the socket has an error. */
void xb_http_multi_ready(struct xb_http_multi *multi, int fd, unsigned events, bool failed);
void xb_http_multi_timeout(struct xb_http_multi *multi);

struct xb_http_stream_options {
    struct xb_http_client *client;              /* for its TLS and other settings */
    const struct xb_http_request *request;      /* on_data and context there are not used */
    void (*on_head)(void *context, int status); /* may be NULL */
    xb_http_data_fn *on_data;
    /* `response` (status, body of a bad answer) is lent, and NULL when err is set; err is NULL when
     * the server ended the answer in the regular way. */
    void (*on_end)(void *context, const struct xb_http_response *response,
                   const struct xb_error *err);
    void *context;
};

int xb_http_stream_start(struct xb_http_multi *multi, const struct xb_http_stream_options *options,
                         struct xb_http_stream **ret, struct xb_error *err) XB_MUST_CHECK;
/* NULL is fine. */
void xb_http_stream_cancel(struct xb_http_stream *stream);
