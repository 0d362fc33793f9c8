/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/driver.h"
#include "shared/store/s3/url.h"

bool xb_store_name_valid(const char *name)
{
    size_t part = 0, parts = 1;
    for (size_t len = 0; len <= XB_STORE_NAME_BYTES_MAX; len++) {
        if (name[len] != '/' && name[len] != '\0') {
            part++;
            continue;
        }
        const char *start = name + len - part;
        if (part == 0 || (part == 1 && start[0] == '.') ||
            (part == 2 && start[0] == '.' && start[1] == '.')) {
            return false;
        }
        if (name[len] == '\0') {
            return parts <= XB_STORE_NAME_PARTS_MAX;
        }
        part = 0;
        parts++;
    }
    return false;
}

static int check_name(const struct xb_store *store, const char *name, struct xb_error *err)
{
    if (!xb_store_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s: not an object's name: '%.100s'",
                            store->description, name);
    }
    return 0;
}

/* A prefix is the beginning of some valid name: it may end in the middle of a part. */
static int check_prefix(const struct xb_store *store, const char *prefix, bool folder,
                        struct xb_error *err)
{
    char probe[XB_STORE_NAME_BYTES_MAX + 1];
    size_t len = strnlen(prefix, XB_STORE_NAME_BYTES_MAX);
    bool valid = len < XB_STORE_NAME_BYTES_MAX && (len == 0 || !folder || prefix[len - 1] == '/');
    if (valid) {
        memcpy(probe, prefix, len);
        probe[len] = '\0';
        char *last = strrchr(probe, '/');
        if (last) {
            *last = '\0';
        }
        valid = !last || xb_store_name_valid(probe);
    }
    return valid ? 0
                 : xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s: not a prefix of names: '%.100s'",
                                store->description, prefix);
}

static int check_writable(const struct xb_store *store, const char *name, struct xb_error *err)
{
    int r = check_name(store, name, err);
    if (r == 0 && store->read_only) {
        r = xb_error_set(err, XB_ERR_DENIED, -EROFS, "%s is open for reading only: cannot write %s",
                         store->description, name);
    }
    return r;
}

/* Adds the store's name to a driver's failure. */
static int tell(const struct xb_store *store, int r, struct xb_error *err)
{
    return r < 0 && !store->driver->decorator ? xb_error_wrap(err, "%s", store->description) : r;
}

int xb_store_setup(struct xb_store *store, const struct xb_store_driver *driver, bool read_only,
                   const char *description, struct xb_error *err)
{
    store->description = strdup(description);
    if (!store->description) {
        return xb_error_no_memory(err, "a store");
    }
    store->driver = driver;
    store->read_only = read_only;
    atomic_init(&store->references, 1);
    return 0;
}

int xb_store_range(const char *name, uint64_t size, uint64_t offset, uint64_t len, size_t *ret_len,
                   struct xb_error *err)
{
    uint64_t want = len == XB_STORE_TO_END && offset <= size ? size - offset : len;
    if (offset > size || want > size - offset) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%s is cut short: it has %llu bytes, wanted are %llu from offset %llu",
                            name, (unsigned long long)size, (unsigned long long)want,
                            (unsigned long long)offset);
    }
    if (want > XB_STORE_GET_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                            "%s: %llu bytes are more than are read at once (%d)", name,
                            (unsigned long long)want, XB_STORE_GET_BYTES_MAX);
    }
    *ret_len = (size_t)want;
    return 0;
}

int xb_store_put(struct xb_store *store, const char *name, const void *data, size_t len,
                 const struct xb_store_put_options *options, struct xb_error *err)
{
    int r = 0;
    if (store->driver->put) {
        r = check_writable(store, name, err);
        return r < 0 ? r
                     : tell(store, store->driver->put(store, name, data, len, options, err), err);
    }
    XB_CLEANUP(xb_store_upload_freep) struct xb_store_upload *upload = NULL;
    r = xb_store_upload_begin(store, name, options, &upload, err);
    if (r == 0) {
        r = xb_store_upload_write(upload, data, len, err);
    }
    return r < 0 ? r : xb_store_upload_commit(upload, err);
}

int xb_store_upload_begin(struct xb_store *store, const char *name,
                          const struct xb_store_put_options *options, struct xb_store_upload **ret,
                          struct xb_error *err)
{
    int r = check_writable(store, name, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_freep) char *copy = strdup(name);
    if (!copy) {
        return xb_error_no_memory(err, "an upload");
    }
    struct xb_store_upload *upload = NULL;
    r = store->driver->begin(store, name, options, &upload, err);
    if (r < 0) {
        return tell(store, r, err);
    }
    upload->store = xb_store_ref(store);
    upload->name = XB_TAKE(copy);
    upload->over = false;
    *ret = upload;
    return 0;
}

static int check_upload(const struct xb_store_upload *upload, struct xb_error *err)
{
    return upload->over ? xb_error_set(err, XB_ERR_BUG, -EINVAL,
                                       "%s: the upload of %s has failed or ended already",
                                       upload->store->description, upload->name)
                        : 0;
}

