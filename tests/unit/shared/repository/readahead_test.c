/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders that lie side by side come with few requests, whatever the order in which they are read;
 * what is scattered is not paid for with reading all that lies between; and what came wrong is read
 * again.
 */
#include "tests/harness/repository_probe.h"

#include <pthread.h>

#include "shared/store/fault/fault.h"
#include "tests/harness/hook_store.h"

enum { FOLDERS = 3000, FOLDER_BYTES = 700, PACK_BYTES = FOLDERS * FOLDER_BYTES, THREADS = 4 };

static struct hooks hooks;
static unsigned gets, stats;

static void count(struct hooks *all, enum hook_call call, const char *name, struct xb_store *inner)
{
    (void)all;
    (void)inner;
    gets += call == HOOK_GET && name[0] == 'q';
    stats += call == HOOK_STAT && name[0] == 'q';
}

/* A pack of bytes that tell where they stand. */
static struct xb_store *store_of(const char *const *packs, size_t pack_count)
{
    char *data = malloc(PACK_BYTES);
    struct xb_store *inner = probe_empty_store();
    assert_non_null(data);
    for (uint32_t i = 0; i < PACK_BYTES; i++) {
        data[i] = (char)(i * 2654435761U >> 24);
    }
    for (size_t i = 0; i < pack_count; i++) {
        PROBE_OK(xb_store_put(inner, packs[i], data, PACK_BYTES, NULL, &err));
    }
    free(data);
    hooks = (struct hooks){.before = count};
    gets = stats = 0;
    struct xb_store *store = hook_store_open(inner, &hooks);
    assert_non_null(store);
    return store;
}

static void read_one(struct xb_readahead *readahead, struct xb_store *store, const char *pack,
                     uint32_t folder)
{
    struct xb_buf out = XB_BUF_INIT(2 * FOLDER_BYTES);
    uint32_t offset = folder * FOLDER_BYTES;
    PROBE_OK(xb_readahead_read(readahead, store, pack, offset, FOLDER_BYTES, &out, &err));
    assert_int_equal(out.len, FOLDER_BYTES);
    for (uint32_t i = 0; i < FOLDER_BYTES; i++) {
        assert_int_equal(out.data[i], (char)((offset + i) * 2654435761U >> 24));
    }
    xb_buf_free(&out);
}

/* Folders are stored after what is in them and read before it. Returns where the tree began. */
static uint32_t read_tree(struct xb_readahead *readahead, struct xb_store *store, uint32_t end,
                          uint32_t width)
{
    const uint32_t self = end - 1;
    read_one(readahead, store, "q1", self);
    uint32_t at = end - width;
    for (uint32_t part = (width - 1) / 8; part > 0 && at + part <= self; at += part) {
        (void)read_tree(readahead, store, at + part, part);
    }
    for (; at < self; at++) {
        read_one(readahead, store, "q1", at);
    }
    return end - width;
}

static void neighbours_come_together(void **state)
{
    (void)state;
    static const char *const packs[] = {"q1"};
    struct xb_readahead *readahead = NULL;
    struct xb_store *store = store_of(packs, 1);
    PROBE_OK(xb_readahead_new(&readahead, &err));
    for (uint32_t i = 0; i < FOLDERS; i++) {
        read_one(readahead, store, "q1", i);
    }
    assert_in_range(gets, 1, 8);
    assert_in_range(stats, 0, 1);
    xb_readahead_free(readahead);
    /* The order of a walk. */
    gets = 0;
    PROBE_OK(xb_readahead_new(&readahead, &err));
    assert_int_equal(read_tree(readahead, store, FOLDERS, FOLDERS), 0);
    assert_in_range(gets, 1, 12);
    xb_readahead_free(readahead);
    xb_store_free(store);
}

/* One folder of each of many packs: nothing more is asked, and little more is read. */
static void scattered_ones_cost_a_request_each(void **state)
{
    (void)state;
    static const char *const packs[] = {"q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9"};
    struct xb_readahead *readahead = NULL;
    struct xb_store *store = store_of(packs, 9);
    PROBE_OK(xb_readahead_new(&readahead, &err));
    for (size_t i = 0; i < 9; i++) {
        read_one(readahead, store, packs[i], 7);
    }
    assert_int_equal(gets, 9);
    assert_int_equal(stats, 0);
    xb_readahead_free(readahead);
    xb_store_free(store);
}

