/* SPDX-License-Identifier: Apache-2.0
 *
 * The sorter hands out what went in, in order, however many runs it took; the scratch gives back
 * what it was given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/scratch.h"
#include "shared/base/sorter.h"
#include "tests/harness/property.h"

enum { MEMORY = 4096, KEY_BYTES_MAX = 24 };

static int in_order(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static struct xb_sorter_record record_of(const char *key)
{
    return (struct xb_sorter_record){
        .key = key, .key_len = strlen(key), .value = key, .value_len = strlen(key) % 7};
}

static void check(struct xb_sorter *sorter, char **keys, size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_sorter_closep) struct xb_sorter_cursor *cursor = NULL;
    struct xb_sorter_record record;
    assert_int_equal(xb_sorter_count(sorter), count);
    assert_int_equal(xb_sorter_open(sorter, &cursor, &err), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(xb_sorter_next(cursor, &record, &err), 0);
        assert_non_null(record.key);
        assert_int_equal(record.key_len, strlen(keys[i]));
        assert_memory_equal(record.key, keys[i], record.key_len);
        assert_int_equal(record.value_len, record.key_len % 7);
        assert_memory_equal(record.value, keys[i], record.value_len);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(xb_sorter_next(cursor, &record, &err), 0);
        assert_null(record.key);
    }
}

static char *make_key(struct property *source, bool ascending, size_t number)
{
    char *key = malloc(KEY_BYTES_MAX + 1);
    assert_non_null(key);
    if (ascending) {
        snprintf(key, KEY_BYTES_MAX, "%08zu", number);
        return key;
    }
    size_t len = property_below(source, KEY_BYTES_MAX);
    for (size_t i = 0; i < len; i++) {
        key[i] = (char)(1 + property_below(source, 255));
    }
    key[len] = '\0';
    return key;
}

/* From none to more than the runs that are kept apart; in between they are looked through. */
static void records_come_in_order(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 50, 120, 1000, 20000};
    struct property source = property_begin("sorter");
    for (size_t c = 0; c < 2 * sizeof counts / sizeof *counts; c++) {
        struct xb_error err = XB_ERROR_INIT;
        size_t count = counts[c / 2];
        XB_CLEANUP(xb_sorter_freep) struct xb_sorter *sorter = NULL;
        char **keys = calloc(count + 1, sizeof *keys);
        assert_non_null(keys);
        assert_int_equal(xb_sorter_new("keys", MEMORY, &sorter, &err), 0);
        for (size_t i = 0; i < count; i++) {
            if (i == count / 2) {
                qsort(keys, i, sizeof *keys, in_order);
                check(sorter, keys, i);
            }
            keys[i] = make_key(&source, c % 2, i);
            const struct xb_sorter_record record = record_of(keys[i]);
            assert_int_equal(xb_sorter_add(sorter, &record, &err), 0);
        }
        qsort(keys, count, sizeof *keys, in_order);
        check(sorter, keys, count);
        check(sorter, keys, count);
        for (size_t i = 0; i < count; i++) {
            free(keys[i]);
        }
        free(keys);
    }
}

/* Records that are larger than the memory go through all the same; too large ones are refused. */
static void large_records(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_sorter_freep) struct xb_sorter *sorter = NULL;
    XB_CLEANUP(xb_sorter_closep) struct xb_sorter_cursor *cursor = NULL;
    enum { LARGE = 100000 };
    char *value = malloc(LARGE);
    assert_non_null(value);
    assert_int_equal(xb_sorter_new("values", MEMORY, &sorter, &err), 0);
    for (int i = 9; i >= 0; i--) {
        char key = (char)('0' + i);
        memset(value, key, LARGE);
        const struct xb_sorter_record record = {&key, 1, value, i % 2 ? LARGE : 10};
        assert_int_equal(xb_sorter_add(sorter, &record, &err), 0);
    }
    const struct xb_sorter_record huge = {"a", 1, value, XB_SORTER_RECORD_BYTES_MAX};
    assert_true(xb_sorter_add(sorter, &huge, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_int_equal(xb_sorter_open(sorter, &cursor, &err), 0);
    for (int i = 0; i < 10; i++) {
        struct xb_sorter_record record;
        assert_int_equal(xb_sorter_next(cursor, &record, &err), 0);
        assert_int_equal(*(const char *)record.key, '0' + i);
        assert_int_equal(record.value_len, i % 2 ? LARGE : 10);
        memset(value, '0' + i, LARGE);
        assert_memory_equal(record.value, value, record.value_len);
    }
    free(value);
}

static void scratch_keeps_bytes(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct property source = property_begin("scratch");
    XB_CLEANUP(xb_scratch_freep) struct xb_scratch *scratch = NULL;
    enum { TOTAL = 50000 };
    unsigned char *given = malloc(TOTAL), *got = malloc(TOTAL);
    assert_true(given && got);
    assert_int_equal(xb_scratch_new("bytes", 1000, &scratch, &err), 0);
    for (int round = 0; round < 2; round++) {
        for (size_t at = 0; at < TOTAL;) {
            size_t len = property_below(&source, 1500);
            len = len < TOTAL - at ? len : TOTAL - at;
            for (size_t i = 0; i < len; i++) {
                given[at + i] = (unsigned char)property_next(&source);
            }
            assert_int_equal(xb_scratch_append(scratch, given + at, len, &err), 0);
            at += len;
            assert_int_equal(xb_scratch_length(scratch), at);
            size_t from = property_below(&source, at + 1);
            assert_int_equal(xb_scratch_read(scratch, from, got, at - from, &err), 0);
            assert_memory_equal(got, given + from, at - from);
        }
        assert_true(xb_scratch_read(scratch, 1, got, TOTAL, &err) < 0);
        xb_scratch_clear(scratch);
        assert_int_equal(xb_scratch_length(scratch), 0);
    }
    free(given);
    free(got);
}

/* A folder that takes no file is passed over. */
static void next_folder_is_tried(void **state)
{
    (void)state;
    const char *folder = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(setenv("TMPDIR", "/proc/self", 1), 0);
    int fd = xb_scratch_file("bytes", &folder, &err);
    assert_true(fd >= 0); /* the next folder takes it */
    assert_string_not_equal(folder, "/proc/self");
    close(fd);
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    fd = xb_scratch_file("bytes", &folder, &err);
    assert_true(fd >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order), cmocka_unit_test(large_records),
        cmocka_unit_test(scratch_keeps_bytes), cmocka_unit_test(next_folder_is_tried)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
