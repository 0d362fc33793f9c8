/* SPDX-License-Identifier: Apache-2.0
 *
 * A restore brings a snapshot's tree back into a folder, and only into that; verification finds
 * what could not come back.
 */
#include "tests/harness/restore_probe.h"

#include "agent/restore/verify.h"
#include "shared/base/budget.h"

/* root: file, script (setuid), empty, link, d/{deep/{leaf}, none}, a name that is no UTF-8 */
static struct xb_snapshot *sample(void)
{
    struct folder root = new_folder();
    struct folder d = new_folder();
    struct folder deep = new_folder();
    struct folder none = new_folder();
    add(&deep, "leaf", XB_ENTRY_FILE, "green");
    struct xb_entry entry = end_folder(&deep, "deep");
    entry.mode = 0500;
    entry.mtime_ns = -5000000001;
    add_entry(&d, entry);
    entry = end_folder(&none, "none");
    entry.mode = 01777;
    add_entry(&d, entry);
    add_entry(&root, end_folder(&d, "d"));
    add(&root, "file", XB_ENTRY_FILE, "hello");
    add(&root, "empty", XB_ENTRY_FILE, "");
    add(&root, "link", XB_ENTRY_SYMLINK, "d/deep/leaf");
    add(&root, "caf\xe9", XB_ENTRY_FILE, "latin");
    entry = make_entry("script", XB_ENTRY_FILE, "#!");
    entry.mode = 06755;
    add_entry(&root, entry);
    return end_snapshot(&root);
}

/* ---- the tree ---- */

static void everything_comes_back(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    struct xb_restore_result result = restore(snapshot);
    assert_int_equal(result.failed + result.skipped, 0);
    assert_int_equal(result.files, 5);
    assert_int_equal(result.dirs, 4);
    assert_int_equal(result.symlinks, 1);
    assert_int_equal(result.bytes, 5 + 5 + 5 + 2);
    assert_false(result.damaged);
    tree_holds(&tree, "file", "hello");
    tree_holds(&tree, "empty", "");
    tree_holds(&tree, "caf\xe9", "latin");
    tree_holds(&tree, "d/deep/leaf", "green");
    char target[40] = "";
    assert_int_equal(readlinkat(tree.fd, "link", target, sizeof target), 11);
    assert_string_equal(target, "d/deep/leaf");
    assert_int_equal(tree_stat(&tree, "file").st_mode, S_IFREG | 0640);
    assert_int_equal(tree_stat(&tree, "script").st_mode, S_IFREG | 06755);
    assert_int_equal(tree_stat(&tree, "d/deep").st_mode, S_IFDIR | 0500);
    assert_int_equal(tree_stat(&tree, "d/none").st_mode, S_IFDIR | 01777);
    assert_int_equal(mtime_of("file"), 1600000000000000001);
    assert_int_equal(mtime_of("link"), 1600000000000000001);
    assert_int_equal(mtime_of("d"), 1500000000000000000);
    assert_int_equal(mtime_of("d/deep"), -5000000001);
    assert_int_equal(mtime_of("."), 1500000000000000000);
    assert_int_equal(tree_stat(&tree, ".").st_mode, S_IFDIR | 0755);
    xb_restore_result_free(&result);
    restores_cleanly(snapshot); /* and once more over it */
    tree_holds(&tree, "d/deep/leaf", "green");
}

static void owners_come_back(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    struct folder root = new_folder();
    struct xb_entry entry = make_entry("file", XB_ENTRY_FILE, "x");
    entry.uid = 1234;
    entry.gid = 4321;
    entry.mode = 04755;
    add_entry(&root, entry);
    entry = make_entry("link", XB_ENTRY_SYMLINK, "file");
    entry.uid = 99;
    add_entry(&root, entry);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    restores_cleanly(snapshot);
    struct stat st = tree_stat(&tree, "file");
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 4321);
    assert_int_equal(st.st_mode, S_IFREG | 04755); /* changing the owner has not cleared it */
    assert_int_equal(tree_stat(&tree, "link").st_uid, 99);
}

