/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder's backup: everything in it is in the tree, what has not changed is not read, and what
 * goes wrong is told: of a file in the result, of the repository by the call.
 */
#include "tests/harness/tree_probe.h"

#include <pthread.h>

#include "agent/pipeline/backup.h"
#include "shared/base/clock.h"
#include "shared/store/fault/fault.h"
#include "tests/harness/hook_store.h"

#include "tests/harness/opened_tree.h"

static int run(struct xb_snapshot *parent, struct xb_backup_result *ret, struct xb_error *err)
{
    const struct xb_snapshot_parents parents = {{parent}, parent != NULL};
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .parents = &parents};
    return xb_backup_run(repository, &options, ret, err);
}

/* A backup that must succeed; published, so that it can be a parent. */
static struct xb_snapshot *back_up(struct xb_snapshot *parent, struct xb_backup_result *ret)
{
    struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    assert_non_null(snapshot);
    PROBE_OK(run(parent, ret, &err));
    snapshot->host = strdup("h");
    snapshot->user = strdup("u");
    snapshot->path = strdup("p");
    snapshot->description = strdup("");
    snapshot->root = ret->root;
    ret->root = (struct xb_entry){.name = NULL};
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    return snapshot;
}

static struct xb_directory *open_root(const struct xb_snapshot *snapshot)
{
    struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &snapshot->root.object, &directory, &err));
    return directory;
}

static const struct xb_entry *entry_of(const struct xb_directory *directory, const char *name)
{
    const struct xb_entry *entry = xb_directory_find(directory, name);
    assert_non_null(entry);
    return entry;
}

static void object_is(const struct xb_entry *entry, const void *want, size_t len)
{
    struct xb_buf out = XB_BUF_INIT(64 << 20);
    PROBE_OK(xb_object_read_all(repository, &entry->object, &out, &err));
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data ? out.data : "", want, len);
    xb_buf_free(&out);
}

static int64_t mtime_of(const char *name)
{
    struct stat st = tree_stat(&tree, name);
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/* ---- what is in the tree ---- */

static void every_kind_of_file(void **state)
{
    (void)state;
    struct xb_backup_result result;
    tree_file(&tree, "file", "hello");
    tree_file(&tree, "empty", "");
    tree_file(&tree, "caf\xe9", "latin");
    assert_int_equal(fchmodat(tree.fd, "file", 04751, 0), 0);
    tree_set_time(&tree, "file", 1700000000, 123456789);
    tree_folder(&tree, "folder", 01777);
    tree_file(&tree, "folder/inner", "inside");
    tree_folder(&tree, "folder/none", 0);
    tree_set_time(&tree, "folder", 1600000000, 5);
    assert_int_equal(symlinkat("../outside", tree.fd, "link"), 0);
    assert_int_equal(symlinkat("/", tree.fd, "folder-link"), 0);
    assert_int_equal(mkfifoat(tree.fd, "fifo", 0600), 0);
    int fd = openat(tree.fd, "empty", O_RDONLY | O_CLOEXEC);
    bool attributes = fsetxattr(fd, "user.a", "\0b", 2, 0) == 0;
    close(fd);

    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(NULL, &result);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.dirs, 3);
    assert_int_equal(result.symlinks, 2);
    assert_int_equal(result.special_files, 1);
    assert_int_equal(result.bytes, 5 + 5 + 6);
    assert_int_equal(result.bytes_read, 16);
    assert_int_equal(result.cached_files, 0);
    assert_int_equal(result.failed + result.vanished + result.changed_files, 0);
    assert_string_equal(snapshot->root.name, "root");
    assert_int_equal(snapshot->root.type, XB_ENTRY_DIRECTORY);
    const struct xb_summary *summary = snapshot->root.summary;
    assert_int_equal(summary->files, 4); /* the fifo is none for kopia */
    assert_int_equal(summary->dirs, 3);
    assert_int_equal(summary->symlinks, 2);
    assert_int_equal(summary->size, 16);
    assert_int_equal(summary->num_failed, 0);

    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(snapshot);
    assert_int_equal(root->count, 7);
    const struct xb_entry *entry = entry_of(root, "file");
    assert_int_equal(entry->mode, 04751);
    assert_int_equal(entry->size, 5);
    assert_int_equal(entry->mtime_ns, 1700000000123456789);
    assert_int_equal(entry->uid, geteuid());
    assert_int_equal(entry->inode, tree_stat(&tree, "file").st_ino);
    assert_null(entry->link);
    object_is(entry, "hello", 5);
    object_is(entry_of(root, "caf\xe9"), "latin", 5);
    entry = entry_of(root, "empty");
    object_is(entry, "", 0);
    assert_int_equal(entry->xattr_count, attributes);
    if (attributes) {
        assert_string_equal(entry->xattrs[0].name, "user.a");
        assert_int_equal(entry->xattrs[0].len, 2);
        assert_memory_equal(entry->xattrs[0].value, "\0b", 2);
    }
    entry = entry_of(root, "link");
    assert_int_equal(entry->type, XB_ENTRY_SYMLINK);
    assert_int_equal(entry->size, 10);
    assert_int_equal(entry->mode, 0777);
    object_is(entry, "../outside", 10);
    object_is(entry_of(root, "folder-link"), "/", 1);
    entry = entry_of(root, "fifo");
    assert_int_equal(entry->type, XB_ENTRY_FILE);
    assert_int_equal(entry->node, 'p');
    assert_string_equal(entry->object.text, "");
    entry = entry_of(root, "folder");
    assert_int_equal(entry->mode, 01777);
    assert_int_equal(entry->mtime_ns, mtime_of("folder"));
    /* kopia restores a folder's time from here. */
    assert_int_equal(entry->summary->max_time_ns, mtime_of("folder"));
    XB_CLEANUP(xb_directory_freep) struct xb_directory *folder = NULL;
    PROBE_OK(xb_directory_read(repository, &entry->object, &folder, &err));
    assert_int_equal(folder->count, 2);
    assert_int_equal(entry_of(folder, "none")->mode, 0);
    object_is(entry_of(folder, "inner"), "inside", 6);
    xb_backup_result_free(&result);
}

