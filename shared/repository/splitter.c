/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/splitter.h"

#include <errno.h>
#include <string.h>

enum { WINDOW = XB_SPLITTER_WINDOW };

/* "128K" to "8M"; 0 for anything else. */
static uint32_t parse_size(const char *text, size_t len)
{
    static const char *const names[] = {"128K", "256K", "512K", "1M", "2M", "4M", "8M"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == len && memcmp(text, names[i], len) == 0) {
            return UINT32_C(131072) << i;
        }
    }
    return 0;
}

int xb_splitter_parse(const char *name, struct xb_splitter *ret, struct xb_error *err)
{
    const char *use = strcmp(name, "DYNAMIC") == 0 ? "DYNAMIC-4M-BUZHASH"
                      : strcmp(name, "FIXED") == 0 ? "FIXED-4M"
                                                   : name;
    uint32_t size = 0;
    const char *tail = strrchr(use, '-');
    if (strncmp(use, "FIXED-", 6) == 0) {
        size = parse_size(use + 6, strlen(use + 6));
        if (size) {
            *ret = (struct xb_splitter){.min = size, .max = size};
            return 0;
        }
    } else if (strncmp(use, "DYNAMIC-", 8) == 0 && tail > use + 8) {
        bool rabin_karp = strcmp(tail, "-RABINKARP") == 0;
        size = parse_size(use + 8, (size_t)(tail - use - 8));
        if (size && (rabin_karp || strcmp(tail, "-BUZHASH") == 0)) {
            *ret = (struct xb_splitter){
                .min = size / 2, .max = 2 * size, .mask = size - 1, .rabin_karp = rabin_karp};
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                        "splitter %.60s is unknown (known: FIXED-n, DYNAMIC-n-BUZHASH and "
                        "DYNAMIC-n-RABINKARP for n from 128K to 8M)",
                        name);
}

static size_t find(const struct xb_splitter *splitter, const unsigned char *window, size_t count)
{
    return splitter->rabin_karp ? xb_rabin_karp_find(splitter->mask, window, count)
                                : xb_buzhash_find(splitter->mask, window, count);
}

/* Tests the ends of the windows that begin before the block, and then of those within it. A chunk
 * of n bytes is tested from n = min on: then all its windows lie within it. */
static size_t find_cut(const struct xb_splitter *splitter, const struct xb_splitter_state *state,
                       const unsigned char *block, size_t len)
{
    size_t before = state->scanned;
    size_t first = before + 1 > splitter->min ? 1 : splitter->min - before;
    size_t across_end = len < WINDOW ? len + 1 : WINDOW; /* so many bytes of the block are inside */
    if (first < across_end) {
        unsigned char across[2 * WINDOW];
        memcpy(across, state->last, WINDOW);
        memcpy(across + WINDOW, block, across_end - 1);
        size_t at = find(splitter, across + first, across_end - first);
        if (at) {
            return first + at - 1;
        }
        first = across_end;
    }
    if (first > len) {
        return 0;
    }
    size_t at = find(splitter, block + first - WINDOW, len - first + 1);
    return at ? first + at - 1 : 0;
}

static void remember(struct xb_splitter_state *state, const unsigned char *block, size_t len)
{
    state->scanned += len;
    if (len >= WINDOW) {
        memcpy(state->last, block + len - WINDOW, WINDOW);
    } else {
        memmove(state->last, state->last + len, WINDOW - len);
        memcpy(state->last + WINDOW - len, block, len);
    }
}

size_t xb_splitter_feed(const struct xb_splitter *splitter, struct xb_splitter_state *state,
                        const unsigned char *block, size_t len)
{
    size_t room = splitter->max - state->scanned;
    size_t limit = len < room ? len : room;
    size_t cut = splitter->mask ? find_cut(splitter, state, block, limit) : 0;
    if (!cut && limit == room) {
        cut = room;
    }
    if (cut) {
        *state = (struct xb_splitter_state){.scanned = 0};
    } else if (limit > 0) {
        remember(state, block, limit);
    }
    return cut;
}
