/* SPDX-License-Identifier: Apache-2.0
 * Writing contents: deduplicate, compress, seal, append to the open pack. */
#include <errno.h>
#include <string.h>

#include "shared/compress/compress.h"
#include "shared/repository/state.h"

/* Writers enter and leave; a flush runs alone. */
static int enter(struct xb_repository *repository, struct xb_error *err)
{
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
void xb_repository_fail(struct xb_repository *repository, const struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    if (!repository->failed.code) {
        repository->failed = *err;
    }
    pthread_mutex_unlock(&repository->lock);
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

/* What every write needs before it enters: a flush if one is due, so that a session never grows
 * old whatever the caller does; and views that are young enough to decide by. */
static int prepare(struct xb_repository *repository, struct xb_error *err)
{
    if (repository->read_only) {
        return xb_error_set(err, XB_ERR_DENIED, -EROFS, "the repository is open for reading only");
    }
    int r = check_failed(repository, err);
    if (r < 0) {
        return r;
    }
    r = xb_repository_flush_if_due(repository, XB_FLUSH_AGE_NS_MAX, err);
    return r < 0 ? r : xb_repository_renew(repository, err);
}

/* ---- deciding ---- */

static void note_pending(struct xb_repository *repository)
{
    if (repository->first_pending_ns == 0) {
        repository->first_pending_ns = xb_repository_elapsed_ns(repository);
    }
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
    entry->timestamp_s = xb_repository_timestamp(repository, old_timestamp);
    entry->format_version = (uint8_t)repository->format.version;
    *ret_existed = false;
    note_pending(repository);
    if (pending) {
        *pending = *entry;
        return 0;
    }
    return xb_pending_add(&repository->pending, entry, err);
}

/* ---- packs ---- */

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
    XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = XB_TAKE(slot->pack);
    return pack ? close_pack(repository, pack, err) : 0;
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

/* Appends to the open pack of the kind. slot->lock must be held. */
static int append(struct xb_repository *repository, struct xb_pack_slot *slot,
                  const struct xb_buf *sealed, struct xb_index_entry *entry, struct xb_error *err)
{
    if (!slot->pack) {
        char session[XB_SESSION_ID_BYTES];
        int r = xb_repository_session(repository, session, err);
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
                  const struct xb_pack *pack, bool *ret_full, struct xb_error *err)
{
    const char *name = xb_pack_name(pack);
    pthread_mutex_lock(&repository->lock);
    uint32_t number = 0;
    int r = xb_names_intern(&repository->pending.packs, name, strlen(name), &number, err);
    struct xb_index_entry *pending = xb_pending_find(&repository->pending, &entry->id);
    if (r == 0 && pending) {
        *pending = *entry;
        pending->pack = number;
    }
    *ret_full = xb_pack_bytes(pack) >= repository->format.pack_bytes_max;
    pthread_mutex_unlock(&repository->lock);
    return r;
}

/* A pack that has failed takes nothing more. The failure is remembered before anyone else gets at
 * the pack, so that everyone is told of the first cause. A full pack leaves the slot before it is
 * closed: whoever filled it uploads it while the others fill the next, so that at most as many
 * uploads are under way as there are writers. */
static int put_in_pack(struct xb_repository *repository, const struct xb_buf *sealed,
                       struct xb_index_entry *entry, struct xb_error *err)
{
    XB_CLEANUP(xb_pack_freep) struct xb_pack *full = NULL;
    struct xb_pack_slot *slot = xb_pack_slot_of(repository, entry->id.prefix);
    bool is_full = false;
    pthread_mutex_lock(&slot->lock);
    int r = check_failed(repository, err);
    if (r == 0) {
        r = append(repository, slot, sealed, entry, err);
    }
    if (r == 0) {
        r = settle(repository, entry, slot->pack, &is_full, err);
    }
    if (r < 0) {
        xb_repository_fail(repository, err);
    } else if (is_full) {
        full = XB_TAKE(slot->pack);
    }
    pthread_mutex_unlock(&slot->lock);
    return full ? close_pack(repository, full, err) : r;
}

/* ---- one content ---- */

/* Readers of version 1 indexes take for granted that nothing is compressed. */
static bool may_compress(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    bool may = repository->format.index_version >= 2;
    pthread_mutex_unlock(&repository->lock);
    return may;
}

static int store_content(struct xb_repository *repository, struct xb_index_entry *entry,
                         const void *data, enum xb_compression compression, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf stream = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    size_t len = entry->plain_bytes;
    bool smaller = false;
    int r = 0;
    if (compression != XB_COMPRESSION_NONE && may_compress(repository)) {
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
        xb_repository_fail(repository, err);
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
    struct xb_index_entry entry = {.plain_bytes = (uint32_t)len};
    int r = xb_sealer_content_id(repository->sealer, prefix, data, len, &entry.id, err);
    if (r < 0 || (r = prepare(repository, err)) < 0 || (r = enter(repository, err)) < 0) {
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
    struct xb_error ignored = XB_ERROR_INIT;
    if (xb_repository_renew(repository, &ignored) < 0) {
        return false; /* whoever reads it anew hears of the failure when it is written */
    }
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

/* ---- deleting ---- */

static int delete_locked(struct xb_repository *repository, const struct xb_content_id *id,
                         struct xb_error *err)
{
    size_t i = 0;
    struct xb_index_entry entry;
    struct xb_index_entry *pending = xb_pending_find(&repository->pending, id);
    if (pending) {
        repository->deletions[id->prefix != 0] += !pending->deleted;
        pending->deleted = true;
        pending->timestamp_s = xb_repository_timestamp(repository, pending->timestamp_s);
        return 0;
    }
    if (!xb_index_table_find(repository->table, id, &i)) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "it is not in the repository");
    }
    xb_index_table_at(repository->table, i, &entry);
    xb_index_table_unmark(repository->table, i);
    if (entry.deleted) {
        return 0;
    }
    const char *pack = xb_index_table_pack(repository->table, entry.pack);
    entry.deleted = true;
    entry.timestamp_s = xb_repository_timestamp(repository, entry.timestamp_s);
    int r = xb_names_intern(&repository->pending.packs, pack, strlen(pack), &entry.pack, err);
    if (r < 0 || (r = xb_pending_add(&repository->pending, &entry, err)) < 0) {
        return r;
    }
    repository->deletions[id->prefix != 0]++;
    note_pending(repository);
    return 0;
}

int xb_content_delete(struct xb_repository *repository, const struct xb_content_id *id,
                      struct xb_error *err)
{
    int r = prepare(repository, err);
    if (r < 0 || (r = enter(repository, err)) < 0) {
        return r;
    }
    pthread_mutex_lock(&repository->lock);
    r = delete_locked(repository, id, err);
    pthread_mutex_unlock(&repository->lock);
    leave(repository);
    return r < 0 ? xb_content_wrap(err, id) : 0;
}

static int adopt_locked(struct xb_repository *repository, const struct xb_content_info *info,
                        bool *ret_new, struct xb_error *err)
{
    size_t i = 0;
    struct xb_index_entry entry = {.id = info->id,
                                   .format_version = (uint8_t)repository->format.version,
                                   .key_id = info->key_id,
                                   .offset = (uint32_t)info->pack_offset,
                                   .packed_bytes = info->packed_bytes,
                                   .plain_bytes = info->plain_bytes,
                                   .compression = info->compression,
                                   .timestamp_s = info->timestamp_s};
    if (xb_pending_find(&repository->pending, &info->id) ||
        xb_index_table_find(repository->table, &info->id, &i)) {
        return 0;
    }
    int r = xb_names_intern(&repository->pending.packs, info->pack, strlen(info->pack), &entry.pack,
                            err);
    if (r == 0) {
        r = xb_pending_add(&repository->pending, &entry, err);
    }
    if (r == 0) {
        note_pending(repository);
        *ret_new = true;
    }
    return r;
}

int xb_content_adopt(struct xb_repository *repository, const struct xb_content_info *info,
                     bool *ret_new, struct xb_error *err)
{
    char session[XB_SESSION_ID_BYTES];
    int r = prepare(repository, err);
    if (r < 0 || (r = xb_repository_session(repository, session, err)) < 0 ||
        (r = enter(repository, err)) < 0) {
        return r;
    }
    pthread_mutex_lock(&repository->lock);
    r = adopt_locked(repository, info, ret_new, err);
    pthread_mutex_unlock(&repository->lock);
    leave(repository);
    return r < 0 ? xb_content_wrap(err, &info->id) : 0;
}