static void hard_links_are_known(void **state)
{
    (void)state;
    struct xb_backup_result result;
    tree_file(&tree, "a", "same");
    tree_folder(&tree, "d", 0755);
    assert_int_equal(linkat(tree.fd, "a", tree.fd, "d/b", 0), 0);
    tree_file(&tree, "c", "same");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(NULL, &result);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(snapshot);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *folder = NULL;
    PROBE_OK(xb_directory_read(repository, &entry_of(root, "d")->object, &folder, &err));
    assert_non_null(entry_of(root, "a")->link);
    assert_string_equal(entry_of(root, "a")->link, entry_of(folder, "b")->link);
    assert_null(entry_of(root, "c")->link);
    object_is(entry_of(folder, "b"), "same", 4);
    assert_string_equal(entry_of(root, "a")->object.text, entry_of(root, "c")->object.text);
    xb_backup_result_free(&result);
}

static void holes_are_zeros(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20, DATA_AT = 1 << 20 };
    struct xb_backup_result result;
    int fd = openat(tree.fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(fd, "data", 4, DATA_AT), 4);
    assert_int_equal(ftruncate(fd, BYTES), 0);
    close(fd);
    fd = openat(tree.fd, "hole", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, 100000), 0);
    close(fd);
    char *want = calloc(1, BYTES);
    assert_non_null(want);
    memcpy(want + DATA_AT, "data", 4);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(NULL, &result);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(snapshot);
    const struct xb_entry *entry = entry_of(root, "sparse");
    object_is(entry, want, BYTES);
    object_is(entry_of(root, "hole"), want, 100000);
    if (tree_stat(&tree, "sparse").st_blocks * 512 < BYTES) {
        assert_int_equal(entry->hole_count, 2);
        assert_int_equal(entry->holes[0].offset, 0);
        assert_int_equal(entry->holes[0].len, DATA_AT);
        assert_int_equal(entry->holes[1].offset + entry->holes[1].len, BYTES);
        assert_int_equal(entry_of(root, "hole")->hole_count, 1);
    }
    free(want);
    xb_backup_result_free(&result);
}

