/* SPDX-License-Identifier: Apache-2.0
 *
 * repository_probe.h - repositories in memory for tests: made once, copied for each test.
 *
 * What for:  unit and property tests of the repository and of what is built on it.
 * Ownership: stores and repositories handed out belong to the test.
 * Threads:   as cmocka.    Blocking: 0.2 s for the first repository and for each one opened.
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

#include "shared/repository/state.h"

/* The call, which sees `struct xb_error err`, must succeed. */
#define PROBE_OK(call)                                                                             \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        if (r_ < 0) {                                                                              \
            print_error("%s: %s: %s\n", #call, xb_error_kind_name(err.kind), err.text);            \
        }                                                                                          \
        assert_int_equal(r_, 0);                                                                   \
        assert_int_equal(err.code, 0); /* untouched on success */                                  \
    } while (0)

/* The call must fail with this kind, and its text must hold `words` (NULL: any). */
#define PROBE_REFUSED(call, wanted, words)                                                         \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        const char *words_ = (words);                                                              \
        if (r_ >= 0 || err.kind != (wanted) || (words_ && !strstr(err.text, words_))) {            \
            print_error("%s: %d %s: %s\n", #call, r_, xb_error_kind_name(err.kind), err.text);     \
        }                                                                                          \
        assert_true(r_ < 0);                                                                       \
        assert_int_equal(err.code, r_);                                                            \
        assert_int_equal(err.kind, (wanted));                                                      \
        assert_true(!words_ || strstr(err.text, words_));                                          \
    } while (0)

#define PROBE_PASSWORD "static-passw0rd"

static inline struct xb_secret *probe_password(const char *text)
{
    struct xb_secret *secret = NULL;
    PROBE_OK(xb_secret_new(text, strlen(text), &secret, &err));
    return secret;
}

static inline struct xb_store *probe_empty_store(void)
{
    struct xb_store *store = NULL;
    PROBE_OK(xb_store_mem_open(&store, &err));
    return store;
}

/* ---- looking at blobs ---- */

struct probe_names {
    char **names;
    size_t count;
};

static inline int probe_collect(void *context, const struct xb_store_item *item,
                                struct xb_error *err)
{
    (void)err;
    struct probe_names *all = context;
    all->names = reallocarray(all->names, all->count + 1, sizeof *all->names);
    assert_non_null(all->names);
    all->names[all->count++] = strdup(item->name);
    return 0;
}

static inline struct probe_names probe_list(struct xb_store *store, const char *prefix)
{
    struct probe_names all = {.count = 0};
    PROBE_OK(xb_store_list(store, prefix, probe_collect, &all, &err));
    return all;
}

static inline void probe_names_free(struct probe_names *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->names[i]);
    }
    free(all->names);
    *all = (struct probe_names){.count = 0};
}

static inline size_t probe_count(struct xb_store *store, const char *prefix)
{
    struct probe_names all = probe_list(store, prefix);
    size_t count = all.count;
    probe_names_free(&all);
    return count;
}

static inline void probe_put(struct xb_store *store, const char *name, const char *text)
{
    PROBE_OK(xb_store_put(store, name, text, strlen(text), NULL, &err));
}

/* A new store in memory with the same blobs. */
static inline struct xb_store *probe_copy(struct xb_store *from)
{
    struct xb_store *to = probe_empty_store();
    struct probe_names all = probe_list(from, "");
    for (size_t i = 0; i < all.count; i++) {
        struct xb_buf data = XB_BUF_INIT(XB_STORE_GET_BYTES_MAX);
        PROBE_OK(xb_store_get(from, all.names[i], 0, XB_STORE_TO_END, &data, &err));
        PROBE_OK(xb_store_put(to, all.names[i], data.data ? data.data : "", data.len, NULL, &err));
        xb_buf_free(&data);
    }
    probe_names_free(&all);
    return to;
}

/* ---- repositories ---- */

static inline struct xb_store *probe_create(const struct xb_repository_create_options *options)
{
    struct xb_store *store = probe_empty_store();
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    PROBE_OK(xb_repository_create(xb_store_ref(store), password, options, &err));
    return store;
}

/* A store with a fresh repository of small chunks (DYNAMIC-128K-BUZHASH). */
static inline struct xb_store *probe_repository_store(void)
{
    static struct xb_store *made; /* kept until the process ends: each copy saves a derivation */
    if (!made) {
        const struct xb_repository_create_options options = {.hash = "BLAKE2B-256-128",
                                                             .encryption = "AES256-GCM-HMAC-SHA256",
                                                             .splitter = "DYNAMIC-128K-BUZHASH"};
        made = probe_create(&options);
    }
    return probe_copy(made);
}

/* The keys of the repository that was opened last: copies of one store have the same. */
static inline const struct xb_format_keys *probe_keys(struct xb_store *store)
{
    static struct xb_format_outer known; /* kept until the process ends */
    static struct xb_format_keys keys;
    struct xb_format_outer outer;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    PROBE_OK(xb_store_get(store, XB_FORMAT_BLOB, 0, XB_STORE_TO_END, &text, &err));
    PROBE_OK(xb_format_outer_parse(text.data, text.len, &outer, &err));
    if (outer.unique_id_len != known.unique_id_len ||
        memcmp(outer.unique_id, known.unique_id, known.unique_id_len) != 0) {
        xb_format_outer_free(&known);
        xb_format_keys_free(&keys);
        PROBE_OK(xb_format_keys_derive(&outer, password, &keys, &err));
        known = outer;
    } else {
        xb_format_outer_free(&outer);
    }
    return &keys;
}

/* A handle on the store, which stays the caller's. */
static inline struct xb_repository *probe_open_at(struct xb_store *store,
                                                  const struct xb_clock *clock)
{
    struct xb_repository *repository = NULL;
    const struct xb_repository_open_options options = {.clock = clock};
    PROBE_OK(xb_repository_open_with(xb_store_ref(store), probe_keys(store), &options, &repository,
                                     &err));
    return repository;
}

static inline struct xb_repository *probe_open(struct xb_store *store)
{
    return probe_open_at(store, NULL);
}

static inline struct xb_content_write_result probe_write(struct xb_repository *repository,
                                                         char prefix, const char *text)
{
    struct xb_content_write_result result;
    PROBE_OK(xb_content_write(repository, prefix, text, strlen(text), XB_COMPRESSION_NONE, &result,
                              &err));
    return result;
}

static inline void probe_flush(struct xb_repository *repository)
{
    PROBE_OK(xb_repository_flush(repository, &err));
}

static inline void probe_holds(struct xb_repository *repository, const struct xb_content_id *id,
                               const char *text)
{
    struct xb_buf out = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    PROBE_OK(xb_content_read(repository, id, true, &out, &err));
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.data ? out.data : "", text, out.len);
    xb_buf_free(&out);
}
