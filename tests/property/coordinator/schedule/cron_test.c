/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever the expression, the moment and the zone: the next time is later, it fits in every field
 * as the C library sees the local time, and no minute before it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/schedule/cron.h"
#include "coordinator/schedule/zone.h"
#include "tests/harness/property.h"

enum { EXPRESSIONS = 100, MOMENTS = 20, MINUTES_MAX = 1500, FIELDS = 5 };

static const char *const zones[] = {"UTC",           "Europe/Berlin",   "America/New_York",
                                    "Asia/Kolkata",  "Asia/Gaza",       "Australia/Lord_Howe",
                                    "Europe/Dublin", "America/Santiago"};
static const unsigned min[FIELDS] = {0, 0, 1, 1, 0}, max[FIELDS] = {59, 23, 31, 12, 6};

/* An expression, and what it means, made together. */
struct made {
    char text[512];
    uint64_t values[FIELDS];
    bool all[FIELDS];
};

static void add_part(struct property *source, struct made *made, unsigned field)
{
    static const char *const months[] = {"",    "Jan", "feb", "MAR", "apr", "may", "jun",
                                         "jul", "aug", "sep", "oct", "nov", "Dec"};
    char *end = made->text + strlen(made->text);
    size_t room = sizeof made->text - (size_t)(end - made->text);
    unsigned count = max[field] - min[field] + 1;
    unsigned first = min[field] + (unsigned)property_below(source, count);
    unsigned last = first + (unsigned)property_below(source, max[field] - first + 1);
    unsigned step = 1 + (unsigned)property_below(source, count);
    switch (property_below(source, 6)) {
    case 0:
        snprintf(end, room, "%s", property_once_in(source, 2) ? "*" : "?");
        first = min[field], last = max[field], step = 1;
        made->all[field] = true;
        break;
    case 1:
        snprintf(end, room, "*/%u", step);
        first = min[field], last = max[field];
        made->all[field] = made->all[field] || step == 1;
        break;
    case 2:
        snprintf(end, room, "%u-%u/%u", first, last, step);
        break;
    case 3:
        snprintf(end, room, "%u/%u", first, step);
        last = max[field];
        break;
    case 4:
        if (field == 3) {
            snprintf(end, room, "%s", months[first]);
        } else {
            snprintf(end, room, "%u", first);
        }
        last = first, step = 1;
        break;
    default:
        snprintf(end, room, "%u-%u", first, last);
        step = 1;
    }
    for (unsigned value = first; value <= last; value += step) {
        made->values[field] |= UINT64_C(1) << value;
    }
}

static struct made make(struct property *source, const char *zone)
{
    struct made made = {.text = ""};
    snprintf(made.text, sizeof made.text, "CRON_TZ=%s", zone);
    for (unsigned field = 0; field < FIELDS; field++) {
        strcat(made.text, " ");
        /* Half of the fields say nothing, so that something comes soon. */
        if (property_once_in(source, 2)) {
            strcat(made.text, "*");
            made.all[field] = true;
            made.values[field] = ~UINT64_C(0);
            continue;
        }
        for (uint64_t parts = 1 + property_below(source, 3); parts > 0; parts--) {
            add_part(source, &made, field);
            strcat(made.text, parts > 1 ? "," : "");
        }
    }
    return made;
}

static bool fits(const struct made *made, int64_t at_s)
{
    struct tm tm;
    time_t at = at_s;
    assert_non_null(localtime_r(&at, &tm));
    bool day = made->values[2] >> tm.tm_mday & 1, weekday = made->values[4] >> tm.tm_wday & 1;
    return tm.tm_sec == 0 && (made->values[0] >> tm.tm_min & 1) &&
           (made->values[1] >> tm.tm_hour & 1) && (made->values[3] >> (tm.tm_mon + 1) & 1) &&
           (made->all[2] || made->all[4] ? day && weekday : day || weekday);
}

/* From 2000 to 2090, and often near a change of the offset. */
static int64_t moment(struct property *source, const struct xb_zone *zone)
{
    int64_t at_s = INT64_C(946684800) + (int64_t)property_below(source, UINT64_C(2840140800));
    int64_t until_s = INT64_MAX;
    if (property_once_in(source, 2)) {
        (void)xb_zone_offset(zone, at_s, &until_s);
    }
    return until_s == INT64_MAX ? at_s
                                : until_s + 7200 - (int64_t)property_below(source, 3 * 86400);
}

static void check_next(const struct xb_cron *cron, const struct made *made, int64_t now_s)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t next_s = 0;
    assert_int_equal(xb_cron_next(cron, now_s, &next_s, &err), 0);
    assert_true(next_s > now_s);
    if (!fits(made, next_s)) {
        fail_msg("%s after %lld: %lld does not fit", made->text, (long long)now_s,
                 (long long)next_s);
    }
    int64_t at_s = now_s + 60 - now_s % 60;
    for (int i = 0; i < MINUTES_MAX && at_s < next_s; i++, at_s += 60) {
        if (fits(made, at_s)) {
            fail_msg("%s after %lld: %lld was left out", made->text, (long long)now_s,
                     (long long)at_s);
        }
    }
    for (at_s = next_s - 60; at_s > now_s && at_s > next_s - 60 * MINUTES_MAX; at_s -= 60) {
        assert_false(fits(made, at_s));
    }
}

static void next(void **state)
{
    struct property source = property_begin("cron");
    size_t taken = 0;
    (void)state;
    for (int i = 0; i < EXPRESSIONS; i++) {
        const char *name = zones[property_below(&source, sizeof zones / sizeof *zones)];
        const struct made made = make(&source, name);
        XB_CLEANUP(xb_cron_freep) struct xb_cron *cron = NULL;
        XB_CLEANUP(xb_zone_freep) struct xb_zone *zone = NULL;
        struct xb_error err = XB_ERROR_INIT;
        assert_int_equal(setenv("TZ", name, 1), 0);
        tzset();
        assert_int_equal(xb_zone_load(XB_ZONE_FOLDER, name, &zone, &err), 0);
        if (xb_cron_parse(made.text, XB_ZONE_FOLDER, &cron, &err) < 0) {
            assert_non_null(strstr(err.text, "does not come")); /* 30 February */
            continue;
        }
        taken++;
        for (int j = 0; j < MOMENTS; j++) {
            check_next(cron, &made, moment(&source, zone));
        }
    }
    assert_true(taken > EXPRESSIONS / 2);
}

/* One character changed: refused, or another expression whose next time is later all the same. */
static void altered(void **state)
{
    struct property source = property_begin("cron altered");
    (void)state;
    for (int i = 0; i < EXPRESSIONS; i++) {
        struct made made = make(&source, "Europe/Berlin");
        XB_CLEANUP(xb_cron_freep) struct xb_cron *cron = NULL;
        struct xb_error err = XB_ERROR_INIT;
        int64_t next_s = 0;
        made.text[property_below(&source, strlen(made.text))] ^=
            (char)(1 << property_below(&source, 7));
        if (xb_cron_parse(made.text, XB_ZONE_FOLDER, &cron, &err) == 0) {
            assert_int_equal(xb_cron_next(cron, 1800000000, &next_s, &err), 0);
            assert_true(next_s > 1800000000);
        } else {
            assert_int_equal(err.kind, XB_ERR_INVALID);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(next), cmocka_unit_test(altered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
