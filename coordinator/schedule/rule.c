/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/schedule/rule.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
    HOUR_S = 3600,
    DAY_S = 86400,
    OFFSET_HOURS_MAX = 24,
    TIME_HOURS_MAX = 167,
    DEFAULT_TIME_S = 2 * HOUR_S,
    NAME_BYTES_MIN = 3
};

/* A rule is for schedules: what lies beyond tens of thousands of years needs no summer time. */
#define RULE_TIME_MAX_S (INT64_C(1) << 40)

/* ---- reading ---- */

struct reader {
    const char *at, *end;
};

static bool take(struct reader *reader, char c)
{
    bool there = reader->at < reader->end && *reader->at == c;
    reader->at += there;
    return there;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "CET" or "<+03>". */
static bool skip_name(struct reader *reader)
{
    const char *begin = reader->at;
    if (take(reader, '<')) {
        while (reader->at < reader->end && (is_letter(*reader->at) || is_digit(*reader->at) ||
                                            *reader->at == '+' || *reader->at == '-')) {
            reader->at++;
        }
        return reader->at > begin + NAME_BYTES_MIN && take(reader, '>');
    }
    while (reader->at < reader->end && is_letter(*reader->at)) {
        reader->at++;
    }
    return reader->at >= begin + NAME_BYTES_MIN;
}

static bool take_number(struct reader *reader, int32_t min, int32_t max, int32_t *ret)
{
    const char *begin = reader->at;
    int32_t value = 0;
    while (reader->at < reader->end && is_digit(*reader->at) && reader->at < begin + 3) {
        value = value * 10 + (*reader->at++ - '0');
    }
    *ret = value;
    return reader->at > begin && value >= min && value <= max;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool take_time(struct reader *reader, int32_t hours_max, int32_t *ret_s)
{
    int32_t hours = 0, minutes = 0, seconds = 0;
    bool minus = take(reader, '-');
    if (!minus) {
        (void)take(reader, '+');
    }
    if (!take_number(reader, 0, hours_max, &hours) ||
        (take(reader, ':') && !take_number(reader, 0, 59, &minutes)) ||
        (take(reader, ':') && !take_number(reader, 0, 59, &seconds))) {
        return false;
    }
    int32_t value = hours * HOUR_S + minutes * 60 + seconds;
    *ret_s = minus ? -value : value;
    return true;
}

static bool take_date(struct reader *reader, struct xb_rule_date *date)
{
    date->time_s = DEFAULT_TIME_S;
    bool good = take(reader, ',');
    if (good && take(reader, 'M')) {
        date->kind = XB_RULE_WEEKDAY;
        good = take_number(reader, 1, 12, &date->month) && take(reader, '.') &&
               take_number(reader, 1, 5, &date->week) && take(reader, '.') &&
               take_number(reader, 0, 6, &date->day);
    } else if (good && take(reader, 'J')) {
        date->kind = XB_RULE_JULIAN;
        good = take_number(reader, 1, 365, &date->day);
    } else if (good) {
        date->kind = XB_RULE_DAY;
        good = take_number(reader, 0, 365, &date->day);
    }
    return good && (!take(reader, '/') || take_time(reader, TIME_HOURS_MAX, &date->time_s));
}

static bool read_rule(struct reader *reader, struct xb_rule *rule)
{
    int32_t west_s = 0;
    if (!skip_name(reader) || !take_time(reader, OFFSET_HOURS_MAX, &west_s)) {
        return false;
    }
    rule->standard_s = -west_s;
    if (reader->at == reader->end) {
        return true;
    }
    rule->has_summer = true;
    if (!skip_name(reader)) {
        return false;
    }
    rule->summer_s = rule->standard_s + HOUR_S;
    if (reader->at < reader->end && *reader->at != ',') {
        if (!take_time(reader, OFFSET_HOURS_MAX, &west_s)) {
            return false;
        }
        rule->summer_s = -west_s;
    }
    return take_date(reader, &rule->start) && take_date(reader, &rule->end) &&
           reader->at == reader->end;
}

int xb_rule_parse(const char *text, size_t len, struct xb_rule *ret, struct xb_error *err)
{
    struct reader reader = {text, text + len};
    struct xb_rule rule = {.has_summer = false};
    if (!read_rule(&reader, &rule)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the rule at the end of a time zone's file makes no sense");
    }
    *ret = rule;
    return 0;
}

/* ---- asking ---- */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* When the day of a rule begins in a year, as if the place were Greenwich. */
static int64_t day_begin(const struct xb_rule_date *date, int year)
{
    struct tm first = {.tm_year = year - 1900, .tm_mday = 1};
    if (date->kind != XB_RULE_WEEKDAY) {
        int32_t day = date->kind == XB_RULE_DAY
                          ? date->day
                          : date->day - 1 + (date->day >= 60 && is_leap(year));
        return (int64_t)timegm(&first) + (int64_t)day * DAY_S;
    }
    first.tm_mon = date->month - 1;
    int64_t month_begin = timegm(&first); /* sets tm_wday, too */
    int32_t day = (date->day - first.tm_wday + 7) % 7 + (date->week - 1) * 7;
    struct tm next = {.tm_year = year - 1900, .tm_mon = date->month, .tm_mday = 1};
    int64_t month_end = timegm(&next);
    while (month_begin + (int64_t)day * DAY_S >= month_end) {
        day -= 7; /* week 5 is the last one */
    }
    return month_begin + (int64_t)day * DAY_S;
}

int32_t xb_rule_offset(const struct xb_rule *rule, int64_t utc_s, int64_t *ret_until_s)
{
    int64_t last_s = INT64_MIN, next_s = INT64_MAX;
    int32_t offset_s = rule->standard_s;
    struct tm now;
    time_t at = (time_t)utc_s;
    if (!rule->has_summer || utc_s > RULE_TIME_MAX_S || utc_s < -RULE_TIME_MAX_S ||
        !gmtime_r(&at, &now)) {
        *ret_until_s = INT64_MAX;
        return offset_s;
    }
    for (int year = now.tm_year + 1899; year <= now.tm_year + 1901; year++) {
        /* The end first: where summer ends and begins at one moment, it goes on. */
        const struct {
            int64_t at_s;
            int32_t offset_s;
        } changes[] = {
            {day_begin(&rule->end, year) + rule->end.time_s - rule->summer_s, rule->standard_s},
            {day_begin(&rule->start, year) + rule->start.time_s - rule->standard_s,
             rule->summer_s}};
        for (int i = 0; i < 2; i++) {
            if (changes[i].at_s <= utc_s && changes[i].at_s >= last_s) {
                last_s = changes[i].at_s;
                offset_s = changes[i].offset_s;
            } else if (changes[i].at_s > utc_s && changes[i].at_s < next_s) {
                next_s = changes[i].at_s;
            }
        }
    }
    *ret_until_s = next_s;
    return offset_s;
}
