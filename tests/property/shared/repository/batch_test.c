/* SPDX-License-Identifier: Apache-2.0
 *
 * An object is the same whatever the blocks it comes in, the batches it is stored in, their order
 * and the number of threads that store them.
 */
#include "tests/harness/repository_probe.h"

#include <pthread.h>

#include "shared/repository/object.h"
#include "tests/harness/property.h"

enum { BYTES_MAX = 3 << 20, ROUNDS = 20, BATCHES_MAX = 4096, THREADS_MAX = 3 };

/* Random, repeated and zero stretches; the latter long enough for whole chunks of zeros. */
static size_t make_bytes(struct property *source, unsigned char *data)
{
    static const size_t sizes[] = {1, 100, 70000, 300000, BYTES_MAX};
    size_t len = property_below(source, sizes[property_below(source, 5)] + 1);
    for (size_t at = 0; at < len;) {
        size_t stretch = 1 + property_below(source, 400000);
        stretch = stretch < len - at ? stretch : len - at;
        if (property_once_in(source, 2)) {
            memset(data + at, 0, stretch);
        } else {
            for (size_t i = 0; i < stretch; i++) {
                data[at + i] = (unsigned char)property_next(source);
            }
        }
        at += stretch;
    }
    return len;
}

static struct xb_object_id written(struct xb_object_writer *writer, const unsigned char *data,
                                   size_t len)
{
    struct xb_object_id id;
    struct xb_object_stats stats;
    PROBE_OK(xb_object_writer_write(writer, data, len, &err));
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    assert_int_equal(stats.bytes, len);
    return id;
}

/* ---- cut first ---- */

struct cuts {
    struct xb_object_writer *writer;
    struct xb_object_batch *batches[BATCHES_MAX];
    size_t count, most; /* most: chunks of a batch */
    pthread_mutex_t lock;
    size_t next, failed;
};

static struct xb_object_batch *open_batch(struct cuts *cuts)
{
    if (cuts->count == 0 || xb_object_batch_chunks(cuts->batches[cuts->count - 1]) >= cuts->most) {
        assert_true(cuts->count < BATCHES_MAX);
        PROBE_OK(xb_object_batch_new(&cuts->batches[cuts->count++], &err));
    }
    return cuts->batches[cuts->count - 1];
}

static void feed_block(struct cuts *cuts, const unsigned char *data, size_t len)
{
    struct xb_block *block = NULL;
    PROBE_OK(xb_block_heap(len, &block, &err));
    memcpy(block->data, data, len);
    for (size_t at = 0, taken = 0; at < len; at += taken) {
        const struct xb_object_bytes bytes = {block, at, len - at};
        PROBE_OK(xb_object_writer_feed(cuts->writer, open_batch(cuts), &bytes, &taken, &err));
    }
    xb_block_unref(block);
}

static bool only_zeros(const unsigned char *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

static void cut(struct property *source, struct cuts *cuts, const unsigned char *data, size_t len)
{
    size_t largest = 1 + property_below(source, property_once_in(source, 3) ? 9000 : 600000);
    for (size_t at = 0; at < len;) {
        uint64_t zeros = xb_object_writer_zero_chunk(cuts->writer);
        size_t piece = 1 + property_below(source, largest);
        if (zeros && zeros <= len - at && only_zeros(data + at, zeros)) {
            PROBE_OK(xb_object_writer_feed_zeros(cuts->writer, open_batch(cuts), &err));
            at += zeros;
            continue;
        }
        piece = piece < len - at ? piece : len - at;
        feed_block(cuts, data + at, piece);
        at += piece;
    }
    PROBE_OK(xb_object_writer_feed_end(cuts->writer, open_batch(cuts), &err));
}

static void shuffle(struct property *source, struct cuts *cuts)
{
    for (size_t i = cuts->count; i > 1; i--) {
        size_t other = property_below(source, i);
        struct xb_object_batch *swap = cuts->batches[i - 1];
        cuts->batches[i - 1] = cuts->batches[other];
        cuts->batches[other] = swap;
    }
}

/* ---- then stored ---- */

static void *store(void *context)
{
    struct cuts *cuts = context;
    for (;;) {
        struct xb_error err = XB_ERROR_INIT;
        pthread_mutex_lock(&cuts->lock);
        size_t i = cuts->next++;
        pthread_mutex_unlock(&cuts->lock);
        if (i >= cuts->count) {
            return NULL;
        }
        if (xb_object_writer_store(cuts->writer, cuts->batches[i], &err) < 0 ||
            xb_object_batch_chunks(cuts->batches[i]) > 0) {
            pthread_mutex_lock(&cuts->lock);
            cuts->failed++;
            pthread_mutex_unlock(&cuts->lock);
        }
    }
}

static void store_all(struct property *source, struct cuts *cuts)
{
    pthread_t threads[THREADS_MAX];
    size_t count = 1 + property_below(source, THREADS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, store, cuts), 0);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(cuts->failed, 0);
    for (size_t i = 0; i < cuts->count; i++) {
        xb_object_batch_free(cuts->batches[i]);
    }
}