/* ---- the next backup ---- */

static void make_files(void)
{
    tree_folder(&tree, "d", 0755);
    tree_random(&tree, "big", 1, 900000);
    tree_file(&tree, "d/one", "1");
    tree_file(&tree, "d/two", "2");
    tree_file(&tree, "three", "3");
    tree_settle();
}

static void unchanged_files_are_not_read(void **state)
{
    (void)state;
    struct xb_backup_result result;
    make_files();
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = back_up(NULL, &result);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.bytes_read, 900003);
    assert_true(result.bytes_new >= 900003);
    xb_backup_result_free(&result);
    size_t packs = probe_count(store, "p");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = back_up(first, &result);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.cached_files, 4);
    assert_int_equal(result.bytes, 900003);
    assert_int_equal(result.bytes_read, 0);
    assert_int_equal(result.bytes_new, 0);
    assert_string_equal(first->root.object.text, second->root.object.text);
    assert_int_equal(probe_count(store, "p"), packs);
    xb_backup_result_free(&result);
    /* The same without a parent: read, but nothing is new. */
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *third = back_up(NULL, &result);
    assert_int_equal(result.cached_files, 0);
    assert_int_equal(result.bytes_read, 900003);
    assert_int_equal(result.bytes_new, 0);
    assert_string_equal(first->root.object.text, third->root.object.text);
    xb_backup_result_free(&result);
}

