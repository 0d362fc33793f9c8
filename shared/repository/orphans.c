/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs that no index names: the sign of an index blob that is lost, and the way to make it again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/recovery.h"
#include "shared/repository/state.h"
#include "shared/repository/view.h"

enum { PACKS_MAX = 16 * 1000 * 1000 };

struct blob {
    char *name;
    uint64_t size;
};

struct blobs {
    struct blob *items;
    size_t count, cap;
};

static void blobs_free(struct blobs *blobs)
{
    for (size_t i = 0; i < blobs->count; i++) {
        free(blobs->items[i].name);
    }
    free(blobs->items);
}

static int add_blob(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct blobs *blobs = context;
    if (blobs->count == PACKS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d packs", PACKS_MAX);
    }
    if (blobs->count == blobs->cap) {
        size_t cap = blobs->cap ? 2 * blobs->cap : 256;
        struct blob *items = reallocarray(blobs->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "a list of packs");
        }
        blobs->items = items;
        blobs->cap = cap;
    }
    char *name = strdup(item->name);
    if (!name) {
        return xb_error_no_memory(err, "a list of packs");
    }
    blobs->items[blobs->count++] = (struct blob){name, item->size};
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct blob *a = left;
    const struct blob *b = right;
    return strcmp(a->name, b->name);
}

static void sort(struct blobs *blobs)
{
    if (blobs->count > 1) {
        qsort(blobs->items, blobs->count, sizeof *blobs->items, by_name);
    }
}

static bool has(const struct blobs *blobs, char *name)
{
    const struct blob want = {.name = name};
    return blobs->count &&
           bsearch(&want, blobs->items, blobs->count, sizeof *blobs->items, by_name);
}

struct search {
    struct xb_repository *repository;
    struct blobs packs, sessions;
    struct xb_content_view *view;
    int64_t watermark_s;
    bool adopt;
    struct xb_orphan orphan; /* the one in hand */
};

/* In this order: a session's marker goes after its index blob has come, so that a pack that was
 * seen first has a marker, or an index, or is an orphan. */
static int look(struct search *search, struct xb_error *err)
{
    struct xb_repository *repository = search->repository;
    int r = xb_repository_list_packs(repository, add_blob, &search->packs, err);
    if (r < 0 ||
        (r = xb_repository_list_sessions(repository, add_blob, &search->sessions, err)) < 0 ||
        (r = xb_repository_refresh(repository, err)) < 0 ||
        (r = xb_content_view_open(repository, &search->view, err)) < 0) {
        return r;
    }
    sort(&search->sessions);
    search->watermark_s = xb_repository_watermark_s(repository);
    return 0;
}

/* Contents that maintenance has dropped have no entry either, but theirs were written before the
 * watermark. */
static int look_at_content(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct search *search = context;
    size_t number = 0;
    bool added = false;
    if (info->deleted || (int64_t)info->timestamp_s <= search->watermark_s ||
        strcmp(info->pack, search->orphan.name) != 0 ||
        info->pack_offset + info->packed_bytes > search->orphan.size ||
        xb_content_view_find(search->view, &info->id, &number)) {
        return 0;
    }
    int r = search->adopt ? xb_content_adopt(search->repository, info, &added, err) : 0;
    if (r == 0 && (added || !search->adopt)) {
        search->orphan.contents++;
        search->orphan.bytes += info->packed_bytes;
    }
    return r;
}

static int look_at_pack(struct search *search, const struct blob *pack, xb_orphan_fn *fn,
                        void *context, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_store_item item = {.name = pack->name, .size = pack->size};
    search->orphan = (struct xb_orphan){.name = pack->name, .size = pack->size};
    int r = xb_pack_index_read(search->repository, &item, look_at_content, search, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return 0; /* deleted meanwhile */
    }
    if (r < 0 && why.kind != XB_ERR_CORRUPT) {
        *err = why;
        return r;
    }
    search->orphan.why = r < 0 ? why.text : NULL;
    return r < 0 || search->orphan.contents ? fn(context, &search->orphan, err) : 0;
}

static int search_all(struct search *search, xb_orphan_fn *fn, void *context, struct xb_error *err)
{
    int r = look(search, err);
    for (size_t i = 0; r == 0 && i < search->packs.count; i++) {
        char session[XB_SESSION_TEXT_BYTES];
        const struct blob *pack = &search->packs.items[i];
        xb_blob_session(pack->name, session);
        if (!xb_content_view_names_pack(search->view, pack->name) &&
            !has(&search->sessions, session)) {
            r = look_at_pack(search, pack, fn, context, err);
        }
        if (r == 0 && search->adopt) { /* what was found so far does not pile up */
            r = xb_repository_flush_if_due(search->repository, XB_FLUSH_AGE_NS_MAX, err);
        }
    }
    return r;
}

int xb_repository_orphans(struct xb_repository *repository, bool adopt, xb_orphan_fn *fn,
                          void *context, struct xb_error *err)
{
    struct search search = {.repository = repository, .adopt = adopt};
    int r = search_all(&search, fn, context, err);
    blobs_free(&search.packs);
    blobs_free(&search.sessions);
    xb_content_view_free(search.view);
    return r;
}
