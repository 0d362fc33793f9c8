/* SPDX-License-Identifier: Apache-2.0
 *
 * What has not changed costs nothing: not an open file, and not one content in the repository.
 */
#include "tests/harness/opened_tree.h"

#include "agent/pipeline/backup.h"

static struct xb_snapshot *last;
static struct xb_backup_result result;

static int begin(void **state)
{
    last = NULL;
    return setup(state);
}

static int end(void **state)
{
    xb_snapshot_free(last);
    return teardown(state);
}

static int count_one(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    size_t *count = context;
    (void)err;
    *count += !info->deleted;
    return 0;
}

static size_t contents(void)
{
    size_t count = 0;
    PROBE_OK(xb_content_list(repository, -1, count_one, &count, &err));
    return count;
}

static void copy_texts(struct xb_snapshot *snapshot)
{
    snapshot->host = strdup("h");
    snapshot->user = strdup("u");
    snapshot->path = strdup("p");
    snapshot->description = strdup("");
}

/* The next backup; returns how many contents it has added. Its snapshot is `last`. */
static size_t back_up(void)
{
    size_t before = contents();
    const struct xb_snapshot_parents parents = {{last}, last != NULL};
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .parents = &parents};
    struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    assert_non_null(snapshot);
    copy_texts(snapshot);
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    xb_backup_fill_snapshot(&result, snapshot);
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    xb_backup_result_free(&result);
    xb_snapshot_free(last);
    last = snapshot;
    return contents() - before;
}

static struct xb_directory *open_root(void)
{
    struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &last->root.object, &directory, &err));
    return directory;
}

static void set_attribute(const char *name, const char *value)
{
    XB_CLEANUP(xb_closep) int fd = openat(tree.fd, name, O_RDONLY | O_CLOEXEC);
    if (fsetxattr(fd, "user.a", value, strlen(value), 0) < 0) {
        assert_int_equal(errno, ENOTSUP);
        skip();
    }
}

static void deep_tree(void)
{
    tree_folder(&tree, "a", 0755);
    tree_folder(&tree, "a/b", 0755);
    tree_folder(&tree, "a/b/c", 0755);
    tree_folder(&tree, "x", 0755);
    tree_file(&tree, "a/b/c/file", "deep");
    tree_file(&tree, "a/b/other", "other");
    tree_file(&tree, "x/file", "beside");
    tree_file(&tree, "top", "top");
    assert_int_equal(symlinkat("target", tree.fd, "link"), 0);
    assert_int_equal(mkfifoat(tree.fd, "fifo", 0600), 0);
    assert_int_equal(linkat(tree.fd, "top", tree.fd, "x/hard", 0), 0);
    tree_settle();
}

static void unchanged_costs_one_content(void **state)
{
    (void)state;
    deep_tree();
    (void)back_up();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(back_up(), 1); /* the snapshot's own record */
        assert_int_equal(result.files, 5);
        assert_int_equal(result.cached_files, 5);
        assert_int_equal(result.symlinks, 1);
        assert_int_equal(result.special_files, 1);
        assert_int_equal(result.bytes_read, 0);
    }
    /* Being read, and coming back to what it was, is no change of a folder. */
    char *data = tree_read(&tree, "a/b/c/file", NULL);
    free(data);
    assert_int_equal(fchmodat(tree.fd, "a/b", 0700, 0), 0);
    assert_int_equal(fchmodat(tree.fd, "a/b", 0755, 0), 0);
    assert_int_equal(back_up(), 1);
}

static void only_the_folders_above_a_change(void **state)
{
    (void)state;
    deep_tree();
    (void)back_up();
    tree_file(&tree, "a/b/c/file", "DEEP");
    tree_settle();
    /* The record, the file, and root, a, b, c. */
    assert_int_equal(back_up(), 6);
    assert_int_equal(result.cached_files, 4);
    assert_int_equal(result.bytes_read, 4);
    /* Another mode is another entry, but no other data. */
    assert_int_equal(fchmodat(tree.fd, "x/file", 0600, 0), 0);
    tree_settle();
    assert_int_equal(back_up(), 3);
    assert_int_equal(result.bytes_new, 0);
    /* The folder's own mode stands in its parent. */
    assert_int_equal(fchmodat(tree.fd, "a/b/c", 0700, 0), 0);
    assert_int_equal(back_up(), 4);
    assert_int_equal(result.bytes_read, 0);
}