int xb_store_upload_write(struct xb_store_upload *upload, const void *data, size_t len,
                          struct xb_error *err)
{
    int r = check_upload(upload, err);
    if (r < 0 || len == 0) {
        return r;
    }
    r = upload->store->driver->write(upload, data, len, err);
    upload->over = r < 0;
    return tell(upload->store, r, err);
}

int xb_store_upload_writev(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                           struct xb_error *err)
{
    int r = check_upload(upload, err);
    if (r < 0 || count == 0) {
        return r;
    }
    if (!upload->store->driver->writev) {
        for (size_t i = 0; r == 0 && i < count; i++) {
            r = xb_store_upload_write(upload, parts[i].iov_base, parts[i].iov_len, err);
        }
        return r;
    }
    r = upload->store->driver->writev(upload, parts, count, err);
    upload->over = r < 0;
    return tell(upload->store, r, err);
}

int xb_store_upload_commit(struct xb_store_upload *upload, struct xb_error *err)
{
    int r = check_upload(upload, err);
    if (r < 0) {
        return r;
    }
    upload->over = true;
    return tell(upload->store, upload->store->driver->commit(upload, err), err);
}

void xb_store_upload_free(struct xb_store_upload *upload)
{
    if (!upload) {
        return;
    }
    struct xb_store *store = upload->store;
    free(upload->name);
    store->driver->upload_free(upload);
    xb_store_free(store);
}

int xb_store_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                 struct xb_buf *out, struct xb_error *err)
{
    int r = check_name(store, name, err);
    return r < 0 ? r : tell(store, store->driver->get(store, name, offset, len, out, err), err);
}

int xb_store_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                  struct xb_error *err)
{
    struct xb_store_item item = {.name = NULL};
    int r = check_name(store, name, err);
    if (r == 0) {
        r = tell(store, store->driver->stat(store, name, &item, err), err);
    }
    if (r == 0) {
        item.name = NULL;
        *ret = item;
    }
    return r;
}

int xb_store_delete(struct xb_store *store, const char *name, struct xb_error *err)
{
    int r = check_writable(store, name, err);
    return r < 0 ? r : tell(store, store->driver->remove(store, name, err), err);
}

/* The callback's own failures are handed on as they are: only the driver's belong to the store. */
struct relay {
    xb_store_item_fn *fn;
    void *context;
    bool callers; /* the failure is the caller's own */
};

static int relay_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct relay *relay = context;
    int r = relay->fn(relay->context, item, err);
    relay->callers = r < 0;
    return r;
}

int xb_store_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
                  struct xb_error *err)
{
    struct relay relay = {.fn = fn, .context = context};
    int r = check_prefix(store, prefix, false, err);
    if (r < 0) {
        return r;
    }
    r = store->driver->list(store, prefix, relay_item, &relay, err);
    return relay.callers ? r : tell(store, r, err);
}

int xb_store_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                          void *context, struct xb_error *err)
{
    struct relay relay = {.fn = fn, .context = context};
    int r = check_prefix(store, prefix, true, err);
    if (r < 0) {
        return r;
    }
    r = store->driver->list_folders(store, prefix, relay_item, &relay, err);
    return relay.callers ? r : tell(store, r, err);
}

int xb_store_presign_get(struct xb_store *store, const char *name, const char *public_url,
                         int64_t lifetime_s, struct xb_buf *out, struct xb_error *err)
{
    int r = check_name(store, name, err);
    if (r == 0 && !store->driver->presign) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "%s: there are no links to objects in a store of this kind",
                         store->description);
    } else if (r == 0) {
        r = tell(store, store->driver->presign(store, name, public_url, lifetime_s, out, err), err);
    }
    return r;
}

bool xb_store_is_bucket(const struct xb_store *store)
{
    return store->bucket;
}

const char *xb_store_describe(const struct xb_store *store)
{
    return store->description;
}

struct xb_store *xb_store_ref(struct xb_store *store)
{
    atomic_fetch_add(&store->references, 1);
    return store;
}

void xb_store_free(struct xb_store *store)
{
    if (!store || atomic_fetch_sub(&store->references, 1) > 1) {
        return;
    }
    free(store->description);
    store->driver->close(store);
}

int xb_store_open(const char *url, const struct xb_store_open_options *options,
                  struct xb_store **ret, struct xb_error *err)
{
    static const struct xb_store_open_options defaults = {.create = false};
    const struct xb_store_open_options *use = options ? options : &defaults;
    if (url[0] == '/') {
        return xb_store_fs_open(url, use, ret, err);
    }
    if (strncmp(url, "file:///", 8) == 0) {
        return xb_store_fs_open(url + 7, use, ret, err);
    }
    if (strncmp(url, "s3://", 5) == 0) {
        return xb_store_s3_open_url(url, use, ret, err);
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "cannot open store '%.200s': known are file:///PATH, a plain absolute "
                        "path, and s3://BUCKET/PREFIX",
                        url);
}
