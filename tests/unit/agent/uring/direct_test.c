/* SPDX-License-Identifier: Apache-2.0
 *
 * Large files are read past the page cache where they are not in it, through it where they are, and
 * give the same bytes. What the file system here cannot do is said and left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/uring/direct.h"
#include "agent/uring/reader.h"

enum { FILE_BYTES = (12 << 20) + 12345, BUDGET_BYTES = 8 << 20, HALF = 6 << 20 };

static unsigned char *bytes;

static int make_bytes(void **state)
{
    (void)state;
    uint32_t x = 1;
    bytes = malloc(FILE_BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return 0;
}

static int free_bytes(void **state)
{
    (void)state;
    free(bytes);
    return 0;
}

/* On the disk that the tests are built on: what is in memory alone is always in the cache. */
static int make_file(void)
{
    char name[] = "direct_test.XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(pwrite(fd, bytes, FILE_BYTES, 0), FILE_BYTES);
    return fd;
}

static void make_cold(int fd)
{
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static bool can_be_direct(int fd)
{
    int direct_fd = xb_direct_open(fd);
    if (direct_fd >= 0) {
        close(direct_fd);
    }
    return direct_fd >= 0;
}

/* Reads [offset, offset + len) into blocks; it must be the file's bytes to its end. */
static void read_blocks(int fd, size_t offset, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_budget budget = XB_BUDGET_INIT(BUDGET_BYTES);
    struct xb_budget_share share;
    XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = NULL;
    const struct xb_reader_options options = {.depth = XB_READER_DEPTH_MAX};
    size_t want = offset + len < FILE_BYTES ? len : FILE_BYTES - offset;
    size_t at = 0;
    xb_budget_join(&budget, BUDGET_BYTES, &share);
    assert_int_equal(xb_reader_new(&options, &reader, &err), 0);
    xb_reader_start_blocks(reader, &share, fd, offset, len);
    for (;;) {
        XB_CLEANUP(xb_block_unrefp) struct xb_block *block = NULL;
        size_t got = 0;
        assert_int_equal(xb_reader_next_block(reader, true, &block, &got, &err), 0);
        if (!block) {
            break;
        }
        assert_true(got <= want - at);
        assert_memory_equal(block->data, bytes + offset + at, got);
        at += got;
    }
    assert_int_equal(at, want);
    xb_reader_stop(reader);
    xb_budget_leave(&share);
    xb_budget_trim(&budget);
}

/* Cold, and not in the cache afterwards either; its end is no whole sector. */
static void cold_stays_cold(void **state)
{
    (void)state;
    XB_CLEANUP(xb_closep) int fd = make_file();
    make_cold(fd);
    bool cold = xb_direct_is_cold(fd, 0, HALF);
    read_blocks(fd, 0, FILE_BYTES);
    if (!can_be_direct(fd) || !cold) {
        print_message("no O_DIRECT or cachestat here: only the bytes are compared\n");
        return;
    }
    assert_true(xb_direct_is_cold(fd, 0, HALF));
    assert_true(xb_direct_is_cold(fd, HALF, HALF));
}

/* What is not yet on the disk, or is in the cache, is no case for a direct read. */
static void hot_is_not_cold(void **state)
{
    (void)state;
    XB_CLEANUP(xb_closep) int fd = make_file();
    assert_false(xb_direct_is_cold(fd, 0, HALF));
    read_blocks(fd, 0, FILE_BYTES);
    make_cold(fd);
    unsigned char one[4096];
    for (off_t at = 0; at < HALF; at += (off_t)sizeof one) {
        assert_int_equal(pread(fd, one, sizeof one, at), sizeof one);
    }
    assert_false(xb_direct_is_cold(fd, 0, HALF));
    read_blocks(fd, 0, FILE_BYTES); /* half of it in the cache */
}

/* Beginnings between sectors, ranges beyond the end, and a file that is cut off meanwhile. */
static void odd_ranges(void **state)
{
    (void)state;
    static const size_t offsets[] = {0, 1, 512, 4096, 4097, 1 << 20};
    XB_CLEANUP(xb_closep) int fd = make_file();
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        make_cold(fd);
        read_blocks(fd, offsets[i], FILE_BYTES);
        make_cold(fd);
        read_blocks(fd, offsets[i], 9 << 20);
        make_cold(fd);
        read_blocks(fd, offsets[i], (9 << 20) + 77);
    }
}

/* A pipe, a folder and a closed descriptor are read as they always were: not at all, or plainly. */
static void nothing_else(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(xb_direct_open(ends[0]), -1);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(xb_direct_open(-1), -1);
    assert_false(xb_direct_is_cold(-1, 0, HALF));
    XB_CLEANUP(xb_closep) int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(xb_direct_open(folder), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cold_stays_cold),
        cmocka_unit_test(hot_is_not_cold),
        cmocka_unit_test(odd_ranges),
        cmocka_unit_test(nothing_else),
    };
    return cmocka_run_group_tests(tests, make_bytes, free_bytes);
}
