/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's list of mounts: which folder of which file system is mounted where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mounts.h"

#define LINE "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"

static int parse(const char *text, struct xb_mounts *ret, struct xb_error *err)
{
    *err = (struct xb_error)XB_ERROR_INIT;
    return xb_mounts_parse(text, strlen(text), ret, err);
}

static void test_a_line_has_its_fields(void **state)
{
    (void)state;
    struct xb_error err;
    struct xb_mounts mounts;
    assert_int_equal(
        parse(LINE "1 2 3:4294967295 / /x ro shared:1 master:2 - tmpfs  rw\n", &mounts, &err), 0);
    assert_int_equal(mounts.count, 2);
    assert_int_equal(mounts.items[0].id, 36);
    assert_int_equal(mounts.items[0].parent, 35);
    assert_int_equal(mounts.items[0].major, 98);
    assert_int_equal(mounts.items[0].minor, 0);
    assert_string_equal(mounts.items[0].root, "/mnt1");
    assert_string_equal(mounts.items[0].point, "/mnt2");
    assert_string_equal(mounts.items[0].options, "rw,noatime");
    assert_string_equal(mounts.items[0].type, "ext3");
    assert_string_equal(mounts.items[0].source, "/dev/root");
    assert_int_equal(mounts.items[1].minor, UINT32_MAX);
    assert_string_equal(mounts.items[1].type, "tmpfs");
    assert_string_equal(mounts.items[1].source, ""); /* mounted from "" */
    xb_mounts_free(&mounts);
    assert_int_equal(parse("", &mounts, &err), 0);
    assert_int_equal(mounts.count, 0);
    xb_mounts_free(&mounts);
}

static void test_escaped_bytes_come_back(void **state)
{
    (void)state;
    struct xb_error err;
    struct xb_mounts mounts;
    static const char line[] =
        "1 2 8:1 /a\\040b\\134 /c\\012\\x\\303\\266 rw - fuse.my\\011one a\\134040 rw\n";
    assert_int_equal(parse(line, &mounts, &err), 0);
    assert_string_equal(mounts.items[0].root, "/a b\\");
    assert_string_equal(mounts.items[0].point, "/c\n\\x\xc3\xb6");
    assert_string_equal(mounts.items[0].type, "fuse.my\tone");
    assert_string_equal(mounts.items[0].source, "a\\040"); /* once, not twice */
    xb_mounts_free(&mounts);
}

/* None of it is believed then, and what the caller has is left alone. */
static void test_what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\n",
                                        "36 35 98:0 /mnt1",
                                        "36 35 98:0 /mnt1 /mnt2\n",
                                        "36 35 98:0 /mnt1 /mnt2 rw - ext4 x rw",
                                        "x 35 98:0 /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "36  98:0 /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "36 -1 98:0 /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "1234567890123456789 35 98:0 / /m rw - ext4 x rw\n",
                                        "36 35 980 /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "36 35 98: /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "36 35 98:4294967296 /mnt1 /mnt2 rw - ext4 x rw\n",
                                        "36 35 98:0 /mnt1 /mnt2 rw ext4 x rw\n",
                                        "36 35 98:0 /mnt1 /mnt2 rw - ext4\n",
                                        "36 35 98:0 /mnt1  rw - ext4 x rw\n",
                                        "36 35 98:0 /a\\000b /mnt2 rw - ext4 x rw\n",
                                        "1 2 3:4 / /m rw - ext4 x rw\n\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct xb_error err;
        struct xb_mounts mounts = {.count = 77};
        assert_true(parse(wrong[i], &mounts, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_int_equal(mounts.count, 77);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts;
    static const char nul[] = "36 35 98:0 /a\0b /mnt2 rw - ext4 x rw\n";
    assert_true(xb_mounts_parse(nul, sizeof nul - 1, &mounts, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
}

static void test_there_are_limits(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts;
    size_t len = (size_t)(XB_MOUNTS_MAX + 1) * (sizeof LINE - 1);
    char *text = malloc(XB_MOUNTS_BYTES_MAX + 1);
    assert_non_null(text);
    for (size_t at = 0; at < len; at += sizeof LINE - 1) {
        memcpy(text + at, LINE, sizeof LINE - 1);
    }
    assert_true(xb_mounts_parse(text, len, &mounts, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
    err = (struct xb_error)XB_ERROR_INIT;
    assert_int_equal(xb_mounts_parse(text, len - (sizeof LINE - 1), &mounts, &err), 0);
    assert_int_equal(mounts.count, XB_MOUNTS_MAX);
    xb_mounts_free(&mounts);
    assert_true(xb_mounts_parse(text, XB_MOUNTS_BYTES_MAX + 1, &mounts, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
    free(text);
}

/* This process's own: there is a root. */
static void test_the_kernels_list_is_read(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts;
    size_t roots = 0;
    assert_int_equal(xb_mounts_read(XB_MOUNTS_PATH, &mounts, &err), 0);
    for (size_t i = 0; i < mounts.count; i++) {
        roots += strcmp(mounts.items[i].point, "/") == 0;
    }
    assert_true(roots > 0);
    xb_mounts_free(&mounts);
    assert_true(xb_mounts_read("/proc/self/nothing", &mounts, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);
}

static void test_in_a_folder_is_not_beside_it(void **state)
{
    (void)state;
    assert_true(xb_mount_is_in("/data", "/data/sub"));
    assert_true(xb_mount_is_in("/data/", "/data/sub"));
    assert_true(xb_mount_is_in("/", "/data"));
    assert_false(xb_mount_is_in("/data", "/data"));
    assert_false(xb_mount_is_in("/data", "/data2"));
    assert_false(xb_mount_is_in("/data", "/da"));
    assert_false(xb_mount_is_in("/", "/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_line_has_its_fields),
                                       cmocka_unit_test(test_escaped_bytes_come_back),
                                       cmocka_unit_test(test_what_is_no_line_is_refused),
                                       cmocka_unit_test(test_there_are_limits),
                                       cmocka_unit_test(test_the_kernels_list_is_read),
                                       cmocka_unit_test(test_in_a_folder_is_not_beside_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
