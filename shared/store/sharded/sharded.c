/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/driver.h"
#include "shared/store/sharded/shards.h"

static const char shards_file[] = ".shards";
static const char shards_new[] = "{\"default\":[1,3],\"maxNonShardedLength\":20}\n";

struct sharded {
    struct xb_store base;
    struct xb_store *inner;
    struct xb_shards *shards;
};

struct sharded_upload {
    struct xb_store_upload base;
    struct xb_store_upload *inner;
};

static int sharded_begin(struct xb_store *store, const char *name,
                         const struct xb_store_put_options *options, struct xb_store_upload **ret,
                         struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    int r = xb_shards_path(self->shards, name, path, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_freep) struct sharded_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    r = xb_store_upload_begin(self->inner, path, options, &upload->inner, err);
    if (r == 0) {
        struct sharded_upload *made = XB_TAKE(upload);
        *ret = &made->base;
    }
    return r;
}

static int sharded_write(struct xb_store_upload *upload, const void *data, size_t len,
                         struct xb_error *err)
{
    return xb_store_upload_write(((struct sharded_upload *)upload)->inner, data, len, err);
}

static int sharded_writev(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                          struct xb_error *err)
{
    return xb_store_upload_writev(((struct sharded_upload *)upload)->inner, parts, count, err);
}

static int sharded_commit(struct xb_store_upload *upload, struct xb_error *err)
{
    return xb_store_upload_commit(((struct sharded_upload *)upload)->inner, err);
}

static void sharded_upload_free(struct xb_store_upload *upload)
{
    xb_store_upload_free(((struct sharded_upload *)upload)->inner);
    free(upload);
}

static int sharded_put(struct xb_store *store, const char *name, const void *data, size_t len,
                       const struct xb_store_put_options *options, struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    int r = xb_shards_path(self->shards, name, path, err);
    return r < 0 ? r : xb_store_put(self->inner, path, data, len, options, err);
}

static int sharded_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                       struct xb_buf *out, struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    int r = xb_shards_path(self->shards, name, path, err);
    return r < 0 ? r : xb_store_get(self->inner, path, offset, len, out, err);
}

static int sharded_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                        struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    int r = xb_shards_path(self->shards, name, path, err);
    return r < 0 ? r : xb_store_stat(self->inner, path, ret, err);
}

static int sharded_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    int r = xb_shards_path(self->shards, name, path, err);
    return r < 0 ? r : xb_store_delete(self->inner, path, err);
}

struct listing {
    const struct xb_shards *shards;
    const char *prefix;
    char (*prefixes)[XB_STORE_NAME_BYTES_MAX + 1]; /* on the inner store */
    size_t done;                                   /* of these have been listed */
    xb_store_item_fn *fn;
    void *context;
};

static int listed(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    const struct listing *listing = context;
    char name[XB_STORE_NAME_BYTES_MAX + 1];
    for (size_t i = 0; i < listing->done; i++) {
        if (strncmp(item->name, listing->prefixes[i], strlen(listing->prefixes[i])) == 0) {
            return 0;
        }
    }
    if (!xb_shards_name(listing->shards, item->name, name) || !xb_store_name_valid(name) ||
        strncmp(name, listing->prefix, strlen(listing->prefix)) != 0) {
        return 0;
    }
    struct xb_store_item renamed = {name, item->size, item->mtime_ns};
    return listing->fn(listing->context, &renamed, err);
}

static int sharded_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                        void *context, struct xb_error *err)
{
    struct sharded *self = (struct sharded *)store;
    if (strchr(prefix, '/')) {
        return 0; /* no name holds one */
    }
    XB_CLEANUP(xb_freep)
    char(*prefixes)[XB_STORE_NAME_BYTES_MAX + 1] =
        calloc(self->shards->count + 1, sizeof *prefixes);
    if (!prefixes) {
        return xb_error_no_memory(err, "a listing");
    }
    size_t count = xb_shards_prefixes(self->shards, prefix, prefixes);
    struct listing listing = {self->shards, prefix, prefixes, 0, fn, context};
    int r = 0;
    for (; listing.done < count && r == 0; listing.done++) {
        r = xb_store_list(self->inner, prefixes[listing.done], listed, &listing, err);
    }
    return r;
}

static int sharded_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                                void *context, struct xb_error *err)
{
    (void)store;
    (void)prefix;
    (void)fn;
    (void)context;
    (void)err;
    return 0; /* names have no parts here */
}

static void sharded_close(struct xb_store *store)
{
    struct sharded *self = (struct sharded *)store;
    xb_store_free(self->inner);
    xb_shards_free(self->shards);
    free(self);
}

static const struct xb_store_driver sharded_driver = {
    .decorator = true,
    .begin = sharded_begin,
    .write = sharded_write,
    .writev = sharded_writev,
    .commit = sharded_commit,
    .upload_free = sharded_upload_free,
    .put = sharded_put,
    .get = sharded_get,
    .stat = sharded_stat,
    .remove = sharded_remove,
    .list = sharded_list,
    .list_folders = sharded_list_folders,
    .close = sharded_close,
};

static int stop_at_first(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    (void)item;
    *(bool *)context = true;
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "not empty");
}

/* A store without .shards: a new one gets kopia's present rule, an old one has the assumed rule. */
static int start_rules(struct xb_store *inner, bool create, struct xb_shards **ret,
                       struct xb_error *err)
{
    struct xb_error local = XB_ERROR_INIT;
    bool used = false;
    int r = create ? xb_store_list(inner, "", stop_at_first, &used, &local) : 0;
    if (r < 0 && !used) {
        *err = local;
        return r;
    }
    if (!create || used) {
        return xb_shards_assumed(ret, err);
    }
    r = xb_store_put(inner, shards_file, shards_new, sizeof shards_new - 1, NULL, err);
    return r < 0 ? r : xb_shards_parse(shards_new, sizeof shards_new - 1, ret, err);
}

static int load_rules(struct xb_store *inner, bool create, struct xb_shards **ret,
                      struct xb_error *err)
{
    struct xb_error local = XB_ERROR_INIT;
    struct xb_buf text = XB_BUF_INIT(XB_SHARDS_TEXT_BYTES_MAX);
    int r = xb_store_get(inner, shards_file, 0, XB_STORE_TO_END, &text, &local);
    if (r < 0 && local.kind == XB_ERR_NOT_FOUND) {
        r = start_rules(inner, create, ret, err);
    } else if (r < 0) {
        *err = local;
    } else if ((r = xb_shards_parse(text.data ? text.data : "", text.len, ret, err)) < 0) {
        xb_error_wrap(err, "%s", inner->description);
    }
    xb_buf_free(&text);
    return r;
}

int xb_store_sharded_open(struct xb_store *inner, bool create, struct xb_store **ret,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *owned = inner;
    XB_CLEANUP(xb_shards_freep) struct xb_shards *shards = NULL;
    int r = load_rules(owned, create, &shards, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_freep) struct sharded *self = calloc(1, sizeof *self);
    if (!self) {
        return xb_error_no_memory(err, "a store");
    }
    r = xb_store_setup(&self->base, &sharded_driver, owned->read_only, owned->description, err);
    if (r < 0) {
        return r;
    }
    self->inner = XB_TAKE(owned);
    self->shards = XB_TAKE(shards);
    struct sharded *made = XB_TAKE(self);
    *ret = &made->base;
    return 0;
}
