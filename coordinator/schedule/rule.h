/* SPDX-License-Identifier: Apache-2.0
 *
 * rule.h - the rule of a zone for the years that its table does not list; for this folder only.
 *
 * What for:  "CET-1CEST,M3.5.0,M10.5.0/3" says how it goes on, year after year.
 * Ownership: values.    Threads: any.    Blocking: never (pure).
 * Errors:    CORRUPT.
 * Source:    POSIX.1 environment variable TZ, with the wider times of RFC 8536 section 3.3.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum xb_rule_kind { XB_RULE_JULIAN, XB_RULE_DAY, XB_RULE_WEEKDAY };

struct xb_rule_date {
    enum xb_rule_kind kind;
    int32_t day; /* 1..365 without 29 February, 0..365, or 0..6 for Sunday..Saturday */
    int32_t month, week;
    int32_t time_s; /* of the local day; may be of a day before or after */
};

struct xb_rule {
    int32_t standard_s, summer_s; /* east of Greenwich */
    bool has_summer;
    struct xb_rule_date start, end; /* of summer time */
};

int xb_rule_parse(const char *text, size_t len, struct xb_rule *ret,
                  struct xb_error *err) XB_MUST_CHECK;

/* As xb_zone_offset. */
int32_t xb_rule_offset(const struct xb_rule *rule, int64_t utc_s, int64_t *ret_until_s);
