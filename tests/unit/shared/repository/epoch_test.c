/* SPDX-License-Identifier: Apache-2.0
 *
 * Which index blobs count, from their names: ranges, settled epochs, sets, markers, strangers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/epoch.h"

/* Short names: "xn0_a" stands for a whole single-shard name. */
#define ONE(start) start "-s0123456789abcdef-c1"
#define OF2(start, set) start "-s" set "-c2"

enum { NAMES_MAX = 40 };

struct example {
    const char *about;
    const char *names[NAMES_MAX];
    const char *active[NAMES_MAX];
    int64_t write_epoch;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check(const struct example *example, const char *const *names, size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_epoch_set set;
    size_t want = 0;
    assert_int_equal(xb_epoch_compute(names, count, &set, &err), 0);
    qsort(set.active, set.active_count, sizeof *set.active, compare);
    while (want < NAMES_MAX && example->active[want]) {
        want++;
    }
    bool same = want == set.active_count && set.write_epoch == example->write_epoch;
    for (size_t i = 0; i < want && same; i++) {
        same = strcmp(set.active[i], example->active[i]) == 0;
    }
    if (!same) {
        print_error("%s: write epoch %lld, active:\n", example->about, (long long)set.write_epoch);
        for (size_t i = 0; i < set.active_count; i++) {
            print_error("  %s\n", set.active[i]);
        }
    }
    assert_true(same);
    xb_epoch_set_free(&set);
    assert_null(set.active);
}

static const struct example examples[] = {
    {"nothing", {NULL}, {NULL}, 0},
    {"epoch 0, and the one after",
     {ONE("xn0_a"), ONE("xn0_b"), ONE("xn1_c"), ONE("xn2_d")},
     {ONE("xn0_a"), ONE("xn0_b"), ONE("xn1_c")},
     0},
    {"the highest marker counts",
     {"xe3", "xe1", ONE("xn0_a"), ONE("xn4_b"), ONE("xn5_c")},
     {ONE("xn0_a"), ONE("xn4_b")},
     3},
    {"a settled epoch is read compacted",
     {"xe2", ONE("xn0_a"), ONE("xn0_b"), ONE("xs0_c"), ONE("xn1_d")},
     {ONE("xn1_d"), ONE("xs0_c")},
     2},
    {"an epoch that is not settled is not",
     {"xe1", ONE("xn0_a"), ONE("xs0_c"), ONE("xs1_d"), ONE("xn1_e")},
     {ONE("xn0_a"), ONE("xn1_e")},
     1},
    {"an incomplete compaction does not count",
     {"xe2", ONE("xn0_a"), OF2("xs0_b", "11"), OF2("xs0_c", "22")},
     {ONE("xn0_a")},
     2},
    {"a complete one does, wherever its shards are",
     {"xe2", ONE("xn0_a"), OF2("xs0_b", "11"), OF2("xs0_c", "22"), OF2("xs0_d", "11")},
     {OF2("xs0_b", "11"), OF2("xs0_d", "11")},
     2},
    {"every plain blob counts, also of an incomplete set",
     {OF2("xn0_a", "11"), OF2("xn0_b", "22")},
     {OF2("xn0_a", "11"), OF2("xn0_b", "22")},
     0},
    {"a malformed compaction is a set of one", {"xe2", ONE("xn0_a"), "xs0_b"}, {"xs0_b"}, 2},
    {"a range covers its epochs",
     {"xe5", ONE("xr0_3_a"), ONE("xn0_b"), ONE("xs1_c"), ONE("xn3_d"), ONE("xn4_e"), ONE("xn6_f")},
     {ONE("xn4_e"), ONE("xn6_f"), ONE("xr0_3_a")},
     5},
    {"ranges form a chain from 0",
     {"xe20", ONE("xr0_7_a"), ONE("xr8_15_b"), ONE("xr9_18_c"), ONE("xn16_d"), ONE("xn9_e")},
     {ONE("xn16_d"), ONE("xr0_7_a"), ONE("xr8_15_b")},
     20},
    {"a range that does not start at 0 is none",
     {"xe5", ONE("xr1_3_a"), ONE("xn1_b")},
     {ONE("xn1_b")},
     5},
    {"the chain that reaches furthest",
     {"xe30", ONE("xr0_10_a"), ONE("xr0_7_b"), ONE("xr8_20_c"), ONE("xn15_d")},
     {ONE("xr0_7_b"), ONE("xr8_20_c")},
     30},
    {"equal reach: the fewest ranges",
     {"xe30", ONE("xr0_7_b"), ONE("xr8_20_c"), ONE("xr0_20_d")},
     {ONE("xr0_20_d")},
     30},
    {"an incomplete range breaks the chain",
     {"xe20", ONE("xr0_7_a"), OF2("xr8_15_b", "11"), ONE("xn8_c")},
     {ONE("xn8_c"), ONE("xr0_7_a")},
     20},
    {"the range 0..0 is ignored", {"xe5", ONE("xr0_0_a"), ONE("xn0_b")}, {ONE("xn0_b")}, 5},
    {"a range that runs backwards too", {"xe5", ONE("xr3_1_a"), ONE("xn1_b")}, {ONE("xn1_b")}, 5},
    {"strangers and other kinds",
     {"x",
      "xn",
      "xn_a",
      "xnx_a",
      "xn-1_a",
      "xn0",
      "xs",
      "xr0_a",
      "xr_1_a",
      "xe",
      "xex",
      "xe-3",
      "xz1_a",
      "xw",
      "p0",
      "",
      "n0_a",
      "xn99999999999999999999_a",
      "xe99999999999999999999",
      "xn1000000001_a",
      "xe1000000001",
      "xN0_a",
      " xn0_a",
      "xn0 _a"},
     {NULL},
     0},
    {"digits end at the first underscore", {"xe2_a_b", "xn2_a_b-s1-c1"}, {"xn2_a_b-s1-c1"}, 2},
    {"epochs with many digits",
     {"xe1000000000", "xn1000000000_a", "xn999999999_b", "xs999999998_c", "xn999999998_d"},
     {"xn1000000000_a", "xn999999999_b", "xs999999998_c"},
     1000000000},
};

static void by_example(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const char *names[NAMES_MAX];
        size_t count = 0;
        while (count < NAMES_MAX && examples[i].names[count]) {
            names[count] = examples[i].names[count];
            count++;
        }
        check(&examples[i], names, count);
        for (size_t turn = 1; turn < count; turn++) { /* the order of a listing says nothing */
            const char *first = names[0];
            memmove(names, names + 1, (count - 1) * sizeof *names);
            names[count - 1] = first;
            check(&examples[i], names, count);
        }
    }
}

