/* SPDX-License-Identifier: Apache-2.0
 *
 * due.h - what a schedule needs next, decided from facts alone.
 *
 * What for:  the rule of Velero's schedules as a function without any I/O. Runs that were missed
 *            while nobody looked become one; a clock that was wrong does not end a schedule.
 * Ownership: facts lend.    Threads: any.    Blocking: never (pure).
 * Source:    velero-contract section 3, "Schedule".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/schedule/cron.h"

enum {
    /* Clocks of coordinators may differ by this without anybody having set one back. */
    XB_SCHEDULE_SKEW_S = 300
};

#define XB_SCHEDULE_NEVER INT64_MIN

enum xb_schedule_step {
    XB_SCHEDULE_NONE,   /* nothing until the object or one of its backups changes */
    XB_SCHEDULE_WAIT,   /* until at_s */
    XB_SCHEDULE_SKIP,   /* the run that is due, or the first one, is left out */
    XB_SCHEDULE_REWIND, /* what is noted lies in the future: note the present instead */
    XB_SCHEDULE_RUN     /* make a backup, for at_s */
};

struct xb_schedule_facts {
    const struct xb_cron *cron; /* NULL: it is none */
    bool paused;
    bool skip; /* once, when it is not paused */
    bool busy; /* one of its backups has not ended */
    int64_t now_s, created_s;
    int64_t last_backup_s, last_skipped_s; /* XB_SCHEDULE_NEVER: none */
};

struct xb_schedule_result {
    enum xb_schedule_step step;
    int64_t at_s;
};

struct xb_schedule_result xb_schedule_next(const struct xb_schedule_facts *facts);
