/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void xb_pending_free(struct xb_pending *pending)
{
    free(pending->entries);
    free(pending->slots);
    xb_names_free(&pending->packs);
    *pending = (struct xb_pending){.count = 0};
}

/* The id is a keyed hash already: its bytes are as good as any hash of them. */
static uint32_t slot_of(const struct xb_content_id *id)
{
    uint32_t value = 0;
    memcpy(&value, id->hash, id->len < sizeof value ? id->len : sizeof value);
    return value ^ (uint32_t)(unsigned char)id->prefix * 0x9e3779b1U;
}

static uint32_t probe(const struct xb_pending *pending, const struct xb_content_id *id)
{
    uint32_t mask = pending->slot_count - 1;
    uint32_t slot = slot_of(id) & mask;
    while (pending->slots[slot] &&
           xb_content_id_compare(&pending->entries[pending->slots[slot] - 1].id, id) != 0) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

struct xb_index_entry *xb_pending_find(const struct xb_pending *pending,
                                       const struct xb_content_id *id)
{
    if (pending->slot_count == 0) {
        return NULL;
    }
    uint32_t found = pending->slots[probe(pending, id)];
    return found ? &pending->entries[found - 1] : NULL;
}

static void fill_slots(struct xb_pending *pending)
{
    for (uint32_t i = 0; i < pending->count; i++) {
        pending->slots[probe(pending, &pending->entries[i].id)] = i + 1;
    }
}

static int grow(struct xb_pending *pending, struct xb_error *err)
{
    uint32_t cap = pending->cap ? 2 * pending->cap : 256;
    struct xb_index_entry *entries = reallocarray(pending->entries, cap, sizeof *entries);
    if (!entries) {
        return xb_error_no_memory(err, "the session's index");
    }
    pending->entries = entries;
    uint32_t *slots = calloc((size_t)2 * cap, sizeof *slots);
    if (!slots) {
        return xb_error_no_memory(err, "the session's index");
    }
    free(pending->slots);
    pending->slots = slots;
    pending->slot_count = 2 * cap;
    pending->cap = cap;
    fill_slots(pending);
    return 0;
}

int xb_pending_add(struct xb_pending *pending, const struct xb_index_entry *entry,
                   struct xb_error *err)
{
    if (pending->count >= XB_PENDING_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many contents since the last flush (%d)",
                            XB_PENDING_MAX);
    }
    if (pending->count == pending->cap) {
        int r = grow(pending, err);
        if (r < 0) {
            return r;
        }
    }
    pending->slots[probe(pending, &entry->id)] = pending->count + 1;
    pending->entries[pending->count++] = *entry;
    return 0;
}

void xb_pending_sort(struct xb_pending *pending)
{
    if (pending->count > 1) {
        xb_index_sort(pending->entries, pending->count);
        memset(pending->slots, 0, pending->slot_count * sizeof *pending->slots);
        fill_slots(pending);
    }
}
