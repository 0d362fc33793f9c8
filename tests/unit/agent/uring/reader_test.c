/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader hands out a file's bytes in order, the same with io_uring and with pread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/uring/reader.h"

enum { BUFFER_BYTES = 4096, DEPTH = 3, FILE_BYTES = 20 * BUFFER_BYTES };

static unsigned char bytes[FILE_BYTES];

static int make_bytes(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (size_t i = 0; i < FILE_BYTES; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return 0;
}

static struct xb_reader *new_reader(bool ring)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_reader *reader = NULL;
    const struct xb_reader_options options = {.depth = DEPTH, .buffer_bytes = BUFFER_BYTES};
    if (ring) {
        unsetenv("XEBEC_NO_URING");
    } else {
        setenv("XEBEC_NO_URING", "1", 1);
    }
    assert_int_equal(xb_reader_new(&options, &reader, &err), 0);
    unsetenv("XEBEC_NO_URING");
    if (!ring) {
        assert_false(xb_reader_uses_ring(reader));
    } else if (!xb_reader_uses_ring(reader)) {
        print_message("no io_uring here: only pread is tested\n");
    }
    return reader;
}

/* A file of the first `len` bytes that has no name. */
static int make_file(size_t len)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    int fd = dup(fileno(file));
    fclose(file);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, 0), (ssize_t)len);
    return fd;
}

static size_t next(struct xb_reader *reader, const unsigned char **ret)
{
    struct xb_error err = XB_ERROR_INIT;
    const void *data = NULL;
    size_t len = 0;
    int r = xb_reader_next(reader, &data, &len, &err);
    if (r < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    assert_int_equal(err.code, 0);
    *ret = data;
    return len;
}

static void start(struct xb_reader *reader, int fd, uint64_t offset, uint64_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_reader_start(reader, fd, offset, len, &err), 0);
}

/* Reads to the end; the bytes must be those of the file from `offset` on. */
static void drain(struct xb_reader *reader, size_t offset, size_t want)
{
    size_t at = 0;
    for (;;) {
        const unsigned char *data = NULL;
        size_t len = next(reader, &data);
        if (len == 0) {
            break;
        }
        assert_true(len <= want - at);
        assert_memory_equal(data, bytes + offset + at, len);
        at += len;
    }
    assert_int_equal(at, want);
    const unsigned char *data = NULL;
    assert_int_equal(next(reader, &data), 0); /* and the end stays the end */
}

static const size_t sizes[] = {0,
                               1,
                               BUFFER_BYTES - 1,
                               BUFFER_BYTES,
                               BUFFER_BYTES + 1,
                               2 * BUFFER_BYTES,
                               DEPTH *BUFFER_BYTES - 1,
                               DEPTH *BUFFER_BYTES,
                               DEPTH *BUFFER_BYTES + 1,
                               2 * DEPTH *BUFFER_BYTES,
                               FILE_BYTES - 1,
                               FILE_BYTES};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void whole_files(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        for (size_t i = 0; i < SIZES; i++) {
            XB_CLEANUP(xb_closep) int fd = make_file(sizes[i]);
            start(reader, fd, 0, sizes[i]);
            drain(reader, 0, sizes[i]);
        }
    }
}

static void ranges(void **state)
{
    (void)state;
    static const size_t offsets[] = {0, 1, 511, BUFFER_BYTES, BUFFER_BYTES + 7, FILE_BYTES};
    XB_CLEANUP(xb_closep) int fd = make_file(FILE_BYTES);
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
            for (size_t k = 0; k < SIZES; k++) {
                size_t left = FILE_BYTES - offsets[i];
                start(reader, fd, offsets[i], sizes[k]);
                drain(reader, offsets[i], sizes[k] < left ? sizes[k] : left);
            }
        }
    }
}

/* The file is shorter than its range. */
static void short_files(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        for (size_t i = 0; i < SIZES; i++) {
            XB_CLEANUP(xb_closep) int fd = make_file(sizes[i]);
            start(reader, fd, 0, sizes[i] + 1);
            drain(reader, 0, sizes[i]);
            start(reader, fd, 0, UINT64_C(1) << 40);
            drain(reader, 0, sizes[i]);
        }
    }
}

