/* SPDX-License-Identifier: Apache-2.0
 *
 * listener.h - a small HTTP or HTTPS server.
 *
 * What for:  what downloads and metrics have in common: the port, the threads, GET and HEAD only,
 *            and a stop that lets running answers end.
 * Ownership: the caller frees a listener, which stops it. Certificate and options are copied.
 * Threads:   the handler is called from the listener's own threads, several at a time; start and
 *            free from one thread.
 * Blocking:  start, no; free, up to XB_LISTENER_STOP_MS and the handler's own call.
 * Shapes:    one request per connection: each answer closes it. The path is as it was sent, without
 *            the query; percent signs mean nothing.
 * Errors:    CONFLICT: the port is taken; DENIED; INVALID; IO.
 * Limits:    connections_max at a time; a connection that does not move for timeout_s is closed.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_LISTENER_STOP_MS = 5000, XB_LISTENER_THREADS_MAX = 16 };

struct xb_listener;

/* Queues one answer (xb_listener_reply or its own) and returns what that returned. */
typedef enum MHD_Result xb_listener_fn(void *context, struct xb_listener *listener,
                                       struct MHD_Connection *connection, const char *path);

struct xb_listener_options {
    const char *address; /* numeric; NULL or "": every address, IPv6 and IPv4, or IPv4 alone */
    uint16_t port;       /* 0: any free one */
    unsigned threads;    /* 2 to XB_LISTENER_THREADS_MAX */
    unsigned connections_max;
    unsigned timeout_s;
    /* PEM, the certificate with what it was signed by; NULL: plain HTTP. */
    const char *certificate_pem, *key_pem;
    xb_listener_fn *handle;
    void *context;
};

int xb_listener_start(const struct xb_listener_options *options, struct xb_listener **ret,
                      struct xb_error *err) XB_MUST_CHECK;

uint16_t xb_listener_port(const struct xb_listener *listener);

/* A long answer must give up now. */
bool xb_listener_giving_up(const struct xb_listener *listener);

/* A short answer; `text` is copied. A response to HEAD has its length and not its bytes. */
enum MHD_Result xb_listener_reply(struct MHD_Connection *connection, unsigned status,
                                  const char *text);
enum MHD_Result xb_listener_reply_as(struct MHD_Connection *connection, const char *content_type,
                                     const void *data, size_t len);

/* What every answer says besides its body: closed after, not cached, not guessed at. */
bool xb_listener_headers(struct MHD_Response *response, const char *content_type);

/* Takes no new connections, waits for running answers, breaks off what is left. */
void xb_listener_free(struct xb_listener *listener);
XB_DEFINE_CLEANUP(xb_listener_freep, struct xb_listener, xb_listener_free);
