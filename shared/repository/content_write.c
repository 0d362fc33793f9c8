/* SPDX-License-Identifier: Apache-2.0
 * Writing contents: name, deduplicate, hand on what is new; and deleting them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/state.h"

/* Writers enter and leave; a flush runs alone. The lock is held when 0 is returned. */
static int enter_locked(struct xb_repository *repository, struct xb_error *err)
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
    return 0;
}

static void leave(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    repository->writers--;
    if (repository->flushing && repository->writers == 0) {
        pthread_cond_broadcast(&repository->turn);
    }
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

int xb_repository_check_failed(struct xb_repository *repository, struct xb_error *err)
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
    int r = xb_repository_check_failed(repository, err);
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

/* ---- writing ---- */

/* One batch of contents while it is written. */
struct batch {
    struct xb_content_job *jobs;
    size_t count;
    struct xb_packing *packings; /* of the new ones, in order */
    size_t *owners;              /* their jobs */
    size_t fresh;
    struct xb_hash_job *hashes;
};

static void batch_free(struct batch *batch)
{
    free(batch->packings);
    free(batch->owners);
    free(batch->hashes);
}

static int batch_make(struct batch *batch, struct xb_error *err)
{
    batch->packings = calloc(batch->count, sizeof *batch->packings);
    batch->owners = calloc(batch->count, sizeof *batch->owners);
    batch->hashes = calloc(batch->count, sizeof *batch->hashes);
    return batch->packings && batch->owners && batch->hashes
               ? 0
               : xb_error_no_memory(err, "contents to write");
}

static int check_job(const struct xb_content_job *job, uint64_t *ret_len, struct xb_error *err)
{
    uint64_t len = 0;
    for (size_t i = 0; i < job->part_count && len <= XB_CONTENT_BYTES_MAX; i++) {
        len += job->parts[i].iov_len <= XB_CONTENT_BYTES_MAX ? job->parts[i].iov_len
                                                             : (uint64_t)XB_CONTENT_BYTES_MAX + 1;
    }
    if (len > XB_CONTENT_BYTES_MAX || (job->prefix && (job->prefix < 'g' || job->prefix > 'z'))) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "not a content: %llu bytes, prefix %d",
                            (unsigned long long)len, job->prefix);
    }
    *ret_len = len;
    return 0;
}

/* Ids, into the results. */
static int name_all(struct xb_repository *repository, struct batch *batch, struct xb_error *err)
{
    size_t hash_bytes = xb_sealer_hash_bytes(repository->sealer);
    for (size_t i = 0; i < batch->count; i++) {
        struct xb_content_job *job = &batch->jobs[i];
        uint64_t len = 0;
        int r = check_job(job, &len, err);
        if (r < 0) {
            return r;
        }
        job->result = (struct xb_content_write_result){
            .id = {.prefix = job->prefix, .len = (uint8_t)hash_bytes}, .plain_bytes = len};
        batch->hashes[i] = (struct xb_hash_job){
            .parts = job->parts, .part_count = job->part_count, .out = job->result.id.hash};
    }
    return xb_sealer_hash_many(repository->sealer, batch->hashes, batch->count, err);
}

/* What is new is reserved, and so found by everyone from here on. What was reserved before a
 * failure must be stored all the same. `lock` must be held. */
static int reserve_all(struct xb_repository *repository, struct batch *batch, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < batch->count; i++) {
        struct xb_content_job *job = &batch->jobs[i];
        struct xb_packing *packing = &batch->packings[batch->fresh];
        *packing = (struct xb_packing){
            .entry = {.id = job->result.id, .plain_bytes = (uint32_t)job->result.plain_bytes},
            .parts = job->parts,
            .part_count = job->part_count,
            .in_place = job->in_place,
            .compression = job->compression};
        r = reserve(repository, &packing->entry, &job->result.existed, err);
        if (r == 0 && !job->result.existed) {
            batch->owners[batch->fresh++] = i;
        }
    }
    return r;
}

static int store_new(struct xb_repository *repository, struct batch *batch, struct xb_error *err)
{
    int r = batch->fresh ? xb_content_store(repository, batch->packings, batch->fresh, err) : 0;
    for (size_t i = 0; r == 0 && i < batch->fresh; i++) {
        batch->jobs[batch->owners[i]].result.packed_bytes = batch->packings[i].entry.packed_bytes;
    }
    return r;
}

static int write_batch(struct xb_repository *repository, struct batch *batch, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = batch_make(batch, err);
    if (r < 0 || (r = name_all(repository, batch, err)) < 0 || (r = prepare(repository, err)) < 0 ||
        (r = enter_locked(repository, err)) < 0) {
        return r;
    }
    int reserved = reserve_all(repository, batch, &why);
    pthread_mutex_unlock(&repository->lock);
    r = store_new(repository, batch, err);
    leave(repository);
    if (r == 0 && reserved < 0) {
        *err = why;
        r = reserved;
    }
    return r;
}

int xb_content_write_many(struct xb_repository *repository, struct xb_content_job *jobs,
                          size_t count, struct xb_error *err)
{
    struct batch batch = {.jobs = jobs, .count = count};
    if (count == 0 || count > XB_CONTENT_JOBS_MAX) {
        return count == 0 ? 0
                          : xb_error_set(err, XB_ERR_BUG, -EINVAL, "%zu contents at once", count);
    }
    int r = write_batch(repository, &batch, err);
    batch_free(&batch);
    return r;
}

size_t xb_repository_lanes(const struct xb_repository *repository)
{
    return xb_sealer_lanes(repository->sealer);
}

int xb_content_write(struct xb_repository *repository, char prefix, const void *data, size_t len,
                     enum xb_compression compression, struct xb_content_write_result *ret,
                     struct xb_error *err)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct xb_content_job job = {
        .parts = &part, .part_count = 1, .prefix = prefix, .compression = compression};
    int r = xb_content_write_many(repository, &job, 1, err);
    if (r == 0) {
        *ret = job.result;
    }
    return r;
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
    if (r < 0 || (r = enter_locked(repository, err)) < 0) {
        return r;
    }
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
        (r = enter_locked(repository, err)) < 0) {
        return r;
    }
    r = adopt_locked(repository, info, ret_new, err);
    pthread_mutex_unlock(&repository->lock);
    leave(repository);
    return r < 0 ? xb_content_wrap(err, &info->id) : 0;
}
