/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/restore/internal.h"
#include "shared/base/fnv.h"
#include "shared/base/scratch.h"

enum { FIRST_SLOTS = 1024, MEMORY_BYTES = 1024 * 1024 };

/* The first name is not planned yet, or could not be made. */
#define WINDOW_NONE UINT32_MAX
#define WINDOW_FAILED (UINT32_MAX - 1)

struct slot {
    uint32_t tag; /* of the id's hash */
    uint32_t window;
    uint64_t record; /* where in the scratch, and one; 0: free */
};

/* What stands in the scratch: this, the id, the path; both with their NUL. */
struct record {
    uint32_t id_bytes, path_bytes;
};

struct xb_links {
    pthread_mutex_t lock;
    struct xb_scratch *records; /* both made with the first link: most volumes have none */
    struct slot *slots;
    size_t slot_count, count;
    char *text; /* of the record read last */
    size_t text_cap;
    char *path; /* handed out */
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

/* The path of the record if it is this id's; valid until the next record is read. */
static const char *read_record(struct xb_links *links, uint64_t at, const char *id)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct record record;
    if (xb_scratch_read(links->records, at, &record, sizeof record, &ignored) < 0) {
        return NULL;
    }
    size_t bytes = (size_t)record.id_bytes + record.path_bytes;
    if (bytes > links->text_cap) {
        char *text = realloc(links->text, bytes);
        if (!text) {
            return NULL;
        }
        links->text = text;
        links->text_cap = bytes;
    }
    return xb_scratch_read(links->records, at + sizeof record, links->text, bytes, &ignored) == 0 &&
                   strcmp(links->text, id) == 0
               ? links->text + record.id_bytes
               : NULL;
}

static uint32_t tag_of(const char *id)
{
    uint64_t hash = xb_fnv1a(id);
    return (uint32_t)(hash ^ hash >> 32);
}

/* The slot of that id, or a free one; *ret_path: NULL if it is free. What cannot be read counts as
 * another one's. */
static struct slot *find_slot(struct xb_links *links, const char *id, const char **ret_path)
{
    const uint32_t tag = tag_of(id);
    size_t at = tag & (links->slot_count - 1);
    *ret_path = NULL;
    while (links->slots[at].record) {
        const struct slot *slot = &links->slots[at];
        if (slot->tag == tag && (*ret_path = read_record(links, slot->record - 1, id)) != NULL) {
            break;
        }
        at = (at + 1) & (links->slot_count - 1);
    }
    return &links->slots[at];
}

bool xb_links_find(struct xb_links *links, const char *id, struct xb_link_first *ret)
{
    const char *path = NULL;
    pthread_mutex_lock(&links->lock);
    const struct slot *slot = links->slots ? find_slot(links, id, &path) : NULL;
    bool found = path && slot->window != WINDOW_FAILED;
    char *copy = found ? strdup(path) : NULL;
    if (copy) {
        free(links->path);
        links->path = copy;
        *ret = (struct xb_link_first){copy, slot->window == WINDOW_NONE ? UINT64_MAX
                                                                        : (uint64_t)slot->window};
    }
    pthread_mutex_unlock(&links->lock);
    return copy != NULL;
}

/* With the lock held: as many slots again, or the first ones. */
static bool grow(struct xb_links *links)
{
    struct xb_error ignored = XB_ERROR_INIT;
    size_t count = links->slot_count ? 2 * links->slot_count : FIRST_SLOTS;
    if (!links->records &&
        xb_scratch_new("hard links", MEMORY_BYTES, &links->records, &ignored) < 0) {
        return false;
    }
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < links->slot_count; i++) {
        const struct slot *slot = &links->slots[i];
        size_t at = slot->tag & (count - 1);
        while (slot->record && slots[at].record) {
            at = (at + 1) & (count - 1);
        }
        if (slot->record) {
            slots[at] = *slot;
        }
    }
    free(links->slots);
    links->slots = slots;
    links->slot_count = count;
    return true;
}

static bool append_record(struct xb_links *links, const char *id, const char *path)
{
    struct xb_error ignored = XB_ERROR_INIT;
    const size_t id_bytes = strlen(id) + 1;
    const size_t path_bytes = strlen(path) + 1;
    const struct record record = {(uint32_t)id_bytes, (uint32_t)path_bytes};
    return id_bytes <= XB_MANIFEST_BYTES_MAX && path_bytes <= XB_MANIFEST_BYTES_MAX &&
           xb_scratch_append(links->records, &record, sizeof record, &ignored) == 0 &&
           xb_scratch_append(links->records, id, id_bytes, &ignored) == 0 &&
           xb_scratch_append(links->records, path, path_bytes, &ignored) == 0;
}

/* What does not fit is restored as a file of its own. */
void xb_links_begin(struct xb_links *links, const char *id, const char *path)
{
    const char *old = NULL;
    pthread_mutex_lock(&links->lock);
    bool room =
        links->count < links->slot_count / 2 || grow(links) || links->count + 1 < links->slot_count;
    struct slot *slot = room ? find_slot(links, id, &old) : NULL;
    uint64_t at = links->records ? xb_scratch_length(links->records) : 0;
    if (slot && (old || links->count < XB_RESTORE_LINKS_MAX) && append_record(links, id, path)) {
        links->count += !old;
        *slot = (struct slot){.tag = tag_of(id), .window = WINDOW_NONE, .record = at + 1};
    }
    pthread_mutex_unlock(&links->lock);
}

static void change(struct xb_links *links, const char *id, uint32_t window)
{
    const char *path = NULL;
    pthread_mutex_lock(&links->lock);
    struct slot *slot = links->slots ? find_slot(links, id, &path) : NULL;
    if (path && slot->window != WINDOW_FAILED) { /* that may be known before it is all planned */
        slot->window = window;
    }
    pthread_mutex_unlock(&links->lock);
}

void xb_links_planned(struct xb_links *links, const char *id, uint64_t window)
{
    change(links, id, window < WINDOW_FAILED ? (uint32_t)window : WINDOW_NONE);
}

void xb_links_failed(struct xb_links *links, const char *id)
{
    change(links, id, WINDOW_FAILED);
}

void xb_links_free(struct xb_links *links)
{
    if (!links) {
        return;
    }
    xb_scratch_free(links->records);
    free(links->slots);
    free(links->text);
    free(links->path);
    pthread_mutex_destroy(&links->lock);
    free(links);
}
