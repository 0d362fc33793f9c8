/* SPDX-License-Identifier: Apache-2.0
 *
 * Meters: what is counted comes out as Prometheus wants it, and names cannot grow without end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared/metrics/meters.h"

enum { PLAIN, BY_NAME, LEVEL, TOOK, COUNT };

static const double bounds[] = {1, 60.5};
static const struct xb_meter table[COUNT] = {
    [PLAIN] = {.name = "plain_total", .help = "Without labels", .kind = XB_METER_COUNTER},
    [BY_NAME] = {.name = "named_total",
                 .help = "By two names",
                 .kind = XB_METER_COUNTER,
                 .labels = {"one", "two"}},
    [LEVEL] = {.name = "level", .help = "A level", .kind = XB_METER_GAUGE, .labels = {"at"}},
    [TOOK] = {.name = "took_seconds",
              .help = "How long",
              .kind = XB_METER_HISTOGRAM,
              .labels = {"at"},
              .buckets = bounds,
              .bucket_count = 2},
};

static struct xb_meters *make(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_meters *meters = NULL;
    assert_int_equal(xb_meters_new(table, COUNT, &meters, &err), 0);
    return meters;
}

static void shows(struct xb_meters *meters, const char *want)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    assert_int_equal(xb_meters_write(meters, &out, &err), 0);
    assert_string_equal(out.data ? out.data : "", want);
    xb_buf_free(&out);
}

static void text(void **state)
{
    (void)state;
    struct xb_meters *meters = make();
    shows(meters, ""); /* what never happened is not shown */
    xb_meters_add(meters, PLAIN, NULL, 0);
    xb_meters_add(meters, BY_NAME, (const char *[]){"a", "x\"\\\ny"}, 2);
    xb_meters_add(meters, BY_NAME, (const char *[]){"a", ""}, 1);
    xb_meters_add(meters, BY_NAME, (const char *[]){"a", ""}, 1);
    xb_meters_add(meters, BY_NAME, (const char *[]){"a", ""}, -5); /* counters only grow */
    xb_meters_set(meters, LEVEL, (const char *[]){"n"}, 1764129600);
    shows(meters, "# HELP plain_total Without labels\n# TYPE plain_total counter\nplain_total 0\n"
                  "# HELP named_total By two names\n# TYPE named_total counter\n"
                  "named_total{one=\"a\",two=\"x\\\"\\\\\\ny\"} 2\n"
                  "named_total{one=\"a\",two=\"\"} 2\n"
                  "# HELP level A level\n# TYPE level gauge\nlevel{at=\"n\"} 1764129600\n");
    xb_meters_free(meters);
}

static void histogram(void **state)
{
    (void)state;
    struct xb_meters *meters = make();
    const char *at[] = {"n"};
    xb_meters_observe(meters, TOOK, at, 0.5);
    xb_meters_observe(meters, TOOK, at, 1); /* the bound is within */
    xb_meters_observe(meters, TOOK, at, 60);
    xb_meters_observe(meters, TOOK, at, 1000);
    shows(meters, "# HELP took_seconds How long\n# TYPE took_seconds histogram\n"
                  "took_seconds_bucket{at=\"n\",le=\"1\"} 2\n"
                  "took_seconds_bucket{at=\"n\",le=\"60.5\"} 3\n"
                  "took_seconds_bucket{at=\"n\",le=\"+Inf\"} 4\n"
                  "took_seconds_sum{at=\"n\"} 1061.5\ntook_seconds_count{at=\"n\"} 4\n");
    assert_true(xb_meters_value(meters, TOOK, at) > 3.5);
    xb_meters_free(meters);
}

static void gauges(void **state)
{
    (void)state;
    struct xb_meters *meters = make();
    const char *a[] = {"a"}, *b[] = {"b"};
    xb_meters_set(meters, LEVEL, a, 5);
    xb_meters_raise(meters, LEVEL, a, 3);
    xb_meters_raise(meters, LEVEL, b, 7);
    assert_int_equal((int)xb_meters_value(meters, LEVEL, a), 5);
    xb_meters_set(meters, LEVEL, a, -1);
    assert_int_equal((int)xb_meters_value(meters, LEVEL, a), -1);
    xb_meters_drop(meters, LEVEL, a);
    xb_meters_drop(meters, LEVEL, a);
    shows(meters, "# HELP level A level\n# TYPE level gauge\nlevel{at=\"b\"} 7\n");
    /* Nobody's meters, and none of the table's: nothing happens. */
    xb_meters_add(NULL, PLAIN, NULL, 1);
    xb_meters_add(meters, COUNT, NULL, 1);
    xb_meters_free(meters);
}

static void bounded(void **state)
{
    (void)state;
    struct xb_meters *meters = make();
    char name[1000];
    const char *value[] = {name}, *kept[] = {"kept"};
    xb_meters_set(meters, LEVEL, kept, 1);
    for (int i = 0; i < 2 * XB_METER_SERIES_MAX; i++) {
        snprintf(name, sizeof name, "name-%d", i);
        xb_meters_set(meters, LEVEL, value, i);
        xb_meters_set(meters, LEVEL, kept, 1); /* in use: it stays */
    }
    assert_int_equal((int)xb_meters_value(meters, LEVEL, kept), 1);
    assert_int_equal((int)xb_meters_value(meters, LEVEL, value), 2 * XB_METER_SERIES_MAX - 1);
    snprintf(name, sizeof name, "name-%d", XB_METER_SERIES_MAX);
    assert_int_equal((int)xb_meters_value(meters, LEVEL, value), 0);
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    assert_int_equal(xb_meters_write(meters, &out, &err), 0);
    size_t lines = 0;
    for (const char *at = out.data; (at = strchr(at, '\n')); at++) {
        lines++;
    }
    assert_int_equal(lines, XB_METER_SERIES_MAX + 2);
    xb_buf_free(&out);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    xb_meters_set(meters, LEVEL, value, 4);
    xb_meters_set(meters, LEVEL, value, 5); /* the same series, though its name was cut */
    assert_int_equal((int)xb_meters_value(meters, LEVEL, value), 5);
    xb_meters_free(meters);
}

static void *count(void *context)
{
    for (int i = 0; i < 2000; i++) {
        xb_meters_add(context, PLAIN, NULL, 1);
        xb_meters_add(context, BY_NAME, (const char *[]){"a", i % 2 ? "x" : "y"}, 1);
    }
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    struct xb_meters *meters = make();
    pthread_t thread[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count, meters), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal((int)xb_meters_value(meters, PLAIN, NULL), 8000);
    assert_int_equal((int)xb_meters_value(meters, BY_NAME, (const char *[]){"a", "x"}), 4000);
    xb_meters_free(meters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),    cmocka_unit_test(histogram), cmocka_unit_test(gauges),
        cmocka_unit_test(bounded), cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
