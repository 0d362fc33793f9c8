/* SPDX-License-Identifier: Apache-2.0
 * How many requests at a time: the limit by what answers say, and threads that wait for room. */
#include "shared/kube/pace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"

enum { MS = 1000000 };

static int64_t now;

static void good(struct xb_kube_limit *limit, int count, int64_t took_ms)
{
    for (int i = 0; i < count; i++) {
        now += took_ms * MS;
        assert_false(xb_kube_limit_sign(limit, XB_KUBE_SIGN_GOOD, took_ms * MS, now));
    }
}

/* It begins with few, and grows with every answer up to the most. */
static void grows(void **state)
{
    (void)state;
    struct xb_kube_limit limit;
    xb_kube_limit_begin(&limit, 32);
    assert_int_equal((int)limit.at_a_time, XB_KUBE_PACE_FIRST);
    good(&limit, 10, 5);
    assert_int_equal((int)limit.at_a_time, XB_KUBE_PACE_FIRST + 10);
    good(&limit, 100, 5);
    assert_int_equal((int)limit.at_a_time, 32);
    xb_kube_limit_begin(&limit, 2);
    assert_int_equal((int)limit.at_a_time, 2);
}

/* Too much halves it, once for what was under way at the same time; then it grows slowly. */
static void is_cut(void **state)
{
    (void)state;
    struct xb_kube_limit limit;
    xb_kube_limit_begin(&limit, 32);
    good(&limit, 100, 5);
    now += MS;
    assert_true(xb_kube_limit_sign(&limit, XB_KUBE_SIGN_TOO_MUCH, 5 * MS, now));
    assert_int_equal((int)limit.at_a_time, 16);
    for (int i = 0; i < 15; i++) {
        now += MS;
        assert_false(xb_kube_limit_sign(&limit, XB_KUBE_SIGN_TOO_MUCH, 5 * MS, now));
    }
    assert_int_equal((int)limit.at_a_time, 16);
    good(&limit, 18, 5);
    assert_int_equal((int)limit.at_a_time, 17); /* one more after a whole round of them */
    for (int i = 0; i < 20; i++) {
        now += 1000 * MS;
        (void)xb_kube_limit_sign(&limit, XB_KUBE_SIGN_TOO_MUCH, 5 * MS, now);
    }
    assert_int_equal((int)limit.at_a_time, 1); /* never none */
    good(&limit, 1, 5);
    assert_int_equal((int)limit.at_a_time, 2);
}

/* Answers that take ever longer mean that more at a time would only wait; a failure says nothing.
 */
static void slow_answers(void **state)
{
    (void)state;
    struct xb_kube_limit limit;
    xb_kube_limit_begin(&limit, 32);
    good(&limit, 4, 10);
    int before = (int)limit.at_a_time;
    good(&limit, 200, 900);
    assert_in_range((int)limit.at_a_time, before, before + 3); /* until it is noticed */
    before = (int)limit.at_a_time;
    for (int i = 0; i < 10; i++) {
        assert_false(xb_kube_limit_sign(&limit, XB_KUBE_SIGN_NONE, MS, now));
    }
    assert_int_equal((int)limit.at_a_time, before);
    good(&limit, 200, 10);
    assert_int_equal((int)limit.at_a_time, 32);
}

struct crowd {
    struct xb_kube_pace *pace;
    atomic_int inside, highest, done;
};

static void *come_and_go(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 50; i++) {
        assert_true(xb_kube_pace_enter(crowd->pace, NULL));
        int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        if (inside > atomic_load(&crowd->highest)) {
            atomic_store(&crowd->highest, inside);
        }
        usleep(200);
        atomic_fetch_sub(&crowd->inside, 1);
        xb_kube_pace_leave(crowd->pace, XB_KUBE_SIGN_NONE, MS);
    }
    atomic_fetch_add(&crowd->done, 1);
    return NULL;
}

/* No more are inside than the limit says, and nobody is forgotten. */
static void crowds(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct crowd crowd = {.inside = 0};
    pthread_t threads[12];
    assert_int_equal(xb_kube_pace_new(8, &crowd.pace, &err), 0);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
    }
    for (int i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.done, 12);
    assert_in_range(crowd.highest, 2, XB_KUBE_PACE_FIRST);
    assert_int_equal(xb_kube_pace_look(crowd.pace).highest, crowd.highest);
    xb_kube_pace_free(crowd.pace);
}

static void *cancel_soon(void *context)
{
    usleep(50 * 1000);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

/* Who waits for room can be told to give up. */
static void cancelling(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_pace *pace = NULL;
    atomic_bool cancel = false;
    pthread_t thread;
    assert_int_equal(xb_kube_pace_new(1, &pace, &err), 0);
    assert_true(xb_kube_pace_enter(pace, &cancel));
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    int64_t began = xb_clock_mono_ns();
    assert_false(xb_kube_pace_enter(pace, &cancel));
    assert_true(xb_clock_mono_ns() - began < 5000LL * MS);
    pthread_join(thread, NULL);
    xb_kube_pace_leave(pace, XB_KUBE_SIGN_TOO_MUCH, MS);
    assert_int_equal(xb_kube_pace_look(pace).cuts, 1);
    xb_kube_pace_free(pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows), cmocka_unit_test(is_cut),
                                       cmocka_unit_test(slow_answers), cmocka_unit_test(crowds),
                                       cmocka_unit_test(cancelling)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
