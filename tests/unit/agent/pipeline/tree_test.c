/* SPDX-License-Identifier: Apache-2.0
 *
 * Trees that move while they are read, and trees that are odd: whatever happens, only what lies in
 * the folder is taken, nothing blocks, and what is missing is told.
 */
#include "tests/harness/opened_tree.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/pipeline/backup.h"
#include "shared/base/fnv.h"

static struct tree outside;
static struct xb_backup_result result;

static int begin(void **state)
{
    outside = tree_new();
    return setup(state);
}

static int end(void **state)
{
    tree_free(&outside);
    return teardown(state);
}

static struct xb_directory *back_up(void)
{
    struct xb_directory *directory = NULL;
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .threads = 3};
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    probe_flush(repository);
    PROBE_OK(xb_directory_read(repository, &result.root.object, &directory, &err));
    return directory;
}

/* ---- what moves ---- */

static atomic_bool stop;

/* A folder, a file and a fifo change places with links that lead out of the tree, all the time. */
static void *exchange(void *context)
{
    (void)context;
    static const char *const names[] = {"folder", "file", "fifo"};
    while (!atomic_load(&stop)) {
        for (size_t i = 0; i < 3; i++) {
            char link[20];
            snprintf(link, sizeof link, "%s-link", names[i]);
            (void)renameat2(tree.fd, names[i], tree.fd, link, RENAME_EXCHANGE);
        }
    }
    return NULL;
}

static void make_exchanged(void)
{
    char target[100];
    tree_folder(&outside, "d", 0755);
    tree_file(&outside, "d/secret", "not yours");
    tree_folder(&tree, "folder", 0755);
    tree_file(&tree, "folder/inner", "mine");
    tree_file(&tree, "file", "mine");
    assert_int_equal(mkfifoat(tree.fd, "fifo", 0600), 0);
    snprintf(target, sizeof target, "%s/d", outside.path);
    assert_int_equal(symlinkat(target, tree.fd, "folder-link"), 0);
    snprintf(target, sizeof target, "%s/d/secret", outside.path);
    assert_int_equal(symlinkat(target, tree.fd, "file-link"), 0);
    tree_file(&tree, "fifo-link", "a file that becomes a fifo");
}

static void links_lead_nowhere(void **state)
{
    (void)state;
    enum { ROUNDS = 150 };
    pthread_t thread;
    make_exchanged();
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, exchange, NULL), 0);
    uint64_t moved = 0;
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
        moved += result.vanished + result.failed;
        for (size_t k = 0; k < root->count; k++) {
            const struct xb_entry *entry = &root->entries[k];
            if (entry->type == XB_ENTRY_DIRECTORY) {
                XB_CLEANUP(xb_directory_freep) struct xb_directory *folder = NULL;
                PROBE_OK(xb_directory_read(repository, &entry->object, &folder, &err));
                assert_null(xb_directory_find(folder, "secret"));
            } else if (entry->type == XB_ENTRY_FILE && !entry->node) {
                assert_int_not_equal(entry->size, strlen("not yours"));
            }
        }
        xb_backup_result_free(&result);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    print_message("%llu times something was gone or another when it was opened\n",
                  (unsigned long long)moved);
}

static void *churn(void *context)
{
    (void)context;
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        char name[40];
        snprintf(name, sizeof name, "d%u/f%u", i % 7, i % 50);
        (void)unlinkat(tree.fd, name, 0);
        snprintf(name, sizeof name, "d%u", i % 7);
        (void)unlinkat(tree.fd, name, AT_REMOVEDIR);
        (void)mkdirat(tree.fd, name, 0755);
        snprintf(name, sizeof name, "d%u/f%u", i % 7, i % 50);
        int fd = openat(tree.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0) {
            (void)!write(fd, name, strlen(name));
            close(fd);
        }
    }
    return NULL;
}

/* Files and folders come and go: never an error of the call, and the tree is whole. */
static void vanishing_is_no_failure(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    pthread_t thread;
    atomic_store(&stop, false);
    tree_file(&tree, "stays", "always");
    assert_int_equal(pthread_create(&thread, NULL, churn, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
        assert_int_equal(result.failed, 0);
        assert_non_null(xb_directory_find(root, "stays"));
        xb_backup_result_free(&result);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

/* ---- what is odd ---- */

static void nothing_blocks(void **state)
{
    (void)state;
    assert_int_equal(mkfifoat(tree.fd, "fifo", 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", tree.path);
    XB_CLEANUP(xb_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
    assert_int_equal(result.special_files, 2);
    assert_int_equal(xb_directory_find(root, "socket")->node, 's');
    assert_int_equal(result.root.summary->files, 0);
    xb_backup_result_free(&result);
}

static void odd_names(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    /* The second is what stands in for the first. */
    const char *const names[] = {"caf\xe9", NULL, longest, "new\nline", "\x01", "~", "\xff\xfe"};
    char stand_in[30];
    snprintf(stand_in, sizeof stand_in, "caf_~%016llx", (unsigned long long)xb_fnv1a("caf\xe9"));
    for (size_t i = 0; i < 7; i++) {
        tree_file(&tree, names[i] ? names[i] : stand_in, "x");
    }
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
    assert_int_equal(root->count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_non_null(xb_directory_find(root, names[i] ? names[i] : stand_in));
    }
    xb_backup_result_free(&result);
}

/* Terabytes of which a few bytes are there: neither read nor hashed as such. */
static void a_large_sparse_file(void **state)
{
    (void)state;
    const off_t bytes = (off_t)1 << 36; /* with chunks this small; more where they are larger */
    XB_CLEANUP(xb_closep) int fd = openat(tree.fd, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (ftruncate(fd, bytes) < 0 || pwrite(fd, "middle", 6, bytes / 2 + 12345) != 6) {
        skip(); /* this file system keeps no such file */
    }
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
    const struct xb_entry *entry = xb_directory_find(root, "sparse");
    assert_int_equal(entry->size, bytes);
    assert_int_equal(entry->hole_count, 2);
    assert_true(result.bytes_new < 1 << 20);
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    const void *data = NULL;
    size_t len = 0;
    PROBE_OK(xb_object_reader_open(repository, &entry->object, &reader, &err));
    assert_int_equal(xb_object_reader_length(reader), bytes);
    PROBE_OK(xb_object_reader_seek(reader, (uint64_t)bytes / 2 + 12345, &err));
    PROBE_OK(xb_object_reader_next(reader, &data, &len, &err));
    assert_true(len >= 6);
    assert_memory_equal(data, "middle", 6);
    xb_backup_result_free(&result);
}

/* Several workers in deep trees at once need more descriptors than there are. */
static void deep_trees_share_descriptors(void **state)
{
    (void)state;
    enum { CHAINS = 4, DEPTH = 500, FILES = 1200 };
    for (int chain = 0; chain < CHAINS; chain++) {
        char path[2 * DEPTH + 20];
        int len = snprintf(path, sizeof path, "c%d", chain);
        for (int i = 0; i < DEPTH; i++) {
            assert_int_equal(mkdirat(tree.fd, path, 0755), 0);
            len += snprintf(path + len, sizeof path - (size_t)len, "/d");
        }
    }
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {.rlim_cur = FILES, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *root = back_up();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result.failed, 0);
    assert_int_equal(result.dirs, CHAINS * DEPTH + 1);
    assert_int_equal(root->count, CHAINS);
    xb_backup_result_free(&result);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(links_lead_nowhere), TEST(vanishing_is_no_failure), TEST(nothing_blocks),
        TEST(odd_names),          TEST(a_large_sparse_file),     TEST(deep_trees_share_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
