/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder store does what stores do, and stays inside its folder whatever lies in it.
 */
#include "tests/harness/probe.h"
#include "tests/harness/store_suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Makes a folder for the test: path/store is the store, path itself is outside. */
static void make_outside(struct store_suite *suite)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(suite->path, sizeof suite->path, "%s/xb_fs_test_XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(suite->path));
}

static const char *in(const struct store_suite *suite, const char *name)
{
    static char paths[4][600];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", suite->path, name);
    return path;
}

static struct xb_store *open_at(struct store_suite *suite, bool create, bool read_only)
{
    struct xb_store *store = NULL;
    struct xb_store_open_options options = {.create = create, .read_only = read_only};
    SUITE_OK(xb_store_open(in(suite, "store"), &options, &store, &err));
    return store;
}

static struct xb_store *open_store(struct store_suite *suite)
{
    make_outside(suite);
    return open_at(suite, true, false);
}

static void close_store(struct store_suite *suite, struct xb_store *store)
{
    xb_store_free(store);
    nftw(suite->path, probe_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void file_holds(const char *path, const char *text)
{
    char got[100] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    got[fread(got, 1, sizeof got - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(got, text);
}

static size_t entries_in(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(dir);
    return count;
}

/* A link in place of an object is not read through, not listed, and replaced rather than written
 * through. */
static void linked_file(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    struct xb_buf out = XB_BUF_INIT(100);
    struct xb_store_item item;
    write_file(in(suite, "secret"), "outside");
    suite_put(store, "inside", "inside");
    assert_int_equal(symlink("../secret", in(suite, "store/link")), 0);
    assert_int_equal(symlink("inside", in(suite, "store/near")), 0);
    assert_int_equal(symlink("nowhere", in(suite, "store/dangling")), 0);
    static const char *const links[] = {"link", "near", "dangling"};
    for (size_t i = 0; i < 3; i++) {
        SUITE_REFUSED(xb_store_get(store, links[i], 0, 1, &out, &err), XB_ERR_DENIED);
        SUITE_REFUSED(xb_store_stat(store, links[i], &item, &err), XB_ERR_DENIED);
    }
    suite_lists(store, "", "inside");
    suite_put(store, "link", "mine");
    suite_put(store, "near", "mine");
    suite_holds(store, "link", "mine");
    suite_holds(store, "inside", "inside");
    file_holds(in(suite, "secret"), "outside");
    SUITE_OK(xb_store_delete(store, "dangling", &err));
    suite_lists(store, "", "inside link near");
    close_store(suite, store);
}

/* A link in place of a folder leads nowhere: no read, write, delete or listing goes through it. */
static void linked_folder(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    struct xb_buf out = XB_BUF_INIT(100);
    struct xb_store_item item;
    struct xb_store_upload *upload = NULL;
    assert_int_equal(mkdir(in(suite, "outside"), 0700), 0);
    write_file(in(suite, "outside/file"), "outside");
    suite_put(store, "real/file", "inside");
    assert_int_equal(symlink("../outside", in(suite, "store/away")), 0);
    assert_int_equal(symlink("real", in(suite, "store/near")), 0);
    assert_int_equal(symlink("..", in(suite, "store/up")), 0);
    static const char *const names[] = {"away/file", "near/file", "up/outside/file"};
    for (size_t i = 0; i < 3; i++) {
        SUITE_REFUSED(xb_store_get(store, names[i], 0, 1, &out, &err), XB_ERR_DENIED);
        SUITE_REFUSED(xb_store_stat(store, names[i], &item, &err), XB_ERR_DENIED);
        SUITE_REFUSED(xb_store_put(store, names[i], "x", 1, NULL, &err), XB_ERR_DENIED);
        SUITE_REFUSED(xb_store_upload_begin(store, names[i], NULL, &upload, &err), XB_ERR_DENIED);
        SUITE_REFUSED(xb_store_delete(store, names[i], &err), XB_ERR_DENIED);
        suite_lists(store, names[i], "");
    }
    suite_lists(store, "", "real/file");
    suite_lists(store, "away/", "");
    suite_lists_folders(store, "", "real");
    suite_lists_folders(store, "away/", "");
    assert_int_equal(entries_in(in(suite, "outside")), 1);
    file_holds(in(suite, "outside/file"), "outside");
    suite_holds(store, "real/file", "inside");
    close_store(suite, store);
}

/* Pipes, sockets and folders are no objects; opening one does not wait for its other end. */
static void other_files(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    assert_int_equal(mkfifo(in(suite, "store/pipe"), 0600), 0);
    assert_int_equal(mkdir(in(suite, "store/folder"), 0700), 0);
    suite_absent(store, "pipe");
    suite_absent(store, "folder");
    suite_lists(store, "", "");
    suite_lists_folders(store, "", "");
    close_store(suite, store);
}

/* Nothing is changed in a store that is open for reading only. */
static void read_only(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    struct xb_store_upload *upload = NULL;
    suite_put(store, "name", "text");
    xb_store_free(store);
    store = open_at(suite, false, true);
    SUITE_REFUSED(xb_store_put(store, "name", "x", 1, NULL, &err), XB_ERR_DENIED);
    SUITE_REFUSED(xb_store_put(store, "other", "x", 1, NULL, &err), XB_ERR_DENIED);
    SUITE_REFUSED(xb_store_upload_begin(store, "other", NULL, &upload, &err), XB_ERR_DENIED);
    SUITE_REFUSED(xb_store_delete(store, "name", &err), XB_ERR_DENIED);
    SUITE_REFUSED(xb_store_delete(store, "absent", &err), XB_ERR_DENIED);
    suite_holds(store, "name", "text");
    suite_lists(store, "", "name");
    /* Decorators refuse as the store under them does. */
    struct xb_store *prefix = NULL;
    SUITE_OK(xb_store_prefix_open(store, "folder/", &prefix, &err));
    SUITE_REFUSED(xb_store_put(prefix, "other", "x", 1, NULL, &err), XB_ERR_DENIED);
    xb_store_free(prefix);
    assert_int_equal(entries_in(in(suite, "store")), 1);
    close_store(suite, NULL);
}

/* A store that is not there is not made by accident. */
static void missing_folder(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = NULL;
    make_outside(suite);
    const char *path = in(suite, "store");
    static const struct xb_store_open_options make = {.create = true};
    static const struct xb_store_open_options make_and_read = {.create = true, .read_only = true};
    SUITE_REFUSED(xb_store_open(path, NULL, &store, &err), XB_ERR_NOT_FOUND);
    SUITE_REFUSED(xb_store_open(path, &make_and_read, &store, &err), XB_ERR_NOT_FOUND);
    SUITE_REFUSED(xb_store_open(in(suite, "store/deep"), &make, &store, &err), XB_ERR_NOT_FOUND);
    write_file(path, "");
    SUITE_REFUSED(xb_store_open(path, NULL, &store, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_open(path, &make, &store, &err), XB_ERR_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_null(store);
    char url[300];
    snprintf(url, sizeof url, "file://%s///", path);
    SUITE_OK(xb_store_open(url, &make, &store, &err));
    url[strlen(url) - 3] = '\0';
    assert_string_equal(xb_store_describe(store), url);
    xb_store_free(store);
    SUITE_OK(xb_store_open(path, &make, &store, &err)); /* once more, and it is there already */
    close_store(suite, store);
    static const char *const bad[] = {"gs://bucket", "relative", "", "file://host/path", "file:/x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        store = NULL;
        SUITE_REFUSED(xb_store_open(bad[i], NULL, &store, &err), XB_ERR_INVALID);
        assert_null(store);
    }
}

/* Half-written files are no objects, cannot be named, and go when they are old. */
static void temporary_files(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    suite_put(store, "folder/object", "x");
    write_file(in(suite, "store/folder/a.tmp.0123456789abcdef"), "old");
    write_file(in(suite, "store/b.tmp.0123456789abcdef"), "new");
    write_file(in(suite, "store/c.tmp.0123456789abcde"), "an object");
    write_file(in(suite, "store/.tmp.0123456789abcdef"), "an object");
    struct timespec times[2] = {{.tv_sec = time(NULL) - 25 * 3600}, {.tv_nsec = UTIME_OMIT}};
    times[1] = times[0];
    const char *old[] = {in(suite, "store/folder/a.tmp.0123456789abcdef"),
                         in(suite, "store/c.tmp.0123456789abcde")};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(utimensat(AT_FDCWD, old[i], times, 0), 0);
    }
    suite_lists(store, "", ".tmp.0123456789abcdef c.tmp.0123456789abcde folder/object");
    SUITE_REFUSED(xb_store_put(store, "d.tmp.0123456789abcdef", "x", 1, NULL, &err),
                  XB_ERR_INVALID);
    xb_store_free(open_at(suite, false, true)); /* reading only: nothing goes */
    assert_int_equal(entries_in(in(suite, "store/folder")), 2);
    xb_store_free(open_at(suite, false, false));
    assert_int_equal(entries_in(in(suite, "store/folder")), 1);
    assert_int_equal(entries_in(in(suite, "store")), 4);
    close_store(suite, store);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

/* Files and folders are their owner's alone; folders go with their last object or upload. */
static void modes_and_folders(void **state)
{
    struct store_suite *suite = *state;
    mode_t mask = umask(0);
    struct xb_store *store = open_store(suite);
    struct xb_store_upload *upload = NULL;
    suite_put(store, "a/b/c", "x");
    umask(mask);
    assert_int_equal(mode_of(in(suite, "store")), 0700);
    assert_int_equal(mode_of(in(suite, "store/a")), 0700);
    assert_int_equal(mode_of(in(suite, "store/a/b")), 0700);
    assert_int_equal(mode_of(in(suite, "store/a/b/c")), 0600);
    suite_put(store, "a/d", "x");
    SUITE_OK(xb_store_delete(store, "a/b/c", &err));
    assert_int_equal(entries_in(in(suite, "store/a")), 1);
    SUITE_OK(xb_store_upload_begin(store, "e/f/g", NULL, &upload, &err));
    xb_store_upload_free(upload);
    assert_int_equal(entries_in(in(suite, "store")), 1);
    SUITE_OK(xb_store_delete(store, "a/d", &err));
    assert_int_equal(entries_in(in(suite, "store")), 0);
    close_store(suite, store);
}

/* A part that is too long for a file system is refused, not cut. */
static void long_parts(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    char name[600];
    for (size_t len = 230; len < 260; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        if (len + 21 <= 255) { /* with the end of a temporary name */
            suite_put(store, name, "x");
            suite_holds(store, name, "x");
            SUITE_OK(xb_store_delete(store, name, &err));
        } else {
            SUITE_REFUSED(xb_store_put(store, name, "x", 1, NULL, &err), XB_ERR_INVALID);
            suite_absent(store, name);
            SUITE_OK(xb_store_delete(store, name, &err));
        }
    }
    memset(name, 'n', 256);
    memcpy(name + 256, "/x", 3);
    SUITE_REFUSED(xb_store_put(store, name, "x", 1, NULL, &err), XB_ERR_INVALID);
    suite_absent(store, name);
    SUITE_OK(xb_store_delete(store, name, &err));
    suite_lists(store, name, "");
    assert_int_equal(entries_in(in(suite, "store")), 0);
    close_store(suite, store);
}

/* A full disk is told as such, leaves no half object, and the store works on when there is room. */
static void disk_full(void **state)
{
    struct store_suite *suite = *state;
    make_outside(suite);
    assert_int_equal(mkdir(in(suite, "store"), 0700), 0);
    if (mount("none", in(suite, "store"), "tmpfs", 0, "size=256k,nr_inodes=20") < 0) {
        print_message("disk_full: skipped, cannot mount a small file system: %s\n",
                      strerror(errno));
        close_store(suite, NULL);
        skip();
    }
    struct xb_store *store = open_at(suite, false, false);
    static char data[300000];
    memset(data, 'x', sizeof data);
    suite_put(store, "old", "kept");
    SUITE_REFUSED(xb_store_put(store, "old", data, sizeof data, NULL, &err), XB_ERR_FULL);
    SUITE_REFUSED(xb_store_put(store, "folder/new", data, sizeof data, NULL, &err), XB_ERR_FULL);
    suite_holds(store, "old", "kept");
    suite_absent(store, "folder/new");
    suite_lists(store, "", "old");
    assert_int_equal(entries_in(in(suite, "store")), 1);
    struct xb_store_upload *upload = NULL;
    SUITE_OK(xb_store_upload_begin(store, "upload", NULL, &upload, &err));
    SUITE_OK(xb_store_upload_write(upload, data, 100000, &err));
    SUITE_REFUSED(xb_store_upload_write(upload, data, 200000, &err), XB_ERR_FULL);
    SUITE_REFUSED(xb_store_upload_commit(upload, &err), XB_ERR_BUG); /* never half of it */
    xb_store_upload_free(upload);
    SUITE_OK(xb_store_put(store, "new", data, 200000, NULL, &err));
    SUITE_OK(xb_store_delete(store, "new", &err));
    char name[20];
    int made = 0;
    for (struct xb_error err = XB_ERROR_INIT; made < 30; made++) { /* and out of inodes */
        snprintf(name, sizeof name, "f%d/x", made);
        if (xb_store_put(store, name, "x", 1, NULL, &err) < 0) {
            assert_int_equal(err.kind, XB_ERR_FULL);
            break;
        }
    }
    assert_in_range(made, 1, 19);
    suite_holds(store, "old", "kept");
    xb_store_free(store);
}

/* Also after a failure, so that no mount stays behind. */
static int unmount(void **state)
{
    struct store_suite *suite = *state;
    umount2(in(suite, "store"), MNT_DETACH);
    nftw(suite->path, probe_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

int main(void)
{
    static struct store_suite suite = {.open = open_store,
                                       .close = close_store,
                                       .plain = true,
                                       .name_bytes_max = XB_STORE_NAME_BYTES_MAX};
    const struct CMUnitTest tests[] = {
        STORE_SUITE_TESTS(&suite),
        cmocka_unit_test_prestate(linked_file, &suite),
        cmocka_unit_test_prestate(linked_folder, &suite),
        cmocka_unit_test_prestate(other_files, &suite),
        cmocka_unit_test_prestate(read_only, &suite),
        cmocka_unit_test_prestate(missing_folder, &suite),
        cmocka_unit_test_prestate(temporary_files, &suite),
        cmocka_unit_test_prestate(modes_and_folders, &suite),
        cmocka_unit_test_prestate(long_parts, &suite),
        cmocka_unit_test_prestate_setup_teardown(disk_full, NULL, unmount, &suite),
    };
    return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
