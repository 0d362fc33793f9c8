/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fnv.h"

enum { SLOTS_MIN = 64 };

/* The slot of that name, or the free one where it belongs. */
static size_t find_slot(const struct xb_claims *claims, const char *namespace, const char *name)
{
    uint64_t hash = xb_fnv1a(name) ^ xb_fnv1a(namespace) * 31;
    size_t at = (size_t)(hash ^ hash >> 31) & (claims->slot_count - 1);
    for (; claims->slots[at]; at = (at + 1) & (claims->slot_count - 1)) {
        const struct xb_claim *claim = &claims->items[claims->slots[at] - 1];
        if (strcmp(claim->name, name) == 0 && strcmp(claim->namespace, namespace) == 0) {
            break;
        }
    }
    return at;
}

/* At most half of the slots are taken. */
static int grow_slots(struct xb_claims *claims, struct xb_error *err)
{
    if (2 * (claims->count + 1) <= claims->slot_count) {
        return 0;
    }
    size_t count = claims->slot_count ? 2 * claims->slot_count : SLOTS_MIN;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) {
        return xb_error_no_memory(err, "the claims");
    }
    free(claims->slots);
    claims->slots = slots;
    claims->slot_count = count;
    for (size_t i = 0; i < claims->count; i++) {
        const struct xb_claim *claim = &claims->items[i];
        claims->slots[find_slot(claims, claim->namespace, claim->name)] = (uint32_t)(i + 1);
    }
    return 0;
}

static int add(struct xb_claims *claims, const char *namespace, const char *name,
               struct xb_error *err)
{
    if (claims->count == claims->cap) {
        size_t cap = claims->cap ? 2 * claims->cap : SLOTS_MIN;
        struct xb_claim *items = reallocarray(claims->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "the claims");
        }
        claims->items = items;
        claims->cap = cap;
    }
    struct xb_claim claim = {.namespace = strdup(namespace), .name = strdup(name)};
    if (!claim.namespace || !claim.name) {
        free(claim.namespace);
        free(claim.name);
        return xb_error_no_memory(err, "the claims");
    }
    claims->items[claims->count++] = claim;
    return 0;
}

int xb_claims_get(struct xb_claims *claims, const char *namespace, const char *name,
                  struct xb_claim **ret, struct xb_error *err)
{
    int r = grow_slots(claims, err);
    if (r < 0) {
        return r;
    }
    size_t slot = find_slot(claims, namespace, name);
    if (!claims->slots[slot]) {
        if (claims->count == XB_CLAIMS_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d claims", XB_CLAIMS_MAX);
        }
        if ((r = add(claims, namespace, name, err)) < 0) {
            return r;
        }
        claims->slots[slot] = (uint32_t)claims->count;
    }
    *ret = &claims->items[claims->slots[slot] - 1];
    return 0;
}

void xb_claims_free(struct xb_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        free(claims->items[i].namespace);
        free(claims->items[i].name);
        free(claims->items[i].taken_by);
    }
    free(claims->items);
    free(claims->slots);
    *claims = (struct xb_claims){.count = 0};
}
