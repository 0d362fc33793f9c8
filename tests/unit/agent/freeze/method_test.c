/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of a policy for points in time: what they allow, and which are refused.
 */
#include "tests/harness/probe.h"

#include "agent/freeze/freeze.h"

#define BIT(method) (1U << XB_FREEZE_##method)

static struct xb_freeze_methods said(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_freeze_methods methods = {.allowed = 0};
    assert_int_equal(xb_freeze_methods_parse(text, &methods, &err), 0);
    return methods;
}

static unsigned parsed(const char *text)
{
    return xb_freeze_methods_left(said(text));
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

/* An experimental method is had where one of them names it and none forbids it. */
static void test_experimental_ones_are_named(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned left;
    } cases[] = {{"", "", XB_FREEZE_ANY},
                 {"zfs", "", BIT(ZFS)},
                 {"auto", "zfs,live", BIT(ZFS) | BIT(LIVE)},
                 {"auto,zfs", "", XB_FREEZE_ANY | BIT(ZFS)},
                 {"auto,zfs", "auto", XB_FREEZE_ANY | BIT(ZFS)},
                 {"auto,zfs", "-zfs", XB_FREEZE_ANY},
                 {"lvm", "", BIT(LVM)},
                 {"auto,lvm", "auto", XB_FREEZE_ANY | BIT(LVM)},
                 {"auto,lvm", "zfs,lvm,live", BIT(LVM) | BIT(LIVE)},
                 {"auto,zfs", "-btrfs", (XB_FREEZE_ANY | BIT(ZFS)) & ~BIT(BTRFS)},
                 {"auto,zfs", "btrfs,live", BIT(BTRFS) | BIT(LIVE)},
                 {"live", "zfs", 0},
                 {"-btrfs", "", XB_FREEZE_ANY & ~BIT(BTRFS)}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_freeze_methods a = said(cases[i].a);
        struct xb_freeze_methods b = said(cases[i].b);
        assert_int_equal(xb_freeze_methods_left(xb_freeze_methods_both(a, b)), cases[i].left);
        assert_int_equal(xb_freeze_methods_left(xb_freeze_methods_both(b, a)), cases[i].left);
    }
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    static const char *const wrong[] = {",",
                                        "btrfs,",
                                        ",btrfs",
                                        "btrf",
                                        "btrfss",
                                        "btrfs,-live",
                                        "-",
                                        "Auto",
                                        "-auto",
                                        "auto,",
                                        "-zfs,-lvm,-btrfs,-live,-reflink-tree,-reflink-file",
                                        "btrfs live",
                                        "-btrfs,-live,-reflink-tree,-reflink-file"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_freeze_methods methods = {.allowed = 77};
        assert_int_equal(xb_freeze_methods_parse(wrong[i], &methods, &err), -EINVAL);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_int_equal(methods.allowed, 77);
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
                                       cmocka_unit_test(test_experimental_ones_are_named),
                                       cmocka_unit_test(test_what_makes_no_sense_is_refused),
                                       cmocka_unit_test(test_names_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
