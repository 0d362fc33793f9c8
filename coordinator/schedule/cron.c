/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/schedule/cron.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "coordinator/schedule/zone.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { FIELDS = 5, NUMBER_DIGITS_MAX = 4, NAME_BYTES = 3 };
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

#define YEAR_S (INT64_C(366) * 86400)
/* Times of year 9999: beyond, nothing is computed. */
#define TIME_MAX_S INT64_C(253402300799)

struct field {
    uint64_t values; /* bit n: n is one of them */
    bool all;        /* a "*" or "?" was among its parts */
};

struct xb_cron {
    int64_t every_s; /* 0: by fields */
    struct field fields[FIELDS];
    struct xb_zone *zone; /* NULL: UTC */
};

struct bounds {
    const char *what;
    unsigned min, max;
    const char *names; /* of three letters each, the first one for `min` */
};

static const struct bounds bounds[FIELDS] = {
    [MINUTE] = {"minute", 0, 59, ""},
    [HOUR] = {"hour", 0, 23, ""},
    [DAY] = {"day of month", 1, 31, ""},
    [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    [WEEKDAY] = {"day of week", 0, 6, "sunmontuewedthufrisat"},
};

/* ---- reading ---- */

/* A piece of the text, not ended by a NUL. */
struct piece {
    const char *at;
    size_t len;
};

static int refuse(struct xb_error *err, const struct bounds *of, struct piece piece,
                  const char *why)
{
    int shown = piece.len < 80 ? (int)piece.len : 80;
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s \"%.*s\": %s", of->what, shown, piece.at,
                        why);
}

/* Cuts off what stands before the first `c`; without one, everything. True if there was one. */
static bool cut(struct piece *rest, char c, struct piece *ret)
{
    const char *found = rest->len > 0 ? memchr(rest->at, c, rest->len) : NULL;
    size_t len = found ? (size_t)(found - rest->at) : rest->len;
    *ret = (struct piece){rest->at, len};
    rest->at += len + (found != NULL);
    rest->len -= len + (found != NULL);
    return found != NULL;
}

static bool read_number(struct piece piece, unsigned *ret)
{
    unsigned value = 0;
    if (piece.len == 0 || piece.len > NUMBER_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.at[i] < '0' || piece.at[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(piece.at[i] - '0');
    }
    *ret = value;
    return true;
}

static bool read_value(const struct bounds *of, struct piece piece, unsigned *ret)
{
    for (unsigned i = 0; piece.len == NAME_BYTES && of->names[i * NAME_BYTES]; i++) {
        if (strncasecmp(piece.at, of->names + (size_t)i * NAME_BYTES, NAME_BYTES) == 0) {
            *ret = of->min + i;
            return true;
        }
    }
    return read_number(piece, ret);
}

/* "*", "?", "5", "1-5", each perhaps with "/step"; "5/15" is "5-59/15". */
static int read_part(const struct bounds *of, struct piece part, struct field *field,
                     struct xb_error *err)
{
    struct piece rest = part, range, low;
    unsigned first = of->min, last = of->max, step = 1;
    bool stepped = cut(&rest, '/', &range);
    if (stepped && (!read_number(rest, &step) || step == 0)) {
        return refuse(err, of, part, "a step is a number of 1 or more");
    }
    bool any = range.len == 1 && (range.at[0] == '*' || range.at[0] == '?');
    if (!any) {
        bool two = cut(&range, '-', &low);
        if (!read_value(of, low, &first) || (two && !read_value(of, range, &last))) {
            return refuse(err, of, part, "not a number, a range or a name that can stand here");
        }
        last = two || stepped ? last : first;
    }
    if (first < of->min || last > of->max) {
        return refuse(err, of, part, "outside of what there is");
    }
    if (first > last) {
        return refuse(err, of, part, "a range ends before it begins");
    }
    for (unsigned value = first; value <= last; value += step) {
        field->values |= UINT64_C(1) << value;
    }
    field->all = field->all || (any && step == 1);
    return 0;
}

static int read_field(const struct bounds *of, struct piece text, struct field *field,
                      struct xb_error *err)
{
    struct piece rest = text, part;
    bool more;
    do {
        more = cut(&rest, ',', &part);
        int r = read_part(of, part, field, err);
        if (r < 0) {
            return r;
        }
    } while (more);
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *skip_space(const char *text)
{
    while (is_space(*text)) {
        text++;
    }
    return text;
}

static int read_fields(const char *text, struct xb_cron *cron, struct xb_error *err)
{
    struct piece found[FIELDS];
    size_t count = 0;
    for (const char *at = skip_space(text); *at; at = skip_space(at), count++) {
        const char *begin = at;
        while (*at && !is_space(*at)) {
            at++;
        }
        if (count < FIELDS) {
            found[count] = (struct piece){begin, (size_t)(at - begin)};
        }
    }
    if (count != FIELDS) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "%zu fields instead of five: minute, hour, day of month, month, day of "
                            "week",
                            count);
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < FIELDS; i++) {
        r = read_field(&bounds[i], found[i], &cron->fields[i], err);
    }
    return r;
}

static int read_every(const char *text, struct xb_cron *cron, struct xb_error *err)
{
    int64_t every_ns = 0;
    int r = xb_duration_parse(skip_space(text), &every_ns, err);
    if (r < 0) {
        return r;
    }
    if (every_ns <= 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "@every needs a time that goes forward");
    }
    cron->every_s = every_ns < XB_NS_PER_S ? 1 : every_ns / XB_NS_PER_S;
    return 0;
}

