/* SPDX-License-Identifier: Apache-2.0
 *
 * store_suite.h - what every driver of shared/store/store.h must do, as tests.
 *
 * What for:  a driver's test describes its driver in a struct store_suite (store_probe.h) and
 *            puts STORE_SUITE_TESTS(&suite) into its list. A header: only they have a store.
 * Threads:   as cmocka.    Blocking: as the store.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "tests/harness/store_probe.h"

/* Objects of any size come back whole, are replaced whole, and go. */
static inline void suite_put_get(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static unsigned char data[3 << 20];
    static const size_t sizes[] = {0, 1, 4095, 70000, sizeof data, 2};
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i * 7 + i / 4096);
    }
    const char *name = suite_name(suite, "some/where/object");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct xb_buf out = XB_BUF_INIT(sizes[i] + 3); /* the ceiling fits exactly */
        struct xb_store_item item;
        SUITE_OK(xb_buf_append(&out, "abc", 3, &err));
        SUITE_OK(xb_store_put(store, name, data, sizes[i], NULL, &err));
        SUITE_OK(xb_store_get(store, name, 0, XB_STORE_TO_END, &out, &err));
        assert_int_equal(out.len, sizes[i] + 3);
        assert_memory_equal(out.data, "abc", 3);
        assert_memory_equal(out.data + 3, data, sizes[i]);
        assert_int_equal(out.data[out.len], '\0');
        SUITE_OK(xb_store_stat(store, name, &item, &err));
        assert_int_equal(item.size, sizes[i]);
        assert_true(item.mtime_ns > INT64_C(1700000000000000000));
        xb_buf_free(&out);
    }
    SUITE_OK(xb_store_delete(store, name, &err));
    suite_absent(store, name);
    suite_lists(store, "", "");
    suite->close(suite, store);
}

/* Ranges inside are given, ranges past the end say that the object is too short. */
static inline void suite_ranges(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static const struct {
        uint64_t offset, len;
        const char *want; /* NULL: CORRUPT */
    } ranges[] = {{0, 10, "0123456789"},
                  {0, 0, ""},
                  {3, 4, "3456"},
                  {9, 1, "9"},
                  {10, 0, ""},
                  {10, XB_STORE_TO_END, ""},
                  {7, XB_STORE_TO_END, "789"},
                  {0, 11, NULL},
                  {9, 2, NULL},
                  {10, 1, NULL},
                  {11, 0, NULL},
                  {11, XB_STORE_TO_END, NULL},
                  {1, UINT64_MAX - 1, NULL},
                  {UINT64_MAX, 1, NULL},
                  {UINT64_MAX - 1, UINT64_MAX, NULL}};
    suite_put(store, "digits", "0123456789");
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct xb_buf out = XB_BUF_INIT(100);
        SUITE_OK(xb_buf_append(&out, "abc", 3, &err));
        if (ranges[i].want) {
            SUITE_OK(xb_store_get(store, "digits", ranges[i].offset, ranges[i].len, &out, &err));
            assert_string_equal(out.data + 3, ranges[i].want);
        } else {
            SUITE_REFUSED(
                xb_store_get(store, "digits", ranges[i].offset, ranges[i].len, &out, &err),
                XB_ERR_CORRUPT);
            assert_string_equal(out.data, "abc");
        }
        xb_buf_free(&out);
    }
    struct xb_buf tight = XB_BUF_INIT(9);
    SUITE_REFUSED(xb_store_get(store, "digits", 0, 10, &tight, &err), XB_ERR_FULL);
    assert_int_equal(tight.len, 0);
    SUITE_OK(xb_store_get(store, "digits", 1, 9, &tight, &err));
    xb_buf_free(&tight);
    suite->close(suite, store);
}