/* The highest number counts; without any nothing is old. */
static void watermarks(void **state)
{
    (void)state;
    static const struct {
        const char *names[4];
        int64_t want;
    } cases[] = {{{NULL}, XB_EPOCH_NO_WATERMARK},
                 {{"xw", "xwx", "xw-5", "xw1x"}, XB_EPOCH_NO_WATERMARK},
                 {{"xw0"}, 0},
                 {{"xw1700000000", "xw1800000000", "xw1600000000"}, 1800000000},
                 {{"xw1700000000", "xw99999999999999999999"}, 1700000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_epoch_set set;
        size_t count = 0;
        while (count < 4 && cases[i].names[count]) {
            count++;
        }
        assert_int_equal(xb_epoch_compute(cases[i].names, count, &set, &err), 0);
        assert_true(set.watermark_s == cases[i].want);
        assert_int_equal(set.active_count, 0);
        xb_epoch_set_free(&set);
    }
}

/* More names than allowed are refused before anything is allocated for them. */
static void too_many(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_epoch_set set = {.active_count = 77};
    assert_int_equal(xb_epoch_compute(NULL, XB_EPOCH_NAMES_MAX + 1, &set, &err), -E2BIG);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_int_equal(set.active_count, 77);
}

/* Ten thousand ranges in a chain, and as many beside it: no deep recursion, no square time. */
static void many_ranges(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    char(*texts)[40] = calloc(COUNT, sizeof *texts);
    const char **names = calloc(COUNT, sizeof *names);
    assert_true(texts && names);
    for (int i = 0; i < COUNT; i++) {
        int first = i / 2 * 2;
        snprintf(texts[i], sizeof *texts, "xr%d_%d_%d", first, first + 1 + i % 2, i);
        names[i] = texts[i];
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_epoch_set set;
    assert_int_equal(xb_epoch_compute(names, COUNT, &set, &err), 0);
    assert_int_equal(set.active_count, COUNT / 2);
    xb_epoch_set_free(&set);
    free(names);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_example),
        cmocka_unit_test(watermarks),
        cmocka_unit_test(too_many),
        cmocka_unit_test(many_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
