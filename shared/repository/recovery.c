/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/state.h"

enum {
    TAIL_READ_BYTES = 16 * 1024, /* as a rule the whole index of a pack is in it */
    PACK_INDEX_BYTES_MAX = 256 * 1024 * 1024
};

/* ---- losses ---- */

void xb_losses_free(struct xb_losses *losses)
{
    for (size_t i = 0; i < losses->kept; i++) {
        free(losses->names[i]);
        free(losses->whys[i]);
    }
    free(losses->names);
    free(losses->whys);
    *losses = (struct xb_losses){.count = 0};
}

static bool is_known(const struct xb_losses *losses, const char *name)
{
    for (size_t i = 0; i < losses->kept; i++) {
        if (strcmp(losses->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int keep(struct xb_losses *losses, const char *name, const char *why, struct xb_error *err)
{
    losses->count++;
    if (losses->kept == XB_LOSSES_MAX) {
        return 0;
    }
    if (!losses->names) {
        losses->names = calloc(XB_LOSSES_MAX, sizeof *losses->names);
        losses->whys = calloc(XB_LOSSES_MAX, sizeof *losses->whys);
    }
    XB_CLEANUP(xb_freep) char *name_copy = strdup(name);
    XB_CLEANUP(xb_freep) char *why_copy = strdup(why);
    if (!losses->names || !losses->whys || !name_copy || !why_copy) {
        return xb_error_no_memory(err, "a list of what is damaged");
    }
    losses->names[losses->kept] = XB_TAKE(name_copy);
    losses->whys[losses->kept++] = XB_TAKE(why_copy);
    return 0;
}

int xb_repository_tolerate(struct xb_repository *repository, const char *name,
                           const struct xb_error *why, struct xb_error *err)
{
    if (!repository->tolerate_damage || why->kind != XB_ERR_CORRUPT) {
        *err = *why;
        return err->code;
    }
    pthread_mutex_lock(&repository->lock);
    int r =
        is_known(&repository->losses, name) ? 0 : keep(&repository->losses, name, why->text, err);
    pthread_mutex_unlock(&repository->lock);
    return r;
}

int xb_repository_losses(struct xb_repository *repository, xb_loss_fn *fn, void *context,
                         uint64_t *ret_count, struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    uint64_t count = repository->losses.count;
    size_t kept = repository->losses.kept;
    pthread_mutex_unlock(&repository->lock);
    int r = 0;
    for (size_t i = 0; fn && r == 0 && i < kept; i++) { /* those kept never change */
        const struct xb_loss loss = {repository->losses.names[i], repository->losses.whys[i]};
        r = fn(context, &loss, err);
    }
    if (r == 0) {
        *ret_count = count;
    }
    return r;
}

/* ---- the index at the end of a pack ---- */

struct decoding {
    const struct xb_names *packs;
    xb_content_fn *fn;
    void *context;
};

static int tell_entry(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    const struct decoding *decoding = context;
    struct xb_content_info info;
    xb_content_info_fill(entry, xb_names_at(decoding->packs, entry->pack), &info);
    return decoding->fn(decoding->context, &info, err);
}

/* Appends the sealed index; a part of it may have come with the tail already. */
static int fetch_index(struct xb_repository *repository, const struct xb_store_item *pack,
                       struct xb_pack_tail *ret_tail, struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf tail = XB_BUF_INIT(TAIL_READ_BYTES);
    uint64_t start = pack->size > TAIL_READ_BYTES ? pack->size - TAIL_READ_BYTES : 0;
    int r = xb_store_get(repository->store, pack->name, start, pack->size - start, &tail, err);
    if (r == 0) {
        r = xb_pack_tail_parse(tail.data ? tail.data : "", tail.len, ret_tail, err);
    }
    if (r < 0) {
        return r;
    }
    uint64_t offset = ret_tail->index_offset;
    uint64_t len = ret_tail->index_len;
    if (offset > pack->size || len > pack->size - offset || len > PACK_INDEX_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "its index would lie outside of it");
    }
    return offset >= start ? xb_buf_append(out, tail.data + (offset - start), (size_t)len, err)
                           : xb_store_get(repository->store, pack->name, offset, len, out, err);
}

int xb_pack_index_read(struct xb_repository *repository, const struct xb_store_item *pack,
                       xb_content_fn *fn, void *context, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(PACK_INDEX_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(PACK_INDEX_BYTES_MAX);
    struct xb_names packs = {.count = 0};
    struct xb_pack_tail tail;
    const struct decoding decoding = {&packs, fn, context};
    union {
        const struct decoding *in;
        void *out;
    } pass = {.in = &decoding};
    int r = fetch_index(repository, pack, &tail, &sealed, err);
    if (r == 0) {
        r = xb_unseal(repository->sealer, tail.iv, tail.iv_len, sealed.data ? sealed.data : "",
                      sealed.len, &plain, err);
    }
    if (r == 0) {
        r = xb_index_decode(plain.data, plain.len, xb_sealer_hash_bytes(repository->sealer), &packs,
                            tell_entry, pass.out, err);
    }
    xb_names_free(&packs);
    return r < 0 ? xb_error_wrap(err, "pack %s", pack->name) : 0;
}

/* ---- sessions ---- */

void xb_blob_session(const char *name, char out[XB_SESSION_TEXT_BYTES])
{
    const char *dash = strchr(name, '-');
    size_t len = dash && dash[1] == 's' ? strcspn(dash + 1, "-") : 0;
    len = len < XB_SESSION_TEXT_BYTES ? len : 0;
    memcpy(out, dash ? dash + 1 : "", len);
    out[len] = '\0';
}

struct sessions {
    xb_store_item_fn *fn;
    void *context;
};

static int tell_session(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    const struct sessions *sessions = context;
    char session[XB_SESSION_TEXT_BYTES];
    xb_blob_session(item->name, session);
    const struct xb_store_item told = {session, item->size, item->mtime_ns};
    return session[0] ? sessions->fn(sessions->context, &told, err) : 0;
}

int xb_repository_list_sessions(struct xb_repository *repository, xb_store_item_fn *fn,
                                void *context, struct xb_error *err)
{
    struct sessions sessions = {fn, context};
    return xb_store_list(repository->store, "s", tell_session, &sessions, err);
}

int64_t xb_repository_watermark_s(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    int64_t watermark_s = repository->watermark_s;
    pthread_mutex_unlock(&repository->lock);
    return watermark_s;
}