/* What grows behind the place where the file ended is no part of what was read: there would be a
 * gap in it. */
static void the_end_stays_where_it_was(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        XB_CLEANUP(xb_closep) int fd = make_file(100);
        const unsigned char *data = NULL;
        start(reader, fd, 0, FILE_BYTES);
        assert_int_equal(next(reader, &data), 100);
        assert_int_equal(pwrite(fd, bytes, FILE_BYTES, 0), FILE_BYTES);
        assert_int_equal(next(reader, &data), 0);
        assert_int_equal(next(reader, &data), 0);
        start(reader, fd, 0, FILE_BYTES);
        drain(reader, 0, FILE_BYTES);
    }
}

static void begun_again_in_the_middle(void **state)
{
    (void)state;
    XB_CLEANUP(xb_closep) int fd = make_file(FILE_BYTES);
    XB_CLEANUP(xb_closep) int other = make_file(BUFFER_BYTES);
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        for (int taken = 0; taken < 8; taken++) {
            const unsigned char *data = NULL;
            start(reader, fd, 0, FILE_BYTES);
            for (int i = 0; i < taken; i++) {
                size_t len = next(reader, &data);
                assert_int_equal(len, BUFFER_BYTES);
                assert_memory_equal(data, bytes + (size_t)i * BUFFER_BYTES, len);
            }
            start(reader, fd, 5 * BUFFER_BYTES + 3, 9 * BUFFER_BYTES);
            start(reader, other, 0, BUFFER_BYTES);
            drain(reader, 0, BUFFER_BYTES);
            start(reader, fd, 5 * BUFFER_BYTES + 3, 9 * BUFFER_BYTES);
            drain(reader, 5 * BUFFER_BYTES + 3, 9 * BUFFER_BYTES);
        }
        start(reader, fd, 0, FILE_BYTES); /* freed with reads under way */
    }
}

static void errors_are_told(void **state)
{
    (void)state;
    XB_CLEANUP(xb_closep) int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closep) int unreadable = open("/dev/null", O_WRONLY | O_CLOEXEC);
    XB_CLEANUP(xb_closep) int fd = make_file(FILE_BYTES);
    const int bad[] = {folder, unreadable};
    const int codes[] = {-EISDIR, -EBADF};
    for (int ring = 0; ring < 2; ring++) {
        XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
        for (size_t i = 0; i < 2; i++) {
            struct xb_error err = XB_ERROR_INIT;
            const void *data = NULL;
            size_t len = 1;
            start(reader, bad[i], 4096, 10 * BUFFER_BYTES);
            assert_int_equal(xb_reader_next(reader, &data, &len, &err), codes[i]);
            assert_int_equal(err.code, codes[i]);
            assert_int_equal(err.kind, XB_ERR_IO);
            assert_non_null(strstr(err.text, "4096"));
            assert_int_equal(len, 0);
            start(reader, fd, 0, FILE_BYTES); /* the next file is none the worse for it */
            drain(reader, 0, FILE_BYTES);
        }
    }
}

static void sizes_have_limits(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_reader *reader = NULL;
    const struct xb_reader_options bad[] = {{.depth = XB_READER_DEPTH_MAX + 1},
                                            {.buffer_bytes = XB_READER_BUFFER_BYTES_MAX + 1}};
    for (size_t i = 0; i < 2; i++) {
        assert_true(xb_reader_new(&bad[i], &reader, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_BUG);
        assert_null(reader);
    }
    err = (struct xb_error)XB_ERROR_INIT;
    const struct xb_reader_options most = {.depth = XB_READER_DEPTH_MAX, .buffer_bytes = 512};
    const struct xb_reader_options *all[] = {NULL, &most};
    XB_CLEANUP(xb_closep) int fd = make_file(FILE_BYTES);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(xb_reader_new(all[i], &reader, &err), 0);
        start(reader, fd, 0, FILE_BYTES);
        drain(reader, 0, FILE_BYTES);
        xb_reader_free(reader);
    }
    xb_reader_free(NULL);
}