static void only_the_chunks_that_changed(void **state)
{
    (void)state;
    enum { BYTES = 64 << 20, CHUNK_MAX = 256 << 10, PIECE = 4096 };
    char piece[PIECE];
    memset(piece, 7, sizeof piece);
    tree_random(&tree, "big", 3, BYTES);
    tree_settle();
    (void)back_up();
    assert_true(result.bytes_new >= BYTES);
    for (int round = 0; round < 2; round++) {
        XB_CLEANUP(xb_closep) int fd = openat(tree.fd, "big", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, piece, PIECE, round ? BYTES : BYTES / 2), PIECE);
        tree_settle();
        (void)back_up();
        assert_int_equal(result.bytes_read, BYTES + (round ? PIECE : 0));
        assert_true(result.bytes_new > 0 && result.bytes_new <= 3 * CHUNK_MAX);
    }
    assert_int_equal(back_up(), 1);
    assert_int_equal(result.bytes_read, 0);
}

/* Known again by what stat says: an unchanged file is not even opened. */
static void unchanged_is_not_opened(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    tree_file(&tree, "secret", "x");
    tree_random(&tree, "large", 1, 2 << 20); /* several chunks: an object with an index */
    assert_int_equal(fchmodat(tree.fd, "secret", 0, 0), 0);
    assert_int_equal(fchmodat(tree.fd, "large", 0, 0), 0);
    assert_int_equal(fchmod(tree.fd, 0755), 0);
    tree_settle();
    (void)back_up();
    assert_int_equal(seteuid(65534), 0);
    size_t added = back_up();
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(added, 1);
    assert_int_equal(result.failed, 0);
    assert_int_equal(result.cached_files, 2);
}

static void changed_attributes_are_seen(void **state)
{
    (void)state;
    deep_tree();
    (void)back_up();
    set_attribute("top", "1");
    tree_settle();
    (void)back_up();
    assert_int_equal(result.cached_files, 3); /* it has two names */
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root();
    assert_int_equal(xb_directory_find(root, "top")->xattr_count, 1);
    set_attribute("top", "2");
    tree_settle();
    (void)back_up();
    XB_CLEANUP(xb_directory_freep) struct xb_directory *again = open_root();
    assert_memory_equal(xb_directory_find(again, "top")->xattrs[0].value, "2", 1);
    assert_int_equal(back_up(), 1); /* and kept with all that it has */
    XB_CLEANUP(xb_directory_freep) struct xb_directory *kept = open_root();
    assert_int_equal(xb_directory_find(kept, "top")->xattr_count, 1);
    assert_string_equal(xb_directory_find(kept, "top")->link,
                        xb_directory_find(again, "top")->link);
    assert_int_equal(strncmp(xb_directory_find(kept, "top")->link, "0:", 2), 0);
}

static void other_kinds_in_the_same_place(void **state)
{
    (void)state;
    deep_tree();
    (void)back_up();
    assert_int_equal(unlinkat(tree.fd, "link", 0), 0);
    assert_int_equal(unlinkat(tree.fd, "fifo", 0), 0);
    assert_int_equal(unlinkat(tree.fd, "a/b/other", 0), 0);
    assert_int_equal(symlinkat("tegrat", tree.fd, "link"), 0);
    tree_file(&tree, "fifo", "");
    tree_folder(&tree, "a/b/other", 0755);
    (void)back_up();
    assert_int_equal(result.special_files, 0);
    assert_int_equal(result.dirs, 6);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root();
    assert_int_equal(xb_directory_find(root, "fifo")->node, 0);
    XB_CLEANUP(xb_buf_free) struct xb_buf target = XB_BUF_INIT(100);
    PROBE_OK(
        xb_object_read_all(repository, &xb_directory_find(root, "link")->object, &target, &err));
    assert_string_equal(target.data, "tegrat");
}

/* ---- folders that are too large to be held ---- */

enum { MANY = 3000, NAME_LEN = 240 };

