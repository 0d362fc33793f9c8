/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of a policy for points in time: what they allow, and which are refused.
 */
#include "tests/harness/probe.h"

#include "agent/freeze/freeze.h"

#define BIT(method) (1U << XB_FREEZE_##method)

static unsigned parsed(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    unsigned methods = 0;
    assert_int_equal(xb_freeze_methods_parse(text, &methods, &err), 0);
    return methods;
}

static void test_nothing_said_is_any(void **state)
{
    (void)state;
    assert_int_equal(parsed(""), XB_FREEZE_ANY);
    assert_int_equal(parsed("auto"), XB_FREEZE_ANY);
}

static void test_named_ones_only(void **state)
{
    (void)state;
    assert_int_equal(parsed("live"), BIT(LIVE));
    assert_int_equal(parsed("btrfs,live"), BIT(BTRFS) | BIT(LIVE));
    assert_int_equal(parsed("reflink-file,reflink-tree"), BIT(IMAGE) | BIT(TREE));
}

static void test_all_but_the_excluded(void **state)
{
    (void)state;
    assert_int_equal(parsed("-btrfs"), XB_FREEZE_ANY & ~BIT(BTRFS));
    assert_int_equal(parsed("-live,-reflink-tree"), BIT(BTRFS) | BIT(IMAGE));
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    static const char *const wrong[] = {",",          "btrfs,",
                                        ",btrfs",     "btrf",
                                        "btrfss",     "btrfs,-live",
                                        "-",          "Auto",
                                        "btrfs live", "-btrfs,-live,-reflink-tree,-reflink-file"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct xb_error err = XB_ERROR_INIT;
        unsigned methods = 77;
        assert_int_equal(xb_freeze_methods_parse(wrong[i], &methods, &err), -EINVAL);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_int_equal(methods, 77);
    }
}

static void test_names_come_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < XB_FREEZE_METHODS; i++) {
        assert_int_equal(parsed(xb_freeze_method_name((enum xb_freeze_method)i)), 1U << i);
    }
    assert_string_equal(xb_freeze_consistency_name(XB_FREEZE_PER_FILE), "per-file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_said_is_any),
                                       cmocka_unit_test(test_named_ones_only),
                                       cmocka_unit_test(test_all_but_the_excluded),
                                       cmocka_unit_test(test_what_makes_no_sense_is_refused),
                                       cmocka_unit_test(test_names_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
