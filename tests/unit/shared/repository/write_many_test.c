/* SPDX-License-Identifier: Apache-2.0
 *
 * Contents written together are those that would be written one by one: names, order, duplicates,
 * compression, pieces in many parts; a failure in the middle commits nothing; flushes go between.
 */
#include "tests/harness/repository_probe.h"

#include <pthread.h>

#include "shared/store/fault/fault.h"

enum { COUNT = 40, BYTES_MAX = 9000, THREADS = 4, ROUNDS = 12 };

static struct xb_store *base, *faulty;
static struct xb_fault *fault;
static struct xb_repository *repository;

static int setup(void **state)
{
    (void)state;
    base = probe_repository_store();
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
    repository = probe_open(faulty);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(faulty);
    xb_store_free(base);
    return 0;
}

/* Contents of all lengths, in up to five parts, two of which may be empty. */
struct lot {
    unsigned char data[COUNT][BYTES_MAX], original[COUNT][BYTES_MAX];
    size_t len[COUNT];
    struct iovec parts[COUNT][5];
    struct xb_content_job jobs[COUNT];
};

static void cut(struct lot *lot, size_t i)
{
    size_t at = 0;
    for (size_t part = 0; part < 5; part++) {
        size_t end = part == 4 ? lot->len[i] : part == 2 ? at : lot->len[i] * (part + 1) * i / 200;
        end = end < at ? at : end;
        lot->parts[i][part] = (struct iovec){lot->data[i] + at, end - at};
        at = end;
    }
}

static struct lot *lot_new(unsigned salt)
{
    struct lot *lot = calloc(1, sizeof *lot);
    assert_non_null(lot);
    for (size_t i = 0; i < COUNT; i++) {
        lot->len[i] = i * i * 5;
        for (size_t at = 0; at < lot->len[i]; at++) {
            lot->data[i][at] = (unsigned char)(i % 3 == 0 ? salt + i : (at * at + i * 7) >> 3);
        }
        if (lot->len[i] > 8) {
            memcpy(lot->data[i], &salt, sizeof salt);
        }
        memcpy(lot->original[i], lot->data[i], lot->len[i]);
        cut(lot, i);
        lot->jobs[i] = (struct xb_content_job){
            .parts = lot->parts[i],
            .part_count = 5,
            .prefix = i % 5 == 0 ? 'k' : '\0',
            .in_place = i % 2 == 0,
            .compression = i % 4 < 2 ? XB_COMPRESSION_ZSTD_FASTEST : XB_COMPRESSION_NONE};
    }
    return lot;
}

static void check_lot(struct xb_repository *reader, const struct lot *lot)
{
    for (size_t i = 0; i < COUNT; i++) {
        XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(BYTES_MAX);
        PROBE_OK(xb_content_read(reader, &lot->jobs[i].result.id, true, &out, &err));
        assert_int_equal(out.len, lot->len[i]);
        assert_memory_equal(out.data ? out.data : "", lot->original[i], out.len);
    }
}

static void as_one_by_one(void **state)
{
    (void)state;
    struct lot *lot = lot_new(1);
    PROBE_OK(xb_content_write_many(repository, lot->jobs, COUNT, &err));
    probe_flush(repository);
    struct xb_repository *other = probe_open(base);
    check_lot(other, lot);
    for (size_t i = 0; i < COUNT; i++) {
        struct xb_content_write_result one;
        const struct xb_content_write_result *many = &lot->jobs[i].result;
        PROBE_OK(xb_content_write(other, lot->jobs[i].prefix, lot->original[i], lot->len[i],
                                  XB_COMPRESSION_NONE, &one, &err));
        assert_true(one.existed); /* the same id */
        assert_int_equal(xb_content_id_compare(&one.id, &many->id), 0);
        assert_int_equal(many->plain_bytes, lot->len[i]);
        assert_true(many->existed == (many->packed_bytes == 0));
        if (!lot->jobs[i].in_place) {
            assert_memory_equal(lot->data[i], lot->original[i], lot->len[i]);
        }
    }
    assert_true(lot->jobs[36].result.packed_bytes < 1000); /* did shrink */
    xb_repository_free(other);
    free(lot);
}

/* Bytes that are in a batch twice, and those that are there already, are stored once. */
static void duplicates(void **state)
{
    (void)state;
    struct lot *lot = lot_new(2);
    struct lot *again = lot_new(2);
    struct xb_content_job jobs[3] = {lot->jobs[9], again->jobs[9], lot->jobs[11]};
    struct xb_content_job later[2] = {again->jobs[11], again->jobs[13]};
    PROBE_OK(xb_content_write_many(repository, jobs, 3, &err));
    assert_false(jobs[0].result.existed);
    assert_true(jobs[1].result.existed);
    assert_int_equal(jobs[1].result.packed_bytes, 0);
    assert_int_equal(xb_content_id_compare(&jobs[0].result.id, &jobs[1].result.id), 0);
    PROBE_OK(xb_content_write_many(repository, later, 2, &err));
    assert_true(later[0].result.existed);
    assert_false(later[1].result.existed);
    assert_int_equal(repository->pending.count, 3);
    PROBE_OK(xb_content_write_many(repository, NULL, 0, &err));
    free(lot);
    free(again);
}

