/* SPDX-License-Identifier: Apache-2.0
 *
 * index_heap.h - many sorted runs of records, looked at as one.
 *
 * What for:  the inner loop of index_merge.c.
 * Ownership: cursors and records are the caller's.
 * Threads:   none shared.    Blocking: as reading the records is.
 */
#pragma once

#include <endian.h>

#include "shared/repository/index_record.h"

/* Sorted records, whose packs get other numbers: from `keep` on those in `packs`. */
struct xb_index_cursor {
    uint64_t head; /* the first bytes of the key at `at`, as a number: most often they decide */
    const unsigned char *at, *end;
    const uint32_t *packs;
    uint32_t keep;
};

/* Cursors that are not at their end, the one with the least key first. */
struct xb_index_heap {
    struct xb_index_cursor **items;
    size_t count, key_bytes;
};

static inline uint64_t xb_index_key_head(const unsigned char *key)
{
    uint64_t head;
    memcpy(&head, key, sizeof head); /* a record is longer than that, whatever its key is */
    return be64toh(head);
}

/* Heads of short keys hold bytes that are not of the key: then the keys decide. */
static inline bool xb_index_cursor_less(const struct xb_index_cursor *a,
                                        const struct xb_index_cursor *b, size_t key_bytes)
{
    if (a->head != b->head && key_bytes >= sizeof a->head) {
        return a->head < b->head;
    }
    return memcmp(a->at, b->at, key_bytes) < 0;
}

static inline void xb_index_heap_sift(struct xb_index_heap *heap, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap->count; child++) {
            if (xb_index_cursor_less(heap->items[child], heap->items[least], heap->key_bytes)) {
                least = child;
            }
        }
        if (least == i) {
            return;
        }
        struct xb_index_cursor *swap = heap->items[i];
        heap->items[i] = heap->items[least];
        heap->items[least] = swap;
        i = least;
    }
}

/* None of the cursors is at its end; items has room for all. */
static inline void xb_index_heap_fill(struct xb_index_heap *heap, struct xb_index_cursor *cursors,
                                      size_t count)
{
    heap->count = count;
    for (size_t i = 0; i < count; i++) {
        heap->items[i] = &cursors[i];
    }
    for (size_t i = count / 2; i > 0; i--) {
        xb_index_heap_sift(heap, i - 1);
    }
}

/* Goes on behind the least record. */
static inline void xb_index_heap_advance(struct xb_index_heap *heap, size_t stride)
{
    struct xb_index_cursor *cursor = heap->items[0];
    cursor->at += stride;
    if (cursor->at == cursor->end) {
        heap->items[0] = heap->items[--heap->count];
    } else {
        cursor->head = xb_index_key_head(cursor->at);
    }
    xb_index_heap_sift(heap, 0);
}
