/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs as such: which there are, how long they are, what their ends say.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/verify_internal.h"

enum { PACKS_MAX = 16 * 1000 * 1000 };

/* ---- the list ---- */

static int collect_pack(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct xb_verify_packs *packs = context;
    if (packs->count == PACKS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d packs", PACKS_MAX);
    }
    if (packs->count == packs->cap) {
        size_t cap = packs->cap ? 2 * packs->cap : 256;
        struct xb_verify_pack *items = reallocarray(packs->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "a list of packs");
        }
        packs->items = items;
        packs->cap = cap;
    }
    struct xb_verify_pack *pack = &packs->items[packs->count];
    *pack = (struct xb_verify_pack){.name = strdup(item->name), .size = item->size};
    if (!pack->name) {
        return xb_error_no_memory(err, "a list of packs");
    }
    packs->count++;
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct xb_verify_pack *a = left;
    const struct xb_verify_pack *b = right;
    return strcmp(a->name, b->name);
}

static const struct xb_verify_pack *find(const struct xb_verify_packs *packs, const char *name)
{
    size_t low = 0, high = packs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(packs->items[middle].name, name);
        if (order == 0) {
            return &packs->items[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

int xb_verify_list_packs(struct xb_verify *verify, const struct xb_content_view *view,
                         struct xb_verify_packs *ret, struct xb_error *err)
{
    struct xb_verify_packs packs = {.items = NULL};
    size_t count = xb_content_view_pack_count(view);
    int r = xb_repository_list_packs(verify->repository, collect_pack, &packs, err);
    packs.sizes = calloc(count + 1, sizeof *packs.sizes);
    if (r == 0 && !packs.sizes) {
        r = xb_error_no_memory(err, "a list of packs");
    }
    if (r < 0) {
        xb_verify_packs_free(&packs);
        return r;
    }
    if (packs.count > 1) {
        qsort(packs.items, packs.count, sizeof *packs.items, by_name);
    }
    for (size_t i = 0; i < count; i++) {
        const struct xb_verify_pack *found = find(&packs, xb_content_view_pack(view, (uint32_t)i));
        packs.sizes[i] = found ? found->size : UINT64_MAX;
    }
    *ret = packs;
    return 0;
}

void xb_verify_packs_free(struct xb_verify_packs *packs)
{
    for (size_t i = 0; i < packs->count; i++) {
        free(packs->items[i].name);
    }
    free(packs->items);
    free(packs->sizes);
    *packs = (struct xb_verify_packs){.items = NULL};
}

int xb_verify_spot(const struct xb_content_view *view, const struct xb_verify_packs *packs,
                   size_t content, struct xb_error *err)
{
    struct xb_content_spot spot;
    xb_content_view_spot(view, content, &spot);
    uint64_t size = packs->sizes[spot.pack];
    uint64_t end = spot.offset + spot.packed_bytes;
    if (size == UINT64_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -ENOENT, "pack %s is missing from the store",
                            xb_content_view_pack(view, spot.pack));
    }
    return end <= size ? 0
                       : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                      "pack %s is cut short: it has %" PRIu64
                                      " bytes, a content ends at %" PRIu64,
                                      xb_content_view_pack(view, spot.pack), size, end);
}

/* ---- packs that no index names ---- */

static int warn_orphan(void *context, const struct xb_orphan *orphan, struct xb_error *err)
{
    struct xb_verify *verify = context;
    int r = xb_verify_tick(verify, err);
    if (r < 0) {
        return r;
    }
    return orphan->why
               ? xb_verify_warn(verify, orphan->name, err,
                                "no index names this pack, and its own copy of the index cannot be "
                                "read: %s",
                                orphan->why)
               : xb_verify_warn(verify, orphan->name, err,
                                "it holds %" PRIu64 " contents that no index names, and no backup "
                                "that is under way writes it: an index blob has been lost. Run no "
                                "maintenance before xebec repository recover has brought them back",
                                orphan->contents);
}

int xb_verify_orphans(struct xb_verify *verify, struct xb_error *err)
{
    return xb_repository_orphans(verify->repository, false, warn_orphan, verify, err);
}

/* ---- their ends ---- */

static int nothing(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    (void)context;
    (void)info;
    (void)err;
    return 0;
}

/* No file needs the end of a pack, as long as the index is there. */
static int check_end(struct xb_verify *verify, const char *name, uint64_t size,
                     struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_store_item item = {.name = name, .size = size};
    int r = xb_pack_index_read(verify->repository, &item, nothing, NULL, &why);
    if (r == 0 || why.kind == XB_ERR_NOT_FOUND) {
        return 0;
    }
    if (!xb_verify_is_damage(&why)) {
        *err = why;
        return r;
    }
    return xb_verify_warn(verify, name, err,
                          "its own copy of the index cannot be read (%s): nothing is missing, but "
                          "it could not help if an index blob was lost",
                          why.text);
}

static void check_ends(void *context)
{
    struct xb_verify *verify = context;
    size_t count = xb_content_view_pack_count(verify->view);
    for (size_t i; (i = atomic_fetch_add(&verify->next, 1)) < count;) {
        struct xb_error why = XB_ERROR_INIT;
        int r = xb_verify_tick(verify, &why);
        if (r == 0 && verify->packs.sizes[i] != UINT64_MAX) {
            r = check_end(verify, xb_content_view_pack(verify->view, (uint32_t)i),
                          verify->packs.sizes[i], &why);
        }
        if (r < 0) {
            xb_verify_fail(verify, &why);
            return;
        }
    }
}

int xb_verify_pack_ends(struct xb_verify *verify, struct xb_error *err)
{
    atomic_store(&verify->next, 0);
    return xb_verify_crew(verify, check_ends, err);
}
