/* SPDX-License-Identifier: Apache-2.0
 *
 * The staging of uploads: nobody takes more of the disk than allowed while others are about to give
 * some back, a full disk is waited for as long as that helps, and nothing waits for nobody.
 */
#include "tests/unit/shared/store/s3_server.h"

#include <signal.h>
#include <sys/mount.h>

enum { PIECE = 700 << 10 };

static char folder[100];
static atomic_bool held;
static const char data[PIECE];

static void in_folder(struct xb_store_s3_options *options)
{
    options->scratch_dir = folder;
}

/* Holds the puts of "first" until the test lets them go. */
static bool hold(struct bucket *bucket, struct test_request *request, bool *keep)
{
    (void)bucket;
    (void)keep;
    while (strcmp(request->method, "PUT") == 0 && strstr(request->target, "first") &&
           atomic_load(&held)) {
        usleep(1000);
    }
    return false;
}

struct writer {
    struct xb_store *store;
    const char *name;
    pthread_t thread;
    atomic_bool staged, committed;
};

static void *write_object(void *context)
{
    struct writer *writer = context;
    struct xb_store_upload *upload = NULL;
    SUITE_OK(xb_store_upload_begin(writer->store, writer->name, NULL, &upload, &err));
    SUITE_OK(xb_store_upload_write(upload, data, sizeof data, &err));
    atomic_store(&writer->staged, true);
    SUITE_OK(xb_store_upload_commit(upload, &err));
    xb_store_upload_free(upload);
    atomic_store(&writer->committed, true);
    return NULL;
}

static void start(struct writer *writer)
{
    assert_int_equal(pthread_create(&writer->thread, NULL, write_object, writer), 0);
}

/* Whether it happens within a quarter of a second, or with `wait` within ten. */
static bool happens(atomic_bool *what, bool wait)
{
    for (int i = 0; i < (wait ? 10000 : 250) && !atomic_load(what); i++) {
        usleep(1000);
    }
    return atomic_load(what);
}

/* Two objects, one behind the other: the second has no room before the first is sent. */
static void second_waits(struct bucket *bucket)
{
    struct xb_store *store = bucket_open(bucket, in_folder);
    struct writer first = {.store = store, .name = "first"};
    struct writer second = {.store = store, .name = "second"};
    atomic_store(&held, true);
    bucket->fault = hold;
    start(&first);
    assert_true(happens(&first.staged, true));
    usleep(100 * 1000); /* its commit has begun */
    start(&second);
    assert_false(happens(&second.staged, false));
    assert_false(atomic_load(&first.committed));
    atomic_store(&held, false);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_int_equal(pthread_join(second.thread, NULL), 0);
    assert_true(atomic_load(&second.committed));
    assert_int_equal(bucket->wrong, 0);
    xb_store_free(store);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/xb_s3_stage_XXXXXX");
    xb_store_s3_stage_memory(0); /* all of it on the disk */
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    xb_store_s3_stage_limit(0);
    xb_store_s3_stage_memory(XB_S3_STAGED_MEMORY_MAX);
    umount2(folder, MNT_DETACH);
    return rmdir(folder);
}

static void the_limit(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    xb_store_s3_stage_limit(PIECE + PIECE / 2);
    second_waits(bucket);
    bucket_stop(bucket);
}

/* Nobody is sending: to wait would be for ever. */
static void alone_beyond_the_limit(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, in_folder);
    struct xb_store_upload *uploads[2] = {NULL, NULL};
    static const char *const names[] = {"one", "two"};
    xb_store_s3_stage_limit(1000);
    for (size_t i = 0; i < 2; i++) {
        SUITE_OK(xb_store_upload_begin(store, names[i], NULL, &uploads[i], &err));
        SUITE_OK(xb_store_upload_write(uploads[i], data, sizeof data, &err));
    }
    for (size_t i = 0; i < 2; i++) {
        SUITE_OK(xb_store_upload_commit(uploads[i], &err));
        xb_store_upload_free(uploads[i]);
    }
    xb_store_free(store);
    bucket_stop(bucket);
}

static void a_full_disk(void **state)
{
    (void)state;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=1m") < 0) {
        print_message("a_full_disk: skipped, cannot mount a small file system\n");
        skip(); /* only root may */
    }
    struct bucket *bucket = bucket_start(NULL);
    second_waits(bucket);
    /* What failed has given everything back: there is room, and no count that stays. */
    struct xb_store *store = bucket_open(bucket, in_folder);
    static const char large[2 << 20];
    for (int i = 0; i < 3; i++) {
        struct xb_store_upload *upload = NULL;
        SUITE_OK(xb_store_upload_begin(store, "large", NULL, &upload, &err));
        SUITE_REFUSED(xb_store_upload_write(upload, large, sizeof large, &err), XB_ERR_FULL);
        xb_store_upload_free(upload);
    }
    xb_store_free(store);
    second_waits(bucket);
    bucket_stop(bucket);
}

enum { BLOCK = 1 << 20, BYTES_MAX = 2 * BLOCK + BLOCK / 2 };

static void large_parts(struct xb_store_s3_options *options)
{
    in_folder(options);
    options->part_bytes = BLOCK;
}

static struct xb_store_upload *stage(struct xb_store *store, const char *name,
                                     const unsigned char *bytes, size_t len)
{
    struct xb_store_upload *upload = NULL;
    SUITE_OK(xb_store_upload_begin(store, name, NULL, &upload, &err));
    for (size_t at = 0; at < len; at += 77777) {
        size_t piece = len - at < 77777 ? len - at : 77777;
        SUITE_OK(xb_store_upload_write(upload, bytes + at, piece, &err));
    }
    return upload;
}

static void arrives(struct xb_store *store, struct xb_store_upload *upload, const char *name,
                    const unsigned char *bytes, size_t len)
{
    struct xb_buf out = XB_BUF_INIT(BYTES_MAX);
    SUITE_OK(xb_store_upload_commit(upload, &err));
    xb_store_upload_free(upload);
    SUITE_OK(xb_store_get(store, name, 0, XB_STORE_TO_END, &out, &err));
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, bytes, len);
    xb_buf_free(&out);
}

/* What is in two blocks of memory, on the disk, and in both, in one request and in parts; two
 * uploads in turn, the second of which finds less memory or none. */
static void memory_and_disk(void **state)
{
    (void)state;
    static unsigned char bytes[BYTES_MAX];
    static const size_t sizes[] = {1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, BYTES_MAX};
    struct bucket *bucket = bucket_start(NULL);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 31 + i / 977);
    }
    xb_store_s3_stage_memory(2 * BLOCK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct xb_store *store = bucket_open(bucket, i % 2 ? large_parts : in_folder);
        struct xb_store_upload *first = stage(store, "a", bytes, sizes[i]);
        struct xb_store_upload *second = stage(store, "b", bytes, BLOCK + BLOCK / 2);
        arrives(store, second, "b", bytes, BLOCK + BLOCK / 2);
        arrives(store, first, "a", bytes, sizes[i]);
        xb_store_free(store);
    }
    assert_int_equal(bucket->wrong, 0);
    bucket_stop(bucket);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {TEST(the_limit), TEST(alone_beyond_the_limit),
                                       TEST(a_full_disk), TEST(memory_and_disk)};
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
