/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/schedule/due.h"

struct xb_schedule_result xb_schedule_next(const struct xb_schedule_facts *facts)
{
    struct xb_schedule_result result = {.step = XB_SCHEDULE_NONE};
    struct xb_error never = XB_ERROR_INIT;
    int64_t next_s = 0;
    if (!facts->cron || facts->paused) {
        return result;
    }
    if (facts->skip) {
        result.step = XB_SCHEDULE_SKIP;
        return result;
    }
    const int64_t future_s = facts->now_s + XB_SCHEDULE_SKEW_S;
    int64_t last_s = facts->last_backup_s;
    if (last_s == XB_SCHEDULE_NEVER &&
        (facts->created_s <= future_s || facts->last_skipped_s == XB_SCHEDULE_NEVER)) {
        last_s = facts->created_s; /* which nobody can set back */
    }
    last_s = facts->last_skipped_s > last_s ? facts->last_skipped_s : last_s;
    if (last_s > future_s) {
        result.step = XB_SCHEDULE_REWIND;
        return result;
    }
    if (xb_cron_next(facts->cron, last_s, &next_s, &never) < 0) {
        return result;
    }
    result.at_s = next_s;
    if (next_s > facts->now_s) {
        result.step = XB_SCHEDULE_WAIT;
    } else if (!facts->busy) {
        result.step = XB_SCHEDULE_RUN;
    }
    return result;
}
