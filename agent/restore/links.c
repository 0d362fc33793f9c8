/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/restore/internal.h"
#include "shared/base/fnv.h"

enum { SLOTS = 2 * XB_RESTORE_LINKS_MAX };

struct slot {
    char *id, *path;
    uint64_t window;
    bool failed;
};

struct xb_links {
    pthread_mutex_t lock;
    struct slot *slots; /* made with the first link: most volumes have none */
    size_t count;
};

int xb_links_new(struct xb_links **ret, struct xb_error *err)
{
    struct xb_links *links = calloc(1, sizeof *links);
    if (!links) {
        return xb_error_no_memory(err, "hard links");
    }
    pthread_mutex_init(&links->lock, NULL);
    *ret = links;
    return 0;
}

static struct slot *find_slot(const struct xb_links *links, const char *id)
{
    uint64_t hash = xb_fnv1a(id);
    size_t at = (size_t)(hash ^ hash >> 32) % SLOTS;
    while (links->slots[at].id && strcmp(links->slots[at].id, id) != 0) {
        at = (at + 1) % SLOTS;
    }
    return &links->slots[at];
}

bool xb_links_find(struct xb_links *links, const char *id, struct xb_link_first *ret)
{
    pthread_mutex_lock(&links->lock);
    const struct slot *slot = links->slots ? find_slot(links, id) : NULL;
    bool found = slot && slot->id && !slot->failed;
    if (found) {
        *ret = (struct xb_link_first){slot->path, slot->window};
    }
    pthread_mutex_unlock(&links->lock);
    return found;
}

/* With the lock held. What does not fit is restored as a file of its own. */
static void set_slot(struct xb_links *links, const char *id, const char *path)
{
    if (!links->slots) {
        links->slots = calloc(SLOTS, sizeof *links->slots);
    }
    struct slot *slot = links->slots ? find_slot(links, id) : NULL;
    if (!slot || (!slot->id && links->count == XB_RESTORE_LINKS_MAX)) {
        return;
    }
    struct slot made = {.id = strdup(id), .path = strdup(path), .window = UINT64_MAX};
    if (!made.id || !made.path) {
        free(made.id);
        free(made.path);
        return;
    }
    links->count += !slot->id;
    free(slot->id);
    free(slot->path);
    *slot = made;
}

void xb_links_begin(struct xb_links *links, const char *id, const char *path)
{
    pthread_mutex_lock(&links->lock);
    set_slot(links, id, path);
    pthread_mutex_unlock(&links->lock);
}

static void change(struct xb_links *links, const char *id, const uint64_t *window)
{
    pthread_mutex_lock(&links->lock);
    struct slot *slot = links->slots ? find_slot(links, id) : NULL;
    if (slot && slot->id && window) {
        slot->window = *window;
    } else if (slot && slot->id) {
        slot->failed = true;
    }
    pthread_mutex_unlock(&links->lock);
}

void xb_links_planned(struct xb_links *links, const char *id, uint64_t window)
{
    change(links, id, &window);
}

void xb_links_failed(struct xb_links *links, const char *id)
{
    change(links, id, NULL);
}

void xb_links_free(struct xb_links *links)
{
    if (!links) {
        return;
    }
    for (size_t i = 0; links->slots && i < SLOTS; i++) {
        free(links->slots[i].id);
        free(links->slots[i].path);
    }
    free(links->slots);
    pthread_mutex_destroy(&links->lock);
    free(links);
}
