/* SPDX-License-Identifier: Apache-2.0
 *
 * Which paths of a node are beneath a folder that an administrator named, whatever a pod's author
 * writes.
 */
#include "tests/harness/probe.h"

#include "shared/velero/host_paths.h"

static void lists(void **state)
{
    (void)state;
    static const char *const good[] = {"",      "/a",   "/opt/local-path-provisioner:/srv/data",
                                       "/a/.b", "/..a", "/a:"};
    static const char *const bad[] = {"/",      "a",   "./a",    "/a/",  "/a//b", "/a/../b", "/..",
                                      "/a/./b", ":/a", "/a::/b", "/a:b", "//",    "/a/..",   "/."};
    char long_list[XB_HOST_PATHS_BYTES + 1];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        PROBE_OK(xb_host_paths_check(good[i], &err));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PROBE_REFUSED(xb_host_paths_check(bad[i], &err), XB_ERR_INVALID);
    }
    memset(long_list, 'a', sizeof long_list - 1);
    long_list[0] = '/';
    long_list[XB_HOST_PATHS_BYTES] = '\0';
    PROBE_REFUSED(xb_host_paths_check(long_list, &err), XB_ERR_INVALID);
}

static void beneath(void **state)
{
    (void)state;
    static const char list[] = "/data:/srv/apps:/data/big";
    static const struct {
        const char *path;
        size_t len;
    } cases[] = {{"/data", 5},
                 {"/data/", 5},
                 {"/data/x", 5},
                 {"/data/big/x/y", 9}, /* the closest one */
                 {"/data/bigger", 5},
                 {"/srv/apps/web", 9},
                 {"/dat", 0},
                 {"/database", 0},
                 {"/srv", 0},
                 {"/", 0},
                 {"", 0},
                 {"data/x", 0},
                 {"/etc", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(xb_host_paths_find(list, cases[i].path), cases[i].len);
        assert_int_equal(xb_host_paths_find("", cases[i].path), 0);
        assert_int_equal(xb_host_paths_find(NULL, cases[i].path), 0);
    }
    assert_int_equal(xb_host_paths_find("/data/big:/data", "/data/big/x"), 9);
}

/* What would leave the folder is not beneath it, and a list that makes no sense allows nothing. */
static void hostile(void **state)
{
    (void)state;
    static const char *const paths[] = {"/data/..", "/data/../etc", "/data/./x",
                                        "/data//x", "/./data/x",    "//data/x",
                                        "/../data", "/data/x/..",   "/data/../data/x"};
    static const char *const lists[] = {"/", "data", "/:data", "//", "/data/..", "/data/.:::"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(xb_host_paths_find("/data", paths[i]), 0);
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(xb_host_paths_find(lists[i], "/data/x"), 0);
    }
    char path[PATH_MAX + 1];
    memset(path, 'x', sizeof path - 1);
    memcpy(path, "/data/", 6);
    path[PATH_MAX] = '\0';
    assert_int_equal(xb_host_paths_find("/data", path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(beneath),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
