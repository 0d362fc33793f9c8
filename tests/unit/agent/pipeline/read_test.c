/* SPDX-License-Identifier: Apache-2.0
 *
 * Files' bytes become the same objects whatever the number of threads and the memory there is; that
 * is never exceeded, and every byte comes back.
 */
#include "tests/harness/opened_tree.h"

#include <fcntl.h>
#include <pthread.h>

#include "agent/pipeline/backup.h"

enum { KIB = 1024, MIB = 1024 * 1024, PIECES = 200, SMALLS = 300 };

static void put_bytes(int fd, size_t at, size_t len, unsigned salt)
{
    XB_CLEANUP(xb_freep) unsigned char *data = malloc(len ? len : 1);
    assert_non_null(data);
    uint32_t x = salt;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525U + 1013904223U;
        data[i] = (unsigned char)(x >> 24);
    }
    assert_int_equal(pwrite(fd, data, len, (off_t)at), (ssize_t)len);
}

static int make(const char *name, size_t size)
{
    int fd = openat(tree.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void make_filled(const char *name, size_t size)
{
    int fd = make(name, size);
    put_bytes(fd, 0, size, (unsigned)size + (unsigned char)name[0]);
    close(fd);
}

/* Data of 4 KiB every 16: a chunk of it lies in many pieces. */
static void make_combed(void)
{
    int fd = make("combed", (size_t)PIECES * 16 * KIB + 5);
    for (size_t i = 0; i < PIECES; i++) {
        put_bytes(fd, i * 16 * KIB, (size_t)4 * KIB, (unsigned)i);
    }
    close(fd);
}

/* A long hole in the middle, and one at the end; stretches that the ring reads between them. */
static void make_holed(void)
{
    int fd = make("holed", (size_t)40 * MIB + 77);
    put_bytes(fd, 0, (size_t)3 * MIB + 9, 1);
    put_bytes(fd, (size_t)20 * MIB + 123, (size_t)2 * MIB, 2);
    put_bytes(fd, (size_t)23 * MIB, 10, 3);
    close(fd);
}

static int begin(void **state)
{
    static const size_t sizes[] = {0,         1,         64 * KIB - 1,  64 * KIB,     64 * KIB + 1,
                                   256 * KIB, 300 * KIB, 2 * MIB + 333, 12 * MIB + 1, 9 * MIB};
    char name[40];
    int r = setup(state);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        (void)snprintf(name, sizeof name, "file%zu", i);
        make_filled(name, sizes[i]);
    }
    for (size_t i = 0; i < SMALLS; i++) {
        (void)snprintf(name, sizeof name, "small%zu", i);
        make_filled(name, i * 113 % 5000);
    }
    make_combed();
    make_holed();
    tree_settle();
    return r;
}

static void back_up(unsigned threads, size_t memory, struct xb_backup_result *ret)
{
    struct xb_budget budget = XB_BUDGET_INIT(memory);
    const struct xb_backup_options options = {
        .root_fd = tree.fd,
        .root_name = "root",
        .threads = threads,
        .budget = &budget,
        .compression = threads % 2 ? XB_COMPRESSION_NONE : XB_COMPRESSION_ZSTD_FASTEST};
    PROBE_OK(xb_backup_run(repository, &options, ret, &err));
    assert_int_equal(ret->failed, 0);
    assert_int_equal(budget.reserved, 0);
    assert_int_equal(budget.taken, 0);
    assert_true(budget.peak <= memory);
    assert_true(budget.spare_bytes <= memory);
    xb_budget_trim(&budget);
}

static void check_file(const struct xb_entry *entry)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(64 * MIB);
    XB_CLEANUP(xb_closep) int fd = openat(tree.fd, entry->name, O_RDONLY | O_CLOEXEC);
    XB_CLEANUP(xb_freep) char *want = malloc(entry->size + 1);
    assert_true(fd >= 0);
    PROBE_OK(xb_object_read_all(repository, &entry->object, &out, &err));
    assert_int_equal(out.len, entry->size);
    assert_int_equal(pread(fd, want, entry->size + 1, 0), (ssize_t)entry->size);
    assert_memory_equal(out.data ? out.data : "", want, out.len);
}

static void same_objects(void **state)
{
    (void)state;
    static const struct {
        unsigned threads;
        size_t memory;
    } ways[] = {{1, 32 * MIB}, {2, 32 * MIB}, {3, 3 * MIB / 2},
                {4, 2 * MIB},  {8, 4 * MIB},  {16, 8 * MIB}};
    struct xb_backup_result first = {.files = 0};
    back_up(1, (size_t)32 * MIB, &first);
    PROBE_OK(xb_repository_flush(repository, &err));
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &first.root.object, &directory, &err));
    assert_int_equal(directory->count, 10 + SMALLS + 2);
    for (size_t i = 0; i < directory->count; i++) {
        check_file(&directory->entries[i]);
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct xb_backup_result again = {.files = 0};
        back_up(ways[i].threads, ways[i].memory, &again);
        assert_int_equal(again.bytes_new, 0);
        assert_int_equal(again.files, first.files);
        assert_int_equal(again.bytes, first.bytes);
        assert_string_equal(again.root.object.text, first.root.object.text);
        xb_backup_result_free(&again);
    }
    xb_backup_result_free(&first);
}

/* The same into an empty repository, so that everything is stored by all threads at once. */
static void stored_by_many(void **state)
{
    (void)state;
    struct xb_backup_result result = {.files = 0};
    back_up(8, (size_t)4 * MIB, &result);
    PROBE_OK(xb_repository_flush(repository, &err));
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &result.root.object, &directory, &err));
    for (size_t i = 0; i < directory->count; i++) {
        check_file(&directory->entries[i]);
    }
    xb_backup_result_free(&result);
}

/* ---- several volumes at once ---- */

struct volume {
    pthread_t thread;
    struct xb_budget *budget;
    struct xb_backup_result result;
    struct xb_error err;
    int r;
};

static void *back_up_volume(void *context)
{
    struct volume *volume = context;
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .threads = 8, .budget = volume->budget};
    volume->err = (struct xb_error)XB_ERROR_INIT;
    volume->r = xb_backup_run(repository, &options, &volume->result, &volume->err);
    return NULL;
}

/* Four backups with eight threads each share a budget that is enough for few files at a time. */
static void one_budget(void **state)
{
    (void)state;
    struct xb_budget budget = XB_BUDGET_INIT((size_t)3 * MIB);
    struct volume volumes[4] = {{.budget = &budget}};
    for (size_t i = 0; i < 4; i++) {
        volumes[i] = (struct volume){.budget = &budget};
        assert_int_equal(pthread_create(&volumes[i].thread, NULL, back_up_volume, &volumes[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(volumes[i].thread, NULL);
        assert_int_equal(volumes[i].r, 0);
        assert_string_equal(volumes[i].result.root.object.text, volumes[0].result.root.object.text);
    }
    for (size_t i = 0; i < 4; i++) {
        xb_backup_result_free(&volumes[i].result);
    }
    assert_int_equal(budget.reserved, 0);
    assert_true(budget.peak <= budget.max);
    xb_budget_trim(&budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_objects, begin, teardown),
        cmocka_unit_test_setup_teardown(stored_by_many, begin, teardown),
        cmocka_unit_test_setup_teardown(one_budget, begin, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