static void parts_come_back(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    static const char *const bad[] = {"nothing", "d/nothing", "file/x", "link/leaf",
                                      "..",      "d/../file", "d/.",    "caf"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_restore_result result;
        const struct xb_restore_options options = {.target_fd = tree.fd, .path = bad[i]};
        PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err),
                      XB_ERR_NOT_FOUND, bad[i]);
    }
    assert_false(tree_has(&tree, "file"));
    /* A folder's content goes into the target; a file under its own name. */
    struct xb_restore_result result = restore_path(snapshot, "/d//deep/");
    assert_int_equal(result.files, 1);
    assert_int_equal(result.dirs, 1);
    tree_holds(&tree, "leaf", "green");
    assert_false(tree_has(&tree, "d"));
    assert_int_equal(tree_stat(&tree, ".").st_mode & 07777, 0500);
    xb_restore_result_free(&result);
    result = restore_path(snapshot, "caf\xe9");
    assert_int_equal(result.files, 1);
    assert_int_equal(result.dirs, 0);
    tree_holds(&tree, "caf\xe9", "latin");
    xb_restore_result_free(&result);
    result = restore_path(snapshot, "link");
    assert_int_equal(result.symlinks, 1);
    assert_true(S_ISLNK(tree_stat(&tree, "link").st_mode));
    xb_restore_result_free(&result);
    struct xb_entry entry;
    PROBE_OK(xb_snapshot_find_path(repository, snapshot, "d/none", &entry, &err));
    assert_string_equal(entry.name, "none");
    xb_entry_free(&entry);
    PROBE_OK(xb_snapshot_find_path(repository, snapshot, "", &entry, &err));
    assert_string_equal(entry.name, "root");
    xb_entry_free(&entry);
}

static void a_file_as_root(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep)
    struct xb_snapshot *snapshot = snapshot_of(make_entry("disk", XB_ENTRY_FILE, "sectors"));
    restores_cleanly(snapshot);
    tree_holds(&tree, "disk", "sectors");
}

static void hard_links_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    struct folder root = new_folder();
    struct folder d = new_folder();
    for (size_t i = 0; i < 3; i++) {
        struct xb_entry entry = make_entry(names[i], XB_ENTRY_FILE, "shared");
        entry.link = strdup("7:7");
        add_entry(i == 2 ? &root : &d, entry);
    }
    struct xb_entry other = make_entry("other", XB_ENTRY_FILE, "shared");
    other.link = strdup("7:8");
    add_entry(&root, other);
    add_entry(&root, end_folder(&d, "d"));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    for (int round = 0; round < 2; round++) {
        struct xb_restore_result result = restore(snapshot);
        assert_int_equal(result.failed, 0);
        assert_int_equal(result.files, 2);
        assert_int_equal(result.hard_links, 2);
        ino_t inode = tree_stat(&tree, "d/a").st_ino;
        assert_int_equal(tree_stat(&tree, "d/b").st_ino, inode);
        assert_int_equal(tree_stat(&tree, "c").st_ino, inode);
        assert_int_equal(tree_stat(&tree, "c").st_nlink, 3);
        assert_int_equal(tree_stat(&tree, "other").st_nlink, 1);
        tree_holds(&tree, "d/b", "shared");
        xb_restore_result_free(&result);
    }
}

static void holes_come_back(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20, DATA_AT = 262144 };
    char *data = calloc(1, BYTES + 1);
    assert_non_null(data);
    memcpy(data + DATA_AT, "data", 4);
    struct xb_content_write_result content;
    struct folder root = new_folder();
    PROBE_OK(xb_content_write(repository, 0, data, BYTES, XB_COMPRESSION_ZSTD, &content, &err));
    for (int i = 0; i < 3; i++) {
        /* one with holes recorded, one without, one whose "hole" holds data */
        struct xb_entry entry = make_entry(i == 0   ? "sparse"
                                           : i == 1 ? "full"
                                                    : "liar",
                                           XB_ENTRY_FILE, "");
        entry.size = BYTES;
        xb_content_id_format(&content.id, entry.object.text);
        if (i != 1) {
            entry.holes = calloc(2, sizeof *entry.holes);
            assert_non_null(entry.holes);
            entry.hole_count = 2;
            entry.holes[0] = (struct xb_hole){0, i == 0 ? DATA_AT : DATA_AT + 2};
            entry.holes[1] = (struct xb_hole){DATA_AT + 4096, BYTES - DATA_AT - 4096};
        }
        add_entry(&root, entry);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    restores_cleanly(snapshot);
    static const char *const names[] = {"sparse", "full", "liar"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = 0;
        char *back = tree_read(&tree, names[i], &len);
        assert_int_equal(len, BYTES);
        assert_memory_equal(back, data, BYTES);
        free(back);
    }
    assert_true(tree_stat(&tree, "sparse").st_blocks * 512 < BYTES / 2);
    assert_true(tree_stat(&tree, "full").st_blocks * 512 >= BYTES);
    /* Asked for, zeros become holes everywhere. */
    struct xb_restore_result result;
    const struct xb_restore_options options = {.target_fd = tree.fd, .sparse = true};
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    assert_true(tree_stat(&tree, "full").st_blocks * 512 < BYTES / 2);
    size_t len = 0;
    char *back = tree_read(&tree, "full", &len);
    assert_int_equal(len, BYTES);
    assert_memory_equal(back, data, BYTES);
    free(back);
    xb_restore_result_free(&result);
    free(data);
}

