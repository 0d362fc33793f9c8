/* SPDX-License-Identifier: Apache-2.0
 * Making a session's contents durable and visible: packs first, then one index blob, then the end
 * of the session's marker (kopia-format sections 8 and 14). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/repository/state.h"

enum { INDEX_TRIES = 5, INDEX_PREFIX_BYTES = 32, INDEX_SUFFIX_BYTES = 64 };

static void shut(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    while (repository->flushing) {
        pthread_cond_wait(&repository->turn, &repository->lock);
    }
    repository->flushing = true;
    while (repository->writers > 0) {
        pthread_cond_wait(&repository->turn, &repository->lock);
    }
    pthread_mutex_unlock(&repository->lock);
}

static void reopen(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    repository->flushing = false;
    pthread_cond_broadcast(&repository->turn);
    pthread_mutex_unlock(&repository->lock);
}

/* ---- what was reused must still be there ---- */

static bool still_live(const struct xb_index_table *table, const struct xb_content_id *id)
{
    size_t i = 0;
    struct xb_index_entry entry;
    if (!xb_index_table_find(table, id, &i)) {
        return false;
    }
    xb_index_table_at(table, i, &entry);
    return !entry.deleted;
}

/* The content was reused and has been deleted since: it is written again, younger. */
static int rewrite(struct xb_repository *repository, const struct xb_index_table *old, size_t i,
                   struct xb_error *err)
{
    struct xb_content_place place;
    xb_index_table_at(old, i, &place.entry);
    const char *pack = xb_index_table_pack(old, place.entry.pack);
    memcpy(place.pack, pack, strlen(pack) + 1);
    if (xb_pending_find(&repository->pending, &place.entry.id)) {
        return 0;
    }
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    int r = xb_content_read_at(repository, &place, true, &plain, err);
    if (r < 0) {
        return xb_error_wrap(err, "a content that this backup reuses was deleted meanwhile");
    }
    struct xb_index_entry entry = {.id = place.entry.id,
                                   .plain_bytes = place.entry.plain_bytes,
                                   .format_version = (uint8_t)repository->format.version};
    size_t found = 0;
    struct xb_index_entry now = place.entry;
    if (xb_index_table_find(repository->table, &entry.id, &found)) {
        xb_index_table_at(repository->table, found, &now);
    }
    int64_t wall = xb_clock_wall_ns() / XB_NS_PER_S;
    entry.timestamp_s =
        wall > 0 && (uint64_t)wall > now.timestamp_s ? (uint64_t)wall : now.timestamp_s + 1;
    pthread_mutex_lock(&repository->lock);
    r = xb_pending_add(&repository->pending, &entry, err);
    pthread_mutex_unlock(&repository->lock);
    enum xb_compression compression = place.entry.compression == XB_COMPRESSION_ZSTD
                                          ? XB_COMPRESSION_ZSTD
                                      : place.entry.compression ? XB_COMPRESSION_ZSTD_FASTEST
                                                                : XB_COMPRESSION_NONE;
    return r < 0 ? r : xb_content_store(repository, &entry, plain.data, compression, err);
}

static int check_reused(struct xb_repository *repository, const struct xb_index_table *old,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    /* Also when the table is the same: it may have been renewed since the content was reused. */
    int r = 0;
    size_t count = xb_index_table_count(old);
    for (size_t word = 0; r == 0 && word * 64 < count; word++) {
        uint64_t marks = xb_index_table_marks(old, word);
        while (r == 0 && marks) {
            size_t i = word * 64 + (size_t)__builtin_ctzll(marks);
            struct xb_index_entry entry;
            marks &= marks - 1;
            xb_index_table_at(old, i, &entry);
            if (!still_live(table, &entry.id)) {
                r = rewrite(repository, old, i, err);
            }
        }
    }
    return r;
}

/* ---- the index ---- */

static int encode_index(struct xb_repository *repository, struct xb_buf *out, struct xb_error *err)
{
    struct xb_pending *pending = &repository->pending;
    struct xb_index_entry *sorted = reallocarray(NULL, pending->count, sizeof *sorted);
    if (!sorted) {
        return xb_error_no_memory(err, "the session's index");
    }
    memcpy(sorted, pending->entries, pending->count * sizeof *sorted);
    xb_index_sort(sorted, pending->count);
    int r = xb_index_encode(sorted, pending->count, &pending->packs, out, err);
    free(sorted);
    return r;
}

