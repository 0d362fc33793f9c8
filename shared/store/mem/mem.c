/* SPDX-License-Identifier: Apache-2.0
 *
 * A store in memory: the model that other drivers are measured against in tests.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/store/driver.h"

struct object {
    char *name;
    char *data;
    size_t len;
    int64_t mtime_ns;
};

struct mem {
    struct xb_store base;
    pthread_mutex_t lock;
    struct object *objects; /* ascending by name */
    size_t count, cap;
};

struct mem_upload {
    struct xb_store_upload base;
    struct xb_buf data;
    bool exclusive;
};

static void unlockp(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

#define LOCKED(mem)                                                                                \
    pthread_mutex_lock(&(mem)->lock);                                                              \
    XB_CLEANUP(unlockp) pthread_mutex_t *held_ = &(mem)->lock;                                     \
    (void)held_

/* Index of the first object whose name is not below `name`. */
static size_t find(const struct mem *mem, const char *name, bool *ret_equal)
{
    size_t low = 0, high = mem->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(mem->objects[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_equal = low < mem->count && strcmp(mem->objects[low].name, name) == 0;
    return low;
}

static int mem_begin(struct xb_store *store, const char *name,
                     const struct xb_store_put_options *options, struct xb_store_upload **ret,
                     struct xb_error *err)
{
    (void)store;
    (void)name;
    struct mem_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    upload->data = (struct xb_buf)XB_BUF_INIT(XB_STORE_GET_BYTES_MAX);
    upload->exclusive = options && options->exclusive;
    *ret = &upload->base;
    return 0;
}

static int mem_write(struct xb_store_upload *upload, const void *data, size_t len,
                     struct xb_error *err)
{
    int r = xb_buf_append(&((struct mem_upload *)upload)->data, data, len, err);
    return r < 0 ? xb_error_wrap(err, "writing %s", upload->name) : 0;
}

static int insert(struct mem *mem, size_t at, const char *name, struct xb_error *err)
{
    if (mem->count == mem->cap) {
        size_t cap = mem->cap ? mem->cap * 2 : 64;
        struct object *grown = reallocarray(mem->objects, cap, sizeof *grown);
        if (!grown) {
            return xb_error_no_memory(err, "a store");
        }
        mem->objects = grown;
        mem->cap = cap;
    }
    char *copy = strdup(name);
    if (!copy) {
        return xb_error_no_memory(err, "a store");
    }
    memmove(mem->objects + at + 1, mem->objects + at, (mem->count - at) * sizeof *mem->objects);
    mem->objects[at] = (struct object){.name = copy};
    mem->count++;
    return 0;
}

static int mem_commit(struct xb_store_upload *base, struct xb_error *err)
{
    struct mem_upload *upload = (struct mem_upload *)base;
    struct mem *mem = (struct mem *)base->store;
    LOCKED(mem);
    bool exists;
    size_t at = find(mem, base->name, &exists);
    if (exists && upload->exclusive) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST, "%s exists already", base->name);
    }
    int r = exists ? 0 : insert(mem, at, base->name, err);
    if (r < 0) {
        return r;
    }
    struct object *object = &mem->objects[at];
    free(object->data);
    object->len = upload->data.len;
    object->data = xb_buf_take(&upload->data);
    object->mtime_ns = xb_clock_wall_ns();
    return 0;
}

static void mem_upload_free(struct xb_store_upload *upload)
{
    xb_buf_free(&((struct mem_upload *)upload)->data);
    free(upload);
}

static int mem_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                   struct xb_buf *out, struct xb_error *err)
{
    struct mem *mem = (struct mem *)store;
    LOCKED(mem);
    bool exists;
    size_t at = find(mem, name, &exists);
    if (!exists) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "%s does not exist", name);
    }
    size_t want;
    int r = xb_store_range(name, mem->objects[at].len, offset, len, &want, err);
    return r < 0 ? r : xb_buf_append(out, mem->objects[at].data + offset, want, err);
}

