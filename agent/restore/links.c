/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/restore/internal.h"
#include "shared/base/fnv.h"

enum { SLOTS = 2 * XB_RESTORE_LINKS_MAX };

struct slot {
    char *id, *path;
};

struct xb_links {
    struct slot *slots; /* made with the first link: most volumes have none */
    size_t count;
};

int xb_links_new(struct xb_links **ret, struct xb_error *err)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : xb_error_no_memory(err, "hard links");
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

const char *xb_links_find(const struct xb_links *links, const char *id)
{
    return links->slots ? find_slot(links, id)->path : NULL;
}

/* What does not fit is restored as a file of its own. */
void xb_links_add(struct xb_links *links, const char *id, const char *path)
{
    if (!links->slots) {
        links->slots = calloc(SLOTS, sizeof *links->slots);
    }
    if (!links->slots || links->count == XB_RESTORE_LINKS_MAX) {
        return;
    }
    struct slot *slot = find_slot(links, id);
    if (slot->id) {
        return;
    }
    struct slot made = {.id = strdup(id), .path = strdup(path)};
    if (!made.id || !made.path) {
        free(made.id);
        free(made.path);
        return;
    }
    *slot = made;
    links->count++;
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
    free(links);
}
