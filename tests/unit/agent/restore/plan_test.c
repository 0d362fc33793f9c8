/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours in a pack become one read, as far as the limits allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/restore/plan.h"

static struct xb_plan plan;

static int setup(void **state)
{
    (void)state;
    plan = (struct xb_plan){.rows = NULL};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_plan_free(&plan);
    return 0;
}

static void add(const char *pack, uint64_t offset, uint32_t packed, uint64_t target)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_info info = {
        .id = {.len = 16}, .packed_bytes = packed, .plain_bytes = packed, .pack_offset = offset};
    memcpy(info.pack, pack, strlen(pack) + 1);
    memcpy(info.id.hash, &offset, sizeof offset);
    assert_int_equal(xb_plan_add(&plan, &info, &plan, target, &err), 0);
}

static void finish(size_t ranges)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_plan_finish(&plan, &err), 0);
    assert_int_equal(plan.range_count, ranges);
}

static void is_range(size_t i, uint64_t offset, uint64_t len, size_t count)
{
    assert_int_equal(plan.ranges[i].offset, offset);
    assert_int_equal(plan.ranges[i].len, len);
    assert_int_equal(plan.ranges[i].count, count);
}

static void nothing(void **state)
{
    (void)state;
    finish(0);
    assert_false(xb_plan_full(&plan));
}

static void neighbours_are_read_together(void **state)
{
    (void)state;
    add("p1", 300, 100, 2);
    add("p2", 100, 100, 3);
    add("p1", 100, 100, 0);
    add("p1", 200, 100, 1);
    finish(2);
    is_range(0, 100, 300, 3);
    is_range(1, 100, 100, 1);
    assert_int_equal(plan.rows[0].target, 0);
    assert_int_equal(plan.rows[2].target, 2);
    assert_string_equal(xb_names_at(&plan.packs, plan.ranges[1].pack), "p2");
}

static void gaps_have_a_limit(void **state)
{
    (void)state;
    add("p", 0, 10, 0);
    add("p", 10 + XB_PLAN_GAP_BYTES_MAX, 10, 1);
    add("p", 20 + 2 * XB_PLAN_GAP_BYTES_MAX + 1, 10, 2);
    finish(2);
    is_range(0, 0, 20 + XB_PLAN_GAP_BYTES_MAX, 2);
    is_range(1, 21 + 2 * XB_PLAN_GAP_BYTES_MAX, 10, 1);
}

static void ranges_have_a_limit(void **state)
{
    (void)state;
    const uint32_t half = XB_PLAN_RANGE_BYTES_MAX / 2;
    add("p", 0, half, 0);
    add("p", half, half, 1);
    add("p", 2 * half, 1, 2);
    add("p", 2 * half + 1, 3 * half, 3); /* alone larger than the limit */
    add("p", 5 * half + 1, 1, 4);
    finish(4);
    is_range(0, 0, 2 * half, 2);
    is_range(1, 2 * half, 1, 1);
    is_range(2, 2 * half + 1, 3 * half, 1);
    is_range(3, 5 * half + 1, 1, 1);
    xb_plan_clear(&plan);
    for (uint32_t i = 0; i <= XB_PLAN_RANGE_CONTENTS_MAX; i++) {
        add("p", 10 * i, 10, i);
    }
    finish(2);
    is_range(1, 10 * XB_PLAN_RANGE_CONTENTS_MAX, 10, 1);
}

/* However often it is needed. */
static void a_shared_content_is_read_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        add("p", 500, 40, i);
    }
    add("p", 540, 40, 0);
    finish(1);
    is_range(0, 500, 80, 3001);
    assert_int_equal(plan.ranges[0].contents, 2);
}

static void what_is_there_is_not_read(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        add("p", 100 * i, 100, 6 - i);
        plan.rows[i].source = (enum xb_plan_source)(i % 3);
    }
    finish(1);
    is_range(0, 0, 400, 2);
    assert_int_equal(plan.fetch_count, 2);
    assert_int_equal(plan.rows[2].source, XB_PLAN_TAKE);
    assert_int_equal(plan.rows[2].target, 2); /* in the order of the file */
    assert_int_equal(plan.rows[3].target, 5);
    assert_int_equal(plan.rows[5].source, XB_PLAN_NONE);
}

static void plans_have_a_limit(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_content_info info = {.pack = "p"};
    for (size_t i = 0; i < 2 * XB_PLAN_ROWS_MAX; i++) {
        assert_int_equal(xb_plan_full(&plan), i >= XB_PLAN_ROWS_MAX);
        assert_int_equal(xb_plan_add(&plan, &info, NULL, i, &err), 0);
    }
    assert_true(xb_plan_add(&plan, &info, NULL, 0, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_BUG);
    xb_plan_truncate(&plan, 1);
    finish(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(neighbours_are_read_together, setup, teardown),
        cmocka_unit_test_setup_teardown(gaps_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shared_content_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_there_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(plans_have_a_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
