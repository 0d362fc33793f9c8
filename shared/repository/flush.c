/* SPDX-License-Identifier: Apache-2.0
 * Making a session's contents durable and visible: packs first, then the index, then the end of
 * the session's marker (kopia-format sections 13 and 14). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/repository/state.h"

enum { COMMIT_TRIES = 6 };

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

/* ---- the table learns what was written ---- */

/* Entries of the own session are marked: they must be there when a snapshot names them, however
 * long it takes until then. Not manifests: who deletes one of these has merged it into another, and
 * to bring it back would bring back what was deleted from it. */
static void mark_own(const struct xb_pending *pending, struct xb_index_table *table)
{
    for (uint32_t i = 0; i < pending->count; i++) {
        size_t found = 0;
        if (!pending->entries[i].deleted && pending->entries[i].id.prefix != 'm' &&
            xb_index_table_find(table, &pending->entries[i].id, &found)) {
            xb_index_table_mark(table, found);
        }
    }
}

/* The present table and everything pending, which xb_index_put has sorted, without a look into the
 * store. */
static int merge_own(struct xb_repository *repository, const struct xb_index_put *put,
                     struct xb_index_table **ret, struct xb_error *err)
{
    const struct xb_pending *pending = &repository->pending;
    XB_CLEANUP(xb_index_merge_freep) struct xb_index_merge *merge = NULL;
    int r = xb_index_merge_new(xb_sealer_hash_bytes(repository->sealer), &merge, err);
    if (r < 0) {
        return r;
    }
    xb_index_merge_in(merge, xb_repository_cache_folder(repository));
    r = xb_index_merge_add_table(merge, repository->table, err);
    r = r ? r
          : xb_index_merge_add_entries(merge, pending->entries, pending->count, &pending->packs,
                                       err);
    for (size_t i = 0; r == 0 && i < put->count; i++) {
        r = xb_index_merge_cover(merge, &put->blobs[i], err);
    }
    return r ? r : xb_index_merge_finish(merge, repository->watermark_s, ret, err);
}

/* What is pending is indexed now: it moves into the table. */
static int adopt(struct xb_repository *repository, const struct xb_index_put *put,
                 struct xb_error *err)
{
    struct xb_index_table *table = NULL;
    int r = merge_own(repository, put, &table, err);
    if (r == 0 && repository->cache) {
        xb_index_cache_save(repository->cache, table);
    }
    pthread_mutex_lock(&repository->lock);
    struct xb_index_table *old = repository->table;
    if (r == 0 && (r = xb_reuse_carry(repository, old, table, err)) == 0) {
        mark_own(&repository->pending, table);
        repository->table = table;
        repository->index_names_hash += put->names_hash;
        table = old;
    }
    xb_pending_free(&repository->pending);
    memset(repository->deletions, 0, sizeof repository->deletions);
    repository->first_pending_ns = 0;
    pthread_mutex_unlock(&repository->lock);
    xb_index_table_unref(table);
    return r;
}

/* ---- the whole ---- */

/* It is committed: nothing that fails from here on may make anybody do it again. */
static void warn(const struct xb_error *err, const char *what)
{
    xb_log_err(XB_LOG_WARNING, err, what, (char *)NULL);
}

static void settle(struct xb_repository *repository, const struct xb_index_put *put,
                   const struct xb_index_listing *after)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_session_end(&repository->session, repository->store, xb_repository_wall_ns(repository),
                       &err) < 0) {
        warn(&err, "committed, but the marker of the session stays in the store until "
                   "maintenance removes it");
    }
    err = (struct xb_error)XB_ERROR_INIT;
    if (adopt(repository, put, &err) < 0 || xb_repository_follow(repository, after, &err) < 0) {
        warn(&err, "committed, but the index could not be looked at again");
    }
}

/* Since an entry was made, somebody may have deleted another one of its content, and that deletion
 * may even be hidden by the watermark: the entry must be younger. */