/* One try to put the index under the present write epoch; *ret_done false: the epoch moved on. */
static int put_index(struct xb_repository *repository, const struct xb_buf *plain, bool *ret_done,
                     struct xb_error *err)
{
    struct xb_index_listing before = {.count = 0};
    struct xb_index_listing after = {.count = 0};
    int r = xb_index_listing_load(repository, &before, err);
    if (r < 0) {
        return r;
    }
    int64_t epoch = before.set.write_epoch;
    xb_index_listing_free(&before);

    char prefix[INDEX_PREFIX_BYTES];
    char suffix[INDEX_SUFFIX_BYTES];
    char name[XB_SEAL_BLOB_NAME_BYTES];
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    snprintf(prefix, sizeof prefix, "xn%lld_", (long long)epoch);
    snprintf(suffix, sizeof suffix, "%s-c1", repository->session.id);
    r = xb_seal_blob(repository->sealer, prefix, suffix, plain->data, plain->len, name, &sealed,
                     err);
    if (r < 0 ||
        (r = xb_store_put(repository->store, name, sealed.data, sealed.len, NULL, err)) < 0 ||
        (r = xb_index_listing_load(repository, &after, err)) < 0) {
        return r;
    }
    bool late = after.set.write_epoch >= epoch + 2;
    xb_index_listing_free(&after);
    *ret_done = !late;
    /* An epoch that has settled may be compacted without this blob: it must not stay there. */
    return late ? xb_store_delete(repository->store, name, err) : 0;
}

static int write_index(struct xb_repository *repository, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    int r = encode_index(repository, &plain, err);
    bool done = false;
    for (int try = 0; r == 0 && !done && try < INDEX_TRIES; try++) {
        r = put_index(repository, &plain, &done, err);
    }
    if (r == 0 && !done) {
        r = xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                         "the repository's epoch keeps moving on; its maintenance may be broken");
    }
    return r;
}

/* ---- the whole ---- */

static int begin_if_needed(struct xb_repository *repository, struct xb_error *err)
{
    /* Deletions alone write no pack, but their index blob needs a session's name. */
    if (repository->session.id[0]) {
        return 0;
    }
    const struct xb_session_owner owner = {repository->username, repository->hostname};
    return xb_session_begin(&repository->session, repository->store, repository->sealer, &owner,
                            xb_clock_wall_ns(), err);
}

static int flush_alone(struct xb_repository *repository, struct xb_error *err)
{
    if (repository->failed.code) {
        *err = repository->failed;
        return err->code;
    }
    if (repository->pending.count == 0 && !repository->session.id[0]) {
        return 0;
    }
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *old = xb_repository_table(repository);
    int r = xb_repository_check_format(repository, err);
    if (r < 0 || (r = xb_repository_refresh_locked(repository, err)) < 0 ||
        (r = check_reused(repository, old, err)) < 0) {
        return r;
    }
    for (size_t i = 0; r == 0 && i < XB_PACK_KINDS; i++) {
        r = xb_pack_slot_close(repository, &repository->packs[i], err);
    }
    if (r == 0 && repository->pending.count > 0) {
        r = begin_if_needed(repository, err);
        if (r == 0) {
            r = write_index(repository, err);
        }
    }
    if (r < 0) {
        return r;
    }
    /* Committed. The marker goes, and the table learns what was written. */
    pthread_mutex_lock(&repository->lock);
    xb_pending_free(&repository->pending);
    repository->first_pending_ns = 0;
    pthread_mutex_unlock(&repository->lock);
    r = xb_session_end(&repository->session, repository->store, err);
    return r < 0 ? r : xb_repository_refresh_locked(repository, err);
}

int xb_repository_flush(struct xb_repository *repository, struct xb_error *err)
{
    if (repository->read_only) {
        return xb_error_set(err, XB_ERR_DENIED, -EROFS, "the repository is open for reading only");
    }
    /* flush_lock first: a refresh by age must not wait for a flush that waits for its writer. */
    shut(repository);
    pthread_mutex_lock(&repository->flush_lock);
    int r = flush_alone(repository, err);
    pthread_mutex_unlock(&repository->flush_lock);
    reopen(repository);
    return r < 0 ? xb_error_wrap(err, "committing to the repository in %s",
                                 xb_store_describe(repository->store))
                 : 0;
}