static void same_object(struct property *source, struct xb_repository *repository,
                        unsigned char *data)
{
    static struct cuts cuts;
    const struct xb_object_writer_options options = {
        .split = true,
        .compression =
            property_once_in(source, 2) ? XB_COMPRESSION_NONE : XB_COMPRESSION_ZSTD_FASTEST,
        .part_bytes = property_once_in(source, 2) ? 0 : 1 + property_below(source, 900000)};
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *plain = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(BYTES_MAX);
    struct xb_object_id id;
    struct xb_object_stats stats;
    size_t len = make_bytes(source, data);
    PROBE_OK(xb_object_writer_new(repository, &options, &writer, &err));
    PROBE_OK(xb_object_writer_new(repository, &options, &plain, &err));
    cuts = (struct cuts){.writer = writer, .most = 1 + property_below(source, 9)};
    pthread_mutex_init(&cuts.lock, NULL);
    if (property_once_in(source, 4)) {
        /* One that is given up leaves nothing behind. */
        feed_block(&cuts, (const unsigned char *)"given up", 8);
        xb_object_batch_free(cuts.batches[0]);
        cuts.count = 0;
        xb_object_writer_abort(writer);
    }
    cut(source, &cuts, data, len);
    shuffle(source, &cuts);
    store_all(source, &cuts);
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    assert_int_equal(stats.bytes, len);
    probe_flush(repository);
    PROBE_OK(xb_object_read_all(repository, &id, &out, &err));
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data ? out.data : "", data, len);
    assert_string_equal(written(plain, data, len).text, id.text);
    assert_string_equal(written(writer, data, len).text, id.text); /* used again */
}

static void objects(const char *splitter)
{
    struct property source = property_begin(splitter);
    const struct xb_repository_create_options create = {
        .hash = "BLAKE2B-256-128", .encryption = "AES256-GCM-HMAC-SHA256", .splitter = splitter};
    struct xb_store *store_of = probe_create(&create);
    struct xb_repository *repository = probe_open(store_of);
    unsigned char *data = malloc(BYTES_MAX);
    assert_non_null(data);
    for (int i = 0; i < ROUNDS; i++) {
        same_object(&source, repository, data);
    }
    free(data);
    xb_repository_free(repository);
    xb_store_free(store_of);
}

static void buzhash(void **state)
{
    (void)state;
    objects("DYNAMIC-128K-BUZHASH");
}

static void fixed(void **state)
{
    (void)state;
    objects("FIXED-128K");
}

/* A batch that is missing is noticed, and one content is one however large. */
static void incomplete(void **state)
{
    (void)state;
    struct xb_store *store_of = probe_repository_store();
    struct xb_repository *repository = probe_open(store_of);
    struct xb_object_writer *writer = NULL;
    struct cuts cuts = {.most = 1};
    struct xb_object_id id;
    struct xb_object_stats stats;
    const struct xb_object_writer_options options = {.split = true};
    PROBE_OK(xb_object_writer_new(repository, &options, &writer, &err));
    cuts.writer = writer;
    feed_block(&cuts, (const unsigned char *)"bytes", 5);
    PROBE_OK(xb_object_writer_feed_end(writer, cuts.batches[0], &err));
    PROBE_REFUSED(xb_object_writer_finish(writer, &id, &stats, &err), XB_ERR_BUG, "stored");
    xb_object_batch_free(cuts.batches[0]);
    assert_true(xb_object_whole_bytes(repository) == 64 * 1024);
    xb_object_writer_free(writer);
    xb_repository_free(repository);
    xb_store_free(store_of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(buzhash), cmocka_unit_test(fixed),
                                       cmocka_unit_test(incomplete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
