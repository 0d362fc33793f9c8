/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of the kernel's list of mounts: which folder of a file system is mounted where.
 */
#include "tests/harness/probe.h"

#include "agent/freeze/mounts.h"

#define LINE "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"

static void test_a_line_says_root_and_point(void **state)
{
    struct xb_mount mount;
    (void)state;
    assert_true(xb_mount_parse(LINE, &mount));
    assert_int_equal(mount.id, 36);
    assert_string_equal(mount.root, "/mnt1");
    assert_string_equal(mount.point, "/mnt2");
}

static void test_escaped_bytes_come_back(void **state)
{
    struct xb_mount mount;
    (void)state;
    assert_true(xb_mount_parse("1 2 8:1 /a\\040b\\134 /c\\012\\x rw - ext4 d rw\n", &mount));
    assert_string_equal(mount.root, "/a b\\");
    assert_string_equal(mount.point, "/c\n\\x");
}

static void test_what_is_no_line_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "\n",
                                        "36 35 98:0 /mnt1",
                                        "36 35 98:0 /mnt1 /mnt2\n",
                                        "x 35 98:0 /mnt1 /mnt2 rw\n",
                                        "36  98:0 /mnt1 /mnt2 rw\n",
                                        "36 35 98:0 /a\\000b /mnt2 rw\n"};
    struct xb_mount mount;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(xb_mount_parse(wrong[i], &mount));
    }
    /* A path that is too long is refused, not cut. */
    char *line = calloc(1, 2 * PATH_MAX);
    assert_non_null(line);
    size_t head = (size_t)snprintf(line, PATH_MAX, "1 2 8:1 /");
    memset(line + head, 'a', PATH_MAX);
    snprintf(line + head + PATH_MAX, PATH_MAX - head, " / rw\n");
    assert_false(xb_mount_parse(line, &mount));
    free(line);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_line_says_root_and_point),
                                       cmocka_unit_test(test_escaped_bytes_come_back),
                                       cmocka_unit_test(test_what_is_no_line_is_refused),
                                       cmocka_unit_test(test_in_a_folder_is_not_beside_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