static struct xb_entry with_xattr(struct xb_entry entry, const char *name, const char *value)
{
    entry.xattrs = reallocarray(entry.xattrs, entry.xattr_count + 1, sizeof *entry.xattrs);
    assert_non_null(entry.xattrs);
    entry.xattrs[entry.xattr_count++] =
        (struct xb_xattr){strdup(name), (unsigned char *)strdup(value), strlen(value)};
    return entry;
}

static void attributes_come_back(void **state)
{
    (void)state;
    if (fsetxattr(outside.fd, "user.try", "", 0, 0) < 0) {
        skip(); /* the file system has none */
    }
    struct folder root = new_folder();
    struct xb_entry entry = with_xattr(make_entry("a", XB_ENTRY_FILE, "x"), "user.one", "1");
    entry.mode = 0444;
    add_entry(&root, with_xattr(entry, "user.two", ""));
    add_entry(&root, with_xattr(make_entry("b", XB_ENTRY_FILE, "x"), "trusted.evil", "1"));
    add_entry(&root, with_xattr(make_entry("c", XB_ENTRY_FILE, "x"), "security.selinux", "label"));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = restore(snapshot);
    char path[100];
    char value[10] = "";
    snprintf(path, sizeof path, "%s/a", tree.path);
    assert_int_equal(getxattr(path, "user.one", value, sizeof value), 1);
    assert_int_equal(value[0], '1');
    assert_int_equal(getxattr(path, "user.two", value, sizeof value), 0);
    assert_int_equal(tree_stat(&tree, "a").st_mode & 07777, 0444);
    assert_int_equal(mtime_of("a"), 1600000000000000001);
    /* Rights that come from outside are given only when asked for. */
    assert_int_equal(result.failed, 0);
    assert_int_equal(result.skipped, 1);
    says(&result, "b", "trusted");
    snprintf(path, sizeof path, "%s/b", tree.path);
    assert_true(getxattr(path, "trusted.evil", value, sizeof value) < 0);
    xb_restore_result_free(&result);
}

static struct xb_entry node(const char *name, char kind)
{
    struct xb_entry entry = make_entry(name, XB_ENTRY_FILE, "");
    entry.node = kind;
    entry.node_major = kind == 'c' || kind == 'b' ? 1 : 0;
    entry.node_minor = kind == 'c' || kind == 'b' ? 3 : 0;
    return entry;
}

static void special_files_come_back(void **state)
{
    (void)state;
    struct folder root = new_folder();
    add_entry(&root, node("fifo", 'p'));
    add_entry(&root, node("socket", 's'));
    add_entry(&root, node("null", 'c'));
    add_entry(&root, node("disk", 'b'));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = restore(snapshot);
    assert_int_equal(result.special_files, 2);
    assert_int_equal(result.skipped, 2);
    assert_int_equal(result.failed, 0);
    says(&result, "null", "device");
    says(&result, "disk", "device");
    assert_true(S_ISFIFO(tree_stat(&tree, "fifo").st_mode));
    assert_true(S_ISSOCK(tree_stat(&tree, "socket").st_mode));
    assert_int_equal(tree_stat(&tree, "fifo").st_mode & 07777, 0640);
    assert_int_equal(mtime_of("fifo"), 1600000000000000001);
    assert_false(tree_has(&tree, "null"));
    assert_false(tree_has(&tree, "disk"));
    xb_restore_result_free(&result);
}

/* ---- what stands in the way ---- */

