/* SPDX-License-Identifier: Apache-2.0
 *
 * Owners and modes are right whatever a new file gets by itself: from the umask, from a folder with
 * setgid, from a default ACL. And files whose names come last are there, and whole.
 */
#include "tests/harness/restore_probe.h"

#include <sys/xattr.h>

static const mode_t modes[] = {0644, 0600, 0666, 0777, 0400, 0, 01644, 02755, 04755, 06777};
enum { MODES = sizeof modes / sizeof *modes, OTHER_UID = 1234, OTHER_GID = 4321, SETGID_GID = 77 };

static bool is_root(void)
{
    return geteuid() == 0;
}

/* Every mode, owned by who we are, by another one, and by another group. */
static void add_files(struct folder *folder)
{
    char name[32];
    for (unsigned i = 0; i < MODES; i++) {
        for (unsigned owner = 0; owner < (is_root() ? 3 : 1); owner++) {
            snprintf(name, sizeof name, "file %u %u", i, owner);
            struct xb_entry entry = make_entry(name, XB_ENTRY_FILE, name);
            entry.mode = modes[i];
            entry.uid = owner == 1 ? OTHER_UID : entry.uid;
            entry.gid = owner == 2 ? OTHER_GID : entry.gid;
            add_entry(folder, entry);
        }
    }
    add(folder, "link", XB_ENTRY_SYMLINK, "nowhere");
}

static void check_files(const char *path)
{
    char name[32], at[100];
    for (unsigned i = 0; i < MODES; i++) {
        for (unsigned owner = 0; owner < (is_root() ? 3 : 1); owner++) {
            snprintf(name, sizeof name, "file %u %u", i, owner);
            snprintf(at, sizeof at, "%s%s", path, name);
            const struct stat st = tree_stat(&tree, at);
            assert_int_equal(st.st_mode, S_IFREG | modes[i]);
            assert_int_equal(st.st_uid, owner == 1 ? OTHER_UID : geteuid());
            assert_int_equal(st.st_gid, owner == 2 ? OTHER_GID : getegid());
            assert_int_equal(st.st_nlink, 1);
            if (is_root()) {
                tree_holds(&tree, at, name);
            }
        }
    }
    snprintf(at, sizeof at, "%slink", path);
    assert_int_equal(tree_stat(&tree, at).st_gid, getegid());
}

/* root/{files, above/{files, below/files}}; the folder below is another one's. */
static struct xb_snapshot *sample(void)
{
    struct folder root = new_folder();
    struct folder above = new_folder();
    struct folder below = new_folder();
    add_files(&root);
    add_files(&above);
    add_files(&below);
    struct xb_entry entry = end_folder(&below, "below");
    entry.mode = 02750;
    entry.gid = is_root() ? OTHER_GID : entry.gid;
    add_entry(&above, entry);
    add_entry(&root, end_folder(&above, "above"));
    return end_snapshot(&root);
}

static void comes_back(const struct xb_snapshot *snapshot)
{
    restores_cleanly(snapshot);
    check_files("");
    check_files("above/");
    check_files("above/below/");
    const struct stat above = tree_stat(&tree, "above");
    assert_int_equal(above.st_mode, S_IFDIR | 0755);
    assert_int_equal(above.st_gid, getegid());
    const struct stat below = tree_stat(&tree, "above/below");
    assert_int_equal(below.st_mode, S_IFDIR | 02750);
    assert_int_equal(below.st_gid, is_root() ? OTHER_GID : getegid());
    /* Once more, over what is there now. */
    restores_cleanly(snapshot);
    check_files("");
    check_files("above/below/");
}

static void under_any_umask(void **state)
{
    (void)state;
    static const mode_t masks[] = {0, 022, 027, 0777};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        mode_t before = umask(masks[i]);
        comes_back(snapshot);
        umask(before);
        tree_free(&tree);
        tree = tree_new();
    }
}

static void below_a_setgid_folder(void **state)
{
    (void)state;
    if (!is_root()) {
        skip();
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    assert_int_equal(fchown(tree.fd, 0, SETGID_GID), 0);
    assert_int_equal(fchmod(tree.fd, 02777), 0);
    comes_back(snapshot);
}

/* It lets nobody but the owner in, whatever is asked for. */
static void below_a_default_acl(void **state)
{
    (void)state;
    static const unsigned char acl[] = {
        2, 0, 0,   0,   1,   0,   6,    0, 255, 255, 255, 255, 4,   0,
        0, 0, 255, 255, 255, 255, 0x20, 0, 0,   0,   255, 255, 255, 255,
    };
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    if (fsetxattr(tree.fd, "system.posix_acl_default", acl, sizeof acl, 0) < 0) {
        skip(); /* a file system without */
    }
    int fd = openat(tree.fd, "probe", O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(tree_stat(&tree, "probe").st_mode, S_IFREG | 0600);
    comes_back(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(under_any_umask, setup, teardown),
        cmocka_unit_test_setup_teardown(below_a_setgid_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(below_a_default_acl, setup, teardown),
    };
    return cmocka_run_group_tests_name("birth", tests, NULL, NULL);
}
