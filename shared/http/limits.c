/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/limits.h"

#include <errno.h>
#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/http/retry.h"

struct xb_http_limits {
    pthread_mutex_t lock;
    struct xb_http_bucket buckets[2]; /* by direction */
};

/* The cost is rounded up: rounding down would let tiny pieces through for nothing. */
static int64_t cost_ns(uint64_t rate, uint64_t bytes)
{
    unsigned __int128 ns = ((unsigned __int128)bytes * (uint64_t)XB_NS_PER_S + rate - 1) / rate;
    return ns > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)ns;
}

int64_t xb_http_bucket_take(struct xb_http_bucket *bucket, uint64_t bytes, int64_t now_ns)
{
    if (bucket->rate == 0) {
        return 0;
    }
    /* A bucket that has been full for a while holds no more than a full one. */
    int64_t from = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;
    int64_t cost = cost_ns(bucket->rate, bytes);
    bucket->full_ns = from > INT64_MAX - cost ? INT64_MAX : from + cost;
    int64_t wait = bucket->full_ns - now_ns - XB_HTTP_LIMITS_BURST_MS * XB_NS_PER_MS;
    return wait > 0 ? wait : 0;
}

int xb_http_limits_new(uint64_t up, uint64_t down, struct xb_http_limits **ret,
                       struct xb_error *err)
{
    if (up > XB_HTTP_LIMITS_RATE_MAX || down > XB_HTTP_LIMITS_RATE_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ERANGE,
                            "a limit of more than 1 TiB per second is none: leave it out");
    }
    struct xb_http_limits *limits = calloc(1, sizeof *limits);
    if (!limits) {
        return xb_error_no_memory(err, "bandwidth limits");
    }
    pthread_mutex_init(&limits->lock, NULL);
    limits->buckets[XB_HTTP_UP].rate = up;
    limits->buckets[XB_HTTP_DOWN].rate = down;
    *ret = limits;
    return 0;
}

bool xb_http_limits_wait(struct xb_http_limits *limits, enum xb_http_direction direction,
                         uint64_t bytes, const atomic_bool *cancel)
{
    pthread_mutex_lock(&limits->lock);
    int64_t wait = xb_http_bucket_take(&limits->buckets[direction], bytes, xb_clock_mono_ns());
    pthread_mutex_unlock(&limits->lock);
    return wait == 0 || xb_http_retry_sleep((wait + XB_NS_PER_MS - 1) / XB_NS_PER_MS, cancel);
}

bool xb_http_limits_any(const struct xb_http_limits *limits, enum xb_http_direction direction)
{
    return limits && limits->buckets[direction].rate > 0;
}

size_t xb_http_limits_piece(const struct xb_http_limits *limits, enum xb_http_direction direction)
{
    if (!xb_http_limits_any(limits, direction)) {
        return SIZE_MAX;
    }
    uint64_t piece = limits->buckets[direction].rate / 1000 * XB_HTTP_LIMITS_BURST_MS;
    return piece < XB_HTTP_LIMITS_PIECE_BYTES_MIN ? XB_HTTP_LIMITS_PIECE_BYTES_MIN : (size_t)piece;
}

void xb_http_limits_free(struct xb_http_limits *limits)
{
    if (limits) {
        pthread_mutex_destroy(&limits->lock);
        free(limits);
    }
}
