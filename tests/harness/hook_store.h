/* SPDX-License-Identifier: Apache-2.0
 *
 * hook_store.h - a store that lets a test look at every call, do something in between, and shift
 * the storage's clock.
 *
 * What for:  tests of what a repository does in which order, and of what others do meanwhile.
 * Ownership: the hook store owns its inner store; `struct hooks` belongs to the test and must live
 *            as long as the store.
 * Threads:   the callback is called under a lock, one call at a time.
 */
#pragma once

#include <pthread.h>
#include <stdlib.h>

#include "shared/store/driver.h"

enum hook_call {
    HOOK_PUT,
    HOOK_COMMIT,
    HOOK_GET,
    HOOK_STAT,
    HOOK_DELETE,
    HOOK_LIST, /* the prefix is the name */
    HOOK_BEGIN
};

struct hooks {
    /* Called before the inner store is; `inner` may be used. NULL: nothing. */
    void (*before)(struct hooks *hooks, enum hook_call call, const char *name,
                   struct xb_store *inner);
    /* The same after a call that succeeded. */
    void (*after)(struct hooks *hooks, enum hook_call call, const char *name,
                  struct xb_store *inner);
    void *context;
    int64_t mtime_shift_ns; /* added to every time that the store tells */
    int64_t mtime_unit_ns;  /* then cut to whole units of this; 0: told as they are */
    pthread_mutex_t lock;
};

struct hook_store {
    struct xb_store base;
    struct xb_store *inner;
    struct hooks *hooks;
};

struct hook_upload {
    struct xb_store_upload base;
    struct xb_store_upload *inner;
};

struct hook_listing {
    struct hooks *hooks;
    xb_store_item_fn *fn;
    void *context;
};

static inline void hook_tell(struct xb_store *store, bool after, enum hook_call call,
                             const char *name)
{
    struct hook_store *self = (struct hook_store *)store;
    void (*told)(struct hooks *, enum hook_call, const char *, struct xb_store *) =
        after ? self->hooks->after : self->hooks->before;
    if (told) {
        pthread_mutex_lock(&self->hooks->lock);
        told(self->hooks, call, name, self->inner);
        pthread_mutex_unlock(&self->hooks->lock);
    }
}

/* One call of the inner store between the two callbacks. */
#define HOOKED(store, call, name, inner_call)                                                      \
    do {                                                                                           \
        hook_tell((store), false, (call), (name));                                                 \
        int r_ = (inner_call);                                                                     \
        if (r_ == 0) {                                                                             \
            hook_tell((store), true, (call), (name));                                              \
        }                                                                                          \
        return r_;                                                                                 \
    } while (0)

static inline struct xb_store *hook_inner(struct xb_store *store)
{
    return ((struct hook_store *)store)->inner;
}

static inline int hook_begin(struct xb_store *store, const char *name,
                             const struct xb_store_put_options *options,
                             struct xb_store_upload **ret, struct xb_error *err)
{
    struct hook_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    hook_tell(store, false, HOOK_BEGIN, name);
    int r = xb_store_upload_begin(hook_inner(store), name, options, &upload->inner, err);
    if (r < 0) {
        free(upload);
        return r;
    }
    hook_tell(store, true, HOOK_BEGIN, name);
    *ret = &upload->base;
    return 0;
}

static inline int hook_write(struct xb_store_upload *upload, const void *data, size_t len,
                             struct xb_error *err)
{
    return xb_store_upload_write(((struct hook_upload *)upload)->inner, data, len, err);
}

static inline int hook_commit(struct xb_store_upload *upload, struct xb_error *err)
{
    HOOKED(upload->store, HOOK_COMMIT, upload->name,
           xb_store_upload_commit(((struct hook_upload *)upload)->inner, err));
}

static inline void hook_upload_free(struct xb_store_upload *upload)
{
    xb_store_upload_free(((struct hook_upload *)upload)->inner);
    free(upload);
}

static inline int hook_put(struct xb_store *store, const char *name, const void *data, size_t len,
                           const struct xb_store_put_options *options, struct xb_error *err)
{
    HOOKED(store, HOOK_PUT, name, xb_store_put(hook_inner(store), name, data, len, options, err));
}

static inline int hook_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                           struct xb_buf *out, struct xb_error *err)
{
    HOOKED(store, HOOK_GET, name, xb_store_get(hook_inner(store), name, offset, len, out, err));
}

static inline int64_t hook_time(const struct hooks *hooks, int64_t mtime_ns)
{
    int64_t shifted = mtime_ns + hooks->mtime_shift_ns;
    return hooks->mtime_unit_ns ? shifted - shifted % hooks->mtime_unit_ns : shifted;
}

static inline int hook_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                            struct xb_error *err)
{
    hook_tell(store, false, HOOK_STAT, name);
    int r = xb_store_stat(hook_inner(store), name, ret, err);
    if (r == 0) {
        ret->mtime_ns = hook_time(((struct hook_store *)store)->hooks, ret->mtime_ns);
        hook_tell(store, true, HOOK_STAT, name);
    }
    return r;
}

static inline int hook_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    HOOKED(store, HOOK_DELETE, name, xb_store_delete(hook_inner(store), name, err));
}

static inline int hook_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    const struct hook_listing *listing = context;
    struct xb_store_item shifted = *item;
    shifted.mtime_ns = hook_time(listing->hooks, item->mtime_ns);
    return listing->fn(listing->context, &shifted, err);
}

static inline int hook_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                            void *context, struct xb_error *err)
{
    struct hook_listing listing = {((struct hook_store *)store)->hooks, fn, context};
    HOOKED(store, HOOK_LIST, prefix,
           xb_store_list(hook_inner(store), prefix, hook_item, &listing, err));
}

static inline int hook_list_folders(struct xb_store *store, const char *prefix,
                                    xb_store_item_fn *fn, void *context, struct xb_error *err)
{
    HOOKED(store, HOOK_LIST, prefix,
           xb_store_list_folders(hook_inner(store), prefix, fn, context, err));
}

static inline void hook_close(struct xb_store *store)
{
    struct hook_store *self = (struct hook_store *)store;
    xb_store_free(self->inner);
    pthread_mutex_destroy(&self->hooks->lock);
    free(self);
}

/* Owns inner, also on failure (NULL is returned). */
static inline struct xb_store *hook_store_open(struct xb_store *inner, struct hooks *hooks)
{
    static const struct xb_store_driver driver = {
        .decorator = true,
        .begin = hook_begin,
        .write = hook_write,
        .commit = hook_commit,
        .upload_free = hook_upload_free,
        .put = hook_put,
        .get = hook_get,
        .stat = hook_stat,
        .remove = hook_remove,
        .list = hook_list,
        .list_folders = hook_list_folders,
        .close = hook_close,
    };
    struct xb_error err = XB_ERROR_INIT;
    struct hook_store *self = calloc(1, sizeof *self);
    if (!self || xb_store_setup(&self->base, &driver, false, "hooked", &err) < 0) {
        free(self);
        xb_store_free(inner);
        return NULL;
    }
    pthread_mutex_init(&hooks->lock, NULL);
    self->inner = inner;
    self->hooks = hooks;
    return &self->base;
}
