/* SPDX-License-Identifier: Apache-2.0
 *
 * A backup that takes long: what it has stored is indexed and named by checkpoints while a single
 * file is still being read, the next backup uses that, and a good one clears it away.
 */
#include "tests/harness/tree_probe.h"

#include "agent/pipeline/backup.h"
#include "shared/base/clock.h"
#include "tests/harness/hook_store.h"

enum { BIG_BYTES = 90 << 20, STORED_BYTES = 15 << 20, SLOW_MS = 400 };

static struct tree tree;
static struct xb_store *store, *hooked;
static struct xb_repository *repository;
static atomic_bool cancel;
static struct hooks hooks;

/* A slow store: each pack takes its time, so that the clock can strike while the file is read. Once
 * a good part of it is stored and that many indexes have come after it, the backup is given up,
 * like one that is killed. */
static size_t indexes_wanted; /* 0: never */
static size_t indexes_before;

static int add_size(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    uint64_t *sum = context;
    (void)err;
    *sum += item->size;
    return 0;
}

static void be_slow(struct hooks *self, enum hook_call call, const char *name,
                    struct xb_store *inner)
{
    uint64_t stored = 0;
    (void)self;
    if (call != HOOK_BEGIN || name[0] != 'p') {
        return;
    }
    const struct timespec time = {.tv_nsec = SLOW_MS * 1000000L};
    nanosleep(&time, NULL);
    PROBE_OK(xb_store_list(inner, "p", add_size, &stored, &err));
    if (indexes_wanted && !indexes_before && stored >= STORED_BYTES) {
        indexes_before = probe_count(inner, "xn0_");
    } else if (indexes_before && probe_count(inner, "xn0_") >= indexes_before + indexes_wanted) {
        atomic_store(&cancel, true);
    }
}

static int setup(void **state)
{
    (void)state;
    tree = tree_new();
    store = probe_repository_store();
    atomic_store(&cancel, false);
    indexes_wanted = 0;
    indexes_before = 0;
    hooks = (struct hooks){.before = be_slow};
    hooked = hook_store_open(xb_store_ref(store), &hooks);
    repository = probe_open(hooked);
    tree_folder(&tree, "d", 0755);
    tree_folder(&tree, "d/e", 0750);
    tree_random(&tree, "d/e/big", 1, BIG_BYTES);
    tree_file(&tree, "d/e/small", "s");
    tree_file(&tree, "d/one", "1");
    tree_file(&tree, "two", "2");
    tree_settle();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(hooked);
    xb_store_free(store);
    tree_free(&tree);
    return 0;
}

/* As another process: with nothing in memory, and a store that is not slow. */
static void reopen(void)
{
    xb_repository_free(repository);
    repository = probe_open(store);
    atomic_store(&cancel, false);
}

static struct xb_snapshot *source(int64_t start_ns)
{
    struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    assert_non_null(snapshot);
    snapshot->host = strdup("h");
    snapshot->user = strdup("u");
    snapshot->path = strdup("p");
    snapshot->description = strdup("");
    snapshot->start_ns = start_ns;
    return snapshot;
}

static struct xb_backup_options options_of(const struct xb_snapshot *snapshot,
                                           const struct xb_snapshot_parents *parents)
{
    return (struct xb_backup_options){.root_fd = tree.fd,
                                      .root_name = "root",
                                      .parents = parents,
                                      .cancel = &cancel,
                                      .source = snapshot,
                                      .index_every_ms = 1,
                                      .checkpoint_every_ms = 1};
}

static struct xb_snapshot_list list_all(void)
{
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(repository, NULL, &list, &err));
    assert_int_equal(list.unreadable_count, 0);
    return list;
}

static void indexed_while_one_file_is_read(void **state)
{
    (void)state;
    struct xb_backup_result result;
    indexes_wanted = 1;
    struct xb_backup_options options = options_of(NULL, NULL);
    PROBE_REFUSED(xb_backup_run(repository, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    reopen();
    options.index_every_ms = 0;
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    /* At least the packs that were full when the index was written are found. */
    assert_int_equal(result.bytes_read, BIG_BYTES + 3);
    assert_true(result.bytes_new <= BIG_BYTES - STORED_BYTES);
    xb_backup_result_free(&result);
}

/* The file that was under way, as far as it had come. */
static void check_part(const struct xb_directory *folder)
{
    static const char prefix[] = ".checkpointed.big.";
    const struct xb_entry *part = NULL;
    for (size_t i = 0; i < folder->count; i++) {
        if (strncmp(folder->entries[i].name, prefix, sizeof prefix - 1) == 0) {
            assert_null(part);
            part = &folder->entries[i];
        }
    }
    assert_non_null(part);
    assert_int_equal(strlen(part->name), sizeof prefix - 1 + 36);
    assert_true(part->size > 0 && part->size <= BIG_BYTES);
    struct xb_buf data = XB_BUF_INIT(BIG_BYTES);
    PROBE_OK(xb_object_read_all(repository, &part->object, &data, &err));
    assert_int_equal(data.len, part->size);
    char *whole = tree_read(&tree, "d/e/big", NULL);
    assert_memory_equal(data.data, whole, data.len);
    free(whole);
    xb_buf_free(&data);
}

static struct xb_directory *open_folder(const struct xb_object_id *id)
{
    struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, id, &directory, &err));
    return directory;
}

