/* SPDX-License-Identifier: Apache-2.0
 *
 * Zones as the C library sees them, and files that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/schedule/zone.h"
#include "shared/base/file.h"

static const char *const names[] = {
    "Europe/Berlin",     "America/New_York",  "Asia/Kolkata",  "Australia/Lord_Howe",
    "Africa/Casablanca", "America/Sao_Paulo", "Europe/Dublin", "Pacific/Apia",
    "Etc/GMT+12",        "America/Santiago",  "UTC",           "Asia/Gaza"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static void load(const char *name, struct xb_buf *ret)
{
    char path[256];
    struct xb_error err = XB_ERROR_INIT;
    snprintf(path, sizeof path, "%s/%s", XB_ZONE_FOLDER, name);
    assert_int_equal(xb_file_read(path, ret, &err), 0);
}

static int32_t library_offset(int64_t utc_s)
{
    struct tm tm;
    time_t at = utc_s;
    assert_non_null(localtime_r(&at, &tm));
    return (int32_t)tm.tm_gmtoff;
}

/* From 1950 to 2120 every eleven days, and around each change, what the C library says. */
static void as_the_library(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        XB_CLEANUP(xb_zone_freep) struct xb_zone *zone = NULL;
        struct xb_error err = XB_ERROR_INIT;
        int64_t until_s = 0;
        assert_int_equal(xb_zone_load(XB_ZONE_FOLDER, names[i], &zone, &err), 0);
        assert_int_equal(setenv("TZ", names[i], 1), 0);
        tzset();
        for (int64_t at_s = -631152000; at_s < INT64_C(4733510400); at_s += 11 * 86400 + 3607) {
            assert_int_equal(xb_zone_offset(zone, at_s, &until_s), library_offset(at_s));
            assert_true(until_s > at_s);
            if (until_s < INT64_C(4733510400)) {
                int32_t before = xb_zone_offset(zone, until_s - 1, &at_s);
                assert_int_equal(at_s, until_s);
                assert_int_equal(before, library_offset(until_s - 1));
                assert_int_equal(xb_zone_offset(zone, until_s, &at_s), library_offset(until_s));
                at_s = until_s;
            }
        }
    }
}

static void cut_files(void **state)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf file = XB_BUF_INIT(XB_ZONE_FILE_BYTES_MAX);
    (void)state;
    load("Europe/Berlin", &file);
    for (size_t len = 0; len < file.len; len++) {
        struct xb_zone *zone = NULL;
        struct xb_error err = XB_ERROR_INIT;
        assert_true(xb_zone_parse(file.data, len, &zone, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_null(zone);
    }
}

/* A header, one type, `rule` at the end. */
static int with_rule(const char *rule, struct xb_zone **ret)
{
    unsigned char file[1024] = "TZif2";
    struct xb_error err = XB_ERROR_INIT;
    size_t len = 44 + 6 + 1;
    file[39] = 1;
    file[43] = 1;
    memcpy(file + len, file, len);
    len *= 2;
    int written = snprintf((char *)file + len, sizeof file - len, "\n%s\n", rule);
    return xb_zone_parse(file, len + (size_t)written, ret, &err);
}

static void rules(void **state)
{
    static const char *const bad[] = {"C-1",
                                      "CET",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-25",
                                      "<+03-3",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "CET-1CEST,M3.5.7,M10.5.0",
                                      "CET-1CEST,J0,J365",
                                      "CET-1CEST,366,1",
                                      "CET-1:60",
                                      "CET-1CEST,M3.5.0,M10.5.0/168",
                                      "CET-1CEST,M3.5.0,M10.5.0x"};
    static const struct {
        const char *rule;
        int64_t at_s;
        int32_t offset_s;
    } good[] = {
        {"UTC0", 0, 0},
        {"<+0330>-3:30", 0, 12600},
        {"EST5EDT,M3.2.0,M11.1.0", 1783000000, -14400}, /* July 2026 */
        {"EST5EDT,M3.2.0,M11.1.0", 1767600000, -18000}, /* January 2026 */
        {"AAA3BBB4:30:10,J60/-1,J300/167", 1783000000, -16210},
        {"XXX3EDT4,0/0,J365/23", 1783000000, -14400}, /* summer all the year */
        {"XXX3EDT4,0/0,J365/23", 1767236400, -14400},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct xb_zone *zone = NULL;
        if (with_rule(bad[i], &zone) == 0) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        XB_CLEANUP(xb_zone_freep) struct xb_zone *zone = NULL;
        int64_t until_s = 0;
        if (with_rule(good[i].rule, &zone) < 0) {
            fail_msg("%s was refused", good[i].rule);
        }
        assert_int_equal(xb_zone_offset(zone, good[i].at_s, &until_s), good[i].offset_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_library),
        cmocka_unit_test(cut_files),
        cmocka_unit_test(rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
