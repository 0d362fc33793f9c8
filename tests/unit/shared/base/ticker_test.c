/* SPDX-License-Identifier: Apache-2.0
 *
 * A ticker calls again and again, never two calls at once, and not once more after it was stopped,
 * which waits neither for the next turn nor for less than the call under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/ticker.h"

static atomic_int calls, under_way;
static atomic_bool slow;

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static void tick(void *context)
{
    assert_ptr_equal(context, &calls);
    atomic_fetch_add(&under_way, 1);
    sleep_ms(atomic_load(&slow) ? 100 : 0);
    atomic_fetch_add(&calls, 1);
    atomic_fetch_sub(&under_way, 1);
}

static void calls_until_stopped(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_ticker *ticker = NULL;
    atomic_store(&calls, 0);
    assert_int_equal(xb_ticker_start(1, tick, &calls, &ticker, &err), 0);
    while (atomic_load(&calls) < 5) {
        sleep_ms(1);
    }
    xb_ticker_stop(ticker);
    int count = atomic_load(&calls);
    sleep_ms(20);
    assert_int_equal(atomic_load(&calls), count);
}

static void stops_before_its_turn(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_ticker *ticker = NULL;
    atomic_store(&calls, 0);
    assert_int_equal(xb_ticker_start(3600 * 1000, tick, &calls, &ticker, &err), 0);
    xb_ticker_stop(ticker); /* else the test is over time */
    assert_int_equal(atomic_load(&calls), 0);
    xb_ticker_stop(NULL);
}

static void waits_for_the_call_under_way(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_ticker *ticker = NULL;
    atomic_store(&calls, 0);
    atomic_store(&slow, true);
    assert_int_equal(xb_ticker_start(1, tick, &calls, &ticker, &err), 0);
    while (atomic_load(&under_way) == 0) {
        sleep_ms(1);
    }
    xb_ticker_stop(ticker);
    assert_int_equal(atomic_load(&under_way), 0);
    assert_true(atomic_load(&calls) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_until_stopped),
                                       cmocka_unit_test(stops_before_its_turn),
                                       cmocka_unit_test(waits_for_the_call_under_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
