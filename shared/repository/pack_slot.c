/* SPDX-License-Identifier: Apache-2.0
 * Open packs: taken out by writers, filled, closed; and the session that they belong to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/state.h"

void xb_pack_slot_init(struct xb_pack_slot *slot)
{
    pthread_mutex_init(&slot->lock, NULL);
    pthread_cond_init(&slot->back, NULL);
}

void xb_pack_slot_free(struct xb_pack_slot *slot)
{
    while (slot->idle_count > 0) {
        xb_pack_free(slot->idle[--slot->idle_count]);
    }
    pthread_cond_destroy(&slot->back);
    pthread_mutex_destroy(&slot->lock);
}

/* ---- closing ---- */

/* The end of a pack also tells of the deletions that were pending when it was closed. */
static int add_deletions(struct xb_repository *repository, struct xb_pack *pack,
                         struct xb_error *err)
{
    bool prefixed = xb_pack_name(pack)[0] == 'q';
    int r = 0;
    pthread_mutex_lock(&repository->lock);
    uint32_t left = repository->deletions[prefixed];
    repository->deletions[prefixed] = 0;
    for (uint32_t i = 0; left > 0 && r == 0 && i < repository->pending.count; i++) {
        const struct xb_index_entry *entry = &repository->pending.entries[i];
        if (entry->deleted && entry->packed_bytes > 0 && (entry->id.prefix != 0) == prefixed) {
            r = xb_pack_add_deletion(pack, entry,
                                     xb_names_at(&repository->pending.packs, entry->pack), err);
        }
    }
    pthread_mutex_unlock(&repository->lock);
    return r;
}

static int close_pack(struct xb_repository *repository, struct xb_pack *pack, struct xb_error *err)
{
    int r = add_deletions(repository, pack, err);
    if (r == 0) {
        r = xb_pack_close(pack, repository->sealer, err);
    }
    if (r < 0) {
        r = xb_error_wrap(err, "writing pack %s", xb_pack_name(pack));
        xb_repository_fail(repository, err);
    }
    return r;
}

int xb_pack_slot_close(struct xb_repository *repository, struct xb_pack_slot *slot,
                       struct xb_error *err)
{
    int r = 0;
    while (r == 0 && slot->idle_count > 0) {
        XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = slot->idle[--slot->idle_count];
        r = close_pack(repository, pack, err);
    }
    return r;
}

int xb_repository_session(struct xb_repository *repository, char ret_id[XB_SESSION_ID_BYTES],
                          struct xb_error *err)
{
    const struct xb_session_owner owner = {repository->username, repository->hostname};
    int64_t now_ns = xb_repository_wall_ns(repository);
    /* Held during the put: no pack may start before its marker stands. */
    pthread_mutex_lock(&repository->session_lock);
    int r = repository->session.id[0]
                ? xb_session_check_age(&repository->session, now_ns, err)
                : xb_session_begin(&repository->session, repository->store, repository->sealer,
                                   &owner, repository->clock, err);
    if (r == 0) {
        memcpy(ret_id, repository->session.id, XB_SESSION_ID_BYTES);
    } else if (repository->session.id[0]) {
        xb_repository_fail(repository, err); /* it only grows older */
    }
    pthread_mutex_unlock(&repository->session_lock);
    return r;
}

/* ---- filling ---- */

/* An open pack, or NULL: one is to be begun. */
static struct xb_pack *take_out(struct xb_pack_slot *slot)
{
    struct xb_pack *pack = NULL;
    pthread_mutex_lock(&slot->lock);
    while (slot->idle_count == 0 && slot->out == XB_PACKS_OPEN_MAX) {
        pthread_cond_wait(&slot->back, &slot->lock);
    }
    if (slot->idle_count > 0) {
        pack = slot->idle[--slot->idle_count];
    }
    slot->out++;
    pthread_mutex_unlock(&slot->lock);
    return pack;
}

/* `pack` NULL: it failed, or is full and its filler's. */
static void bring_back(struct xb_pack_slot *slot, struct xb_pack *pack)
{
    pthread_mutex_lock(&slot->lock);
    slot->out--;
    if (pack) {
        slot->idle[slot->idle_count++] = pack;
    }
    pthread_cond_signal(&slot->back);
    pthread_mutex_unlock(&slot->lock);
}

static int begin_pack(struct xb_repository *repository, char prefix, struct xb_pack **ret,
                      struct xb_error *err)
{
    char session[XB_SESSION_ID_BYTES];
    int r = xb_repository_session(repository, session, err);
    return r < 0 ? r : xb_pack_new(repository->store, prefix ? 'q' : 'p', session, ret, err);
}