static int read_descriptor(const char *text, struct xb_cron *cron, struct xb_error *err)
{
    static const struct {
        const char *name, *fields;
    } known[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) == 0) {
            return read_fields(known[i].fields, cron, err);
        }
    }
    if (strncmp(text, "@every ", 7) == 0) {
        return read_every(text + 7, cron, err);
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "\"%.80s\" is none of @every <duration>, @hourly, @daily, @midnight, "
                        "@weekly, @monthly, @yearly, @annually",
                        text);
}

/* "CRON_TZ=<zone> " or "TZ=<zone> "; *text then stands behind it. */
static int read_zone(const char **text, const char *zones, struct xb_cron *cron,
                     struct xb_error *err)
{
    char name[XB_ZONE_NAME_BYTES];
    bool there = strncmp(*text, "TZ=", 3) == 0 || strncmp(*text, "CRON_TZ=", 8) == 0;
    if (!there) {
        return 0;
    }
    const char *begin = strchr(*text, '=') + 1;
    size_t len = strcspn(begin, " ");
    if (begin[len] == '\0' || len >= sizeof name) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a time zone and a space come before the schedule");
    }
    memcpy(name, begin, len);
    name[len] = '\0';
    *text = skip_space(begin + len);
    if (len == 0 || strcmp(name, "UTC") == 0) {
        return 0;
    }
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_zone_load(zones, name, &cron->zone, &why);
    return r < 0 ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "time zone %s: %s", name,
                                why.kind == XB_ERR_NOT_FOUND ? "there is none of this name"
                                                             : why.text)
                 : 0;
}

int xb_cron_parse(const char *text, const char *zones, struct xb_cron **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_cron_freep) struct xb_cron *cron = calloc(1, sizeof *cron);
    int64_t next_s = 0;
    if (!cron) {
        return xb_error_no_memory(err, "a schedule");
    }
    if (strlen(text) > XB_CRON_TEXT_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "more than %d characters",
                            XB_CRON_TEXT_BYTES_MAX);
    }
    int r = read_zone(&text, zones, cron, err);
    if (r < 0 || (r = text[0] == '@' ? read_descriptor(text, cron, err)
                                     : read_fields(text, cron, err)) < 0) {
        return r;
    }
    /* From any day on the calendar offers the same in some years. */
    struct xb_error never = XB_ERROR_INIT;
    if (xb_cron_next(cron, 0, &next_s, &never) < 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", never.text);
    }
    *ret = XB_TAKE(cron);
    return 0;
}

void xb_cron_free(struct xb_cron *cron)
{
    if (cron) {
        xb_zone_free(cron->zone);
        free(cron);
    }
}

/* ---- next ---- */

static bool has(const struct field *field, int value)
{
    return (field->values >> value & 1) != 0;
}

static bool day_fits(const struct xb_cron *cron, const struct tm *tm)
{
    const struct field *day = &cron->fields[DAY], *weekday = &cron->fields[WEEKDAY];
    bool by_day = has(day, tm->tm_mday), by_weekday = has(weekday, tm->tm_wday);
    return day->all || weekday->all ? by_day && by_weekday : by_day || by_weekday;
}

/* Moves to the beginning of the next month, day, hour or minute if the present one does not fit. */
static bool fits_or_moves(const struct xb_cron *cron, struct tm *tm)
{
    if (!has(&cron->fields[MONTH], tm->tm_mon + 1)) {
        tm->tm_mon++;
        tm->tm_mday = 1;
        tm->tm_hour = 0;
        tm->tm_min = 0;
    } else if (!day_fits(cron, tm)) {
        tm->tm_mday++;
        tm->tm_hour = 0;
        tm->tm_min = 0;
    } else if (!has(&cron->fields[HOUR], tm->tm_hour)) {
        tm->tm_hour++;
        tm->tm_min = 0;
    } else if (!has(&cron->fields[MINUTE], tm->tm_min)) {
        tm->tm_min++;
    } else {
        return true;
    }
    return false;
}

/* The first fitting local time from `from_s` on and before `limit_s`, in a time without changes of
 * the offset: local times are then as good as UTC. */
static bool find(const struct xb_cron *cron, int64_t from_s, int64_t limit_s, int64_t *ret_s)
{
    int64_t at_s = from_s + (60 - from_s % 60) % 60;
    while (at_s < limit_s) {
        struct tm tm;
        time_t at = (time_t)at_s;
        if (!gmtime_r(&at, &tm)) {
            return false;
        }
        if (fits_or_moves(cron, &tm)) {
            *ret_s = at_s;
            return true;
        }
        at_s = timegm(&tm);
    }
    return false;
}

int xb_cron_next(const struct xb_cron *cron, int64_t after_s, int64_t *ret_s, struct xb_error *err)
{
    if (after_s < -TIME_MAX_S || after_s > TIME_MAX_S) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ERANGE, "there is no time after that");
    }
    if (cron->every_s > 0) {
        *ret_s = after_s + cron->every_s;
        return 0;
    }
    const int64_t end_s = after_s + XB_CRON_YEARS_MAX * YEAR_S;
    int64_t from_s = after_s + 1;
    while (from_s < end_s) {
        int64_t until_s = INT64_MAX, found_s = 0;
        int32_t offset_s = cron->zone ? xb_zone_offset(cron->zone, from_s, &until_s) : 0;
        until_s = until_s < end_s ? until_s : end_s;
        if (find(cron, from_s + offset_s, until_s + offset_s, &found_s)) {
            *ret_s = found_s - offset_s;
            return 0;
        }
        from_s = until_s;
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                        "it does not come once in ten years: is there such a day?");
}
