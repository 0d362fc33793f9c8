/* SPDX-License-Identifier: Apache-2.0
 *
 * easy.h - what http.c and stream.c share: from our request to a curl handle and back.
 *
 * What for:  inside shared/http only.
 * Ownership: struct xb_http_call is embedded by the caller and must stay where it is while the
 *            transfer runs.
 * Threads:   one transfer, one thread.    Blocking: never.
 */
#pragma once

#include <curl/curl.h>

#include "shared/http/http.h"

enum {
    XB_HTTP_HEADERS_MAX = 64,
    XB_HTTP_HEADER_BYTES_MAX = 16 << 10,
    XB_HTTP_UPLOAD_PIECE_BYTES = 256 << 10
};

/* One transfer: the request's copyable parts and what is known of the answer. */
struct xb_http_call {
    CURL *easy;
    struct curl_slist
        headers[XB_HTTP_HEADERS_MAX]; /* own nodes: curl's list would copy the token */
    struct xb_buf authorization;
    size_t bytes_max, bytes_seen;
    int status;
    int64_t retry_after_ms;
    struct xb_buf body;
    bool collect; /* the body goes to `body` */
    bool handed;  /* on_data got a byte */
    xb_http_data_fn *on_data;
    xb_http_header_fn *on_header;
    void *context;
    const atomic_bool *cancel;
    const void *sent_data; /* the body, when it is read piece by piece: this, or a file */
    struct xb_http_body_file sent;
    uint64_t sent_at;
    struct xb_http_limits *limits; /* set by the owner before setup; NULL: none */
    struct xb_error err;           /* why a callback of ours ended the transfer */
    char said[CURL_ERROR_SIZE];
};

/* Sets everything on call->easy (which the caller made and reset). */
int xb_http_call_setup(struct xb_http_call *call, const struct xb_http_client *client,
                       const struct xb_http_request *request, struct xb_error *err) XB_MUST_CHECK;
/* Turns curl's result into ours; `url` for the text. */
int xb_http_call_result(struct xb_http_call *call, CURLcode code, const char *url,
                        struct xb_error *err) XB_MUST_CHECK;
/* Zeroes and frees what setup made, and leaves the easy handle to its owner. */
void xb_http_call_done(struct xb_http_call *call);
/* Once per process; every creator of handles calls it. */
int xb_http_global_setup(struct xb_error *err) XB_MUST_CHECK;
/* Hands the client's own settings (TLS, proxy, agent) to a handle. */
int xb_http_client_apply(const struct xb_http_client *client, CURL *easy,
                         struct xb_error *err) XB_MUST_CHECK;
int xb_http_client_timeout_ms(const struct xb_http_client *client);
