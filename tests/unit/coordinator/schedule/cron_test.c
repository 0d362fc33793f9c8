/* SPDX-License-Identifier: Apache-2.0
 *
 * What Velero's server takes for a schedule is taken here, and comes at the same times; what it
 * refuses is refused with the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/schedule/cron.h"
#include "coordinator/schedule/zone.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"

static int64_t seconds(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t ns = 0;
    assert_int_equal(xb_time_parse(text, &ns, &err), 0);
    return ns / XB_NS_PER_S;
}

/* The next times after `after`, one after the other. */
static void comes(const char *schedule, const char *after, const char *const *want)
{
    XB_CLEANUP(xb_cron_freep) struct xb_cron *cron = NULL;
    struct xb_error err = XB_ERROR_INIT;
    int64_t now_s = seconds(after);
    assert_int_equal(xb_cron_parse(schedule, XB_ZONE_FOLDER, &cron, &err), 0);
    for (; *want; want++) {
        char got[XB_TIME_TEXT_BYTES];
        assert_int_equal(xb_cron_next(cron, now_s, &now_s, &err), 0);
        xb_time_format_seconds(now_s * XB_NS_PER_S, got);
        assert_string_equal(got, *want);
    }
}

#define COMES(schedule, after, ...) comes(schedule, after, (const char *const[]){__VA_ARGS__, NULL})

