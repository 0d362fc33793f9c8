/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze/scan_links.h"

#include <pthread.h>
#include <stdlib.h>

enum { ROOM_MIN = 64 };

/* Open addressing; a free place has no inode. At most half of them are taken. */
struct xb_scan_links {
    pthread_mutex_t lock;
    struct xb_scan_link *items;
    size_t room, count;
};

int xb_scan_links_new(struct xb_scan_links **ret, struct xb_error *err)
{
    struct xb_scan_links *links = calloc(1, sizeof *links);
    if (!links) {
        return xb_error_no_memory(err, "files with several names");
    }
    pthread_mutex_init(&links->lock, NULL);
    *ret = links;
    return 0;
}

void xb_scan_links_free(struct xb_scan_links *links)
{
    if (links) {
        pthread_mutex_destroy(&links->lock);
        free(links->items);
        free(links);
    }
}

void xb_scan_links_lock(struct xb_scan_links *links)
{
    pthread_mutex_lock(&links->lock);
}

void xb_scan_links_unlock(struct xb_scan_links *links)
{
    pthread_mutex_unlock(&links->lock);
}

/* Where it is, or would be. */
static struct xb_scan_link *place_of(struct xb_scan_link *items, size_t room, const struct stat *st)
{
    uint64_t hash = ((uint64_t)st->st_ino ^ (uint64_t)st->st_dev << 32) * 0x9e3779b97f4a7c15U;
    size_t at = (size_t)(hash >> 20) & (room - 1);
    while (items[at].st.st_ino &&
           !(items[at].st.st_ino == st->st_ino && items[at].st.st_dev == st->st_dev)) {
        at = (at + 1) & (room - 1);
    }
    return &items[at];
}

bool xb_scan_links_find(const struct xb_scan_links *links, struct xb_scan_link *link)
{
    const struct xb_scan_link *found =
        links->room ? place_of(links->items, links->room, &link->st) : NULL;
    if (!found || !found->st.st_ino) {
        return false;
    }
    *link = *found;
    return true;
}

static int grow(struct xb_scan_links *links, struct xb_error *err)
{
    size_t room = links->room ? 2 * links->room : ROOM_MIN;
    struct xb_scan_link *items = calloc(room, sizeof *items);
    if (!items) {
        return xb_error_no_memory(err, "files with several names");
    }
    for (size_t i = 0; i < links->room; i++) {
        if (links->items[i].st.st_ino) {
            *place_of(items, room, &links->items[i].st) = links->items[i];
        }
    }
    free(links->items);
    links->items = items;
    links->room = room;
    return 0;
}

int xb_scan_links_add(struct xb_scan_links *links, const struct xb_scan_link *link,
                      struct xb_error *err)
{
    int r = 2 * (links->count + 1) > links->room ? grow(links, err) : 0;
    if (r == 0) {
        *place_of(links->items, links->room, &link->st) = *link;
        links->count++;
    }
    return r;
}