static void outlive_deletions(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    for (uint32_t i = 0; i < repository->pending.count; i++) {
        struct xb_index_entry *entry = &repository->pending.entries[i];
        struct xb_index_entry old = {.timestamp_s = 0};
        size_t found = 0;
        if (xb_index_table_find(repository->table, &entry->id, &found)) {
            xb_index_table_at(repository->table, found, &old);
        }
        uint64_t deleted_s = old.deleted ? old.timestamp_s : 0;
        bool hidden =
            repository->watermark_s > 0 && entry->timestamp_s <= (uint64_t)repository->watermark_s;
        if (!entry->deleted && (hidden || entry->timestamp_s <= deleted_s)) {
            entry->timestamp_s = xb_repository_timestamp(repository, deleted_s);
        }
    }
    pthread_mutex_unlock(&repository->lock);
}

/* Packs, then the index, then the end of the marker. */
static int commit(struct xb_repository *repository, bool *ret_moved, struct xb_error *err)
{
    struct xb_index_listing after = {.count = 0};
    char session[XB_SESSION_ID_BYTES];
    struct xb_index_put put = {.count = 0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < XB_PACK_KINDS; i++) {
        r = xb_pack_slot_close(repository, &repository->packs[i], err);
    }
    /* Deletions alone write no pack, but their index blob needs a session's name. */
    if (r < 0 || (r = xb_repository_session(repository, session, err)) < 0) {
        return r;
    }
    outlive_deletions(repository);
    r = xb_index_put(repository, &after, &put, ret_moved, err);
    if (r == 0 && !*ret_moved) {
        settle(repository, &put, &after);
    }
    free(put.blobs);
    xb_index_listing_free(&after);
    return r;
}

/* What is reused is looked at right before and right after everything is committed; what is written
 * again for it then is committed, too. */
static int flush_alone(struct xb_repository *repository, struct xb_error *err)
{
    if (repository->failed.code) {
        *err = repository->failed;
        return err->code;
    }
    if (repository->pending.count == 0) {
        return 0;
    }
    int r = xb_repository_check_format(repository, err);
    if (r == 0) {
        r = xb_repository_refresh_locked(repository, err);
    }
    for (int try = 0; r == 0 && try < COMMIT_TRIES; try++) {
        bool moved = false;
        r = xb_reuse_check(repository, err);
        if (r == 0 && repository->pending.count == 0) {
            return 0;
        }
        if (r == 0) {
            r = commit(repository, &moved, err);
        }
        if (r == 0 && moved) {
            r = xb_repository_refresh_locked(repository, err);
        }
    }
    return r < 0 ? r
                 : xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                                "the repository's epoch keeps moving on, or what is reused keeps "
                                "being deleted; its maintenance may be broken");
}

/* `age_ns_max` 0: in any case. Else only what is still due once everybody has left: somebody else
 * may have done it. */
static int flush_older(struct xb_repository *repository, int64_t age_ns_max, struct xb_error *err)
{
    int r = 0;
    if (repository->read_only) {
        return xb_error_set(err, XB_ERR_DENIED, -EROFS, "the repository is open for reading only");
    }
    /* flush_lock after: a refresh by age must not wait for a flush that waits for its writer. */
    shut(repository);
    pthread_mutex_lock(&repository->flush_lock);
    if (age_ns_max == 0 || xb_repository_flush_due(repository, age_ns_max)) {
        r = flush_alone(repository, err);
    }
    pthread_mutex_unlock(&repository->flush_lock);
    reopen(repository);
    return r < 0 ? xb_error_wrap(err, "committing to the repository in %s",
                                 xb_store_describe(repository->store))
                 : 0;
}

int xb_repository_flush(struct xb_repository *repository, struct xb_error *err)
{
    return flush_older(repository, 0, err);
}

int xb_repository_flush_if_due(struct xb_repository *repository, int64_t age_ns_max,
                               struct xb_error *err)
{
    return xb_repository_flush_due(repository, age_ns_max)
               ? flush_older(repository, age_ns_max, err)
               : 0;
}