static void check_checkpoint(const struct xb_snapshot *checkpoint)
{
    assert_string_equal(checkpoint->incomplete, "checkpoint");
    assert_int_equal(checkpoint->start_ns, 100);
    assert_string_equal(checkpoint->root.summary->incomplete, "checkpoint");
    assert_int_equal(checkpoint->root.summary->files, 4);
    assert_int_equal(checkpoint->root.summary->dirs, 3);
    XB_CLEANUP(xb_directory_freep)
    struct xb_directory *root = open_folder(&checkpoint->root.object);
    assert_non_null(xb_directory_find(root, "two"));
    const struct xb_entry *d = xb_directory_find(root, "d");
    assert_non_null(d);
    assert_int_equal(d->summary->max_time_ns, d->mtime_ns);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *folder = open_folder(&d->object);
    assert_non_null(xb_directory_find(folder, "one"));
    const struct xb_entry *e = xb_directory_find(folder, "e");
    assert_non_null(e);
    assert_int_equal(e->mode, 0750);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *inner = open_folder(&e->object);
    assert_string_equal(inner->summary.incomplete, "checkpoint");
    assert_int_equal(inner->count, 2);
    assert_non_null(xb_directory_find(inner, "small"));
    check_part(inner);
}

static void a_checkpoint_names_what_is_there(void **state)
{
    (void)state;
    struct xb_backup_result result;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = source(100);
    indexes_wanted = 2; /* its data and its manifest */
    struct xb_backup_options options = options_of(first, NULL);
    PROBE_REFUSED(xb_backup_run(repository, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    reopen();
    struct xb_snapshot_list list = list_all();
    assert_int_equal(list.count, 1); /* the second took the first one's place */
    check_checkpoint(list.items[0]);
    xb_snapshot_list_free(&list);

    /* The next backup does not read what had been finished, and stores the rest only. */
    const struct xb_snapshot_filter same = {.host = "h", .user = "u", .path = "p"};
    struct xb_snapshot_parents parents = {.count = 0};
    PROBE_OK(xb_snapshot_find_parents(repository, &same, &parents, &err));
    assert_int_equal(parents.count, 1);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = source(200);
    options = options_of(second, &parents);
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    xb_snapshot_parents_free(&parents);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.cached_files, 3);
    assert_int_equal(result.bytes_read, BIG_BYTES);
    assert_true(result.bytes_new <= BIG_BYTES - STORED_BYTES);
    xb_backup_fill_snapshot(&result, second);
    PROBE_OK(xb_snapshot_publish(repository, second, &err));
    xb_backup_result_free(&result);
    list = list_all();
    assert_int_equal(list.count, 1); /* no checkpoint is left, neither the killed one's nor ours */
    assert_null(list.items[0]->incomplete);
    assert_null(list.items[0]->root.summary->incomplete);
    assert_string_equal(list.items[0]->id, second->id);
    xb_snapshot_list_free(&list);
    PROBE_OK(xb_snapshot_find_parents(repository, &same, &parents, &err));
    assert_int_equal(parents.count, 1);
    xb_snapshot_parents_free(&parents);
}

/* With checkpoints all the time the tree is the same as without. */
static void checkpoints_change_nothing(void **state)
{
    (void)state;
    struct xb_backup_result with;
    struct xb_backup_result without;
    for (int i = 0; i < 300; i++) {
        char name[20];
        snprintf(name, sizeof name, "d/%d", i);
        tree_file(&tree, name, name);
    }
    tree_settle();
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = source(100);
    const struct xb_backup_options options = options_of(snapshot, NULL);
    PROBE_OK(xb_backup_run(repository, &options, &with, &err));
    struct xb_snapshot_list list = list_all();
    assert_int_equal(list.count, 1);
    assert_non_null(list.items[0]->incomplete);
    xb_snapshot_list_free(&list);
    reopen();
    const struct xb_backup_options plain = {.root_fd = tree.fd, .root_name = "root"};
    PROBE_OK(xb_backup_run(repository, &plain, &without, &err));
    assert_string_equal(with.root.object.text, without.root.object.text);
    assert_int_equal(without.bytes_new, 0);
    assert_int_equal(with.files, 304);
    xb_backup_result_free(&with);
    xb_backup_result_free(&without);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(indexed_while_one_file_is_read),
        TEST(a_checkpoint_names_what_is_there),
        TEST(checkpoints_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