/* What is no content is refused before anything is reserved. */
static void refused(void **state)
{
    (void)state;
    struct lot *lot = lot_new(3);
    lot->jobs[7].prefix = 'a';
    PROBE_REFUSED(xb_content_write_many(repository, lot->jobs, COUNT, &err), XB_ERR_BUG, "prefix");
    lot->jobs[7].prefix = '\0';
    const struct iovec huge[2] = {{lot->data[0], XB_CONTENT_BYTES_MAX}, {lot->data[0], SIZE_MAX}};
    struct xb_content_job large = {.parts = huge, .part_count = 2};
    PROBE_REFUSED(xb_content_write_many(repository, &large, 1, &err), XB_ERR_BUG, "not a content");
    PROBE_REFUSED(xb_content_write_many(repository, lot->jobs, XB_CONTENT_JOBS_MAX + 1, &err),
                  XB_ERR_BUG, "at once");
    assert_int_equal(repository->pending.count, 0);
    PROBE_OK(xb_content_write_many(repository, lot->jobs, COUNT, &err));
    free(lot);
}

/* The store fails while a batch is put into its second pack: nobody may commit any more. */
static void failure_in_the_middle(void **state)
{
    (void)state;
    struct lot *lot = lot_new(4);
    const struct xb_fault_rule lost = {XB_FAULT_COMMIT, XB_FAULT_FAIL, 2, "p", XB_ERR_IO, 0};
    repository->format.pack_bytes_max = 20000;
    PROBE_OK(xb_fault_add(fault, &lost, &err));
    PROBE_REFUSED(xb_content_write_many(repository, lot->jobs, COUNT, &err), XB_ERR_IO,
                  "writing pack p");
    assert_true(xb_repository_failed(repository));
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_IO, "writing pack p");
    PROBE_REFUSED(xb_content_write_many(repository, lot->jobs + 1, 1, &err), XB_ERR_IO,
                  "writing pack p");
    free(lot);
}

/* A batch that is larger than a pack fills several, each up to the limit and one content. */
static void fills_packs(void **state)
{
    (void)state;
    struct lot *lot = lot_new(5);
    repository->format.pack_bytes_max = 30000;
    for (size_t i = 0; i < COUNT; i++) {
        lot->jobs[i].compression = XB_COMPRESSION_NONE;
        lot->jobs[i].prefix = '\0';
    }
    PROBE_OK(xb_content_write_many(repository, lot->jobs, COUNT, &err));
    probe_flush(repository);
    struct probe_names packs = probe_list(base, "p");
    assert_true(packs.count >= 3);
    for (size_t i = 0; i < packs.count; i++) {
        struct xb_store_item item;
        PROBE_OK(xb_store_stat(base, packs.names[i], &item, &err));
        assert_true(item.size < 30000 + BYTES_MAX + 12000); /* padding and index */
    }
    probe_names_free(&packs);
    check_lot(repository, lot);
    free(lot);
}

/* ---- at the same time ---- */

struct writer {
    pthread_t thread;
    unsigned number;
    struct lot *lots[ROUNDS];
    bool failed;
};

static void *write_lots(void *context)
{
    struct writer *writer = context;
    struct xb_error err = XB_ERROR_INIT;
    for (unsigned round = 0; round < ROUNDS; round++) {
        writer->failed =
            writer->failed ||
            xb_content_write_many(repository, writer->lots[round]->jobs, COUNT, &err) < 0;
    }
    return NULL;
}

/* Writers and flushes in turn: everything is there, what two wrote at once is stored once, and no
 * more packs are open than there were writers. */
static void together(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    repository->format.pack_bytes_max = 150000;
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.number = i};
        for (unsigned round = 0; round < ROUNDS; round++) {
            writers[i].lots[round] = lot_new(100 + round * 2 + i % 2);
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_lots, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        probe_flush(repository);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_false(writers[i].failed);
    }
    for (unsigned i = 0; i < XB_PACK_KINDS; i++) {
        assert_int_equal(repository->packs[i].out, 0);
        assert_true(repository->packs[i].idle_count <= THREADS);
    }
    probe_flush(repository);
    struct xb_repository *other = probe_open(base);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            check_lot(other, writers[i].lots[round]);
            free(writers[i].lots[round]);
        }
    }
    xb_repository_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(duplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(fills_packs, setup, teardown),
        cmocka_unit_test_setup_teardown(together, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
