/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/objects.h"

#include <errno.h>
#include <search.h>
#include <string.h>

#include "shared/kube/informer.h"

/* In a tree for lookups and in a list for walking. The list is ordered by the last stamp: what was
 * stamped last is at its end, so the oldest is always the first. */
struct item {
    struct item *next, *before;
    xb_json *object;
    uint64_t round;
    char key[];
};

struct xb_kube_objects {
    void *tree;
    struct item *first, *last;
    size_t count, max;
};

static int compare(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    return strcmp(x->key, y->key);
}

int xb_kube_objects_new(size_t max, struct xb_kube_objects **ret, struct xb_error *err)
{
    struct xb_kube_objects *objects = calloc(1, sizeof *objects);
    if (!objects) {
        return xb_error_no_memory(err, "a cache");
    }
    objects->max = max;
    *ret = objects;
    return 0;
}

static void unlist(struct xb_kube_objects *objects, struct item *item)
{
    if (item->before) {
        item->before->next = item->next;
    } else {
        objects->first = item->next;
    }
    if (item->next) {
        item->next->before = item->before;
    } else {
        objects->last = item->before;
    }
}

static void list_last(struct xb_kube_objects *objects, struct item *item)
{
    item->next = NULL;
    item->before = objects->last;
    if (objects->last) {
        objects->last->next = item;
    } else {
        objects->first = item;
    }
    objects->last = item;
}

static void drop(struct xb_kube_objects *objects, struct item *item)
{
    tdelete(item, &objects->tree, compare);
    unlist(objects, item);
    objects->count--;
    json_object_put(item->object);
    free(item);
}

void xb_kube_objects_free(struct xb_kube_objects *objects)
{
    while (objects && objects->first) {
        drop(objects, objects->first);
    }
    free(objects);
}

size_t xb_kube_objects_count(const struct xb_kube_objects *objects)
{
    return objects->count;
}

/* tsearch wants an item to compare with. */
static struct item *new_item(const char *key)
{
    size_t len = strlen(key);
    struct item *item = calloc(1, sizeof *item + len + 1);
    if (item) {
        memcpy(item->key, key, len + 1);
    }
    return item;
}

static int compare_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct item *)item)->key);
}

/* tfind hands our pointer to compare as its first argument, so a plain key will do. */
static struct item *find(const struct xb_kube_objects *objects, const char *key)
{
    void *const *at = tfind(key, &objects->tree, compare_key);
    return at ? *at : NULL;
}

xb_json *xb_kube_objects_get(const struct xb_kube_objects *objects, const char *key)
{
    struct item *item = find(objects, key);
    return item ? item->object : NULL;
}

static bool same_version(xb_json *a, xb_json *b)
{
    const char *x = xb_json_str(a, "metadata.resourceVersion", "");
    const char *y = xb_json_str(b, "metadata.resourceVersion", "");
    return *x && strcmp(x, y) == 0;
}

int xb_kube_objects_put(struct xb_kube_objects *objects, const char *key, xb_json *object,
                        uint64_t round, struct xb_error *err)
{
    struct item *item = find(objects, key);
    if (item) {
        bool same = same_version(item->object, object);
        item->round = round;
        unlist(objects, item);
        list_last(objects, item);
        json_object_get(object);
        json_object_put(item->object);
        item->object = object;
        return same ? 0 : 1;
    }
    if (objects->count >= objects->max) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %zu objects to cache",
                            objects->max);
    }
    item = new_item(key);
    if (!item || !tsearch(item, &objects->tree, compare)) {
        free(item);
        return xb_error_no_memory(err, "a cached object");
    }
    item->round = round;
    item->object = json_object_get(object);
    list_last(objects, item);
    objects->count++;
    return 1;
}

bool xb_kube_objects_remove(struct xb_kube_objects *objects, const char *key)
{
    struct item *item = find(objects, key);
    if (item) {
        drop(objects, item);
    }
    return item != NULL;
}

char *xb_kube_objects_remove_old(struct xb_kube_objects *objects, uint64_t round)
{
    struct item *item = objects->first;
    if (!item || item->round == round) {
        return NULL;
    }
    char *key = strdup(item->key);
    drop(objects, item);
    return key;
}

void xb_kube_objects_each(const struct xb_kube_objects *objects,
                          bool (*fn)(void *context, const char *key, xb_json *object),
                          void *context)
{
    struct item *next = NULL;
    for (struct item *item = objects->first; item; item = next) {
        next = item->next;
        if (!fn(context, item->key, item->object)) {
            return;
        }
    }
}

void xb_kube_trim_managed_fields(void *context, xb_json *object)
{
    (void)context;
    xb_json *metadata = xb_json_get(object, "metadata");
    if (metadata) {
        json_object_object_del(metadata, "managedFields");
    }
}
