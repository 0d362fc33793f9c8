/* SPDX-License-Identifier: Apache-2.0
 *
 * handshake.h - how an HTTP/1.1 connection becomes a WebSocket: the request, and its answer read.
 *
 * What for:  inside shared/http only.
 * Ownership: caller's buffers.
 * Threads:   any.    Blocking: never (pure).
 * Errors:    CORRUPT: the answer is not HTTP/1.1, or not what this request must be answered.
 * Limits:    XB_HTTP_HANDSHAKE_*.
 * Source:    RFC 6455 section 4, RFC 9112.
 */
#pragma once

#include "shared/http/http.h"

enum {
    XB_HTTP_HANDSHAKE_HEAD_BYTES_MAX = 16 << 10,
    XB_HTTP_HANDSHAKE_KEY_BYTES = 25, /* 16 bytes in base64, and a NUL */
    XB_HTTP_HANDSHAKE_WORD_BYTES = 64
};

struct xb_http_handshake {
    const char *url;                /* "http://" or "https://" */
    const char *protocols;          /* "a, b": what is offered */
    const struct xb_secret *bearer; /* may be NULL */
    char key[XB_HTTP_HANDSHAKE_KEY_BYTES];
};

struct xb_http_handshake_answer {
    size_t head_len; /* with the empty line; 0: not whole yet */
    int status;
    int64_t body_len; /* what the answer says; -1: nothing, or in chunks */
    int64_t retry_after_ms;
    char protocol[XB_HTTP_HANDSHAKE_WORD_BYTES]; /* the chosen one, with status 101 */
};

/* Fills in a random key. */
void xb_http_handshake_key(struct xb_http_handshake *handshake);
/* Appends the request; the buffer then holds the token: wipe it. INVALID: not such a URL. */
int xb_http_handshake_request(const struct xb_http_handshake *handshake, struct xb_buf *out,
                              struct xb_error *err) XB_MUST_CHECK;
/* Reads what has come so far (head_len 0: wait for more). With status 101 it has proved that the
 * server speaks WebSocket, knows the key, and has chosen one of the protocols. */
int xb_http_handshake_parse(const struct xb_http_handshake *handshake, const char *text, size_t len,
                            struct xb_http_handshake_answer *ret,
                            struct xb_error *err) XB_MUST_CHECK;