static void long_name(char name[NAME_LEN + 1], unsigned number)
{
    memset(name, 'n', NAME_LEN);
    snprintf(name, NAME_LEN + 1, "%05u", number * 7919 % 10007);
    name[5] = 'n';
    name[NAME_LEN] = '\0';
}

static void large_folder(void)
{
    char name[NAME_LEN + 1];
    for (unsigned i = 0; i < MANY; i++) {
        long_name(name, i);
        tree_file(&tree, name, i % 10 ? "" : name);
    }
}

static void odd_entries(void)
{
    tree_random(&tree, "pieces", 1, 2 << 20); /* an object with an index */
    tree_file(&tree, "letter \xe9", "no UTF-8");
    assert_int_equal(symlinkat("target", tree.fd, "link"), 0);
    assert_int_equal(mkfifoat(tree.fd, "fifo", 0600), 0);
    tree_folder(&tree, "folder", 0755);
    tree_file(&tree, "folder/inside", "inside");
    tree_folder(&tree, "other", 0755);
}

/* What a backup makes that knows nothing of the one before. */
static void equals_a_full_one(void)
{
    struct xb_backup_result full;
    const struct xb_backup_options options = {.root_fd = tree.fd, .root_name = "root"};
    PROBE_OK(xb_backup_run(repository, &options, &full, &err));
    assert_string_equal(full.root.object.text, last->root.object.text);
    xb_backup_result_free(&full);
}

static void a_large_folder_costs_one_content(void **state)
{
    (void)state;
    large_folder();
    tree_settle();
    (void)back_up();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(back_up(), 1);
        assert_int_equal(result.cached_files, MANY);
        assert_int_equal(result.bytes_read, 0);
    }
    equals_a_full_one();
}

static void changes_in_a_large_folder(void **state)
{
    (void)state;
    char name[NAME_LEN + 1];
    large_folder();
    odd_entries();
    tree_settle();
    (void)back_up();
    assert_int_equal(back_up(), 1);
    assert_int_equal(result.files, MANY + 3);
    assert_int_equal(result.cached_files, MANY + 2); /* but for the name that is no UTF-8 */
    assert_int_equal(result.bytes_read, strlen("no UTF-8"));
    equals_a_full_one();
    long_name(name, 5);
    tree_file(&tree, name, "changed");
    long_name(name, 77);
    assert_int_equal(unlinkat(tree.fd, name, 0), 0);
    long_name(name, 90);
    assert_int_equal(unlinkat(tree.fd, name, 0), 0);
    tree_folder(&tree, name, 0755);
    tree_file(&tree, "new", "new");
    assert_int_equal(unlinkat(tree.fd, "other", AT_REMOVEDIR), 0);
    tree_file(&tree, "other", "a file now");
    tree_file(&tree, "folder/more", "more");
    tree_settle();
    (void)back_up();
    assert_int_equal(result.files, MANY + 4);
    assert_int_equal(result.cached_files, MANY - 1);
    equals_a_full_one();
}

/* The last snapshot's folder as kopia would have written it. */
static void forget_identities(void)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root();
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = NULL;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    for (size_t i = 0; i < root->count; i++) {
        root->entries[i].inode = 0;
        root->entries[i].ctime_ns = 0;
        PROBE_OK(xb_directory_builder_keep_text(builder, &root->entries[i], NULL, false, &err));
    }
    PROBE_OK(
        xb_directory_builder_write(builder, repository, 0, &last->root.object, &summary, &err));
    probe_flush(repository);
}

static void a_large_folder_of_kopias(void **state)
{
    (void)state;
    large_folder();
    tree_settle();
    (void)back_up();
    forget_identities();
    (void)back_up();
    assert_int_equal(result.cached_files, MANY);
    assert_int_equal(result.bytes_read, 0);
    equals_a_full_one();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(unchanged_costs_one_content),      TEST(only_the_folders_above_a_change),
        TEST(only_the_chunks_that_changed),     TEST(unchanged_is_not_opened),
        TEST(changed_attributes_are_seen),      TEST(other_kinds_in_the_same_place),
        TEST(a_large_folder_costs_one_content), TEST(changes_in_a_large_folder),
        TEST(a_large_folder_of_kopias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
