/* SPDX-License-Identifier: Apache-2.0
 *
 * A store within a store: every name gets a prefix on the way in and loses it on the way out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/driver.h"

struct prefix_store {
    struct xb_store base;
    struct xb_store *inner;
    char prefix[XB_STORE_NAME_BYTES_MAX + 1];
};

struct prefix_upload {
    struct xb_store_upload base;
    struct xb_store_upload *inner;
};

struct prefix_listing {
    size_t skip;
    xb_store_item_fn *fn;
    void *context;
};

static int longer(const struct prefix_store *self, const char *name,
                  char out[XB_STORE_NAME_BYTES_MAX + 1], struct xb_error *err)
{
    if (snprintf(out, XB_STORE_NAME_BYTES_MAX + 1, "%s%s", self->prefix, name) >
        XB_STORE_NAME_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "%s: name too long: %.100s...",
                            self->base.description, name);
    }
    return 0;
}

static int prefix_begin(struct xb_store *store, const char *name,
                        const struct xb_store_put_options *options, struct xb_store_upload **ret,
                        struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_freep) struct prefix_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    r = xb_store_upload_begin(self->inner, full, options, &upload->inner, err);
    if (r == 0) {
        struct prefix_upload *made = XB_TAKE(upload);
        *ret = &made->base;
    }
    return r;
}

static int prefix_write(struct xb_store_upload *upload, const void *data, size_t len,
                        struct xb_error *err)
{
    return xb_store_upload_write(((struct prefix_upload *)upload)->inner, data, len, err);
}

static int prefix_writev(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                         struct xb_error *err)
{
    return xb_store_upload_writev(((struct prefix_upload *)upload)->inner, parts, count, err);
}

static int prefix_commit(struct xb_store_upload *upload, struct xb_error *err)
{
    return xb_store_upload_commit(((struct prefix_upload *)upload)->inner, err);
}

static void prefix_upload_free(struct xb_store_upload *upload)
{
    xb_store_upload_free(((struct prefix_upload *)upload)->inner);
    free(upload);
}

static int prefix_put(struct xb_store *store, const char *name, const void *data, size_t len,
                      const struct xb_store_put_options *options, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    return r < 0 ? r : xb_store_put(self->inner, full, data, len, options, err);
}

static int prefix_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                      struct xb_buf *out, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    return r < 0 ? r : xb_store_get(self->inner, full, offset, len, out, err);
}

static int prefix_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                       struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    return r < 0 ? r : xb_store_stat(self->inner, full, ret, err);
}

static int prefix_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    return r < 0 ? r : xb_store_delete(self->inner, full, err);
}

static int shorten(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    const struct prefix_listing *listing = context;
    struct xb_store_item shorter = *item;
    shorter.name += listing->skip;
    return listing->fn(listing->context, &shorter, err);
}

static int prefix_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                       void *context, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, prefix, full, err);
    struct prefix_listing listing = {strlen(self->prefix), fn, context};
    return r < 0 ? r : xb_store_list(self->inner, full, shorten, &listing, err);
}

static int prefix_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                               void *context, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, prefix, full, err);
    return r < 0 ? r : xb_store_list_folders(self->inner, full, fn, context, err);
}

static int prefix_presign(struct xb_store *store, const char *name, const char *public_url,
                          int64_t lifetime_s, struct xb_buf *out, struct xb_error *err)
{
    struct prefix_store *self = (struct prefix_store *)store;
    char full[XB_STORE_NAME_BYTES_MAX + 1];
    int r = longer(self, name, full, err);
    return r < 0 ? r : xb_store_presign_get(self->inner, full, public_url, lifetime_s, out, err);
}

static void prefix_close(struct xb_store *store)
{
    xb_store_free(((struct prefix_store *)store)->inner);
    free(store);
}

static const struct xb_store_driver prefix_driver = {
    .decorator = true,
    .begin = prefix_begin,
    .write = prefix_write,
    .writev = prefix_writev,
    .commit = prefix_commit,
    .upload_free = prefix_upload_free,
    .put = prefix_put,
    .get = prefix_get,
    .stat = prefix_stat,
    .remove = prefix_remove,
    .list = prefix_list,
    .list_folders = prefix_list_folders,
    .presign = prefix_presign,
    .close = prefix_close,
};

int xb_store_prefix_open(struct xb_store *inner, const char *prefix, struct xb_store **ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *owned = inner;
    char probe[XB_STORE_NAME_BYTES_MAX + 1];
    size_t len = strnlen(prefix, sizeof probe);
    bool valid = len > 1 && len < sizeof probe && prefix[len - 1] == '/';
    if (valid) {
        memcpy(probe, prefix, len - 1);
        probe[len - 1] = '\0';
        valid = xb_store_name_valid(probe);
    }
    if (!valid) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "%s: not a prefix within the store: '%.100s' (want 'folder/')",
                            owned->description, prefix);
    }
    XB_CLEANUP(xb_freep) struct prefix_store *self = calloc(1, sizeof *self);
    XB_CLEANUP(xb_freep) char *description = NULL;
    if (!self || asprintf(&description, "%s/%s", owned->description, probe) < 0) {
        description = NULL;
        return xb_error_no_memory(err, "a store");
    }
    memcpy(self->prefix, prefix, len + 1);
    int r = xb_store_setup(&self->base, &prefix_driver, owned->read_only, description, err);
    if (r < 0) {
        return r;
    }
    self->base.bucket = owned->bucket;
    self->inner = XB_TAKE(owned);
    struct prefix_store *made = XB_TAKE(self);
    *ret = &made->base;
    return 0;
}
