/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs as such: which there are, how long they are, what their ends say.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/verify_internal.h"

enum { ORPHANS_MAX = 10000, PACKS_MAX = 16 * 1000 * 1000 };

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

struct lost {
    const struct xb_content_view *view;
    int64_t watermark_s;
    uint64_t contents;
};

/* Contents that maintenance has dropped have no entry either, but theirs were written before the
 * watermark. */
static int count_lost(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    (void)err;
    struct lost *lost = context;
    size_t number;
    lost->contents += !info->deleted && !xb_content_view_find(lost->view, &info->id, &number) &&
                      (int64_t)info->timestamp_s > lost->watermark_s;
    return 0;
}

/* Every pack is indexed before its session's marker goes, and deleted when no index names it any
 * more: one without either was named by an index that is lost, or is about to be deleted. */
static int look_at_orphan(struct xb_verify *verify, const struct xb_verify_pack *pack,
                          struct xb_error *err)
{
    struct lost lost = {verify->view, xb_repository_watermark_s(verify->repository), 0};
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_store_item item = {.name = pack->name, .size = pack->size};
    int r = xb_pack_index_read(verify->repository, &item, count_lost, &lost, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return 0; /* deleted meanwhile */
    }
    if (r < 0 && !xb_verify_is_damage(&why)) {
        *err = why;
        return r;
    }
    if (r < 0) {
        return xb_verify_warn(verify, pack->name, err,
                              "no index names this pack, and its own copy of the index cannot be "
                              "read: %s",
                              why.text);
    }
    return lost.contents == 0
               ? 0
               : xb_verify_warn(
                     verify, pack->name, err,
                     "it holds %" PRIu64 " contents that no index names, and no backup "
                     "that is under way writes it: an index blob may have been lost. "
                     "Look for one in a copy of the store, and run no maintenance before",
                     lost.contents);
}

static bool has_marker(const struct xb_verify_packs *sessions, const char *pack)
{
    char session[XB_SESSION_TEXT_BYTES];
    xb_blob_session(pack, session);
    return session[0] && find(sessions, session);
}

int xb_verify_orphans(struct xb_verify *verify, struct xb_error *err)
{
    struct xb_verify_packs sessions = {.items = NULL};
    const struct xb_content_view *view = verify->view;
    size_t named = xb_content_view_pack_count(view), looked_at = 0;
    struct xb_verify_packs known = {.items = calloc(named + 1, sizeof *known.items),
                                    .count = named};
    if (!known.items) {
        return xb_error_no_memory(err, "a list of packs");
    }
    for (size_t i = 0; i < named; i++) {
        union {
            const char *in;
            char *out;
        } name = {.in = xb_content_view_pack(view, (uint32_t)i)}; /* lent */
        known.items[i].name = name.out;
    }
    if (named > 1) {
        qsort(known.items, named, sizeof *known.items, by_name);
    }
    int r = xb_repository_list_sessions(verify->repository, collect_pack, &sessions, err);
    if (sessions.count > 1) {
        qsort(sessions.items, sessions.count, sizeof *sessions.items, by_name);
    }
    for (size_t i = 0; r == 0 && i < verify->packs.count && looked_at < ORPHANS_MAX; i++) {
        const struct xb_verify_pack *pack = &verify->packs.items[i];
        if (!find(&known, pack->name) && !has_marker(&sessions, pack->name)) {
            looked_at++;
            r = xb_verify_tick(verify, err);
            if (r == 0) {
                r = look_at_orphan(verify, pack, err);
            }
        }
    }
    free(known.items);
    xb_verify_packs_free(&sessions);
    return r;
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