/* What is not there is not found, and may be deleted. */
static inline void suite_missing(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    struct xb_store_item item;
    struct xb_error told = XB_ERROR_INIT;
    assert_true(xb_store_stat(store, "absent", &item, &told) < 0);
    if (suite->plain) {
        assert_non_null(strstr(told.text, "absent"));
        assert_non_null(strstr(told.text, xb_store_describe(store)));
    }
    suite_put(store, suite_name(suite, "folder/object"), "x");
    static const char *const names[] = {"absent", "folder", "folder/absent", "folder/object/below",
                                        "absent/object"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        suite_absent(store, suite_name(suite, names[i]));
        SUITE_OK(xb_store_delete(store, suite_name(suite, names[i]), &err));
    }
    suite_holds(store, suite_name(suite, "folder/object"), "x");
    suite->close(suite, store);
}

/* An exclusive put wins only when the name is free at the end, and leaves nothing when it loses. */
static inline void suite_exclusive(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static const struct xb_store_put_options exclusive = {.exclusive = true};
    SUITE_OK(xb_store_put(store, "name", "first", 5, &exclusive, &err));
    SUITE_REFUSED(xb_store_put(store, "name", "second", 6, &exclusive, &err), XB_ERR_CONFLICT);
    suite_holds(store, "name", "first");
    SUITE_OK(xb_store_delete(store, "name", &err));
    SUITE_OK(xb_store_put(store, "name", "third", 5, &exclusive, &err));
    suite_put(store, "name", "replaced");
    suite_holds(store, "name", "replaced");
    struct xb_store_upload *upload = NULL;
    const char *late = suite_name(suite, "folder/late");
    SUITE_OK(xb_store_upload_begin(store, late, &exclusive, &upload, &err));
    SUITE_OK(xb_store_upload_write(upload, "slow", 4, &err));
    suite_put(store, late, "quick");
    SUITE_REFUSED(xb_store_upload_commit(upload, &err), XB_ERR_CONFLICT);
    xb_store_upload_free(upload);
    suite_holds(store, late, "quick");
    struct suite_names all = {.count = 0};
    SUITE_OK(xb_store_list(store, "", suite_collect, &all, &err));
    suite_expect(&all, suite->flat ? "folder-late name" : "folder/late name");
    suite->close(suite, store);
}

static inline int suite_read_back(void *context, const struct xb_store_item *item,
                                  struct xb_error *err)
{
    struct xb_buf out = XB_BUF_INIT(100);
    int r = xb_store_get(context, item->name, 0, item->size, &out, err);
    xb_buf_free(&out);
    return r;
}

