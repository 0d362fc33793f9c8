/* SPDX-License-Identifier: Apache-2.0
 *
 * cron.h - when a schedule comes next.
 *
 * What for:  the expressions that `velero schedule create --schedule` takes: five fields (minute,
 *            hour, day of month, month, day of week) with names, ranges, steps, lists and "?";
 *            "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually",
 *            "@every 1h30m"; and "CRON_TZ=Europe/Berlin " or "TZ=... " before any of them. Without
 *            one, UTC.
 * Ownership: the caller frees the cron.
 * Threads:   any; a cron does not change.
 * Blocking:  xb_cron_parse reads one small file if a zone is named; the rest never (pure).
 * Shapes:    times in seconds since 1970-01-01 UTC.
 * Rules:     if both days are restricted, one of them is enough. A local time that summer time
 *            leaves out does not come; one that comes twice comes twice.
 * Errors:    INVALID, with what is wrong; xb_cron_next: NOT_FOUND, it never comes.
 * Limits:    XB_CRON_*.
 * Source:    github.com/robfig/cron/v3, which Velero's server reads them with.
 */
#pragma once

#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_CRON_TEXT_BYTES_MAX = 512,
    XB_CRON_YEARS_MAX = 10 /* 29 February may be eight years away */
};

struct xb_cron;

/* `zones`: the folder with the time zones' files. */
int xb_cron_parse(const char *text, const char *zones, struct xb_cron **ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_cron_free(struct xb_cron *cron);
XB_DEFINE_CLEANUP(xb_cron_freep, struct xb_cron, xb_cron_free);

/* The first time after `after_s`. */
int xb_cron_next(const struct xb_cron *cron, int64_t after_s, int64_t *ret_s,
                 struct xb_error *err) XB_MUST_CHECK;
