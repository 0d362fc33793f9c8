/* SPDX-License-Identifier: Apache-2.0
 * Times as text (text.h). Directory objects hold two for each entry, so that reading and writing
 * them is arithmetic on digits. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { SECONDS_BYTES = 20 }; /* of a time without a fraction, with the Z */

/* Floor division, for times before 1970. */
static void split_ns(int64_t ns, int64_t *seconds, int64_t *fraction)
{
    *seconds = ns / XB_NS_PER_S;
    *fraction = ns % XB_NS_PER_S;
    if (*fraction < 0) {
        *fraction += XB_NS_PER_S;
        *seconds -= 1;
    }
}

static char *put_digits(char *out, int64_t value, int digits)
{
    for (int i = digits; i-- > 0; value /= 10) {
        out[i] = (char)('0' + value % 10);
    }
    return out + digits;
}

/* The date of a day since 1970-01-01, by the calendar's period of 400 years, which begins in March.
 */
static void date_of(int64_t day, int64_t *ret_year, int64_t *ret_month, int64_t *ret_mday)
{
    enum { PERIOD_DAYS = 146097, CENTURY_DAYS = 36524, EPOCH_DAYS = 719468 };
    day += EPOCH_DAYS;
    int64_t period = (day >= 0 ? day : day - (PERIOD_DAYS - 1)) / PERIOD_DAYS;
    int64_t of_period = day - period * PERIOD_DAYS;
    int64_t year =
        (of_period - of_period / 1460 + of_period / CENTURY_DAYS - of_period / (PERIOD_DAYS - 1)) /
        365;
    int64_t of_year = of_period - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* from March on */
    *ret_mday = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = year + period * 400 + (*ret_month <= 2);
}

/* The reverse. */
static int64_t day_of(int64_t year, int64_t month, int64_t mday)
{
    year -= month <= 2;
    int64_t period = (year >= 0 ? year : year - 399) / 400;
    int64_t of_period = year - period * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + mday - 1;
    return period * 146097 + of_period * 365 + of_period / 4 - of_period / 100 + of_year - 719468;
}

void xb_time_format_seconds(int64_t ns, char out[XB_TIME_TEXT_BYTES])
{
    enum { DAY_S = 86400 };
    int64_t seconds, fraction, year, month, mday;
    split_ns(ns, &seconds, &fraction);
    int64_t day = (seconds >= 0 ? seconds : seconds - (DAY_S - 1)) / DAY_S;
    int64_t of_day = seconds - day * DAY_S;
    date_of(day, &year, &month, &mday);
    const struct {
        int64_t value;
        int digits;
        char behind;
    } parts[] = {{year, 4, '-'},
                 {month, 2, '-'},
                 {mday, 2, 'T'},
                 {of_day / 3600, 2, ':'},
                 {of_day / 60 % 60, 2, ':'},
                 {of_day % 60, 2, 'Z'}};
    char *at = out;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = put_digits(at, parts[i].value, parts[i].digits);
        *at++ = parts[i].behind;
    }
    *at = '\0';
}

void xb_time_format_micro(int64_t ns, char out[XB_TIME_TEXT_BYTES])
{
    int64_t seconds, fraction;
    split_ns(ns, &seconds, &fraction);
    xb_time_format_seconds(ns, out);
    size_t len = strlen(out) - 1; /* over the Z */
    snprintf(out + len, XB_TIME_TEXT_BYTES - len, ".%06dZ", (int)(fraction / 1000));
}

void xb_time_format(int64_t ns, char out[XB_TIME_TEXT_BYTES])
{
    int64_t seconds, fraction;
    split_ns(ns, &seconds, &fraction);
    xb_time_format_seconds(ns, out);
    if (fraction == 0) {
        return;
    }
    size_t len = SECONDS_BYTES - 1; /* over the Z */
    out[len++] = '.';
    put_digits(out + len, fraction, 9);
    len += 9;
    while (out[len - 1] == '0') {
        len--;
    }
    out[len] = 'Z';
    out[len + 1] = '\0';
}

/* Reads exactly `digits` decimal digits. */
static bool read_digits(const char **text, int digits, int *ret)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**text)) {
            return false;
        }
        value = value * 10 + (**text - '0');
        (*text)++;
    }
    *ret = value;
    return true;
}