/* Listings show what starts with the prefix, each once, and end when the caller says so. */
static inline void suite_list(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static const char *const names[] = {"a", "ab/c", "ab/d/e", "ab/d/f", "abc", "b/ab", "ab.d/x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        suite_put(store, suite_name(suite, names[i]), names[i]);
    }
    bool flat = suite->flat;
    suite_lists(store, "",
                flat ? "a ab-c ab-d-e ab-d-f ab.d-x abc b-ab"
                     : "a ab.d/x ab/c ab/d/e ab/d/f abc b/ab");
    suite_lists(store, "ab",
                flat ? "ab-c ab-d-e ab-d-f ab.d-x abc" : "ab.d/x ab/c ab/d/e ab/d/f abc");
    suite_lists(store, suite_name(suite, "ab/"),
                flat ? "ab-c ab-d-e ab-d-f" : "ab/c ab/d/e ab/d/f");
    suite_lists(store, suite_name(suite, "ab/d"), flat ? "ab-d-e ab-d-f" : "ab/d/e ab/d/f");
    suite_lists(store, suite_name(suite, "ab/d/e"), flat ? "ab-d-e" : "ab/d/e");
    suite_lists(store, suite_name(suite, "ab/d/e/"), "");
    suite_lists(store, suite_name(suite, "ab/d/ef"), "");
    suite_lists(store, suite_name(suite, "absent/"), "");
    suite_lists(store, "z", "");
    struct suite_names few = {.stop_with = -ESHUTDOWN, .stop_at = 3};
    struct xb_error told = XB_ERROR_INIT;
    assert_int_equal(xb_store_list(store, "", suite_collect, &few, &told), -ESHUTDOWN);
    assert_string_equal(told.text, "the caller has enough");
    assert_int_equal(few.count, 3);
    for (size_t i = 0; i < few.count; i++) {
        free(few.names[i]);
    }
    SUITE_OK(xb_store_list(store, "", suite_read_back, store, &err));
    struct suite_names none = {.count = 0};
    SUITE_REFUSED(xb_store_list(store, "../", suite_collect, &none, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_list(store, "/", suite_collect, &none, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_list(store, "a//", suite_collect, &none, &err), XB_ERR_INVALID);
    assert_int_equal(none.count, 0);
    suite->close(suite, store);
}

/* Folders are the first parts of names, each once; a folder without objects is none. */
static inline void suite_folders(void **state)
{
    struct store_suite *suite = *state;
    if (suite->flat) {
        skip();
    }
    struct xb_store *store = suite->open(suite);
    static const char *const names[] = {"a", "ab/c", "ab/d/e", "ab/d/f", "ab/g/h/i", "b/ab", "c/x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        suite_put(store, names[i], names[i]);
    }
    SUITE_OK(xb_store_delete(store, "c/x", &err));
    suite_lists_folders(store, "", "ab b");
    suite_lists_folders(store, "ab/", "d g");
    suite_lists_folders(store, "ab/d/", "");
    suite_lists_folders(store, "ab/g/", "h");
    suite_lists_folders(store, "absent/", "");
    struct suite_names none = {.count = 0};
    SUITE_REFUSED(xb_store_list_folders(store, "ab", suite_collect, &none, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_list_folders(store, "../", suite_collect, &none, &err), XB_ERR_INVALID);
    struct suite_names few = {.stop_with = -ESHUTDOWN, .stop_at = 1};
    struct xb_error told = XB_ERROR_INIT;
    assert_int_equal(xb_store_list_folders(store, "", suite_collect, &few, &told), -ESHUTDOWN);
    assert_string_equal(told.text, "the caller has enough");
    free(few.names[0]);
    suite->close(suite, store);
}

/* An upload shows nothing before its commit, everything after it, and is then over. */
static inline void suite_upload(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    const char *name = suite_name(suite, "new/folder/name");
    struct xb_store_upload *upload = NULL;
    SUITE_OK(xb_store_upload_begin(store, name, NULL, &upload, &err));
    SUITE_OK(xb_store_upload_write(upload, "one ", 4, &err));
    SUITE_OK(xb_store_upload_write(upload, NULL, 0, &err));
    suite_absent(store, name);
    suite_lists(store, "", "");
    if (!suite->flat) {
        suite_lists_folders(store, "", "");
    }
    SUITE_OK(xb_store_upload_write(upload, "two", 3, &err));
    SUITE_OK(xb_store_upload_commit(upload, &err));
    suite_holds(store, name, "one two");
    SUITE_REFUSED(xb_store_upload_write(upload, "x", 1, &err), XB_ERR_BUG);
    SUITE_REFUSED(xb_store_upload_commit(upload, &err), XB_ERR_BUG);
    xb_store_upload_free(upload);
    suite_holds(store, name, "one two");
    SUITE_OK(xb_store_upload_begin(store, "empty", NULL, &upload, &err));
    SUITE_OK(xb_store_upload_commit(upload, &err));
    xb_store_upload_free(upload);
    suite_holds(store, "empty", "");
    xb_store_upload_free(NULL);
    suite->close(suite, store);
}

/* An upload that is given up leaves nothing behind and touches nothing. */
static inline void suite_abandoned(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    const char *name = suite_name(suite, "folder/name");
    for (int with_old = 0; with_old < 2; with_old++) {
        for (int with_data = 0; with_data < 2; with_data++) {
            struct xb_store_upload *upload = NULL;
            SUITE_OK(xb_store_upload_begin(store, name, NULL, &upload, &err));
            if (with_data) {
                SUITE_OK(xb_store_upload_write(upload, "new", 3, &err));
            }
            xb_store_upload_free(upload);
            suite_lists(store, "", with_old ? name : "");
        }
        if (with_old) {
            suite_holds(store, name, "old");
        } else {
            suite_put(store, name, "old");
        }
    }
    suite->close(suite, store);
}

static inline void suite_invalid(struct xb_store *store, const char *name)
{
    struct xb_buf out = XB_BUF_INIT(100);
    struct xb_store_item item;
    struct xb_store_upload *upload = NULL;
    SUITE_REFUSED(xb_store_put(store, name, "x", 1, NULL, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_upload_begin(store, name, NULL, &upload, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_get(store, name, 0, 1, &out, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_stat(store, name, &item, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_delete(store, name, &err), XB_ERR_INVALID);
    assert_null(upload);
}

/* A name of `len` bytes in parts of SUITE_PART_BYTES. */
static inline void suite_long_name(const struct store_suite *suite, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        bool slash = !suite->flat && i % (SUITE_PART_BYTES + 1) == SUITE_PART_BYTES && i + 1 < len;
        out[i] = slash ? '/' : (char)('a' + i % 26);
    }
    out[len] = '\0';
}

/* Names that lead elsewhere, or are longer than allowed, are refused by every call. */
static inline void suite_names_refused(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static const char *const bad[] = {"",     "/",     ".",   "..",     "/a",   "a/",
                                      "a//b", "a/./b", "./a", "a/../b", "../a", "a/..",
                                      "a/.",  "..//",  "//",  "a/b/",   "/.."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        suite_invalid(store, bad[i]);
    }
    char name[XB_STORE_NAME_BYTES_MAX + 100];
    suite_long_name(suite, suite->name_bytes_max, name);
    suite_put(store, name, "long");
    suite_holds(store, name, "long");
    suite_lists(store, "", name);
    suite_lists(store, "abc", name);
    SUITE_OK(xb_store_delete(store, name, &err));
    suite_long_name(suite, XB_STORE_NAME_BYTES_MAX + 1, name);
    suite_invalid(store, name);
    suite_long_name(suite, XB_STORE_NAME_BYTES_MAX + 50, name);
    suite_invalid(store, name);
    if (!suite->flat) {
        size_t len = 0;
        for (int part = 0; part < XB_STORE_NAME_PARTS_MAX + 1; part++) {
            len += (size_t)snprintf(name + len, 3, "/p");
        }
        suite_invalid(store, name + 1); /* 33 parts */
    } else {
        suite_invalid(store, "a/b");
    }
    suite_lists(store, "", "");
    suite->close(suite, store);
}

/* Bytes that mean something elsewhere mean nothing in names. */
static inline void suite_odd_names(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    static const char *const names[] = {"a b",    "...",       ".hidden", "..x",    "a\nb",
                                        "%2e%2e", "\\..\\",    "*?[a-z]", "a\x01b", "\xc3\xa9",
                                        "\xff",   "a.tmp.123", "~",       "$HOME",  "-rf",
                                        "a:b",    "\"'`",      "a&b=c",   "x.f",    "a.tmp"};
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++) {
        suite_put(store, names[i], names[i]);
    }
    struct suite_names all = {.count = 0};
    SUITE_OK(xb_store_list(store, "", suite_collect, &all, &err));
    assert_int_equal(all.count, count);
    for (size_t i = 0; i < count; i++) {
        suite_holds(store, all.names[i], all.names[i]);
        free(all.names[i]);
        suite_holds(store, names[i], names[i]);
    }
    for (size_t i = 0; i < count; i++) {
        SUITE_OK(xb_store_delete(store, names[i], &err));
    }
    suite_lists(store, "", "");
    suite->close(suite, store);
}

struct suite_race {
    struct xb_store *store;
    const char *name;
    atomic_int wins, wrong, turns;
};

static inline void *suite_race_put(void *context)
{
    struct suite_race *race = context;
    int me = atomic_fetch_add(&race->turns, 1);
    size_t len = 1000 + 5000 * (size_t)me;
    char data[25000];
    memset(data, 'a' + me, len);
    for (int i = 0; i < 20; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(sizeof data);
        bool good = xb_store_put(race->store, race->name, data, len, NULL, &err) == 0 &&
                    xb_store_get(race->store, race->name, 0, XB_STORE_TO_END, &out, &err) == 0;
        /* Whole, and by one writer. */
        int who = good ? out.data[0] - 'a' : 0;
        good = good && out.len == 1000 + 5000 * (size_t)who;
        for (size_t k = 0; k < out.len && good; k++) {
            good = out.data[k] == out.data[0];
        }
        atomic_fetch_add(&race->wrong, !good);
        xb_buf_free(&out);
    }
    return NULL;
}

static inline void *suite_race_exclusive(void *context)
{
    struct suite_race *race = context;
    static const struct xb_store_put_options exclusive = {.exclusive = true};
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_store_put(race->store, race->name, "me", 2, &exclusive, &err);
    atomic_fetch_add(&race->wins, r == 0);
    atomic_fetch_add(&race->wrong, r < 0 && err.kind != XB_ERR_CONFLICT);
    return NULL;
}

/* Makes and removes objects in one folder, which so comes and goes under the others' feet. */
static inline void *suite_race_folder(void *context)
{
    struct suite_race *race = context;
    char name[100];
    snprintf(name, sizeof name, "%s%d", race->name, atomic_fetch_add(&race->turns, 1));
    for (int i = 0; i < 30; i++) {
        struct xb_error err = XB_ERROR_INIT;
        atomic_fetch_add(&race->wrong, xb_store_put(race->store, name, "x", 1, NULL, &err) < 0 ||
                                           xb_store_delete(race->store, name, &err) < 0);
    }
    return NULL;
}

static inline void suite_run_race(struct suite_race *race, void *(*body)(void *))
{
    pthread_t threads[SUITE_THREADS];
    for (size_t i = 0; i < SUITE_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, race), 0);
    }
    for (size_t i = 0; i < SUITE_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(race->wrong, 0);
}

/* Many writers at once: each object is whole, one exclusive put wins, no folder is lost. */
static inline void suite_races(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    struct suite_race race = {.store = store, .name = suite_name(suite, "one/name")};
    suite_run_race(&race, suite_race_put);
    for (int i = 0; i < 5; i++) {
        struct suite_race prize = {.store = store, .name = suite_name(suite, "the/prize")};
        suite_run_race(&prize, suite_race_exclusive);
        assert_int_equal(prize.wins, 1);
        SUITE_OK(xb_store_delete(store, prize.name, &err));
    }
    struct suite_race folder = {.store = store, .name = suite_name(suite, "coming/and/going/")};
    suite_run_race(&folder, suite_race_folder);
    suite_lists(store, "", race.name);
    suite->close(suite, store);
}

/* A second handle keeps the store alive; many objects are each listed once. */
static inline void suite_many(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = suite->open(suite);
    struct xb_store *second = xb_store_ref(store);
    char name[50];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "%c/%02d/object%03d", 'a' + i % 3, i % 37, i);
        suite_put(second, suite_name(suite, name), name);
    }
    xb_store_free(second);
    struct suite_names all = {.count = 0};
    SUITE_OK(xb_store_list(store, "", suite_collect, &all, &err));
    assert_int_equal(all.count, 500);
    qsort(all.names, all.count, sizeof *all.names, suite_compare);
    for (size_t i = 0; i < all.count; i++) {
        assert_true(i == 0 || strcmp(all.names[i - 1], all.names[i]) != 0);
        SUITE_OK(xb_store_delete(store, all.names[i], &err));
    }
    for (size_t i = 0; i < all.count; i++) {
        free(all.names[i]);
    }
    suite_lists(store, "", "");
    suite->close(suite, store);
}

#define STORE_SUITE_TESTS(suite)                                                                   \
    cmocka_unit_test_prestate(suite_put_get, suite),                                               \
        cmocka_unit_test_prestate(suite_ranges, suite),                                            \
        cmocka_unit_test_prestate(suite_missing, suite),                                           \
        cmocka_unit_test_prestate(suite_exclusive, suite),                                         \
        cmocka_unit_test_prestate(suite_list, suite),                                              \
        cmocka_unit_test_prestate(suite_folders, suite),                                           \
        cmocka_unit_test_prestate(suite_upload, suite),                                            \
        cmocka_unit_test_prestate(suite_abandoned, suite),                                         \
        cmocka_unit_test_prestate(suite_names_refused, suite),                                     \
        cmocka_unit_test_prestate(suite_odd_names, suite),                                         \
        cmocka_unit_test_prestate(suite_races, suite),                                             \
        cmocka_unit_test_prestate(suite_many, suite)
