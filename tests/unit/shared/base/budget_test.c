/* SPDX-License-Identifier: Apache-2.0
 *
 * The budget holds whatever its users do, everybody gets a turn, and blocks are used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/blocks.h"

enum { KIB = 1024, THREADS = 8, ROUNDS = 300 };

static void sleep_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

/* What is asked for beyond the floor is only given while it is free; the floor is always there. */
static void floors_and_more(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT(100);
    struct xb_budget_share a = {.budget = NULL};
    struct xb_budget_share b = {.budget = NULL};
    xb_budget_leave(&a); /* has not joined: nothing happens */
    xb_budget_join(&budget, 30, &a);
    xb_budget_join(&budget, 30, &b);
    assert_true(xb_budget_try(&a, 70));
    assert_false(xb_budget_try(&a, 1));
    assert_true(xb_budget_try(&b, 30));
    assert_false(xb_budget_try(&b, 1));
    xb_budget_give(&a, 40);
    assert_true(xb_budget_try(&b, 40));
    assert_int_equal(budget.reserved, 100);
    xb_budget_give(&a, 30);
    assert_int_equal(budget.reserved, 100); /* its floor stays its own */
    xb_budget_leave(&a);
    assert_int_equal(budget.reserved, 70);
    xb_budget_give(&b, 70);
    xb_budget_leave(&b);
    assert_int_equal(budget.reserved, 0);
    assert_int_equal(budget.peak, 100);
}

struct waiter {
    struct xb_budget *budget;
    size_t floor;
    struct xb_budget_share share;
    atomic_bool in, cancel;
};

static void *join_budget(void *context)
{
    struct waiter *waiter = context;
    xb_budget_join(waiter->budget, waiter->floor, &waiter->share);
    atomic_store(&waiter->in, true);
    return NULL;
}

static bool somebody_waits(struct xb_budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    bool waits = budget->joiners != NULL;
    pthread_mutex_unlock(&budget->lock);
    return waits;
}

/* Who waits is not overtaken by those who take more, nor by those who come later with less; a floor
 * above the whole budget is let in alone. */
static void turns(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT(100);
    struct xb_budget_share first = {.budget = NULL};
    struct waiter large = {.budget = &budget, .floor = 200};
    struct waiter small = {.budget = &budget, .floor = 1};
    pthread_t threads[2];
    xb_budget_join(&budget, 20, &first);
    assert_true(xb_budget_try(&first, 40));
    assert_int_equal(pthread_create(&threads[0], NULL, join_budget, &large), 0);
    while (!somebody_waits(&budget)) {
        sleep_ms(1);
    }
    assert_int_equal(pthread_create(&threads[1], NULL, join_budget, &small), 0);
    assert_false(xb_budget_try(&first, 1)); /* 60 are free, but somebody waits */
    sleep_ms(20);
    assert_false(large.in || small.in);
    xb_budget_give(&first, 40);
    assert_true(xb_budget_try(&first, 20)); /* its floor */
    xb_budget_give(&first, 20);
    xb_budget_leave(&first);
    pthread_join(threads[0], NULL);
    sleep_ms(20);
    assert_true(large.in && !small.in);
    xb_budget_leave(&large.share);
    pthread_join(threads[1], NULL);
    assert_true(small.in);
    xb_budget_leave(&small.share);
    assert_int_equal(budget.reserved, 0);
}

static void *join_or_cancel(void *context)
{
    struct waiter *waiter = context;
    atomic_store(&waiter->in, xb_budget_join_unless(waiter->budget, waiter->floor, &waiter->cancel,
                                                    &waiter->share));
    return NULL;
}

/* Who is cancelled leaves the line, at its front or within, and whoever stands behind moves up. */
static void cancelled_in_line(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT(100);
    struct xb_budget_share first = {.budget = NULL};
    struct waiter waiters[3] = {{.budget = &budget, .floor = 200},
                                {.budget = &budget, .floor = 90},
                                {.budget = &budget, .floor = 80}};
    pthread_t threads[3];
    xb_budget_join(&budget, 20, &first);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, join_or_cancel, &waiters[i]), 0);
        sleep_ms(20);
    }
    for (size_t i = 2; i > 0; i--) {
        atomic_store(&waiters[i - 1].cancel, true);
        pthread_join(threads[i - 1], NULL);
        assert_false(waiters[i - 1].in);
        assert_null(waiters[i - 1].share.budget);
    }
    pthread_join(threads[2], NULL);
    assert_true(waiters[2].in);
    assert_null(budget.joiners);
    xb_budget_leave(&waiters[2].share);
    xb_budget_leave(&first);
    assert_int_equal(budget.reserved, 0);
}

