/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.h - one unary gRPC call over a Unix socket.
 *
 * What for:  inside agent/hooks only. gRPC without a library of its own: an HTTP/2 POST whose
 *            bodies are messages with five bytes before each, and whose outcome is in the trailers.
 * Ownership: lent for the call.
 * Threads:   any number at once; every call connects anew.    Blocking: up to timeout_ms.
 * Errors:    RETRY with code -ECONNREFUSED: nothing was sent; RETRY with -ETIMEDOUT: timeout_ms is
 *            over; other RETRY: the connection broke; CORRUPT: not gRPC; FULL: the answer is too
 *            large; CANCELLED; what on_piece returned. A status other than OK is no error here.
 * Limits:    answer_bytes_max, XB_GRPC_*.
 * Source:    gRPC over HTTP/2.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum { XB_GRPC_HEADER_BYTES = 5, XB_GRPC_MESSAGE_BYTES = 400 };

enum {
    XB_GRPC_OK = 0,
    XB_GRPC_INVALID_ARGUMENT = 3,
    XB_GRPC_DEADLINE_EXCEEDED = 4,
    XB_GRPC_NOT_FOUND = 5,
    XB_GRPC_PERMISSION_DENIED = 7,
    XB_GRPC_RESOURCE_EXHAUSTED = 8,
    XB_GRPC_UNIMPLEMENTED = 12,
    XB_GRPC_UNAUTHENTICATED = 16
};

/* A piece of the answer's message. */
typedef int xb_grpc_piece_fn(void *context, const void *data, size_t len, struct xb_error *err);

struct xb_grpc_call {
    const char *socket; /* its path */
    const char *method; /* "/package.Service/Method" */
    const void *message;
    size_t message_len;
    int timeout_ms;
    size_t answer_bytes_max;
    xb_grpc_piece_fn *on_piece;
    void *context;
    const atomic_bool *cancel; /* may be NULL */
};

struct xb_grpc_status {
    int code;
    char message[XB_GRPC_MESSAGE_BYTES]; /* printable, perhaps cut */
};

int xb_grpc_call(const struct xb_grpc_call *call, struct xb_grpc_status *ret,
                 struct xb_error *err) XB_MUST_CHECK;

/* The body of an answer: exactly one message, not compressed. All zero at first but max, on_piece
 * and context. */
struct xb_grpc_frame {
    size_t max;
    xb_grpc_piece_fn *on_piece;
    void *context;
    unsigned char header[XB_GRPC_HEADER_BYTES];
    size_t header_len;
    uint32_t left;
};

int xb_grpc_frame_feed(struct xb_grpc_frame *frame, const void *data, size_t len,
                       struct xb_error *err) XB_MUST_CHECK;
/* Whether a whole message has come. */
bool xb_grpc_frame_complete(const struct xb_grpc_frame *frame);

/* The number of a grpc-status; -1 when it is none. */
int xb_grpc_status_parse(const char *value);
/* A grpc-message, percent-decoded; what is not printable becomes '?'. */
void xb_grpc_message_decode(const char *value, char out[XB_GRPC_MESSAGE_BYTES]);
