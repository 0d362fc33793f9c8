/* SPDX-License-Identifier: Apache-2.0
 *
 * Which range is next: several workers are in different files, and every range is taken once.
 */
#include "tests/harness/probe.h"

#include "agent/restore/internal.h"

enum { FILES = 2, RANGES = 40 };

static struct file large[FILES], small[RANGES];
static struct restore restore;
static struct window window;
static struct xb_plan_row rows[RANGES];
static struct xb_plan_range ranges[RANGES];
static struct window_job jobs[RANGES];

/* Ten ranges of the first file, ten of the second, and so on. */
static int setup(void **state)
{
    (void)state;
    memset(&window, 0, sizeof window);
    pthread_mutex_init(&restore.lock, NULL);
    for (size_t i = 0; i < FILES; i++) {
        large[i] = (struct file){.number = 7 - i, .several = true};
    }
    for (size_t i = 0; i < RANGES; i++) {
        small[i] = (struct file){.number = 100 + i};
        rows[i] = (struct xb_plan_row){.owner = &large[i / 10 % 2], .plain_bytes = 1000};
        ranges[i] = (struct xb_plan_range){.first = i, .count = 1, .contents = 1};
    }
    window = (struct window){
        .restore = &restore,
        .plan = {.rows = rows, .count = RANGES, .ranges = ranges, .range_count = RANGES},
        .jobs = jobs};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(window.lanes);
    pthread_mutex_destroy(&restore.lock);
    return 0;
}

static size_t take(struct lane **ret)
{
    const struct xb_plan_range *range = NULL;
    *ret = xb_restore_take_range(&window, &range);
    assert_non_null(*ret);
    return range->first;
}

static void two_workers_are_in_two_files(void **state)
{
    (void)state;
    struct lane *lanes[2];
    bool taken[RANGES] = {false};
    assert_true(xb_restore_order_ranges(&window));
    assert_int_equal(window.lane_count, FILES);
    for (size_t i = 0; i < RANGES; i += 2) {
        size_t first = take(&lanes[0]);
        size_t second = take(&lanes[1]);
        assert_ptr_not_equal(rows[first].owner, rows[second].owner);
        assert_false(taken[first] || taken[second]);
        taken[first] = taken[second] = true;
        xb_restore_leave_lane(&window, lanes[0]);
        xb_restore_leave_lane(&window, lanes[1]);
    }
    assert_true(window.lanes[0].next == window.lanes[0].end);
    assert_true(window.lanes[1].next == window.lanes[1].end);
}

/* Whoever writes what others left is at the file, too, whatever range he has. */
static void a_busy_file_comes_later(void **state)
{
    (void)state;
    struct lane *lane = NULL;
    assert_true(xb_restore_order_ranges(&window));
    for (size_t busy = 0; busy < FILES; busy++) {
        large[busy].busy = true;
        for (int i = 0; i < 5; i++) {
            assert_ptr_not_equal(rows[take(&lane)].owner, &large[busy]);
            xb_restore_leave_lane(&window, lane);
        }
        large[busy].busy = false;
    }
    /* With nothing else left it is taken all the same. */
    large[0].busy = true;
    for (size_t i = 10; i < RANGES; i++) {
        (void)take(&lane);
        xb_restore_leave_lane(&window, lane);
    }
}

/* They go in the order of the store; a range belongs to whom most of it belongs to. */
static void small_files_share_a_lane(void **state)
{
    (void)state;
    struct lane *lane = NULL;
    for (size_t i = 0; i < RANGES; i++) {
        rows[i].owner = &small[i];
    }
    rows[1].owner = &large[0];
    rows[1].plain_bytes = 900;
    ranges[0].count = 2;
    ranges[1] = (struct xb_plan_range){.first = 2, .count = 1, .contents = 1};
    window.plan.range_count = 2;
    assert_true(xb_restore_order_ranges(&window));
    assert_int_equal(window.lane_count, 1);
    assert_int_equal(take(&lane), 0);
    assert_int_equal(take(&lane), 2);
    free(XB_TAKE(window.lanes));
    rows[1].plain_bytes = 1100;
    assert_true(xb_restore_order_ranges(&window));
    assert_int_equal(window.lane_count, 2);
    assert_ptr_equal(window.lanes[1].file, &large[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_workers_are_in_two_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_busy_file_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(small_files_share_a_lane, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