static void fields(void **state)
{
    (void)state;
    COMES("0 7 * * *", "2026-11-26T03:00:00Z", "2026-11-26T07:00:00Z", "2026-11-27T07:00:00Z");
    COMES("0 7 * * *", "2026-11-26T07:00:00Z", "2026-11-27T07:00:00Z");
    COMES("*/20 9-10 * * *", "2026-11-26T09:20:01Z", "2026-11-26T09:40:00Z", "2026-11-26T10:00:00Z",
          "2026-11-26T10:20:00Z", "2026-11-26T10:40:00Z", "2026-11-27T09:00:00Z");
    COMES("5/20 0 * * *", "2026-11-26T12:00:00Z", "2026-11-27T00:05:00Z", "2026-11-27T00:25:00Z",
          "2026-11-27T00:45:00Z", "2026-11-28T00:05:00Z");
    COMES("1,59,3-4 0 1 JAN ?", "2026-11-26T12:00:00Z", "2027-01-01T00:01:00Z",
          "2027-01-01T00:03:00Z", "2027-01-01T00:04:00Z", "2027-01-01T00:59:00Z");
    COMES("0 0 * * mon-WED/2", "2026-11-26T12:00:00Z", "2026-11-30T00:00:00Z",
          "2026-12-02T00:00:00Z", "2026-12-07T00:00:00Z");
    COMES("\t0  0 29 2 *\n", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
    COMES("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z");
    COMES("* * * * *", "2026-12-31T23:59:30Z", "2027-01-01T00:00:00Z", "2027-01-01T00:01:00Z");
}

/* Both days restricted: one of them is enough. A "*" on either side, or "*" with a step of 1:
 * both. A step makes of "*" a restriction. */
static void days(void **state)
{
    (void)state;
    COMES("0 0 1 * SUN", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-01T00:00:00Z",
          "2026-12-06T00:00:00Z");
    COMES("0 0 * * SUN", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z");
    COMES("0 0 1 * ?", "2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    COMES("0 0 1 * */1", "2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z");
    COMES("0 0 1 * */6", "2026-11-26T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z",
          "2026-12-01T00:00:00Z");
}

static void words(void **state)
{
    (void)state;
    COMES("@hourly", "2026-11-26T03:00:00Z", "2026-11-26T04:00:00Z");
    COMES("@daily", "2026-11-26T03:00:00Z", "2026-11-27T00:00:00Z");
    COMES("@midnight", "2026-11-26T03:00:00Z", "2026-11-27T00:00:00Z");
    COMES("@weekly", "2026-11-26T03:00:00Z", "2026-11-29T00:00:00Z");
    COMES("@monthly", "2026-11-26T03:00:00Z", "2026-12-01T00:00:00Z");
    COMES("@yearly", "2026-11-26T03:00:00Z", "2027-01-01T00:00:00Z");
    COMES("@annually", "2026-11-26T03:00:00Z", "2027-01-01T00:00:00Z");
    COMES("@every 1h30m", "2026-11-26T03:00:07Z", "2026-11-26T04:30:07Z", "2026-11-26T06:00:07Z");
    COMES("@every 1500ms", "2026-11-26T03:00:07Z", "2026-11-26T03:00:08Z");
    COMES("@every 10ms", "2026-11-26T03:00:07Z", "2026-11-26T03:00:08Z");
}

/* Europe/Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00. */
static void zones(void **state)
{
    (void)state;
    COMES("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z",
          "2026-03-30T00:30:00Z");
    COMES("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z",
          "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z");
    COMES("CRON_TZ=Europe/Berlin 0 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z",
          "2026-03-29T02:00:00Z");
    COMES("CRON_TZ=America/New_York @daily", "2026-11-26T03:00:00Z", "2026-11-26T05:00:00Z");
    COMES("CRON_TZ=Asia/Kolkata 0 0 * * *", "2026-11-26T03:00:00Z", "2026-11-26T18:30:00Z");
    COMES("CRON_TZ=Australia/Lord_Howe 15 2 4 10 *", "2026-01-01T00:00:00Z",
          "2027-10-03T15:15:00Z");
    COMES("CRON_TZ=UTC 0 0 * * *", "2026-11-26T03:00:00Z", "2026-11-27T00:00:00Z");
    COMES("CRON_TZ=Europe/Berlin @every 1h", "2026-11-26T03:00:00Z", "2026-11-26T04:00:00Z");
    /* Behind the file's table: by its rule. */
    COMES("CRON_TZ=Europe/Berlin 0 12 1 7,12 *", "2100-01-01T00:00:00Z", "2100-07-01T10:00:00Z",
          "2100-12-01T11:00:00Z");
}

static void refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "0 fields instead of five"},
        {"   ", "0 fields"},
        {"* * * *", "4 fields"},
        {"0 * * * * *", "6 fields"},
        {"60 * * * *", "minute \"60\": outside"},
        {"* 24 * * *", "hour \"24\": outside"},
        {"* * 0 * *", "day of month \"0\": outside"},
        {"* * 32 * *", "day of month"},
        {"* * * 13 *", "month \"13\""},
        {"* * * * 7", "day of week \"7\""},
        {"* * * jab *", "month \"jab\""},
        {"* * mon * *", "day of month \"mon\""},
        {"5-1 * * * *", "ends before it begins"},
        {"1-2-3 * * * *", "minute"},
        {"*/0 * * * *", "a step"},
        {"*/x * * * *", "a step"},
        {"1/2/3 * * * *", "a step"},
        {"*-5 * * * *", "minute"},
        {", * * * *", "minute"},
        {"1, * * * *", "minute"},
        {"-1 * * * *", "minute"},
        {"+1 * * * *", "minute"},
        {"99999999999 * * * *", "minute"},
        {"0 0 31 2 *", "does not come"},
        {"0 0 30 2,2 *", "does not come"},
        {"@every", "none of"},
        {"@every x", "duration"},
        {"@every 0s", "goes forward"},
        {"@every -5m", "goes forward"},
        {"@Daily", "none of"},
        {"@daily ", "none of"},
        {"CRON_TZ=Nowhere/None * * * * *", "none of this name"},
        {"CRON_TZ=../../etc/passwd * * * * *", "no name of a time zone"},
        {"CRON_TZ=/etc/passwd * * * * *", "no name of a time zone"},
        {"CRON_TZ=Europe * * * * *", "time zone Europe"},
        {"CRON_TZ=tzdata.zi * * * * *", "no name"},
        {"TZ=Europe/Berlin", "a time zone and a space"},
        {"TZ=", "a time zone and a space"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct xb_cron *cron = NULL;
        struct xb_error err = XB_ERROR_INIT;
        if (xb_cron_parse(bad[i].text, XB_ZONE_FOLDER, &cron, &err) == 0) {
            fail_msg("'%s' was taken", bad[i].text);
        }
        assert_null(cron);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        if (!strstr(err.text, bad[i].why)) {
            fail_msg("'%s': %s", bad[i].text, err.text);
        }
    }
}

static void limits(void **state)
{
    char text[XB_CRON_TEXT_BYTES_MAX + 2];
    struct xb_cron *cron = NULL;
    struct xb_error err = XB_ERROR_INIT;
    int64_t next_s = 7;
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "* * * * *", 9);
    text[sizeof text - 1] = '\0';
    assert_true(xb_cron_parse(text, XB_ZONE_FOLDER, &cron, &err) < 0);
    text[sizeof text - 2] = '\0';
    assert_int_equal(xb_cron_parse(text, XB_ZONE_FOLDER, &cron, &err), 0);
    assert_true(xb_cron_next(cron, INT64_MAX, &next_s, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);
    assert_true(xb_cron_next(cron, INT64_MIN, &next_s, &err) < 0);
    assert_int_equal(next_s, 7);
    xb_cron_free(cron);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields), cmocka_unit_test(days),    cmocka_unit_test(words),
        cmocka_unit_test(zones),  cmocka_unit_test(refused), cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
