/* SPDX-License-Identifier: Apache-2.0
 *
 * An amount is the same however it is written, greater amounts compare as greater, and what is cut
 * or altered is refused or is another amount that can be read.
 */
#include "coordinator/collect/quantity.h"
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

enum { AMOUNTS = 3000, TEXT = 64 };

static struct xb_quantity parse(const char *text)
{
    struct xb_quantity quantity;
    PROBE_OK(xb_quantity_parse(text, strlen(text), &quantity, &err));
    return quantity;
}

static void check_same(const char *a, const char *b)
{
    const struct xb_quantity left = parse(a);
    const struct xb_quantity right = parse(b);
    if (xb_quantity_compare(&left, &right) != 0) {
        print_error("%s and %s\n", a, b);
    }
    assert_int_equal(xb_quantity_compare(&left, &right), 0);
}

/* n <unit> is n * factor in plain digits, as long as that is below 2^63. */
static void one_amount_many_ways(void **state)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"k", 1000},
                 {"M", 1000000},
                 {"G", 1000000000},
                 {"T", UINT64_C(1000000000000)},
                 {"P", UINT64_C(1000000000000000)},
                 {"E", UINT64_C(1000000000000000000)},
                 {"e3", 1000},
                 {"E2", 100},
                 {"e+6", 1000000},
                 {"e0", 1},
                 {"", 1},
                 {"Ki", 1 << 10},
                 {"Mi", 1 << 20},
                 {"Gi", 1 << 30},
                 {"Ti", UINT64_C(1) << 40},
                 {"Pi", UINT64_C(1) << 50},
                 {"Ei", UINT64_C(1) << 60}};
    struct property source = property_begin("one_amount_many_ways");
    (void)state;
    for (int i = 0; i < AMOUNTS; i++) {
        size_t unit = property_below(&source, sizeof units / sizeof *units);
        uint64_t most = (uint64_t)INT64_MAX / units[unit].factor;
        uint64_t number = property_below(&source, most < UINT64_MAX / 2 ? most + 1 : most);
        char plain[TEXT];
        char short_form[TEXT];
        char padded[TEXT];
        snprintf(plain, sizeof plain, "%" PRIu64, number * units[unit].factor);
        snprintf(short_form, sizeof short_form, "%" PRIu64 "%s", number, units[unit].suffix);
        snprintf(padded, sizeof padded, "+00%" PRIu64 ".000%s", number, units[unit].suffix);
        check_same(plain, short_form);
        check_same(plain, padded);
    }
}

/* The thousandths of a random number, written three ways; and their order is the numbers'. */
static void fractions_and_order(void **state)
{
    struct property source = property_begin("fractions_and_order");
    struct xb_quantity last = {.whole = 0};
    uint64_t last_number = 0;
    (void)state;
    for (int i = 0; i < AMOUNTS; i++) {
        uint64_t number = property_next(&source) >> (20 + property_below(&source, 40));
        char milli[TEXT];
        char point[TEXT];
        char exponent[TEXT];
        snprintf(milli, sizeof milli, "%" PRIu64 "m", number);
        snprintf(point, sizeof point, "%" PRIu64 ".%03" PRIu64, number / 1000, number % 1000);
        snprintf(exponent, sizeof exponent, "%" PRIu64 "e-3", number);
        check_same(milli, point);
        check_same(milli, exponent);
        const struct xb_quantity quantity = parse(milli);
        assert_int_equal(quantity.whole, (int64_t)(number / 1000));
        assert_int_equal(xb_quantity_compare(&quantity, &last),
                         (number > last_number) - (number < last_number));
        last = quantity;
        last_number = number;
    }
}

/* Whatever bytes: an answer in range, or INVALID. */
static void altered(void **state)
{
    static const char letters[] = "0123456789.+-eEKMGTPkimun ,x";
    struct property source = property_begin("altered");
    (void)state;
    for (int i = 0; i < 20 * AMOUNTS; i++) {
        char text[24];
        size_t len = property_below(&source, sizeof text);
        for (size_t at = 0; at < len; at++) {
            text[at] = letters[property_below(&source, sizeof letters - 1)];
        }
        struct xb_quantity quantity = {.whole = -1};
        struct xb_error err = XB_ERROR_INIT;
        if (xb_quantity_parse(text, len, &quantity, &err) == 0) {
            assert_true(quantity.whole >= 0 && quantity.nano >= 0 && quantity.nano < 1000000000);
        } else {
            assert_int_equal(err.kind, XB_ERR_INVALID);
            assert_int_equal(quantity.whole, -1);
        }
    }
}

static void edges(void **state)
{
    (void)state;
    check_same("9223372036854775807", "8Ei");
    check_same("9223372036854775807", "9999E");
    check_same("1n", "0.0000000001"); /* rounded up */
    check_same("1", "0.9999999999");
    check_same("0", "-0");
    check_same("0", "0.000e-18");
    check_same(".5Gi", "512Mi");
    check_same("5.", "5");
    static const char *const wrong[] = {
        "",    ".",    "-1",  "Gi",  "1 Gi", "1gi", "1KI", "1ki",  "1.2.3", "1e",
        "1e-", "1e99", "0x1", "1,2", "inf",  "nan", "--1", "1Gib", "1K",    "12345678901234567890",
        " 1",  "1m1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct xb_quantity quantity;
        PROBE_REFUSED(xb_quantity_parse(wrong[i], strlen(wrong[i]), &quantity, &err),
                      XB_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_amount_many_ways),
        cmocka_unit_test(fractions_and_order),
        cmocka_unit_test(altered),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
