/* SPDX-License-Identifier: Apache-2.0
 *
 * What is chosen where nothing can be shared (a tmpfs), how it is explained, and what is swept
 * away: only what is ours, nobody holds, and has the shape of a copy.
 */
#include "tests/harness/probe.h"

#include <fcntl.h>
#include <sys/file.h>

#include "agent/freeze/freeze.h"

struct place {
    char path[64]; /* a folder, with the volume "v" in it */
    int root_fd;
};
static struct place place;

static void make(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", place.path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static bool there(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", place.path, name);
    return access(path, F_OK) == 0;
}

static int open_name(const char *name, int flags)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", place.path, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void touch(const char *name)
{
    close(open_name(name, O_WRONLY | O_CREAT));
}

static int setup(void **state)
{
    (void)state;
    strcpy(place.path, "/dev/shm/xebec-freeze-XXXXXX");
    assert_non_null(mkdtemp(place.path));
    make("v");
    place.root_fd = open_name("v", O_RDONLY | O_DIRECTORY);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(place.root_fd);
    return nftw(place.path, probe_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct xb_freeze_request request(unsigned methods)
{
    return (struct xb_freeze_request){.root_fd = place.root_fd,
                                      .path = "/the/volume",
                                      .name = "copy",
                                      .methods = methods,
                                      .threads = 2};
}

/* ---- choosing ---- */

static void test_the_floor_says_why_nothing_better(void **state)
{
    const struct xb_freeze_request wanted = request(0);
    struct xb_freeze *freeze = NULL;
    struct xb_freeze_facts facts;
    (void)state;
    touch("v/file");
    PROBE_OK(xb_freeze_prepare(&wanted, &freeze, &err));
    PROBE_OK(xb_freeze_take(freeze, &err));
    xb_freeze_open(freeze);
    xb_freeze_describe(freeze, &facts);
    assert_int_equal(facts.method, XB_FREEZE_LIVE);
    assert_int_equal(facts.consistency, XB_FREEZE_FUZZY);
    assert_int_equal(facts.freeze_us, 0);
    assert_int_equal(facts.taken_ns, 0);
    assert_non_null(strstr(facts.reasons, "btrfs: its file system is tmpfs"));
    assert_non_null(strstr(facts.reasons, "reflink-file: it is on no loop device"));
    assert_non_null(strstr(facts.reasons, "reflink-tree: its file system is tmpfs"));
    assert_int_equal(xb_freeze_root(freeze), place.root_fd);
    assert_null(xb_freeze_listing(freeze));
    assert_false(atomic_load(xb_freeze_lost(freeze)));
    xb_freeze_free(freeze);
    assert_false(there(XB_FREEZE_FOLDER));
    assert_false(there("v/" XB_FREEZE_FOLDER));
}

static void test_without_the_floor_it_is_an_error(void **state)
{
    const struct xb_freeze_request wanted = request(1U << XB_FREEZE_TREE);
    struct xb_freeze *freeze = NULL;
    struct xb_error err = XB_ERROR_INIT;
    (void)state;
    assert_true(xb_freeze_prepare(&wanted, &freeze, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "/the/volume"));
    assert_non_null(strstr(err.text, "btrfs: not allowed"));
    assert_null(freeze);
    assert_false(there(XB_FREEZE_FOLDER));
}

static void test_above_the_floor_of_space_nothing_is_begun(void **state)
{
    struct xb_freeze_request wanted = request(0);
    struct xb_freeze *freeze = NULL;
    struct xb_freeze_facts facts;
    (void)state;
    wanted.free_bytes_min = UINT64_C(1) << 60;
    PROBE_OK(xb_freeze_prepare(&wanted, &freeze, &err));
    xb_freeze_describe(freeze, &facts);
    assert_non_null(strstr(facts.reasons, "1099511627776 MiB are to stay free"));
    xb_freeze_free(freeze);
}

static void test_a_name_that_leaves_the_place_is_refused(void **state)
{
    static const char *const wrong[] = {"", ".", "..", ".a", "a/b", "../a"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct xb_freeze_request wanted = request(1U << XB_FREEZE_TREE | 1U << XB_FREEZE_LIVE);
        struct xb_freeze *freeze = NULL;
        struct xb_freeze_facts facts;
        wanted.name = wrong[i];
        PROBE_OK(xb_freeze_prepare(&wanted, &freeze, &err));
        xb_freeze_describe(freeze, &facts);
        assert_non_null(strstr(facts.reasons, "not a name for a copy"));
        xb_freeze_free(freeze);
    }
}

static void test_a_cancelled_one_ends(void **state)
{
    struct xb_freeze_request wanted = request(0);
    struct xb_freeze *freeze = NULL;
    struct xb_error err = XB_ERROR_INIT;
    const atomic_bool cancel = true;
    (void)state;
    wanted.cancel = &cancel;
    assert_true(xb_freeze_prepare(&wanted, &freeze, &err) < 0);
    assert_null(freeze);
}

/* ---- sweeping ---- */

static int sweep(void)
{
    const struct xb_freeze_request wanted = {.root_fd = place.root_fd};
    struct xb_error err = XB_ERROR_INIT;
    return xb_freeze_sweep(&wanted, &err);
}

static void test_left_over_copies_are_removed_beside_and_within(void **state)
{
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/old");
    make(XB_FREEZE_FOLDER "/old/0");
    touch(XB_FREEZE_FOLDER "/old/0/1");
    touch(XB_FREEZE_FOLDER "/old/probe");
    make("v/" XB_FREEZE_FOLDER);
    make("v/" XB_FREEZE_FOLDER "/old");
    assert_int_equal(sweep(), 2);
    assert_false(there(XB_FREEZE_FOLDER));
    assert_false(there("v/" XB_FREEZE_FOLDER));
    assert_int_equal(sweep(), 0);
}

static void test_what_somebody_holds_stays(void **state)
{
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/live");
    make(XB_FREEZE_FOLDER "/old");
    int fd = open_name(XB_FREEZE_FOLDER "/live", O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(sweep(), 1);
    assert_true(there(XB_FREEZE_FOLDER "/live"));
    assert_false(there(XB_FREEZE_FOLDER "/old"));
    close(fd);
    assert_int_equal(sweep(), 1);
}

static void test_what_is_not_ours_stays(void **state)
{
    char path[PATH_MAX];
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/theirs");
    snprintf(path, sizeof path, "%s/%s", place.path, XB_FREEZE_FOLDER);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(sweep(), 0);
    assert_true(there(XB_FREEZE_FOLDER "/theirs"));
}

static void test_what_has_not_the_shape_of_a_copy_stays(void **state)
{
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/deep");
    make(XB_FREEZE_FOLDER "/deep/a");
    make(XB_FREEZE_FOLDER "/deep/a/b");
    touch(XB_FREEZE_FOLDER "/deep/a/b/file");
    make("v/other");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" XB_FREEZE_FOLDER "/link", place.path);
    assert_int_equal(symlink("../v/other", path), 0);
    assert_int_equal(sweep(), -EIO);
    assert_true(there(XB_FREEZE_FOLDER "/deep/a/b/file"));
    assert_true(there("v/other"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_the_floor_says_why_nothing_better),
                                       TEST(test_without_the_floor_it_is_an_error),
                                       TEST(test_above_the_floor_of_space_nothing_is_begun),
                                       TEST(test_a_name_that_leaves_the_place_is_refused),
                                       TEST(test_a_cancelled_one_ends),
                                       TEST(test_left_over_copies_are_removed_beside_and_within),
                                       TEST(test_what_somebody_holds_stays),
                                       TEST(test_what_is_not_ours_stays),
                                       TEST(test_what_has_not_the_shape_of_a_copy_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