/* ---- into blocks ---- */

enum { BIG_BYTES = 5 * XB_BLOCK_BYTES + 1234 };

static int make_big_file(unsigned char **ret)
{
    unsigned char *data = malloc(BIG_BYTES);
    FILE *file = tmpfile();
    assert_non_null(data);
    assert_non_null(file);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        data[i] = (unsigned char)(i * 7 + (i >> 9));
    }
    int fd = dup(fileno(file));
    fclose(file);
    assert_int_equal(pwrite(fd, data, BIG_BYTES, 0), BIG_BYTES);
    *ret = data;
    return fd;
}

/* Reads [offset, end of file) into blocks, some of which are kept while others are read. */
static void read_blocks(struct xb_reader *reader, struct xb_budget_share *share, int fd,
                        const unsigned char *data, size_t offset)
{
    struct xb_block *kept = NULL;
    size_t at = offset;
    xb_reader_start_blocks(reader, share, fd, offset, (uint64_t)BIG_BYTES);
    for (;;) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_block *block = NULL;
        size_t len = 0;
        assert_int_equal(xb_reader_next_block(reader, true, &block, &len, &err), 0);
        if (!block) {
            assert_int_equal(len, 0);
            break;
        }
        assert_memory_equal(block->data, data + at, len);
        at += len;
        xb_block_unref(kept);
        kept = block;
    }
    assert_int_equal(at, BIG_BYTES);
    xb_block_unref(kept);
    xb_reader_stop(reader);
    assert_int_equal(share->taken, 0);
}

static void blocks(void **state)
{
    (void)state;
    unsigned char *data = NULL;
    XB_CLEANUP(xb_closep) int fd = make_big_file(&data);
    /* From a budget of one block and the one that is kept, to more than there are reads. */
    for (size_t room = 2; room <= 9; room += 3) {
        struct xb_budget budget = XB_BUDGET_INIT(room * XB_BLOCK_BYTES);
        struct xb_budget_share share = {.budget = NULL};
        xb_budget_join(&budget, (size_t)2 * XB_BLOCK_BYTES, &share);
        for (int ring = 0; ring < 2; ring++) {
            XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(ring);
            read_blocks(reader, &share, fd, data, 0);
            read_blocks(reader, &share, fd, data, 1000);
            read_blocks(reader, &share, fd, data, BIG_BYTES);
        }
        xb_budget_leave(&share);
        assert_int_equal(budget.reserved, 0);
        xb_budget_trim(&budget);
    }
    free(data);
}

/* Who may not wait is told that there is no block, and goes on when there is one. */
static void starved(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    unsigned char *data = NULL;
    struct xb_budget budget = XB_BUDGET_INIT((size_t)XB_BLOCK_BYTES);
    struct xb_budget_share share = {.budget = NULL};
    struct xb_block *first = NULL;
    struct xb_block *second = NULL;
    size_t len = 0;
    XB_CLEANUP(xb_closep) int fd = make_big_file(&data);
    XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = new_reader(true);
    xb_budget_join(&budget, (size_t)XB_BLOCK_BYTES, &share);
    xb_reader_start_blocks(reader, &share, fd, 0, (uint64_t)BIG_BYTES);
    assert_int_equal(xb_reader_next_block(reader, false, &first, &len, &err), 0);
    assert_non_null(first);
    assert_int_equal(xb_reader_next_block(reader, false, &second, &len, &err), 0);
    assert_null(second);
    assert_true(len > 0);
    xb_block_unref(first);
    assert_int_equal(xb_reader_next_block(reader, false, &second, &len, &err), 0);
    assert_non_null(second);
    assert_memory_equal(second->data, data + XB_BLOCK_BYTES, len);
    xb_block_unref(second);
    xb_reader_stop(reader);
    xb_budget_leave(&share);
    xb_budget_trim(&budget);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(starved),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(ranges),
        cmocka_unit_test(short_files),
        cmocka_unit_test(the_end_stays_where_it_was),
        cmocka_unit_test(begun_again_in_the_middle),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(sizes_have_limits),
    };
    return cmocka_run_group_tests(tests, make_bytes, NULL);
}
