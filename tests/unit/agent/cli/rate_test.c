/* SPDX-License-Identifier: Apache-2.0
 *
 * Rates as people write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/cli/cli.h"

/* Numbers with and without a letter; what is no rate, or would wrap, is refused. */
static void rates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* 0: refused */
    } cases[] = {{"1", 1},
                 {"500K", 500 * 1024},
                 {"2m", 2 << 20},
                 {"3G", INT64_C(3) << 30},
                 {"8589934591G", INT64_C(8589934591) << 30},
                 {"8589934592G", 0},
                 {"9223372036854775808", 0},
                 {"0", 0},
                 {"-1", 0},
                 {"", 0},
                 {"K", 0},
                 {"1KB", 0},
                 {"1.5M", 0},
                 {"1 M", 0},
                 {"1T", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t got = 0;
        assert_int_equal(xb_cli_rate(cases[i].text, &got), cases[i].want != 0);
        assert_int_equal(got, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
