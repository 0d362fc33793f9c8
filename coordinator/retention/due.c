/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/retention/due.h"

#include "shared/base/clock.h"
#include "shared/base/error.h"
#include "shared/codec/text.h"

static int64_t later(int64_t from_ns, int64_t by_ns)
{
    int64_t sum = 0;
    return __builtin_add_overflow(from_ns, by_ns, &sum) ? XB_DUE_NEVER : sum;
}

int64_t xb_due_collect(const char *expiration, int64_t last_ns, int64_t every_ns)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t expires_ns = 0;
    if (xb_time_parse(expiration, &expires_ns, &ignored) < 0) {
        return XB_DUE_NEVER;
    }
    int64_t again_ns = last_ns ? later(last_ns, every_ns) : 0;
    return expires_ns > again_ns ? expires_ns : again_ns;
}

int64_t xb_due_sync(const struct xb_due_sync *facts)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t period_ns = facts->period_ns;
    int64_t said_ns = 0;
    int64_t synced_ns = 0;
    if (facts->period && xb_duration_parse(facts->period, &said_ns, &ignored) == 0 &&
        said_ns >= 0) {
        period_ns = said_ns;
    }
    if (period_ns <= 0) {
        return XB_DUE_NEVER;
    }
    if (!facts->synced || xb_time_parse(facts->synced, &synced_ns, &ignored) < 0 ||
        synced_ns > facts->now_ns) {
        synced_ns = 0;
    }
    int64_t last_ns = facts->last_ns > facts->now_ns ? 0 : facts->last_ns;
    last_ns = synced_ns > last_ns ? synced_ns : last_ns;
    return last_ns ? later(last_ns, period_ns) : facts->now_ns;
}

int64_t xb_due_validation(const struct xb_due_validation *facts)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t every_ns = facts->frequency_ns;
    int64_t said_ns = 0;
    int64_t last_ns = 0;
    if (facts->frequency && xb_duration_parse(facts->frequency, &said_ns, &ignored) == 0 &&
        (said_ns == 0 || said_ns >= XB_NS_PER_S)) {
        every_ns = said_ns;
    }
    if (!facts->validated || xb_time_parse(facts->validated, &last_ns, &ignored) < 0) {
        return facts->now_ns;
    }
    if (every_ns <= 0) {
        return XB_DUE_NEVER;
    }
    return last_ns > later(facts->now_ns, every_ns) ? facts->now_ns : later(last_ns, every_ns);
}

enum xb_due_default xb_due_default(const struct xb_due_default_facts *facts)
{
    if (facts->is_default) {
        return facts->younger > 0 ? XB_DUE_DEFAULT_UNSET : XB_DUE_DEFAULT_KEEP;
    }
    return facts->named && facts->others == 0 ? XB_DUE_DEFAULT_SET : XB_DUE_DEFAULT_KEEP;
}