/* The bytes of a sealed content; returns how many parts. */
static size_t list_parts(struct xb_packing *packing, struct iovec *out)
{
    size_t count = 0;
    size_t left = packing->sealed_bytes;
    const struct iovec *parts = packing->own.data ? &packing->own_part : packing->parts;
    out[count++] = (struct iovec){packing->ends.nonce, sizeof packing->ends.nonce};
    for (; left > 0; parts++) {
        size_t take = parts->iov_len < left ? parts->iov_len : left;
        out[count++] = (struct iovec){parts->iov_base, take};
        left -= take;
    }
    out[count++] = (struct iovec){packing->ends.tag, sizeof packing->ends.tag};
    return count;
}

static size_t parts_of(const struct xb_packing *packing)
{
    return 2 + (packing->own.data ? 1 : packing->part_count);
}

/* In one write. */
static int append(struct xb_pack *pack, struct xb_packing *packings, size_t count,
                  struct xb_error *err)
{
    size_t room = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        room += parts_of(&packings[i]);
    }
    XB_CLEANUP(xb_freep) struct iovec *parts = calloc(room + 1, sizeof *parts);
    XB_CLEANUP(xb_freep) struct xb_index_entry **entries = calloc(count + 1, sizeof(void *));
    if (!parts || !entries) {
        return xb_error_no_memory(err, "contents to pack");
    }
    for (size_t i = 0; i < count; i++) {
        entries[i] = &packings[i].entry;
        used += list_parts(&packings[i], parts + used);
    }
    return xb_pack_append_many(pack, parts, used, entries, count, err);
}

/* Tells everyone where the contents lie. */
static int settle(struct xb_repository *repository, const struct xb_packing *packings, size_t count,
                  const struct xb_pack *pack, struct xb_error *err)
{
    const char *name = xb_pack_name(pack);
    uint32_t number = 0;
    pthread_mutex_lock(&repository->lock);
    int r = xb_names_intern(&repository->pending.packs, name, strlen(name), &number, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct xb_index_entry *pending =
            xb_pending_find(&repository->pending, &packings[i].entry.id);
        if (pending) {
            *pending = packings[i].entry;
            pending->pack = number;
        }
    }
    pthread_mutex_unlock(&repository->lock);
    return r;
}

/* How many go into the pack until it is full. */
static size_t fitting(const struct xb_pack *pack, const struct xb_packing *packings, size_t count,
                      uint64_t pack_bytes_max)
{
    size_t fit = 1;
    uint64_t len = xb_pack_bytes(pack) + packings[0].entry.packed_bytes;
    for (; fit < count && len < pack_bytes_max; fit++) {
        len += packings[fit].entry.packed_bytes;
    }
    return fit;
}

static int fill(struct xb_repository *repository, struct xb_pack *pack, struct xb_packing *packings,
                size_t count, struct xb_error *err)
{
    int r = append(pack, packings, count, err);
    return r < 0 ? r : settle(repository, packings, count, pack, err);
}

static uint64_t pack_bytes_max(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    uint64_t max = repository->format.pack_bytes_max;
    pthread_mutex_unlock(&repository->lock);
    return max;
}

/* Some of them into one pack. A pack that has failed takes nothing more; the failure is remembered
 * before anyone else gets in, so that everyone is told of the first cause. A full pack does not
 * come back: whoever filled it uploads it while the others fill the next, so that at most as many
 * uploads are under way as there are writers. */
static int put_some(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                    size_t *ret_put, struct xb_error *err)
{
    char prefix = packings[0].entry.id.prefix;
    struct xb_pack_slot *slot = xb_pack_slot_of(repository, prefix);
    uint64_t max = pack_bytes_max(repository);
    XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = take_out(slot);
    size_t put = 0;
    int r = xb_repository_check_failed(repository, err);
    if (r == 0 && !pack) {
        r = begin_pack(repository, prefix, &pack, err);
    }
    if (r == 0) {
        put = fitting(pack, packings, count, max);
        r = fill(repository, pack, packings, put, err);
    }
    if (r < 0) {
        xb_repository_fail(repository, err);
    }
    bool full = r == 0 && xb_pack_bytes(pack) >= max;
    bring_back(slot, r == 0 && !full ? XB_TAKE(pack) : NULL);
    *ret_put = put;
    return full ? close_pack(repository, pack, err) : r;
}

int xb_pack_slot_put(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                     struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0, put = 0; r == 0 && at < count; at += put) {
        r = put_some(repository, packings + at, count - at, &put, err);
    }
    return r;
}