static void existing_files_are_replaced(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    tree_file(&tree, "file", "something much longer than what was there");
    assert_int_equal(fchmodat(tree.fd, "file", 0, 0), 0);
    tree_file(&tree, "mine", "stays");
    tree_folder(&tree, "d", 0700);
    tree_file(&tree, "d/mine", "stays too");
    tree_file(&tree, "d/none", "a file where a folder belongs");
    assert_int_equal(mkfifoat(tree.fd, "script", 0600), 0);
    tree_file(&tree, "link", "a file where a link belongs");
    restores_cleanly(snapshot);
    tree_holds(&tree, "file", "hello");
    tree_holds(&tree, "mine", "stays");
    tree_holds(&tree, "d/mine", "stays too");
    tree_holds(&tree, "script", "#!");
    assert_true(S_ISDIR(tree_stat(&tree, "d/none").st_mode));
    assert_true(S_ISLNK(tree_stat(&tree, "link").st_mode));
}

/* A file that is open or linked elsewhere is replaced, not written into. */
static void replaced_files_are_new_ones(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    tree_file(&outside, "victim", "untouched");
    assert_int_equal(linkat(outside.fd, "victim", tree.fd, "file", 0), 0);
    restores_cleanly(snapshot);
    tree_holds(&tree, "file", "hello");
    tree_holds(&outside, "victim", "untouched");
    assert_int_equal(tree_stat(&outside, "victim").st_nlink, 1);
}

static void planted_links_are_not_followed(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    char path[100];
    tree_file(&outside, "victim", "untouched");
    struct stat before = tree_stat(&outside, ".");
    snprintf(path, sizeof path, "%s/victim", outside.path);
    assert_int_equal(symlinkat(path, tree.fd, "file"), 0);
    snprintf(path, sizeof path, "%s/made", outside.path);
    assert_int_equal(symlinkat(path, tree.fd, "empty"), 0);
    assert_int_equal(symlinkat(outside.path, tree.fd, "d"), 0);
    restores_cleanly(snapshot);
    tree_holds(&outside, "victim", "untouched");
    assert_false(tree_has(&outside, "made"));
    assert_false(tree_has(&outside, "deep"));
    assert_false(tree_has(&outside, "none"));
    struct stat after = tree_stat(&outside, ".");
    assert_int_equal(before.st_mode, after.st_mode);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    tree_holds(&tree, "file", "hello");
    tree_holds(&tree, "d/deep/leaf", "green");
    assert_true(S_ISDIR(tree_stat(&tree, "d").st_mode));
}

/* A link of the snapshot's own is no way out either: names in one folder are unique, and a link
 * that leads out stays a link. */
static void links_of_the_snapshot_are_not_followed(void **state)
{
    (void)state;
    struct folder root = new_folder();
    add(&root, "out", XB_ENTRY_SYMLINK, outside.path);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = end_snapshot(&root);
    restores_cleanly(first);
    struct folder again = new_folder();
    struct folder out = new_folder();
    add(&out, "evil", XB_ENTRY_FILE, "x");
    add_entry(&again, end_folder(&out, "out"));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = end_snapshot(&again);
    restores_cleanly(second);
    assert_false(tree_has(&outside, "evil"));
    tree_holds(&tree, "out/evil", "x");
    /* Hard links to a name that is a link by now. */
    struct folder links = new_folder();
    struct xb_entry a = make_entry("a", XB_ENTRY_FILE, "x");
    struct xb_entry b = make_entry("b", XB_ENTRY_FILE, "x");
    a.link = strdup("1:1");
    b.link = strdup("1:1");
    add_entry(&links, a);
    add_entry(&links, b);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *third = end_snapshot(&links);
    assert_int_equal(symlinkat(outside.path, tree.fd, "a"), 0);
    restores_cleanly(third);
    assert_true(S_ISREG(tree_stat(&tree, "b").st_mode));
}

static void a_folder_in_the_way_is_told(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    tree_folder(&tree, "file", 0755);
    tree_file(&tree, "file/kept", "kept");
    tree_folder(&tree, "link", 0755);
    struct xb_restore_result result = restore(snapshot);
    assert_int_equal(result.failed, 2);
    assert_false(result.damaged);
    says(&result, "file", "folder");
    says(&result, "link", "folder");
    tree_holds(&tree, "file/kept", "kept");
    tree_holds(&tree, "script", "#!");
    assert_int_equal(result.files, 4);
    xb_restore_result_free(&result);
}

/* ---- repositories that are not what they should be ---- */

