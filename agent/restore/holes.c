/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/holes.h"

#include <string.h>

enum { BLOCK_BYTES = 4096 };

static bool all_zero(const char *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* The first hole that ends behind the offset. */
static size_t find_hole(const struct xb_entry *entry, uint64_t offset)
{
    size_t low = 0;
    size_t high = entry->hole_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry->holes[middle].offset + entry->holes[middle].len <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t at_most(uint64_t len, size_t most)
{
    return len < most ? (size_t)len : most;
}

static struct xb_holes_run next_piece(const struct xb_entry *entry, bool sparse, uint64_t offset,
                                      const char *data, size_t len)
{
    struct xb_holes_run run = {.len = len};
    size_t i = find_hole(entry, offset);
    if (i < entry->hole_count) {
        const struct xb_hole *hole = &entry->holes[i];
        if (hole->offset > offset) {
            run.len = at_most(hole->offset - offset, len);
        } else {
            run.len = at_most(hole->offset + hole->len - offset, len);
            run.hole = all_zero(data, run.len);
        }
    }
    if (sparse && !run.hole) {
        run.len = at_most(BLOCK_BYTES - offset % BLOCK_BYTES, run.len);
        run.hole = run.len == BLOCK_BYTES && all_zero(data, run.len);
    }
    return run;
}

struct xb_holes_run xb_holes_next(const struct xb_entry *entry, bool sparse, uint64_t offset,
                                  const char *data, size_t len)
{
    struct xb_holes_run run = next_piece(entry, sparse, offset, data, len);
    while (run.len < len) {
        const struct xb_holes_run next =
            next_piece(entry, sparse, offset + run.len, data + run.len, len - run.len);
        if (next.hole != run.hole) {
            break;
        }
        run.len += next.len;
    }
    return run;
}
