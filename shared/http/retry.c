/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/retry.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/random.h"

enum { SLEEP_STEP_MS = 50 };

bool xb_http_status_passing(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

int64_t xb_http_retry_delay_ms(unsigned failures, int first_ms, int64_t retry_after_ms)
{
    int64_t delay = first_ms > 0 ? first_ms : XB_HTTP_DELAY_FIRST_MS;
    for (unsigned i = 1; i < failures && delay < XB_HTTP_DELAY_MAX_MS; i++) {
        delay *= 2;
    }
    delay = delay > XB_HTTP_DELAY_MAX_MS ? XB_HTTP_DELAY_MAX_MS : delay;
    uint32_t dice;
    xb_random_bytes(&dice, sizeof dice);
    delay = delay / 2 + (int64_t)(dice % (uint64_t)(delay - delay / 2 + 1));
    int64_t told = retry_after_ms > XB_HTTP_DELAY_MAX_MS ? XB_HTTP_DELAY_MAX_MS : retry_after_ms;
    return delay > told ? delay : told;
}

bool xb_http_retry_sleep(int64_t ms, const atomic_bool *cancel)
{
    int64_t until = xb_clock_mono_ns() + ms * XB_NS_PER_MS;
    for (;;) {
        if (cancel && atomic_load(cancel)) {
            return false;
        }
        int64_t left = until - xb_clock_mono_ns();
        if (left <= 0) {
            return true;
        }
        int64_t step = left < SLEEP_STEP_MS * XB_NS_PER_MS ? left : SLEEP_STEP_MS * XB_NS_PER_MS;
        nanosleep(&(struct timespec){.tv_nsec = step}, NULL);
    }
}

void xb_http_attempts_begin(struct xb_http_attempts *attempts, const struct xb_http_retry *policy)
{
    static const struct xb_http_retry defaults = {.attempts_max = 0};
    policy = policy ? policy : &defaults;
    unsigned most = policy->attempts_max ? policy->attempts_max : XB_HTTP_ATTEMPTS_DEFAULT;
    int64_t budget = policy->budget_ms > 0 ? policy->budget_ms * XB_NS_PER_MS : INT64_MAX / 2;
    *attempts =
        (struct xb_http_attempts){.most = most < XB_HTTP_ATTEMPTS_MAX ? most : XB_HTTP_ATTEMPTS_MAX,
                                  .delay_first_ms = policy->delay_first_ms,
                                  .until_ns = xb_clock_mono_ns() + budget};
}

bool xb_http_attempts_again(struct xb_http_attempts *attempts, int64_t retry_after_ms,
                            const atomic_bool *cancel)
{
    if (++attempts->failures >= attempts->most) {
        return false;
    }
    int64_t pause =
        xb_http_retry_delay_ms(attempts->failures, attempts->delay_first_ms, retry_after_ms);
    return xb_clock_mono_ns() + pause * XB_NS_PER_MS <= attempts->until_ns &&
           xb_http_retry_sleep(pause, cancel);
}

/* Sees whether the caller has got bytes: then the request cannot start over. */
struct watch {
    const struct xb_http_request *request;
    bool handed;
};

static int watch_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct watch *watch = context;
    watch->handed = true;
    return watch->request->on_data(watch->request->context, data, len, err);
}

static void watch_header(void *context, const char *name, const char *value)
{
    struct watch *watch = context;
    watch->request->on_header(watch->request->context, name, value);
}

static bool repeatable(const struct xb_http_request *request, const struct xb_http_retry *policy)
{
    const char *method = request->method ? request->method : "GET";
    return policy->repeatable || strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int attempt(struct xb_http_client *client, const struct xb_http_request *request,
                   const struct xb_http_gate *gate, struct xb_http_response *ret,
                   struct xb_error *err)
{
    if (!gate) {
        return xb_http_perform(client, request, ret, err);
    }
    if (!gate->enter(gate->context, request->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "%.200s: cancelled", request->url);
    }
    int64_t began_ns = xb_clock_mono_ns();
    int r = xb_http_perform(client, request, ret, err);
    gate->leave(gate->context, r == 0 ? ret->status : 0, xb_clock_mono_ns() - began_ns);
    return r;
}

int xb_http_perform_retry(struct xb_http_client *client, const struct xb_http_request *request,
                          const struct xb_http_retry *policy, struct xb_http_response *ret,
                          struct xb_error *err)
{
    static const struct xb_http_retry defaults = {.attempts_max = 0};
    policy = policy ? policy : &defaults;
    struct watch watch = {.request = request};
    struct xb_http_request watched = *request;
    watched.context = &watch;
    watched.on_data = request->on_data ? watch_data : NULL;
    watched.on_header = request->on_header ? watch_header : NULL;
    bool again = repeatable(request, policy);
    struct xb_http_attempts attempts;
    xb_http_attempts_begin(&attempts, policy);
    for (;;) {
        struct xb_http_response response = {.retry_after_ms = -1};
        struct xb_error failure = XB_ERROR_INIT;
        int r = attempt(client, &watched, policy->gate, &response, &failure);
        bool passing =
            r < 0 ? failure.kind == XB_ERR_RETRY && again
                  : response.status == 429 || (again && xb_http_status_passing(response.status));
        if (passing && !watch.handed &&
            xb_http_attempts_again(&attempts, response.retry_after_ms, request->cancel)) {
            xb_http_response_free(&response);
            continue;
        }
        if (passing && request->cancel && atomic_load(request->cancel)) {
            xb_http_response_free(&response);
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "%.200s: cancelled",
                                request->url);
        }
        if (r < 0) {
            *err = failure;
        } else {
            *ret = response;
        }
        return r;
    }
}