static void lost_data_is_told(void **state)
{
    (void)state;
    struct folder root = new_folder();
    struct folder d = new_folder();
    add(&d, "inner", XB_ENTRY_FILE, "inner");
    add(&root, "good", XB_ENTRY_FILE, "good");
    struct xb_entry entry = make_entry("lost", XB_ENTRY_FILE, "x");
    snprintf(entry.object.text, XB_OBJECT_ID_TEXT_BYTES, "%032d", 5);
    add_entry(&root, entry);
    entry = make_entry("length", XB_ENTRY_FILE, "four");
    entry.size = 5;
    add_entry(&root, entry);
    add(&root, "no-target", XB_ENTRY_SYMLINK, "");
    entry = end_folder(&d, "d");
    snprintf(entry.object.text, XB_OBJECT_ID_TEXT_BYTES, "k%032d", 5);
    add_entry(&root, entry);
    /* Names that lead elsewhere: such a folder is not taken at all. */
    entry = make_entry("evil", XB_ENTRY_DIRECTORY, "");
    struct xb_content_write_result content = probe_write(
        repository, 'k',
        "{\"stream\":\"kopia:directory\",\"entries\":[{\"name\":\"../../escape\",\"type\":\"f\","
        "\"obj\":\"00000000000000000000000000000005\"}]}");
    xb_content_id_format(&content.id, entry.object.text);
    add_entry(&root, entry);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = restore(snapshot);
    assert_int_equal(result.failed, 5);
    assert_true(result.damaged);
    assert_int_equal(result.files, 1);
    says(&result, "lost", "00000000000000000000000000000005");
    says(&result, "length", "4 bytes where the folder says 5");
    says(&result, "no-target", "empty");
    says(&result, "d", "k00000000000000000000000000000005");
    says(&result, "evil", "name");
    tree_holds(&tree, "good", "good");
    assert_false(tree_has(&tree, "lost"));
    assert_false(tree_has(&tree, "length"));
    assert_false(tree_has(&tree, "no-target"));
    xb_restore_result_free(&result);
    /* Without the root there is nothing. */
    snprintf(snapshot->root.object.text, XB_OBJECT_ID_TEXT_BYTES, "k%032d", 6);
    const struct xb_restore_options options = {.target_fd = tree.fd};
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CORRUPT,
                  "k00000000000000000000000000000006");
}

/* No half of a file is left when its later part is gone. */
static void half_files_are_removed(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    const struct xb_object_writer_options options = {.split = true};
    struct xb_object_stats stats;
    struct xb_content_id last;
    struct folder root = new_folder();
    struct xb_entry entry = make_entry("file", XB_ENTRY_FILE, "");
    char *data = malloc(BYTES);
    assert_non_null(data);
    for (size_t i = 0; i < BYTES; i++) {
        data[i] = (char)(i * i >> 9);
    }
    repository->format.pack_bytes_max = 1; /* each chunk in a pack of its own */
    PROBE_OK(xb_object_writer_new(repository, &options, &writer, &err));
    PROBE_OK(xb_object_writer_write(writer, data, BYTES, &err));
    PROBE_OK(xb_object_writer_finish(writer, &entry.object, &stats, &err));
    entry.size = BYTES;
    struct xb_object_id object = entry.object;
    add_entry(&root, entry);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_buf table = XB_BUF_INIT(100000);
    struct xb_object_id inner;
    PROBE_OK(xb_object_id_parse(object.text + 1, &inner, &err));
    PROBE_OK(xb_object_read_all(repository, &inner, &table, &err));
    const char *at = strrchr(table.data, ':');
    assert_non_null(at);
    PROBE_OK(xb_content_id_parse(at + 2, 32, &last, &err));
    struct xb_content_info info;
    PROBE_OK(xb_content_stat(repository, &last, &info, &err));
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    struct xb_restore_result result = restore(snapshot);
    assert_int_equal(result.failed, 1);
    assert_true(result.damaged);
    says(&result, "file", info.pack);
    assert_false(tree_has(&tree, "file"));
    xb_restore_result_free(&result);
    xb_buf_free(&table);
    free(data);
}

/* ---- the end ---- */

static void cancelled(void **state)
{
    (void)state;
    const atomic_bool cancel = true;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    struct xb_restore_result result;
    const struct xb_restore_options options = {.target_fd = tree.fd, .cancel = &cancel};
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CANCELLED,
                  NULL);
    assert_false(tree_has(&tree, "file"));
}

