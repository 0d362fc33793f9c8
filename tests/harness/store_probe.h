/* SPDX-License-Identifier: Apache-2.0
 *
 * store_probe.h - looking at a store in tests: puts, reads, listings that must come out right.
 *
 * What for:  store_suite.h and the tests of single drivers. A header: only they have a store.
 * Threads:   as cmocka.    Blocking: as the store.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/store.h"

struct store_suite {
    /* An empty store, new for each test; close gets the same and removes what open made. */
    struct xb_store *(*open)(struct store_suite *suite);
    void (*close)(struct store_suite *suite, struct xb_store *store);
    bool flat;             /* names have one part only */
    bool plain;            /* errors have the store's own name and the object's as it was given */
    size_t name_bytes_max; /* the longest name that is taken, in parts of up to 200 bytes */
    char path[200];        /* the driver's own use */
    struct xb_store *other;
};

enum { SUITE_PART_BYTES = 200, SUITE_ITEMS_MAX = 600, SUITE_THREADS = 4 };

#define SUITE_OK(call)                                                                             \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        if (r_ < 0) {                                                                              \
            print_error("%s: %s\n", #call, err.text);                                              \
        }                                                                                          \
        assert_int_equal(r_, 0);                                                                   \
        assert_int_equal(err.code, 0); /* untouched on success */                                  \
    } while (0)

#define SUITE_REFUSED(call, wanted)                                                                \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        if (r_ >= 0 || err.kind != (wanted)) {                                                     \
            print_error("%s: %d %s: %s\n", #call, r_, xb_error_kind_name(err.kind), err.text);     \
        }                                                                                          \
        assert_true(r_ < 0);                                                                       \
        assert_int_equal(err.code, r_);                                                            \
        assert_int_equal(err.kind, (wanted));                                                      \
    } while (0)

/* The name as this driver takes it: slashes become dashes where names have one part. */
static inline const char *suite_name(const struct store_suite *suite, const char *name)
{
    static char texts[8][XB_STORE_NAME_BYTES_MAX + 1];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%s", name);
    for (char *c = text; suite->flat && *c; c++) {
        *c = *c == '/' ? '-' : *c;
    }
    return text;
}

static inline void suite_put(struct xb_store *store, const char *name, const char *text)
{
    SUITE_OK(xb_store_put(store, name, text, strlen(text), NULL, &err));
}

static inline void suite_holds(struct xb_store *store, const char *name, const char *text)
{
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    SUITE_OK(xb_store_get(store, name, 0, XB_STORE_TO_END, &out, &err));
    assert_string_equal(out.data, text);
    xb_buf_free(&out);
    struct xb_store_item item = {.name = NULL};
    SUITE_OK(xb_store_stat(store, name, &item, &err));
    assert_int_equal(item.size, strlen(text));
    assert_null(item.name);
}

static inline void suite_absent(struct xb_store *store, const char *name)
{
    struct xb_buf out = XB_BUF_INIT(100);
    struct xb_store_item item;
    SUITE_REFUSED(xb_store_get(store, name, 0, XB_STORE_TO_END, &out, &err), XB_ERR_NOT_FOUND);
    SUITE_REFUSED(xb_store_stat(store, name, &item, &err), XB_ERR_NOT_FOUND);
    assert_int_equal(out.len, 0);
    xb_buf_free(&out);
}

struct suite_names {
    char *names[SUITE_ITEMS_MAX];
    size_t count;
    int stop_with; /* what the callback returns once it has stop_at names */
    size_t stop_at;
};

static inline int suite_collect(void *context, const struct xb_store_item *item,
                                struct xb_error *err)
{
    struct suite_names *all = context;
    assert_true(all->count < SUITE_ITEMS_MAX);
    all->names[all->count++] = strdup(item->name);
    return all->stop_with && all->count == all->stop_at
               ? xb_error_set(err, XB_ERR_CANCELLED, all->stop_with, "the caller has enough")
               : 0;
}

static inline int suite_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Frees the names; they must be those of `want`, "name name name" in order. */
static inline void suite_expect(struct suite_names *all, const char *want)
{
    char got[4096] = "";
    size_t used = 0;
    qsort(all->names, all->count, sizeof *all->names, suite_compare);
    for (size_t i = 0; i < all->count; i++) {
        used +=
            (size_t)snprintf(got + used, sizeof got - used, "%s%s", i ? " " : "", all->names[i]);
        assert_true(used < sizeof got);
        free(all->names[i]);
    }
    all->count = 0;
    assert_string_equal(got, want);
}

static inline void suite_lists(struct xb_store *store, const char *prefix, const char *want)
{
    struct suite_names all = {.count = 0};
    SUITE_OK(xb_store_list(store, prefix, suite_collect, &all, &err));
    suite_expect(&all, want);
}

static inline void suite_lists_folders(struct xb_store *store, const char *prefix, const char *want)
{
    struct suite_names all = {.count = 0};
    SUITE_OK(xb_store_list_folders(store, prefix, suite_collect, &all, &err));
    suite_expect(&all, want);
}
