/* SPDX-License-Identifier: Apache-2.0
 *
 * Quotas are understood as the kernel writes them, and there is always one processor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "shared/base/cpus.h"

static void quotas(void **state)
{
    (void)state;
    assert_int_equal(xb_cpus_of_quota("max 100000\n"), 0);
    assert_int_equal(xb_cpus_of_quota("100000 100000\n"), 1);
    assert_int_equal(xb_cpus_of_quota("150000 100000\n"), 2);
    assert_int_equal(xb_cpus_of_quota("5000 100000"), 1);
    assert_int_equal(xb_cpus_of_quota("-1\n 100000\n"), 0);
    assert_int_equal(xb_cpus_of_quota("400000\n 100000\n"), 4);
    assert_int_equal(xb_cpus_of_quota(""), 0);
    assert_int_equal(xb_cpus_of_quota("1 0"), 0);
    assert_int_equal(xb_cpus_of_quota("9223372036854775807 1"), 0);
    assert_int_equal(xb_cpus_of_quota("100000"), 0);
}

/* What the scheduler allows is never exceeded. */
static void usable(void **state)
{
    (void)state;
    cpu_set_t before;
    cpu_set_t one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(xb_cpus_usable() >= 1);
    assert_true(xb_cpus_usable() <= (unsigned)CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (unsigned cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(xb_cpus_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quotas), cmocka_unit_test(usable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