static void *cancel_soon(void *context)
{
    const struct timespec a_while = {.tv_nsec = 50 * 1000000L};
    nanosleep(&a_while, NULL);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

/* Others may hold the process's memory for hours. */
static void cancelled_while_it_waits_for_memory(void **state)
{
    (void)state;
    struct folder root = new_folder();
    struct xb_budget_share all = {.budget = NULL};
    struct xb_restore_result result;
    struct xb_verify_result verified;
    atomic_bool cancel = false;
    pthread_t thread;
    const struct xb_restore_options options = {.target_fd = tree.fd, .cancel = &cancel};
    const struct xb_verify_options proof = {.data_percent = 100, .cancel = &cancel};
    add(&root, "file", XB_ENTRY_FILE, "text");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    xb_budget_join(xb_budget_process(), XB_BUDGET_BYTES_DEFAULT, &all);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CANCELLED,
                  NULL);
    pthread_join(thread, NULL);
    atomic_store(&cancel, false);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    PROBE_REFUSED(xb_verify_run(repository, snapshot, &proof, &verified, &err), XB_ERR_CANCELLED,
                  NULL);
    pthread_join(thread, NULL);
    xb_budget_leave(&all);
    atomic_store(&cancel, false);
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    xb_restore_result_free(&result);
    PROBE_OK(xb_verify_run(repository, snapshot, &proof, &verified, &err));
    assert_int_equal(verified.damaged, 0);
    xb_verify_result_free(&verified);
}

static atomic_bool cancel_now;

static void cancel_at_first_pack(struct hooks *hooks, enum hook_call call, const char *name,
                                 struct xb_store *inner)
{
    (void)hooks;
    (void)inner;
    if (call == HOOK_GET && name[0] == 'p') {
        atomic_store(&cancel_now, true);
    }
}

static void cancelled_in_the_middle(void **state)
{
    (void)state;
    struct folder root = new_folder();
    for (int i = 0; i < 500; i++) {
        char name[20];
        snprintf(name, sizeof name, "%d", i);
        add(&root, name, XB_ENTRY_FILE, name);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct hooks hooks = {.before = cancel_at_first_pack};
    struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
    xb_repository_free(repository);
    repository = probe_open(hooked);
    atomic_store(&cancel_now, false);
    struct xb_restore_result result;
    const struct xb_restore_options options = {
        .target_fd = tree.fd, .cancel = &cancel_now, .threads = 3};
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CANCELLED,
                  NULL);
    xb_store_free(hooked);
}

struct told {
    struct xb_restore_progress last;
    unsigned times;
};

static void tell(void *context, const struct xb_restore_progress *progress)
{
    struct told *told = context;
    assert_true(progress->bytes_done >= told->last.bytes_done);
    told->last = *progress;
    told->times++;
}

static void progress_is_told(void **state)
{
    (void)state;
    struct told told = {.times = 0};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    struct xb_restore_result result;
    const struct xb_restore_options options = {
        .target_fd = tree.fd, .progress = tell, .progress_context = &told};
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    assert_true(told.times > 0);
    assert_int_equal(told.last.bytes_done, 17);
    assert_int_equal(told.last.bytes_total, 17);
    assert_int_equal(told.last.files_done, 5);
    assert_int_equal(told.last.files_total, 5);
    xb_restore_result_free(&result);
}

static void folders_have_a_depth(void **state)
{
    (void)state;
    enum { DEEP = XB_RESTORE_DEPTH_MAX + 2 };
    struct folder folder = new_folder();
    add(&folder, "bottom", XB_ENTRY_FILE, "x");
    for (int i = 0; i < DEEP; i++) {
        struct folder above = new_folder();
        add_entry(&above, end_folder(&folder, "d"));
        folder = above;
    }
    add(&folder, "top", XB_ENTRY_FILE, "y");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&folder);
    struct xb_restore_result result;
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_restore_options options = {.target_fd = tree.fd};
    int r = xb_restore_run(repository, snapshot, &options, &result, &why);
    assert_int_equal(r, 0);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.dirs, XB_RESTORE_DEPTH_MAX + 1);
    tree_holds(&tree, "top", "y");
    xb_restore_result_free(&result);
}

/* ---- verification ---- */

