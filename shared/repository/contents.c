/* SPDX-License-Identifier: Apache-2.0
 * Writing contents: deduplicate, compress, seal, append to the open pack. */
#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/compress/compress.h"
#include "shared/repository/state.h"

static uint64_t wall_s(void)
{
    int64_t now = xb_clock_wall_ns() / XB_NS_PER_S;
    return now > 0 ? (uint64_t)now : 0;
}

/* Writers enter and leave; a flush runs alone. */
static int enter(struct xb_repository *repository, struct xb_error *err)
{
    if (repository->read_only) {
        return xb_error_set(err, XB_ERR_DENIED, -EROFS, "the repository is open for reading only");
    }
    pthread_mutex_lock(&repository->lock);
    while (repository->flushing) {
        pthread_cond_wait(&repository->turn, &repository->lock);
    }
    if (repository->failed.code) {
        *err = repository->failed;
        pthread_mutex_unlock(&repository->lock);
        return err->code;
    }
    repository->writers++;
    pthread_mutex_unlock(&repository->lock);
    return 0;
}

static void leave(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    repository->writers--;
    pthread_cond_broadcast(&repository->turn);
    pthread_mutex_unlock(&repository->lock);
}

/* A pack that could not be written loses contents that others already count on: nothing of this
 * session may be committed any more. */
static void remember_failure(struct xb_repository *repository, const struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    if (!repository->failed.code) {
        repository->failed = *err;
    }
    pthread_mutex_unlock(&repository->lock);
}

/* Decisions to reuse rest on a view of the index that is at most 15 min old. */
static int refresh_if_old(struct xb_repository *repository, struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    bool old = xb_clock_mono_ns() - repository->table_listed_ns > XB_TABLE_AGE_NS_MAX;
    pthread_mutex_unlock(&repository->lock);
    return old ? xb_repository_refresh(repository, err) : 0;
}

/* Whether the content is there already. If not, it is reserved in `entry` with its timestamp. */
static int reserve(struct xb_repository *repository, struct xb_index_entry *entry,
                   bool *ret_existed, struct xb_error *err)
{
    uint64_t old_timestamp = 0;
    size_t i = 0;
    struct xb_index_entry found;
    struct xb_index_entry *pending = xb_pending_find(&repository->pending, &entry->id);
    if (pending && !pending->deleted) {
        *ret_existed = true;
        return 0;
    }
    if (pending) {
        old_timestamp = pending->timestamp_s;
    } else if (xb_index_table_find(repository->table, &entry->id, &i)) {
        xb_index_table_at(repository->table, i, &found);
        if (!found.deleted) {
            xb_index_table_mark(repository->table, i);
            *ret_existed = true;
            return 0;
        }
        old_timestamp = found.timestamp_s; /* deleted ones are written anew, and younger */
    }
    entry->timestamp_s = wall_s();
    if (entry->timestamp_s <= old_timestamp) {
        entry->timestamp_s = old_timestamp + 1;
    }
    *ret_existed = false;
    if (repository->first_pending_ns == 0) {
        repository->first_pending_ns = xb_clock_mono_ns();
    }
    if (pending) {
        *pending = *entry;
        return 0;
    }
    return xb_pending_add(&repository->pending, entry, err);
}

static int begin_session(struct xb_repository *repository, char ret_id[XB_SESSION_ID_BYTES],
                         struct xb_error *err)
{
    const struct xb_session_owner owner = {repository->username, repository->hostname};
    pthread_mutex_lock(&repository->lock);
    int r = 0;
    if (!repository->session.id[0]) {
        /* The put is done under the lock: no pack may start before its marker stands. */
        r = xb_session_begin(&repository->session, repository->store, repository->sealer, &owner,
                             xb_clock_wall_ns(), err);
    }
    memcpy(ret_id, repository->session.id, XB_SESSION_ID_BYTES);
    pthread_mutex_unlock(&repository->lock);
    return r;
}

int xb_pack_slot_close(struct xb_repository *repository, struct xb_pack_slot *slot,
                       struct xb_error *err)
{
    if (!slot->pack) {
        return 0;
    }
    XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = XB_TAKE(slot->pack);
    int r = xb_pack_close(pack, repository->sealer, err);
    if (r < 0) {
        remember_failure(repository, err);
        return xb_error_wrap(err, "writing pack %s", xb_pack_name(pack));
    }
    return 0;
}

/* Appends to the open pack of the kind. slot->lock must be held. */
static int append(struct xb_repository *repository, struct xb_pack_slot *slot,
                  const struct xb_buf *sealed, struct xb_index_entry *entry, struct xb_error *err)
{
    if (!slot->pack) {
        char session[XB_SESSION_ID_BYTES];
        int r = begin_session(repository, session, err);
        if (r == 0) {
            r = xb_pack_new(repository->store, entry->id.prefix ? 'q' : 'p', session, &slot->pack,
                            err);
        }
        if (r < 0) {
            return r;
        }
    }
    return xb_pack_append(slot->pack, sealed->data, sealed->len, entry, err);
}

/* Tells everyone where the content lies. */
static int settle(struct xb_repository *repository, const struct xb_index_entry *entry,
                  const char *pack, struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    uint32_t number = 0;
    int r = xb_names_intern(&repository->pending.packs, pack, strlen(pack), &number, err);
    struct xb_index_entry *pending = xb_pending_find(&repository->pending, &entry->id);
    if (r == 0 && pending) {
        *pending = *entry;
        pending->pack = number;
    }
    pthread_mutex_unlock(&repository->lock);
    return r;
}

static int check_failed(struct xb_repository *repository, struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    if (repository->failed.code) {
        *err = repository->failed;
    }
    int r = repository->failed.code;
    pthread_mutex_unlock(&repository->lock);
    return r;
}

