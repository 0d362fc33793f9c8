/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h - what a driver of store.h supplies; for implementers only.
 *
 * What for:  store.h checks names and arguments once, says which store an error belongs to, counts
 *            references and refuses writes to a read-only store; a driver does the rest.
 * Ownership: a driver's struct starts with `struct xb_store`; xb_store_setup fills it, close frees
 *            the whole. An upload's struct starts with `struct xb_store_upload`, which store.c
 *            fills after begin.
 * Threads:   calls come from any thread at once; one upload from one thread at a time.
 * Errors:    as in store.h; the text names the object, store.c adds the store (not for decorators,
 *            whose inner store has said it).
 */
#pragma once

#include <stdatomic.h>

#include "shared/store/store.h"

struct xb_store_driver {
    bool decorator; /* errors already name the store */
    int (*begin)(struct xb_store *store, const char *name,
                 const struct xb_store_put_options *options, struct xb_store_upload **ret,
                 struct xb_error *err);
    int (*write)(struct xb_store_upload *upload, const void *data, size_t len,
                 struct xb_error *err);
    /* NULL: each part by write. */
    int (*writev)(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                  struct xb_error *err);
    int (*commit)(struct xb_store_upload *upload, struct xb_error *err);
    void (*upload_free)(struct xb_store_upload *upload); /* undoes what was not committed */
    /* NULL: put is begin, write, commit. */
    int (*put)(struct xb_store *store, const char *name, const void *data, size_t len,
               const struct xb_store_put_options *options, struct xb_error *err);
    int (*get)(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
               struct xb_buf *out, struct xb_error *err);
    int (*stat)(struct xb_store *store, const char *name, struct xb_store_item *ret,
                struct xb_error *err);
    int (*remove)(struct xb_store *store, const char *name, struct xb_error *err);
    int (*list)(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
                struct xb_error *err);
    int (*list_folders)(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                        void *context, struct xb_error *err);
    /* NULL: this kind of store has no links. */
    int (*presign)(struct xb_store *store, const char *name, const char *public_url,
                   int64_t lifetime_s, struct xb_buf *out, struct xb_error *err);
    void (*close)(struct xb_store *store);
};

struct xb_store {
    const struct xb_store_driver *driver;
    atomic_int references;
    bool read_only;
    bool bucket; /* set by the driver after setup; decorators copy their inner store's */
    char *description;
};

struct xb_store_upload {
    struct xb_store *store; /* a reference */
    char *name;
    bool over; /* committed or failed: nothing more may be written */
};

/* Fills the common part; the description is copied. The driver's struct must be zeroed before. */
int xb_store_setup(struct xb_store *store, const struct xb_store_driver *driver, bool read_only,
                   const char *description, struct xb_error *err) XB_MUST_CHECK;

/* Whether `name` may name an object (store.h, "Shapes"). */
bool xb_store_name_valid(const char *name);

/* Checks a range against an object's size and the limits of store.h; *ret_len is the number of
 * bytes to read. */
int xb_store_range(const char *name, uint64_t size, uint64_t offset, uint64_t len, size_t *ret_len,
                   struct xb_error *err) XB_MUST_CHECK;

/* The folder driver. `path` is absolute. */
int xb_store_fs_open(const char *path, const struct xb_store_open_options *options,
                     struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;
