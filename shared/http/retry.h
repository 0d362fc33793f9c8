/* SPDX-License-Identifier: Apache-2.0
 *
 * retry.h - how often and how soon a failed request is tried again.
 *
 * What for:  one policy for all callers: few attempts, doubling delays with jitter so that many
 * agents do not return in step, and the server's Retry-After obeyed up to a ceiling.
 * Threads:   any.  Blocking: xb_http_perform_retry sleeps between attempts (cancellable).
 * Errors:    as xb_http_perform; after the last attempt its failure, or its answer, is handed on.
 * Limits:    XB_HTTP_ATTEMPTS_MAX, XB_HTTP_DELAY_MAX_MS, the policy's budget.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/http/http.h"

enum {
    XB_HTTP_ATTEMPTS_DEFAULT = 5,
    XB_HTTP_ATTEMPTS_MAX = 12,
    XB_HTTP_DELAY_FIRST_MS = 250,
    XB_HTTP_DELAY_MAX_MS = 30 * 1000
};

/* What every attempt passes, for callers that limit how many are under way. */
struct xb_http_gate {
    void *context;
    bool (*enter)(void *context, const atomic_bool *cancel); /* may wait; false: cancelled */
    /* `status` 0: no answer. */
    void (*leave)(void *context, int status, int64_t took_ns);
};

struct xb_http_retry {
    unsigned attempts_max; /* 0: XB_HTTP_ATTEMPTS_DEFAULT; at most XB_HTTP_ATTEMPTS_MAX */
    int delay_first_ms;    /* 0: XB_HTTP_DELAY_FIRST_MS */
    int budget_ms;         /* no attempt begins later than this after the first; 0: no limit */
    bool repeatable;       /* the request may be sent again though the first may have been done
                              (GET and HEAD always may) */
    const struct xb_http_gate *gate; /* NULL: none */
};

/* 408, 429, 500, 502, 503, 504: the same request may do better later. */
bool xb_http_status_passing(int status);

/* The pause after `failures` (>= 1) failures in a row: between half and all of
 * first_ms * 2^(failures-1), capped, and not less than retry_after_ms (capped too; -1: not said).
 */
int64_t xb_http_retry_delay_ms(unsigned failures, int first_ms, int64_t retry_after_ms);

/* Sleeps; false when *cancel (may be NULL) became true meanwhile. */
bool xb_http_retry_sleep(int64_t ms, const atomic_bool *cancel);

/* The attempts of one request, for callers that judge answers themselves:
 *     xb_http_attempts_begin(&attempts, policy);
 *     do { ... } while (passing && xb_http_attempts_again(&attempts, told_ms, cancel));
 */
struct xb_http_attempts {
    unsigned failures, most;
    int delay_first_ms;
    int64_t until_ns; /* monotonic; INT64_MAX: no limit */
};

/* policy NULL: defaults. */
void xb_http_attempts_begin(struct xb_http_attempts *attempts, const struct xb_http_retry *policy);
/* Counts a failure and sleeps before the next attempt (retry_after_ms as above). False: there is no
 * next one, since they are used up, the budget is, or *cancel became true. */
bool xb_http_attempts_again(struct xb_http_attempts *attempts, int64_t retry_after_ms,
                            const atomic_bool *cancel);

/* xb_http_perform, repeated by the policy (NULL: defaults): after RETRY failures when repeatable,
 * after 429 always, after other passing statuses when repeatable. Never repeats once on_data got a
 * byte. */
int xb_http_perform_retry(struct xb_http_client *client, const struct xb_http_request *request,
                          const struct xb_http_retry *policy, struct xb_http_response *ret,
                          struct xb_error *err) XB_MUST_CHECK;
