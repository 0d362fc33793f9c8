/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/text_hash.h"
#include "coordinator/record/tarball.h"
#include "shared/crypto/hash.h"

enum { SEEN_MAX = XB_TARBALL_ITEMS_MAX, SLOTS_MIN = 1024 };

static size_t slot_of(const struct xb_seen *seen, uint64_t key)
{
    size_t at = (size_t)key & (seen->cap - 1);
    while (seen->slots[at] && seen->slots[at] != key) {
        at = (at + 1) & (seen->cap - 1);
    }
    return at;
}

/* At most half of the slots are taken. */
static int grow(struct xb_seen *seen, struct xb_error *err)
{
    if (2 * (seen->count + 1) <= seen->cap) {
        return 0;
    }
    struct xb_seen grown = *seen;
    grown.cap = seen->cap ? 2 * seen->cap : SLOTS_MIN;
    if (grown.cap > 4 * (size_t)SEEN_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many items");
    }
    grown.slots = calloc(grown.cap, sizeof *grown.slots);
    if (!grown.slots) {
        return xb_error_no_memory(err, "what was collected");
    }
    for (size_t i = 0; i < seen->cap; i++) {
        if (seen->slots[i]) {
            grown.slots[slot_of(&grown, seen->slots[i])] = seen->slots[i];
        }
    }
    free(seen->slots);
    *seen = grown;
    return 0;
}

int xb_seen_add(struct xb_seen *seen, const char *text, bool *ret_new, struct xb_error *err)
{
    uint64_t key = 0;
    int r = xb_text_hash(&seen->hash, text, &key, err);
    if (r < 0 || (r = grow(seen, err)) < 0) {
        return r;
    }
    size_t at = slot_of(seen, key);
    *ret_new = seen->slots[at] == 0;
    seen->count += *ret_new;
    seen->slots[at] = key;
    return 0;
}

bool xb_seen_has(const struct xb_seen *seen, const char *text)
{
    uint64_t key = 0;
    struct xb_hash *hash = seen->hash; /* there is one, if there is a slot */
    struct xb_error ignored = XB_ERROR_INIT;
    return seen->cap && xb_text_hash(&hash, text, &key, &ignored) == 0 &&
           seen->slots[slot_of(seen, key)] != 0;
}

void xb_seen_free(struct xb_seen *seen)
{
    free(seen->slots);
    xb_hash_free(seen->hash);
    *seen = (struct xb_seen){.slots = NULL};
}