/* What is too long is read by itself; a range that the pack does not have is refused. */
static void bounds(void **state)
{
    (void)state;
    static const char *const packs[] = {"q1"};
    struct xb_readahead *readahead = NULL;
    struct xb_store *store = store_of(packs, 1);
    struct xb_buf out = XB_BUF_INIT(PACK_BYTES);
    PROBE_OK(xb_readahead_new(&readahead, &err));
    const uint64_t len = XB_READAHEAD_CONTENT_BYTES_MAX;
    for (unsigned i = 0; i < 3; i++) {
        xb_buf_clear(&out);
        PROBE_OK(xb_readahead_read(readahead, store, "q1", 1000 * i, len + 1, &out, &err));
        assert_int_equal(out.len, len + 1);
        assert_int_equal(gets, i + 1);
    }
    /* The longest that is kept, over the edge of a block and at the very end. */
    xb_buf_clear(&out);
    PROBE_OK(xb_readahead_read(readahead, store, "q1", 1048576 - 5, len, &out, &err));
    PROBE_OK(xb_readahead_read(readahead, store, "q1", PACK_BYTES - len, len, &out, &err));
    assert_int_equal(out.len, 2 * len);
    assert_int_equal(out.data[0], (char)((1048576U - 5) * 2654435761U >> 24));
    assert_int_equal(out.data[out.len - 1], (char)((PACK_BYTES - 1) * 2654435761U >> 24));
    xb_buf_clear(&out);
    PROBE_REFUSED(xb_readahead_read(readahead, store, "q1", PACK_BYTES - 9, 10, &out, &err),
                  XB_ERR_CORRUPT, "cut short");
    PROBE_REFUSED(xb_readahead_read(readahead, store, "q2", 0, 10, &out, &err), XB_ERR_NOT_FOUND,
                  NULL);
    assert_int_equal(out.len, 0);
    xb_buf_free(&out);
    xb_readahead_free(readahead);
    xb_store_free(store);
}

struct reader {
    struct xb_readahead *readahead;
    struct xb_store *store;
    bool failed;
};

static void *read_all(void *context)
{
    struct reader *reader = context;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(FOLDER_BYTES);
    for (uint32_t i = 0; i < FOLDERS && !reader->failed; i++) {
        xb_buf_clear(&out);
        uint32_t offset = i * FOLDER_BYTES;
        reader->failed = xb_readahead_read(reader->readahead, reader->store, "q1", offset,
                                           FOLDER_BYTES, &out, &err) < 0 ||
                         out.data[0] != (char)(offset * 2654435761U >> 24);
    }
    xb_buf_free(&out);
    return NULL;
}

/* Who needs what another one is reading waits for it. */
static void threads_share(void **state)
{
    (void)state;
    static const char *const packs[] = {"q1"};
    struct reader reader = {.store = store_of(packs, 1)};
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    PROBE_OK(xb_readahead_new(&reader.readahead, &err));
    for (size_t i = 0; i < THREADS; i++) {
        readers[i] = reader;
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(readers[i].failed);
    }
    assert_in_range(gets, 1, 8 * THREADS);
    xb_readahead_free(reader.readahead);
    xb_store_free(reader.store);
}

/* A repository's folders: what came wrong is not kept, and damage is only of what is damaged. */
static void wrong_bytes_are_not_kept(void **state)
{
    (void)state;
    struct xb_store *store = NULL;
    struct xb_fault *fault = NULL;
    struct xb_content_id ids[50];
    char text[64];
    PROBE_OK(xb_store_fault_open(probe_repository_store(), &store, &fault, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(store);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "the folder of number %u", i);
        ids[i] = probe_write(repository, 'k', text).id;
    }
    probe_flush(repository);
    const struct xb_fault_rule flip = {
        .call = XB_FAULT_GET, .effect = XB_FAULT_FLIP, .nth = 1, .name_prefix = "q", .amount = 900};
    PROBE_OK(xb_fault_add(fault, &flip, &err));
    uint64_t before = xb_fault_count(fault, XB_FAULT_GET);
    for (unsigned i = 50; i-- > 0;) {
        snprintf(text, sizeof text, "the folder of number %u", i);
        probe_holds(repository, &ids[i], text);
    }
    assert_in_range(xb_fault_count(fault, XB_FAULT_GET) - before, 2, 6);
    xb_repository_free(XB_TAKE(repository));
    xb_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_come_together),
        cmocka_unit_test(scattered_ones_cost_a_request_each),
        cmocka_unit_test(bounds),
        cmocka_unit_test(threads_share),
        cmocka_unit_test(wrong_bytes_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
