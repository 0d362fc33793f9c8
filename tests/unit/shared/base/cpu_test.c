/* SPDX-License-Identifier: Apache-2.0
 *
 * Code may be told to use fewer instructions than there are, never more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/cpu.h"

static void limits(void **state)
{
    (void)state;
    const enum xb_cpu best = xb_cpu_level();
    for (int level = XB_CPU_AVX512_VBMI; level >= XB_CPU_PORTABLE; level--) {
        xb_cpu_limit((enum xb_cpu)level);
        assert_int_equal(xb_cpu_level(), level < (int)best ? level : (int)best);
    }
    assert_string_equal(xb_cpu_name(xb_cpu_level()), "portable");
    xb_cpu_limit(XB_CPU_AVX512_VBMI);
    assert_int_equal(xb_cpu_level(), best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