static bool read_char(const char **text, const char *allowed)
{
    if (**text == '\0' || !strchr(allowed, **text)) {
        return false;
    }
    (*text)++;
    return true;
}

static bool read_fraction(const char **text, int64_t *ret_ns)
{
    int64_t scale = XB_NS_PER_S;
    *ret_ns = 0;
    if (**text != '.') {
        return true;
    }
    (*text)++;
    int digits = 0;
    for (; isdigit((unsigned char)**text); (*text)++, digits++) {
        if (digits < 9) {
            scale /= 10;
            *ret_ns += (**text - '0') * scale;
        }
    }
    return digits > 0 && digits <= 32;
}

static bool read_zone(const char **text, int *ret_seconds)
{
    int hours, minutes;
    *ret_seconds = 0;
    if (read_char(text, "Zz")) {
        return true;
    }
    int sign = **text == '-' ? -1 : 1;
    if (!read_char(text, "+-") || !read_digits(text, 2, &hours) || !read_char(text, ":") ||
        !read_digits(text, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool date_valid(const struct tm *tm)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_hour > 23 || tm->tm_min > 59 ||
        tm->tm_sec > 60) {
        return false;
    }
    int year = tm->tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int days = month_days[tm->tm_mon] + (tm->tm_mon == 1 && leap);
    return tm->tm_mday >= 1 && tm->tm_mday <= days;
}

/* `digits` decimal digits; -1: they are none. */
static int64_t number_at(const char *text, size_t digits)
{
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9) {
            return -1;
        }
        value = value * 10 + digit;
    }
    return value;
}

bool xb_time_read(const char *text, size_t len, int64_t *ret_ns)
{
    enum { DIGITS_MAX = 9 };
    if (len < SECONDS_BYTES || len > SECONDS_BYTES + 1 + DIGITS_MAX || text[len - 1] != 'Z' ||
        text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
        return false;
    }
    int64_t year = number_at(text, 4), month = number_at(text + 5, 2), day = number_at(text + 8, 2);
    int64_t hour = number_at(text + 11, 2), minute = number_at(text + 14, 2);
    int64_t second = number_at(text + 17, 2), fraction = 0;
    if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || minute < 0 || second < 0 ||
        second > 59) {
        return false;
    }
    const struct tm tm = {.tm_year = (int)year - 1900,
                          .tm_mon = (int)month - 1,
                          .tm_mday = (int)day,
                          .tm_hour = (int)hour,
                          .tm_min = (int)minute};
    if (len > SECONDS_BYTES) {
        size_t digits = len - SECONDS_BYTES - 1;
        fraction = text[19] == '.' && digits > 0 ? number_at(text + 20, digits) : -1;
        if (fraction < 0 || fraction % 10 == 0) {
            return false;
        }
        for (size_t i = digits; i < DIGITS_MAX; i++) {
            fraction *= 10;
        }
    }
    int64_t ns = day_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    if (!date_valid(&tm) || __builtin_mul_overflow(ns, XB_NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, fraction, &ns)) {
        return false;
    }
    *ret_ns = ns;
    return true;
}

int xb_time_parse(const char *text, int64_t *ret_ns, struct xb_error *err)
{
    struct tm tm = {.tm_isdst = 0};
    int zone;
    int64_t fraction;
    const char *next = text;
    bool good = read_digits(&next, 4, &tm.tm_year) && read_char(&next, "-") &&
                read_digits(&next, 2, &tm.tm_mon) && read_char(&next, "-") &&
                read_digits(&next, 2, &tm.tm_mday) && read_char(&next, "Tt ") &&
                read_digits(&next, 2, &tm.tm_hour) && read_char(&next, ":") &&
                read_digits(&next, 2, &tm.tm_min) && read_char(&next, ":") &&
                read_digits(&next, 2, &tm.tm_sec) && read_fraction(&next, &fraction) &&
                read_zone(&next, &zone) && *next == '\0';
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!good || !date_valid(&tm)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not an RFC 3339 time");
    }
    int64_t seconds = (int64_t)timegm(&tm) - zone;
    int64_t ns;
    if (__builtin_mul_overflow(seconds, XB_NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, fraction, &ns)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -ERANGE, "a time outside the years 1677 to 2262");
    }
    *ret_ns = ns;
    return 0;
}