/* Spares are used again, count as free, and go when their room is needed. */
static void blocks_again(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_budget budget = XB_BUDGET_INIT((size_t)2 * XB_BLOCK_BYTES);
    struct xb_budget_share share = {.budget = NULL};
    struct xb_block *a = NULL;
    struct xb_block *b = NULL;
    struct xb_block *none = (struct xb_block *)&err;
    xb_budget_join(&budget, XB_BLOCK_BYTES, &share);
    assert_int_equal(xb_block_wait(&share, &a, &err), 0);
    assert_int_equal((uintptr_t)a->data % 4096, 0);
    assert_int_equal(xb_block_try(&share, &b, &err), 0);
    assert_non_null(b);
    assert_int_equal(xb_block_try(&share, &none, &err), 0);
    assert_null(none);
    xb_block_unref(xb_block_ref(a));
    assert_int_equal(share.taken, 2 * XB_BLOCK_BYTES); /* one reference is left */
    xb_block_unref(a);
    xb_block_unref(b);
    xb_block_unref(NULL);
    assert_int_equal(budget.spare_bytes, 2 * XB_BLOCK_BYTES);
    struct xb_block *again = NULL;
    assert_int_equal(xb_block_wait(&share, &again, &err), 0);
    assert_ptr_equal(again, b);
    assert_true(xb_budget_try(&share, 1)); /* takes the room of the other spare */
    assert_int_equal(budget.spare_bytes, 0);
    xb_budget_give(&share, 1);
    xb_block_unref(again);
    xb_budget_leave(&share);
    assert_int_equal(budget.spare_bytes, XB_BLOCK_BYTES);
    assert_int_equal(budget.taken, 0);
    xb_budget_trim(&budget);
    assert_int_equal(budget.spare_bytes, 0);
}

static void *work(void *context)
{
    struct xb_budget *budget = context;
    struct xb_error err = XB_ERROR_INIT;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct xb_budget_share share = {.budget = NULL};
        struct xb_block *blocks[6] = {NULL};
        xb_budget_join(budget, (size_t)2 * XB_BLOCK_BYTES, &share);
        for (unsigned i = 0; i < 6; i++) {
            int r = i < 2 ? xb_block_wait(&share, &blocks[i], &err)
                          : xb_block_try(&share, &blocks[i], &err);
            if (r < 0) {
                abort();
            }
            if (blocks[i]) {
                blocks[i]->data[round] = (unsigned char)i;
            }
        }
        for (unsigned i = 0; i < 6; i++) {
            xb_block_unref(blocks[i]);
        }
        xb_budget_leave(&share);
    }
    return NULL;
}

/* Many at once come to an end, and never use more than there is. */
static void crowd(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT((size_t)7 * XB_BLOCK_BYTES);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &budget), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(budget.reserved, 0);
    assert_true(budget.peak <= budget.max);
    assert_true(budget.spare_bytes <= budget.max);
    xb_budget_trim(&budget);
}

/* Two threads of one share: the one that waits goes on when the other gives back. */
static void *give_later(void *context)
{
    sleep_ms(10);
    xb_budget_give(context, 60 * KIB);
    return NULL;
}

static void waits_for_its_own(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT((size_t)100 * KIB);
    struct xb_budget_share share = {.budget = NULL};
    struct xb_budget_share other = {.budget = NULL};
    pthread_t thread;
    xb_budget_join(&budget, (size_t)60 * KIB, &share);
    xb_budget_join(&budget, (size_t)40 * KIB, &other);
    xb_budget_wait(&share, (size_t)60 * KIB);
    assert_int_equal(pthread_create(&thread, NULL, give_later, &share), 0);
    xb_budget_wait(&share, (size_t)60 * KIB);
    pthread_join(thread, NULL);
    xb_budget_give(&share, (size_t)60 * KIB);
    xb_budget_leave(&share);
    xb_budget_resize(&budget, (size_t)10 * KIB);
    assert_false(xb_budget_try(&other, (size_t)41 * KIB));
    assert_true(xb_budget_try(&other, (size_t)40 * KIB));
    xb_budget_give(&other, (size_t)40 * KIB);
    xb_budget_leave(&other);
}

/* What a user may choose, and what he is told otherwise. */
static void chosen(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_budget *process = xb_budget_process();
    assert_int_equal(process->max, XB_BUDGET_BYTES_DEFAULT);
    assert_int_equal(xb_budget_choose(XB_BUDGET_BYTES_MIN - 1, &err), -ERANGE);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "from 8M to 4G"));
    assert_int_equal(xb_budget_choose((uint64_t)XB_BUDGET_BYTES_MAX + 1, &err), -ERANGE);
    assert_int_equal(xb_budget_choose(UINT64_MAX, &err), -ERANGE);
    assert_int_equal(process->max, XB_BUDGET_BYTES_DEFAULT);
    assert_int_equal(xb_budget_choose(XB_BUDGET_BYTES_MIN, &err), 0);
    assert_int_equal(process->max, XB_BUDGET_BYTES_MIN);
    assert_int_equal(xb_budget_choose(0, &err), 0);
    assert_int_equal(process->max, XB_BUDGET_BYTES_MIN);
    assert_int_equal(xb_budget_choose(XB_BUDGET_BYTES_MAX, &err), 0);
    assert_int_equal(process->max, XB_BUDGET_BYTES_MAX);
    assert_int_equal(xb_budget_choose(XB_BUDGET_BYTES_DEFAULT, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(floors_and_more),
                                       cmocka_unit_test(turns),
                                       cmocka_unit_test(cancelled_in_line),
                                       cmocka_unit_test(blocks_again),
                                       cmocka_unit_test(crowd),
                                       cmocka_unit_test(waits_for_its_own),
                                       cmocka_unit_test(chosen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
