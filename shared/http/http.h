/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h - one HTTP request and its whole answer, blocking.
 *
 * What for:  every plain request of both programs (API server, object store, container runtime). It
 *            runs on worker threads; streams that stay open belong to stream.h.
 * Ownership: the client copies its options (the key too, zeroed when freed: the caller zeroes its
 *            own copy). A request lends everything it points to until xb_http_perform returns. The
 *            caller owns the response's body (xb_http_response_free).
 * Threads:   any number at once; at most connections_max requests run, more wait for their turn
 *            within their own timeout. A client outlives its requests.
 * Blocking:  up to the timeout.
 * Shapes:    no redirect is followed: a 3xx answer is an answer.
 * Errors:    an HTTP status is not an error here. RETRY: no answer (refused, reset, timed out, name
 *            not resolved); DENIED: TLS said no, with advice; INVALID: not a URL; FULL: the answer
 *            is larger than response_bytes_max; CANCELLED: the flag was set; what on_data returned.
 * Limits:    the XB_HTTP_* below.
 * Source:    RFC 9110 (status, Retry-After), libcurl.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/base/secret.h"

enum {
    XB_HTTP_TIMEOUT_MS = 60 * 1000,          /* default for a whole request */
    XB_HTTP_CONNECT_TIMEOUT_MS = 10 * 1000,  /* default for connecting, TLS included */
    XB_HTTP_CONNECTIONS_MAX = 8,             /* default */
    XB_HTTP_RESPONSE_BYTES_MAX = 8 << 20,    /* default */
    XB_HTTP_ERROR_BODY_BYTES_MAX = 64 << 10, /* kept of a bad answer when on_data takes the good */
    XB_HTTP_STALL_BYTES = 16                 /* per second: slower is standing still */
};

struct xb_http_client;
struct xb_http_limits;

struct xb_http_client_options {
    const char *ca_pem;  /* trusted roots; NULL and no ca_file: the system's */
    const char *ca_file; /* the same from a file; ca_pem wins */
    const char *client_cert_pem;
    const char *client_key_pem;
    const char *unix_socket; /* connect here, whatever the URL's host is */
    bool insecure;           /* do not check the server's certificate */
    bool proxy_from_env;     /* obey http_proxy, https_proxy, no_proxy; loopback never goes there */
    bool http2_prior_knowledge; /* HTTP/2 without TLS (gRPC); otherwise HTTP/1.1 */
    /* Requests at the same time share one or two HTTP/2 connections, where the server speaks it
     * over TLS. Callbacks of requests then run on a thread of the client, and must not block. */
    bool multiplexed;
    const char *user_agent;   /* NULL: "xebec/VERSION" */
    int timeout_ms;           /* 0: XB_HTTP_TIMEOUT_MS */
    int connect_timeout_ms;   /* 0: XB_HTTP_CONNECT_TIMEOUT_MS */
    unsigned connections_max; /* 0: XB_HTTP_CONNECTIONS_MAX */
    /* A transfer that moves less than XB_HTTP_STALL_BYTES a second for this long is a RETRY
     * failure; 0: never. For bodies of any size on links of any width, with timeout_ms -1. */
    int stall_s;
    struct xb_http_limits *limits; /* borrowed; of plain requests, not of streams; may be NULL */
};

/* NULL options: all defaults. */
int xb_http_client_new(const struct xb_http_client_options *options, struct xb_http_client **ret,
                       struct xb_error *err) XB_MUST_CHECK;
void xb_http_client_free(struct xb_http_client *client);
XB_DEFINE_CLEANUP(xb_http_client_freep, struct xb_http_client, xb_http_client_free);

/* A piece of the body. A negative return ends the request with that code and `err`. */
typedef int xb_http_data_fn(void *context, const void *data, size_t len, struct xb_error *err);
/* One header (or trailer) of the final answer; `name` as it came, compare without case. */
typedef void xb_http_header_fn(void *context, const char *name, const char *value);

/* A part of a file as a body: read as it is sent, and again when it must be sent again. */
struct xb_http_body_file {
    int fd; /* borrowed */
    uint64_t offset, len;
    /* What the file would begin with lies here instead, in blocks of one size; borrowed. */
    char *const *front;
    size_t front_count, front_block_bytes;
};

/* Bytes [at, at+len) of the body. CORRUPT: the file is shorter. */
int xb_http_body_read(const struct xb_http_body_file *file, uint64_t at, void *data, size_t len,
                      struct xb_error *err) XB_MUST_CHECK;

struct xb_http_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *const *headers;     /* "Name: value", ended by NULL; may be NULL */
    const struct xb_secret *bearer; /* sent as Authorization: Bearer; may be NULL */
    const void *body;
    size_t body_len;
    const struct xb_http_body_file *body_file; /* instead of body; not for streams; may be NULL */
    int timeout_ms;            /* 0: the client's; -1: none (streams, and clients with stall_s) */
    size_t response_bytes_max; /* 0: XB_HTTP_RESPONSE_BYTES_MAX */
    /* Takes the body of a 2xx answer piece by piece instead of response.body. Other answers go to
     * response.body, cut at XB_HTTP_ERROR_BODY_BYTES_MAX. */
    xb_http_data_fn *on_data;
    xb_http_header_fn *on_header;
    void *context;             /* of both */
    const atomic_bool *cancel; /* looked at about once a second; may be NULL */
};

struct xb_http_response {
    int status;
    struct xb_buf body;
    int64_t retry_after_ms; /* from Retry-After; -1: not said */
};

/* *ret is filled on success only; free it with xb_http_response_free. */
int xb_http_perform(struct xb_http_client *client, const struct xb_http_request *request,
                    struct xb_http_response *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_http_response_free(struct xb_http_response *response);

/* Appends `text` with everything but A-Z a-z 0-9 - . _ ~ as %XX. */
int xb_http_escape(struct xb_buf *out, const char *text, struct xb_error *err) XB_MUST_CHECK;

/* The date of an HTTP header ("Wed, 21 Oct 2015 07:28:00 GMT") in seconds since 1970; -1 when it is
 * none, or not between 1970 and 2200, where every time can be counted in nanoseconds. */
#define XB_HTTP_DATE_MAX_S INT64_C(7258118400)
int64_t xb_http_date_parse(const char *value);

/* The value of a Retry-After header in ms: seconds or a date; -1 when it is neither. */
int64_t xb_http_retry_after_parse(const char *value);
