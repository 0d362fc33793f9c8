/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - how many bytes per second a process may send and receive.
 *
 * What for:  a node's share of a thin link. All clients of the process that were given the same
 *            limits share them, however many transfers run at once.
 * Ownership: the caller owns the limits, which outlive the clients that use them.
 * Threads:   any.    Blocking: xb_http_limits_wait sleeps as long as the bytes cost.
 * Shapes:    a token bucket per direction: what was not used may be used later, up to
 *            XB_HTTP_LIMITS_BURST_MS worth. Bytes are taken first and waited for afterwards, so
 *            that a piece larger than the bucket passes and several transfers share by their turns.
 * Limits:    a rate is at most XB_HTTP_LIMITS_RATE_MAX.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_HTTP_LIMITS_BURST_MS = 200, XB_HTTP_LIMITS_PIECE_BYTES_MIN = 1024 };
#define XB_HTTP_LIMITS_RATE_MAX (UINT64_C(1) << 40)

enum xb_http_direction { XB_HTTP_UP, XB_HTTP_DOWN };

/* One direction, without a clock or a lock. */
struct xb_http_bucket {
    uint64_t rate;   /* bytes per second; 0: no limit */
    int64_t full_ns; /* when the bucket is full again */
};

/* Takes `bytes` at the time `now_ns` and returns how long to wait before the next are taken. */
int64_t xb_http_bucket_take(struct xb_http_bucket *bucket, uint64_t bytes, int64_t now_ns);

struct xb_http_limits;

/* Bytes per second, 0 for no limit. INVALID: more than the maximum. */
int xb_http_limits_new(uint64_t up, uint64_t down, struct xb_http_limits **ret,
                       struct xb_error *err) XB_MUST_CHECK;
/* Takes the bytes and waits; false when *cancel (may be NULL) became true meanwhile. */
bool xb_http_limits_wait(struct xb_http_limits *limits, enum xb_http_direction direction,
                         uint64_t bytes, const atomic_bool *cancel);
/* Whether there is a limit at all in this direction; NULL: no. */
bool xb_http_limits_any(const struct xb_http_limits *limits, enum xb_http_direction direction);
/* The most bytes that are worth sending at once: so few that the peer never waits long for more. */
size_t xb_http_limits_piece(const struct xb_http_limits *limits, enum xb_http_direction direction);
void xb_http_limits_free(struct xb_http_limits *limits);
XB_DEFINE_CLEANUP(xb_http_limits_freep, struct xb_http_limits, xb_http_limits_free);
