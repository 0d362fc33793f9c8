/* SPDX-License-Identifier: Apache-2.0
 *
 * What snapshots of a ZFS need none for: names, which dataset it is, which snapshots are left over
 * (ordinary folders here, which are made and removed just so), and that it is refused elsewhere.
 */
#include "tests/harness/probe.h"

#include <fcntl.h>
#include <sys/file.h>

#include "agent/freeze/zfs.h"

/* ---- names ---- */

static void test_names(void **state)
{
    static const char *const wrong[] = {"", "a b", "a/b", "a@b", "a%b", "\xc3\xa9"};
    char name[NAME_MAX + 1] = "untouched";
    char copy[NAME_MAX + 1];
    (void)state;
    PROBE_OK(xb_zfs_snapshot_name("4f0c-1", name, &err));
    assert_string_equal(name, "xebec-point-in-time-4f0c-1");
    assert_string_equal(xb_zfs_copy_of(name), "4f0c-1");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PROBE_REFUSED(xb_zfs_snapshot_name(wrong[i], name, &err), XB_ERR_INVALID);
    }
    memset(copy, 'a', sizeof copy);
    copy[NAME_MAX - strlen(XB_ZFS_PREFIX)] = '\0';
    PROBE_OK(xb_zfs_snapshot_name(copy, name, &err));
    assert_string_equal(xb_zfs_copy_of(name), copy);
    copy[NAME_MAX - strlen(XB_ZFS_PREFIX)] = 'a';
    copy[NAME_MAX - strlen(XB_ZFS_PREFIX) + 1] = '\0';
    PROBE_REFUSED(xb_zfs_snapshot_name(copy, name, &err), XB_ERR_INVALID);
    assert_null(xb_zfs_copy_of("daily-2026-11-26"));
    assert_null(xb_zfs_copy_of("xebec-point-in-time"));
    assert_null(xb_zfs_copy_of(XB_ZFS_PREFIX));
}

#define LINE(device, point, type, source)                                                          \
    "30 1 " device " / " point " rw - " type " " source " rw\n"

static void test_dataset(void **state)
{
    static const char text[] = LINE("0:40", "/", "zfs", "rpool/ROOT/debian")
        LINE("0:41", "/srv", "tmpfs", "none") LINE("0:42", "/srv/a\\040b", "zfs", "tank/a\\040b")
            LINE("0:42", "/pods/u/volumes/x/data", "zfs", "tank/a\\040b")
                LINE("0:43", "/old", "zfs", "tank/data@monday");
    char dataset[XB_ZFS_DATASET_BYTES] = "untouched";
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    (void)state;
    PROBE_OK(xb_mounts_parse(text, strlen(text), &mounts, &err));
    PROBE_REFUSED(xb_zfs_dataset(&mounts, 0, 41, dataset, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_zfs_dataset(&mounts, 0, 43, dataset, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_zfs_dataset(&mounts, 8, 42, dataset, &err), XB_ERR_INVALID);
    assert_string_equal(dataset, "untouched");
    PROBE_OK(xb_zfs_dataset(&mounts, 0, 42, dataset, &err));
    assert_string_equal(dataset, "tank/a b");
    PROBE_OK(xb_zfs_dataset(&mounts, 0, 40, dataset, &err));
    assert_string_equal(dataset, "rpool/ROOT/debian");
}

/* ---- what is left over ---- */

static char folder[64];

static void make(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int open_name(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool there(const char *name)
{
    XB_CLEANUP(xb_closep) int fd = open_name(name);
    return fd >= 0;
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/dev/shm/xebec-zfs-XXXXXX");
    assert_non_null(mkdtemp(folder));
    make("snapshots");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(folder, probe_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_sweep(void **state)
{
    int removed = 0;
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/used");
    make(XB_FREEZE_FOLDER "/dead");
    make(XB_FREEZE_FOLDER "/never-taken");
    make("snapshots/" XB_ZFS_PREFIX "used");
    make("snapshots/" XB_ZFS_PREFIX "dead");
    make("snapshots/" XB_ZFS_PREFIX "older");
    make("snapshots/daily");
    make("snapshots/xebec-point-in-time");
    XB_CLEANUP(xb_closep) int top = open_name(".");
    XB_CLEANUP(xb_closep) int snapshots = open_name("snapshots");
    XB_CLEANUP(xb_closep) int used = open_name(XB_FREEZE_FOLDER "/used");
    assert_int_equal(flock(used, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(xb_zfs_sweep_in(top, snapshots, &removed), 0);
    assert_int_equal(removed, 2);
    assert_true(there("snapshots/" XB_ZFS_PREFIX "used"));
    assert_true(there(XB_FREEZE_FOLDER "/used"));
    assert_true(there("snapshots/daily"));
    assert_true(there("snapshots/xebec-point-in-time"));
    assert_false(there("snapshots/" XB_ZFS_PREFIX "dead"));
    assert_false(there("snapshots/" XB_ZFS_PREFIX "older"));
    assert_false(there(XB_FREEZE_FOLDER "/dead"));
    assert_false(there(XB_FREEZE_FOLDER "/never-taken"));
    xb_closep(&used);
    used = -1;
    removed = 0;
    assert_int_equal(xb_zfs_sweep_in(top, snapshots, &removed), 0);
    assert_int_equal(removed, 1);
    assert_false(there(XB_FREEZE_FOLDER));
}

/* One that cannot be removed is said, and keeps its folder. */
static void test_sweep_in_vain(void **state)
{
    int removed = 0;
    (void)state;
    make(XB_FREEZE_FOLDER);
    make(XB_FREEZE_FOLDER "/held");
    make("snapshots/" XB_ZFS_PREFIX "held");
    make("snapshots/" XB_ZFS_PREFIX "held/not-empty");
    XB_CLEANUP(xb_closep) int top = open_name(".");
    XB_CLEANUP(xb_closep) int snapshots = open_name("snapshots");
    assert_int_equal(xb_zfs_sweep_in(top, snapshots, &removed), 1);
    assert_int_equal(removed, 0);
    assert_true(there(XB_FREEZE_FOLDER "/held"));
}

static void test_elsewhere(void **state)
{
    int removed = 0;
    struct xb_freeze *freeze = NULL;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int top = open_name(".");
    const struct xb_freeze_request request = {
        .root_fd = top, .path = folder, .name = "copy", .methods = 1U << XB_FREEZE_ZFS};
    (void)state;
    assert_int_equal(xb_zfs_sweep(top, &removed), 0);
    assert_true(xb_freeze_prepare(&request, &freeze, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "zfs: its file system is tmpfs"));
    assert_null(freeze);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_dataset),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep_in_vain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elsewhere, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