static int mem_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                    struct xb_error *err)
{
    struct mem *mem = (struct mem *)store;
    LOCKED(mem);
    bool exists;
    size_t at = find(mem, name, &exists);
    if (!exists) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "%s does not exist", name);
    }
    ret->size = mem->objects[at].len;
    ret->mtime_ns = mem->objects[at].mtime_ns;
    return 0;
}

static int mem_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    (void)err;
    struct mem *mem = (struct mem *)store;
    LOCKED(mem);
    bool exists;
    size_t at = find(mem, name, &exists);
    if (exists) {
        free(mem->objects[at].name);
        free(mem->objects[at].data);
        memmove(mem->objects + at, mem->objects + at + 1,
                (mem->count - at - 1) * sizeof *mem->objects);
        mem->count--;
    }
    return 0;
}

/* The first object after `after` (or from `prefix` on when NULL) that starts with prefix. The lock
 * is held for one step only, so that callbacks may use the store. */
static bool step(struct mem *mem, const char *prefix, bool first,
                 char name[XB_STORE_NAME_BYTES_MAX + 1], struct xb_store_item *ret)
{
    LOCKED(mem);
    bool exists;
    size_t at = find(mem, first ? prefix : name, &exists);
    at += exists && !first;
    if (at >= mem->count || strncmp(mem->objects[at].name, prefix, strlen(prefix)) != 0) {
        return false;
    }
    memcpy(name, mem->objects[at].name, strlen(mem->objects[at].name) + 1);
    *ret = (struct xb_store_item){name, mem->objects[at].len, mem->objects[at].mtime_ns};
    return true;
}

static int mem_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
                    struct xb_error *err)
{
    struct mem *mem = (struct mem *)store;
    char name[XB_STORE_NAME_BYTES_MAX + 1];
    struct xb_store_item item;
    int r = 0;
    for (bool first = true; r == 0 && step(mem, prefix, first, name, &item); first = false) {
        r = fn(context, &item, err);
    }
    return r;
}

static int mem_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                            void *context, struct xb_error *err)
{
    struct mem *mem = (struct mem *)store;
    char name[XB_STORE_NAME_BYTES_MAX + 1];
    struct xb_store_item item;
    size_t len = strlen(prefix);
    char last[XB_STORE_NAME_BYTES_MAX + 1] = "";
    int r = 0;
    for (bool first = true; r == 0 && step(mem, prefix, first, name, &item); first = false) {
        char *slash = strchr(name + len, '/');
        if (!slash) {
            continue;
        }
        size_t part = (size_t)(slash - name) - len;
        if (strlen(last) != part || memcmp(last, name + len, part) != 0) {
            memcpy(last, name + len, part);
            last[part] = '\0';
            struct xb_store_item folder = {.name = last};
            r = fn(context, &folder, err);
        }
    }
    return r;
}

static void mem_close(struct xb_store *store)
{
    struct mem *mem = (struct mem *)store;
    for (size_t i = 0; i < mem->count; i++) {
        free(mem->objects[i].name);
        free(mem->objects[i].data);
    }
    free(mem->objects);
    pthread_mutex_destroy(&mem->lock);
    free(mem);
}

static const struct xb_store_driver mem_driver = {
    .begin = mem_begin,
    .write = mem_write,
    .commit = mem_commit,
    .upload_free = mem_upload_free,
    .get = mem_get,
    .stat = mem_stat,
    .remove = mem_remove,
    .list = mem_list,
    .list_folders = mem_list_folders,
    .close = mem_close,
};

int xb_store_mem_open(struct xb_store **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) struct mem *mem = calloc(1, sizeof *mem);
    if (!mem) {
        return xb_error_no_memory(err, "a store");
    }
    int r = xb_store_setup(&mem->base, &mem_driver, false, "memory", err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_init(&mem->lock, NULL);
    struct mem *made = XB_TAKE(mem);
    *ret = &made->base;
    return 0;
}