static struct xb_verify_result verify(const struct xb_snapshot *snapshot, unsigned percent)
{
    struct xb_verify_result result;
    const struct xb_verify_options options = {.data_percent = percent};
    PROBE_OK(xb_verify_run(repository, snapshot, &options, &result, &err));
    return result;
}

static void sound_snapshots_are_found_sound(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    for (unsigned percent = 0; percent <= 100; percent += 50) {
        struct xb_verify_result result = verify(percent == 50 ? snapshot : NULL, percent);
        assert_int_equal(result.damaged, 0);
        assert_int_equal(result.snapshots, 1);
        assert_int_equal(result.files, 6);
        assert_int_equal(result.dirs, 4);
        assert_int_equal(result.contents, 6 + 4);
        assert_true(percent != 0 || result.contents_read == 0);
        assert_true(percent != 100 || result.contents_read == 10);
        xb_verify_result_free(&result);
    }
}

static void damage_is_found(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample();
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    struct xb_entry leaf;
    struct xb_content_id id;
    struct xb_content_info info;
    PROBE_OK(xb_snapshot_find_path(repository, snapshot, "d/deep/leaf", &leaf, &err));
    PROBE_OK(xb_content_id_parse(leaf.object.text, 32, &id, &err));
    PROBE_OK(xb_content_stat(repository, &id, &info, &err));
    struct xb_buf pack = XB_BUF_INIT(1 << 20);
    PROBE_OK(xb_store_get(store, info.pack, 0, XB_STORE_TO_END, &pack, &err));
    /* A flipped bit: only reading shows it. */
    pack.data[info.pack_offset + 13] ^= 1;
    PROBE_OK(xb_store_put(store, info.pack, pack.data, pack.len, NULL, &err));
    struct xb_verify_result result = verify(NULL, 0);
    assert_int_equal(result.damaged, 0);
    xb_verify_result_free(&result);
    result = verify(NULL, 100);
    assert_int_equal(result.damaged, 1);
    assert_int_equal(result.message_count, 1);
    assert_string_equal(result.messages[0].path, "d/deep/leaf");
    assert_string_equal(result.messages[0].snapshot, snapshot->id);
    xb_verify_result_free(&result);
    /* A pack that is too short, and one that is gone: the listing shows it. */
    PROBE_OK(xb_store_put(store, info.pack, pack.data, info.pack_offset + 5, NULL, &err));
    result = verify(NULL, 0);
    assert_true(result.damaged >= 1);
    assert_non_null(strstr(result.messages[0].text, "cut short"));
    xb_verify_result_free(&result);
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    result = verify(snapshot, 0);
    assert_int_equal(result.damaged, 6);
    assert_non_null(strstr(result.messages[0].text, info.pack));
    xb_verify_result_free(&result);
    const atomic_bool cancel = true;
    const struct xb_verify_options options = {.cancel = &cancel};
    PROBE_REFUSED(xb_verify_run(repository, NULL, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    xb_entry_free(&leaf);
    xb_buf_free(&pack);
}

static void unreadable_snapshots_are_damage(void **state)
{
    (void)state;
    char texts[2][10] = {"type", "snapshot"};
    const struct xb_label label = {texts[0], texts[1]};
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    PROBE_OK(xb_manifest_put(repository, &label, 1, "{\"rootEntry\":7}", id, &err));
    probe_flush(repository);
    struct xb_verify_result result = verify(NULL, 100);
    assert_int_equal(result.damaged, 1);
    assert_non_null(strstr(result.messages[0].text, id));
    xb_verify_result_free(&result);
}

int main(void)
{
    tree_allow_descriptors();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_back),
        TEST(owners_come_back),
        TEST(parts_come_back),
        TEST(a_file_as_root),
        TEST(hard_links_come_back),
        TEST(holes_come_back),
        TEST(attributes_come_back),
        TEST(special_files_come_back),
        TEST(existing_files_are_replaced),
        TEST(replaced_files_are_new_ones),
        TEST(planted_links_are_not_followed),
        TEST(links_of_the_snapshot_are_not_followed),
        TEST(a_folder_in_the_way_is_told),
        TEST(lost_data_is_told),
        TEST(half_files_are_removed),
        TEST(cancelled),
        TEST(cancelled_while_it_waits_for_memory),
        TEST(cancelled_in_the_middle),
        TEST(progress_is_told),
        TEST(folders_have_a_depth),
        TEST(sound_snapshots_are_found_sound),
        TEST(damage_is_found),
        TEST(unreadable_snapshots_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