static void changed_files_are_read(void **state)
{
    (void)state;
    struct xb_backup_result result;
    make_files();
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = back_up(NULL, &result);
    xb_backup_result_free(&result);
    /* The same size and the old time: the inode's own time gives it away. */
    struct stat before = tree_stat(&tree, "d/one");
    tree_file(&tree, "d/one", "x");
    tree_set_time(&tree, "d/one", before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
    /* Another file in its place, with the same size and time. */
    before = tree_stat(&tree, "three");
    tree_file(&tree, "new", "4");
    tree_set_time(&tree, "new", before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
    assert_int_equal(renameat(tree.fd, "new", tree.fd, "three"), 0);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = back_up(first, &result);
    assert_int_equal(result.cached_files, 2);
    assert_int_equal(result.bytes_read, 2);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(second);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *folder = NULL;
    PROBE_OK(xb_directory_read(repository, &entry_of(root, "d")->object, &folder, &err));
    object_is(entry_of(folder, "one"), "x", 1);
    object_is(entry_of(folder, "two"), "2", 1);
    object_is(entry_of(root, "three"), "4", 1);
    xb_backup_result_free(&result);
}

/* What changed an instant before it was read may change again within the same tick. */
static void young_files_are_read_again(void **state)
{
    (void)state;
    struct xb_backup_result result;
    int64_t begun_ns = xb_clock_wall_ns();
    tree_file(&tree, "young", "1");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = back_up(NULL, &result);
    xb_backup_result_free(&result);
    if (xb_clock_wall_ns() - begun_ns > 190 * XB_NS_PER_MS) {
        skip(); /* this machine was too slow for the file to be young */
    }
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(first);
    struct stat st = tree_stat(&tree, "young");
    assert_int_not_equal(entry_of(root, "young")->ctime_ns,
                         (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
    tree_settle();
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = back_up(first, &result);
    assert_int_equal(result.cached_files, 0);
    xb_backup_result_free(&result);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *third = back_up(second, &result);
    assert_int_equal(result.cached_files, 1);
    xb_backup_result_free(&result);
}

/* A parent that kopia made knows no inodes: size, time, mode and owner decide. */
static void kopias_parents(void **state)
{
    (void)state;
    static const char *const names[] = {"same", "mode", "owner", "time", "size"};
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    struct xb_content_write_result content = probe_write(repository, 0, "kopia's");
    struct xb_snapshot parent = {.root = {.type = XB_ENTRY_DIRECTORY}};
    struct xb_backup_result result;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    for (size_t i = 0; i < 5; i++) {
        tree_file(&tree, names[i], "1234567");
        struct xb_entry entry = {.name = strdup(names[i]),
                                 .type = XB_ENTRY_FILE,
                                 .mode = i == 1 ? 0600 : 0644,
                                 .uid = geteuid() + (i == 2),
                                 .gid = tree_stat(&tree, names[i]).st_gid,
                                 .mtime_ns = mtime_of(names[i]) + (i == 3),
                                 .size = 7 + (i == 4)};
        assert_int_equal(fchmodat(tree.fd, names[i], 0644, 0), 0);
        xb_content_id_format(&content.id, entry.object.text);
        PROBE_OK(xb_directory_builder_add(builder, &entry, &err));
    }
    PROBE_OK(xb_directory_builder_write(builder, repository, 0, &parent.root.object,
                                        &parent.root.summary, &err));
    probe_flush(repository);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(&parent, &result);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(snapshot);
    assert_int_equal(result.cached_files, 1);
    object_is(entry_of(root, "same"), "kopia's", 7);
    for (size_t i = 1; i < 5; i++) {
        object_is(entry_of(root, names[i]), "1234567", 7);
    }
    xb_summary_free(parent.root.summary);
    xb_backup_result_free(&result);
}

/* What the parent has is reused only if it is safely there. */
static void damaged_parents(void **state)
{
    (void)state;
    struct xb_backup_result result;
    make_files();
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = back_up(NULL, &result);
    xb_backup_result_free(&result);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(first);
    struct xb_content_id id;
    const char *text = entry_of(root, "three")->object.text;
    PROBE_OK(xb_content_id_parse(text, strlen(text), &id, &err));
    PROBE_OK(xb_content_delete(repository, &id, &err));
    probe_flush(repository);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = back_up(first, &result);
    assert_int_equal(result.cached_files, 3);
    assert_int_equal(result.bytes_new, 1);
    xb_backup_result_free(&result);
    struct xb_content_info info;
    PROBE_OK(xb_content_stat(repository, &id, &info, &err));
    assert_false(info.deleted);
    /* A parent whose root cannot be read: everything is read, and it is said. */
    snprintf(second->root.object.text, XB_OBJECT_ID_TEXT_BYTES, "k%032d", 7);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *third = back_up(second, &result);
    assert_int_equal(result.cached_files, 0);
    assert_int_equal(result.message_count, 1);
    assert_int_equal(result.failed, 0);
    xb_backup_result_free(&result);
}

/* ---- trouble with files ---- */

static void unreadable_files_are_listed(void **state)
{
    (void)state;
    struct xb_backup_result result;
    tree_file(&tree, "secret", "x");
    tree_file(&tree, "fine", "y");
    tree_folder(&tree, "closed", 0);
    assert_int_equal(fchmodat(tree.fd, "secret", 0, 0), 0);
    assert_int_equal(fchmod(tree.fd, 0755), 0);
    uid_t before = geteuid();
    if (before == 0) {
        assert_int_equal(seteuid(65534), 0);
    }
    struct xb_error why = XB_ERROR_INIT;
    int r = run(NULL, &result, &why);
    assert_int_equal(seteuid(before), 0);
    assert_int_equal(r, 0);
    assert_int_equal(result.failed, 2);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.message_count, 2);
    assert_int_equal(result.root.summary->num_failed, 2);
    assert_int_equal(result.root.summary->error_count, 2);
    assert_string_equal(result.root.summary->errors[0].path, "closed");
    assert_string_equal(result.root.summary->errors[1].path, "secret");
    assert_non_null(strstr(result.root.summary->errors[1].error, "ermission"));
    xb_backup_result_free(&result);
}

struct grower {
    pthread_t thread;
    atomic_bool stop;
    int fd;
};

static void *grow(void *context)
{
    struct grower *grower = context;
    while (!atomic_load(&grower->stop)) {
        if (write(grower->fd, "+", 1) != 1) {
            break;
        }
    }
    return NULL;
}

static void files_that_never_rest_are_told(void **state)
{
    (void)state;
    struct xb_backup_result result;
    struct grower grower = {.stop = false};
    tree_random(&tree, "log", 3, 8 << 20);
    grower.fd = openat(tree.fd, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(grower.fd >= 0);
    assert_int_equal(pthread_create(&grower.thread, NULL, grow, &grower), 0);
    struct xb_error why = XB_ERROR_INIT;
    int r = run(NULL, &result, &why);
    atomic_store(&grower.stop, true);
    pthread_join(grower.thread, NULL);
    close(grower.fd);
    assert_int_equal(r, 0);
    assert_int_equal(result.changed_files, 1);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.message_count, 1);
    assert_string_equal(result.messages[0].path, "log");
    assert_true(result.bytes >= 8 << 20);
    /* Its entry fits its object, and the next backup reads it again. */
    probe_flush(repository);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = NULL;
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    PROBE_OK(xb_directory_read(repository, &result.root.object, &root, &err));
    const struct xb_entry *entry = entry_of(root, "log");
    PROBE_OK(xb_object_reader_open(repository, &entry->object, &reader, &err));
    assert_int_equal(xb_object_reader_length(reader), entry->size);
    struct stat st = tree_stat(&tree, "log");
    assert_int_not_equal(entry->ctime_ns, (int64_t)st.st_ctim.tv_sec * 1000000000);
    xb_backup_result_free(&result);
}

/* One change while it is read: read again, and the entry is of one piece. */
static void append_once(struct hooks *hooks, enum hook_call call, const char *name,
                        struct xb_store *inner)
{
    bool *done = hooks->context;
    (void)inner;
    if (call == HOOK_BEGIN && name[0] == 'p' && !*done) {
        int fd = openat(tree.fd, "file", O_WRONLY | O_APPEND | O_CLOEXEC);
        *done = write(fd, "more", 4) == 4;
        close(fd);
    }
}

static void a_file_that_changes_once_is_read_again(void **state)
{
    (void)state;
    bool done = false;
    struct hooks hooks = {.before = append_once, .context = &done};
    struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
    xb_repository_free(repository);
    repository = probe_open(hooked);
    struct xb_backup_result result;
    tree_random(&tree, "file", 5, 1 << 20);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(NULL, &result);
    assert_true(done);
    assert_int_equal(result.changed_files, 0);
    assert_int_equal(result.message_count, 0);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = open_root(snapshot);
    size_t len = 0;
    char *data = tree_read(&tree, "file", &len);
    assert_int_equal(len, (1 << 20) + 4);
    assert_int_equal(entry_of(root, "file")->size, len);
    object_is(entry_of(root, "file"), data, len);
    free(data);
    xb_backup_result_free(&result);
    xb_store_free(hooked);
}

static void folders_have_a_depth(void **state)
{
    (void)state;
    struct xb_backup_result result;
    char path[2 * XB_BACKUP_DEPTH_MAX + 20] = "";
    for (int i = 0; i < XB_BACKUP_DEPTH_MAX + 3; i++) {
        snprintf(path + strlen(path), 3, "%sd", i ? "/" : "");
        assert_int_equal(mkdirat(tree.fd, path, 0755), 0);
    }
    tree_file(&tree, "d/file", "x");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = back_up(NULL, &result);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.dirs, XB_BACKUP_DEPTH_MAX + 1);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.message_count, 1);
    assert_non_null(strstr(result.messages[0].text, "deep"));
    assert_int_equal(snapshot->root.summary->num_failed, 1);
    assert_int_equal(snapshot->root.summary->dirs, XB_BACKUP_DEPTH_MAX + 1);
    xb_backup_result_free(&result);
}

static void not_a_folder(void **state)
{
    (void)state;
    struct xb_backup_result result;
    tree_file(&tree, "file", "x");
    XB_CLEANUP(xb_closep) int fd = openat(tree.fd, "file", O_RDONLY | O_CLOEXEC);
    const struct xb_backup_options options = {.root_fd = fd, .root_name = "root"};
    PROBE_REFUSED(xb_backup_run(repository, &options, &result, &err), XB_ERR_NOT_FOUND, "folder");
}

/* ---- the end ---- */

static void cancelled_before(void **state)
{
    (void)state;
    const atomic_bool cancel = true;
    struct xb_backup_result result;
    make_files();
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .cancel = &cancel};
    PROBE_REFUSED(xb_backup_run(repository, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    PROBE_OK(run(NULL, &result, &err)); /* the repository is none the worse */
    xb_backup_result_free(&result);
}

static atomic_bool cancel_now;

static void cancel_at_first_pack(struct hooks *hooks, enum hook_call call, const char *name,
                                 struct xb_store *inner)
{
    (void)hooks;
    (void)inner;
    if (call == HOOK_BEGIN && name[0] == 'p') {
        atomic_store(&cancel_now, true);
    }
}

static void cancelled_in_the_middle(void **state)
{
    (void)state;
    struct hooks hooks = {.before = cancel_at_first_pack};
    struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
    xb_repository_free(repository);
    repository = probe_open(hooked);
    struct xb_backup_result result;
    tree_random(&tree, "a", 1, 4 << 20);
    tree_random(&tree, "b", 2, 4 << 20);
    tree_folder(&tree, "d", 0755);
    for (int i = 0; i < 300; i++) {
        char name[20];
        snprintf(name, sizeof name, "d/%d", i);
        tree_file(&tree, name, name);
    }
    atomic_store(&cancel_now, false);
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .cancel = &cancel_now, .threads = 3};
    PROBE_REFUSED(xb_backup_run(repository, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    xb_store_free(hooked);
}

struct told {
    struct xb_backup_progress last;
    unsigned times;
};

static void tell(void *context, const struct xb_backup_progress *progress)
{
    struct told *told = context;
    assert_true(progress->bytes_done >= told->last.bytes_done);
    assert_true(progress->files_done >= told->last.files_done);
    told->last = *progress;
    told->times++;
}

static void progress_is_told(void **state)
{
    (void)state;
    struct told told = {.times = 0};
    struct xb_backup_result result;
    make_files();
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .progress = tell, .progress_context = &told};
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    assert_true(told.times > 0);
    assert_int_equal(told.last.bytes_done, 900003);
    assert_int_equal(told.last.files_done, 4);
    assert_true(told.last.files_total <= 4);
    xb_backup_result_free(&result);
}

/* The repository's failures are no file's: the call fails, and with the store's own words. */
static void a_store_that_fails_ends_it(void **state)
{
    (void)state;
    static const enum xb_fault_call calls[] = {XB_FAULT_PUT, XB_FAULT_BEGIN, XB_FAULT_WRITE};
    tree_folder(&tree, "d", 0755);
    tree_random(&tree, "big", 1, 900000);
    for (int i = 0; i < 50; i++) {
        char name[20];
        snprintf(name, sizeof name, "d/%d", i);
        tree_file(&tree, name, name);
    }
    assert_int_equal(symlinkat("target", tree.fd, "d/link"), 0);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t nth = 1; nth < (i == 2 ? 60 : i == 1 ? 3 : 2); nth += i == 2 ? 7 : 1) {
            struct xb_fault *fault = NULL;
            struct xb_store *faulty = NULL;
            struct xb_backup_result result;
            const struct xb_fault_rule rule = {calls[i], XB_FAULT_FAIL, nth, NULL, XB_ERR_IO, 0};
            PROBE_OK(xb_store_fault_open(probe_repository_store(), &faulty, &fault, &err));
            xb_repository_free(repository);
            repository = probe_open(faulty);
            PROBE_OK(xb_fault_add(fault, &rule, &err));
            PROBE_REFUSED(run(NULL, &result, &err), XB_ERR_IO, NULL);
            PROBE_REFUSED(run(NULL, &result, &err), XB_ERR_IO, NULL);
            assert_true(xb_repository_failed(repository));
            xb_store_free(faulty);
        }
    }
}

int main(void)
{
    tree_allow_descriptors();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_file),
        TEST(hard_links_are_known),
        TEST(holes_are_zeros),
        TEST(unchanged_files_are_not_read),
        TEST(changed_files_are_read),
        TEST(young_files_are_read_again),
        TEST(kopias_parents),
        TEST(damaged_parents),
        TEST(unreadable_files_are_listed),
        TEST(files_that_never_rest_are_told),
        TEST(a_file_that_changes_once_is_read_again),
        TEST(folders_have_a_depth),
        TEST(not_a_folder),
        TEST(cancelled_before),
        TEST(cancelled_in_the_middle),
        TEST(progress_is_told),
        TEST(a_store_that_fails_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