/* A pack that has failed takes nothing more. The failure is remembered before anyone else gets at
 * the pack, so that everyone is told of the first cause. */
static int put_in_pack(struct xb_repository *repository, const struct xb_buf *sealed,
                       struct xb_index_entry *entry, struct xb_error *err)
{
    struct xb_pack_slot *slot = xb_pack_slot_of(repository, entry->id.prefix);
    pthread_mutex_lock(&slot->lock);
    int r = check_failed(repository, err);
    if (r == 0) {
        r = append(repository, slot, sealed, entry, err);
    }
    if (r == 0) {
        r = settle(repository, entry, xb_pack_name(slot->pack), err);
    }
    if (r == 0 && xb_pack_bytes(slot->pack) >= repository->format.pack_bytes_max) {
        r = xb_pack_slot_close(repository, slot, err);
    }
    if (r < 0) {
        remember_failure(repository, err);
    }
    pthread_mutex_unlock(&slot->lock);
    return r;
}

static int store_content(struct xb_repository *repository, struct xb_index_entry *entry,
                         const void *data, enum xb_compression compression, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf stream = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    size_t len = entry->plain_bytes;
    bool smaller = false;
    int r = 0;
    if (compression != XB_COMPRESSION_NONE) {
        r = xb_compress_encode((uint32_t)compression, data, len, &stream, &smaller, err);
    }
    if (r < 0) {
        return r;
    }
    entry->compression = smaller ? (uint32_t)compression : 0;
    r = xb_seal_content(repository->sealer, &entry->id, smaller ? stream.data : data,
                        smaller ? stream.len : len, &sealed, err);
    if (r < 0) {
        return r;
    }
    return put_in_pack(repository, &sealed, entry, err);
}

int xb_content_store(struct xb_repository *repository, struct xb_index_entry *entry,
                     const void *data, enum xb_compression compression, struct xb_error *err)
{
    int r = store_content(repository, entry, data, compression, err);
    if (r < 0) {
        remember_failure(repository, err);
    }
    return r;
}

static int write_new(struct xb_repository *repository, struct xb_index_entry *entry,
                     const void *data, enum xb_compression compression,
                     struct xb_content_write_result *ret, struct xb_error *err)
{
    bool existed = false;
    pthread_mutex_lock(&repository->lock);
    int r = reserve(repository, entry, &existed, err);
    pthread_mutex_unlock(&repository->lock);
    if (r == 0 && !existed) {
        r = xb_content_store(repository, entry, data, compression, err);
    }
    if (r == 0) {
        *ret = (struct xb_content_write_result){
            .id = entry->id, .existed = existed, .packed_bytes = existed ? 0 : entry->packed_bytes};
    }
    return r;
}

int xb_content_write(struct xb_repository *repository, char prefix, const void *data, size_t len,
                     enum xb_compression compression, struct xb_content_write_result *ret,
                     struct xb_error *err)
{
    if (len > XB_CONTENT_BYTES_MAX || (prefix && (prefix < 'g' || prefix > 'z'))) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "not a content: %zu bytes, prefix %d", len,
                            prefix);
    }
    struct xb_index_entry entry = {.plain_bytes = (uint32_t)len,
                                   .format_version = (uint8_t)repository->format.version};
    int r = xb_sealer_content_id(repository->sealer, prefix, data, len, &entry.id, err);
    if (r < 0 || (r = refresh_if_old(repository, err)) < 0 || (r = enter(repository, err)) < 0) {
        return r;
    }
    r = write_new(repository, &entry, data, compression, ret, err);
    leave(repository);
    return r;
}

bool xb_content_reuse(struct xb_repository *repository, const struct xb_content_id *id)
{
    size_t i = 0;
    struct xb_index_entry entry;
    pthread_mutex_lock(&repository->lock);
    const struct xb_index_entry *pending = xb_pending_find(&repository->pending, id);
    bool live = pending && !pending->deleted;
    if (!pending && xb_index_table_find(repository->table, id, &i)) {
        xb_index_table_at(repository->table, i, &entry);
        live = !entry.deleted;
        if (live) {
            xb_index_table_mark(repository->table, i);
        }
    }
    pthread_mutex_unlock(&repository->lock);
    return live;
}

static int delete_locked(struct xb_repository *repository, const struct xb_content_id *id,
                         struct xb_error *err)
{
    size_t i = 0;
    struct xb_index_entry entry;
    struct xb_index_entry *pending = xb_pending_find(&repository->pending, id);
    if (pending) {
        pending->deleted = true;
        pending->timestamp_s++;
        return 0;
    }
    if (!xb_index_table_find(repository->table, id, &i)) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "it is not in the repository");
    }
    xb_index_table_at(repository->table, i, &entry);
    if (entry.deleted) {
        return 0;
    }
    const char *pack = xb_index_table_pack(repository->table, entry.pack);
    uint64_t now = wall_s();
    entry.deleted = true;
    entry.timestamp_s = now > entry.timestamp_s ? now : entry.timestamp_s + 1;
    int r = xb_names_intern(&repository->pending.packs, pack, strlen(pack), &entry.pack, err);
    if (r == 0 && repository->first_pending_ns == 0) {
        repository->first_pending_ns = xb_clock_mono_ns();
    }
    return r < 0 ? r : xb_pending_add(&repository->pending, &entry, err);
}

int xb_content_delete(struct xb_repository *repository, const struct xb_content_id *id,
                      struct xb_error *err)
{
    int r = enter(repository, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&repository->lock);
    r = delete_locked(repository, id, err);
    pthread_mutex_unlock(&repository->lock);
    leave(repository);
    return r < 0 ? xb_content_wrap(err, id) : 0;
}
