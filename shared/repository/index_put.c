/* SPDX-License-Identifier: Apache-2.0
 * Writing a session's index: under the present write epoch, as long as that is surely the present
 * one (kopia-format section 8). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fnv.h"
#include "shared/base/log.h"
#include "shared/repository/state.h"

enum { PREFIX_BYTES = 32, SUFFIX_BYTES = 64, SHARDS_MAX = 1024 };

/* The write epoch as a listing told it, good until the refresh interval has gone by. */
struct epoch_state {
    int64_t listed_ns, write_epoch;
};

struct shard {
    size_t start, count; /* of the entries */
    char name[XB_SEAL_BLOB_NAME_BYTES];
};

struct putting {
    struct xb_repository *repository;
    const struct xb_index_entry *entries; /* by shard, then by id */
    struct xb_index_entry *own;           /* which are ours, if there are several shards */
    struct shard *shards;
    unsigned shard_count;
    unsigned put; /* of them, under the state's epoch */
    struct epoch_state state;
    int64_t valid_ns;
};

static void putting_free(struct putting *put)
{
    free(put->own);
    free(put->shards);
}

/* ---- shards ---- */

/* Sorts entries into shards, keeping their order within each; shards that got none are dropped. */
static int split(struct putting *put, const struct xb_index_entry *sorted, size_t count,
                 struct xb_error *err)
{
    size_t limit = put->repository->shard_entries_max;
    size_t shards = (count + limit - 1) / limit;
    if (shards > SHARDS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "%zu entries need too many index blobs",
                            count);
    }
    put->shards = calloc(shards, sizeof *put->shards);
    XB_CLEANUP(xb_freep) size_t *next = calloc(shards + 1, sizeof *next);
    if (!put->shards || !next) {
        return xb_error_no_memory(err, "the session's index");
    }
    for (size_t i = 0; i < count; i++) {
        next[xb_index_shard(&sorted[i].id, (uint32_t)shards) + 1]++;
    }
    for (size_t s = 0; s < shards; s++) {
        if (next[s + 1] > 0) {
            put->shards[put->shard_count++] =
                (struct shard){.start = next[s], .count = next[s + 1]};
        }
        next[s + 1] += next[s];
    }
    for (size_t i = 0; i < count; i++) {
        put->own[next[xb_index_shard(&sorted[i].id, (uint32_t)shards)]++] = sorted[i];
    }
    return 0;
}

/* No writer is inside: what is pending stays where it is. */
static int collect(struct putting *put, struct xb_error *err)
{
    struct xb_repository *repository = put->repository;
    struct xb_pending *pending = &repository->pending;
    pthread_mutex_lock(&repository->lock); /* readers look into it */
    xb_pending_sort(pending);
    pthread_mutex_unlock(&repository->lock);
    put->entries = pending->entries;
    if (pending->count > repository->shard_entries_max) {
        put->own = reallocarray(NULL, pending->count, sizeof *put->own);
        put->entries = put->own;
        return put->own ? split(put, pending->entries, pending->count, err)
                        : xb_error_no_memory(err, "the session's index");
    }
    put->shards = calloc(1, sizeof *put->shards);
    if (!put->shards) {
        return xb_error_no_memory(err, "the session's index");
    }
    put->shards[0].count = pending->count;
    put->shard_count = 1;
    return 0;
}

/* ---- the epoch ---- */

static int64_t left_ns(const struct putting *put)
{
    return put->state.listed_ns + put->valid_ns - xb_repository_elapsed_ns(put->repository);
}

static int relist(struct putting *put, struct xb_error *err)
{
    struct xb_index_listing listing = {.count = 0};
    int r = xb_index_listing_load(put->repository, &listing, err);
    if (r < 0) {
        return r;
    }
    put->state = (struct epoch_state){listing.listed_ns, listing.set.write_epoch};
    xb_index_listing_free(&listing);
    return left_ns(put) > 0 ? 0
                            : xb_error_set(err, XB_ERR_RETRY, -ETIME,
                                           "listing the index takes longer than %" PRId64
                                           " s, for which it tells the epoch",
                                           put->valid_ns / XB_NS_PER_S);
}

static void begin_state(struct putting *put)
{
    struct xb_repository *repository = put->repository;
    pthread_mutex_lock(&repository->lock);
    put->valid_ns = repository->format.epoch_refresh_ns;
    put->state = (struct epoch_state){repository->table_listed_ns, repository->write_epoch};
    pthread_mutex_unlock(&repository->lock);
}

/* A blob that cannot be taken away does no harm: what it tells is true, and it is written again
 * under the next epoch. */
static void take_back(struct putting *put)
{
    for (; put->put > 0; put->put--) {
        const char *name = put->shards[put->put - 1].name;
        struct xb_error err = XB_ERROR_INIT;
        if (xb_store_delete(put->repository->store, name, &err) < 0) {
            xb_log_err(XB_LOG_WARNING, &err, "an index blob of an old epoch stays behind", "blob",
                       name, (char *)NULL);
        }
    }
}

/* ---- putting ---- */

/* Packs of a session that has grown too old may be gone: nothing more may name them. What was put
 * before stays: others may count on it already, and it was true then. */
static int check_session(struct putting *put, struct xb_error *err)
{
    struct xb_repository *repository = put->repository;
    int r = xb_session_check_age(&repository->session, xb_repository_wall_ns(repository), err);
    if (r < 0) {
        xb_repository_fail(repository, err);
    }
    return r;
}

/* *ret_moved: the epoch is another one now, and none of the shards is left in the store. */
static int put_shard(struct putting *put, struct shard *shard, bool *ret_moved,
                     struct xb_error *err)
{
    struct xb_repository *repository = put->repository;
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    char prefix[PREFIX_BYTES];
    char suffix[SUFFIX_BYTES];
    int64_t epoch = put->state.write_epoch;
    snprintf(prefix, sizeof prefix, "xn%" PRId64 "_", epoch);
    snprintf(suffix, sizeof suffix, "%s-c%u", repository->session.id, put->shard_count);
    int r = xb_index_encode(put->entries + shard->start, shard->count, &repository->pending.packs,
                            &plain, err);
    if (r < 0 || (r = xb_seal_blob(repository->sealer, prefix, suffix, plain.data, plain.len,
                                   shard->name, &sealed, err)) < 0) {
        return r;
    }
    if (left_ns(put) <= 0) { /* a put may only start while the state holds */
        if ((r = relist(put, err)) < 0) {
            return r;
        }
        if (put->state.write_epoch != epoch) {
            take_back(put);
            *ret_moved = true;
            return 0;
        }
    }
    r = check_session(put, err);
    if (r == 0) {
        r = xb_store_put(repository->store, shard->name, sealed.data, sealed.len, NULL, err);
    }
    put->put += r == 0;
    return r;
}

static int put_shards(struct putting *put, bool *ret_moved, struct xb_error *err)
{
    int r = left_ns(put) < put->valid_ns / 4 * 3 ? relist(put, err) : 0;
    for (unsigned i = 0; r == 0 && !*ret_moved && i < put->shard_count; i++) {
        r = put_shard(put, &put->shards[i], ret_moved, err);
    }
    return r;
}

/* What was put under an epoch that has settled may be compacted away unseen: it must not stay. */
static int check_after(struct putting *put, struct xb_index_listing *ret_after, bool *ret_moved,
                       struct xb_error *err)
{
    struct xb_index_listing after = {.count = 0};
    int r = xb_index_listing_load(put->repository, &after, err);
    if (r < 0) {
        return r;
    }
    *ret_moved = after.set.write_epoch >= put->state.write_epoch + 2;
    if (*ret_moved) {
        xb_index_listing_free(&after);
        take_back(put);
    } else {
        *ret_after = after;
    }
    return 0;
}

static int tell_put(const struct putting *put, struct xb_index_put *ret, struct xb_error *err)
{
    struct xb_index_put told = {.count = put->shard_count};
    told.blobs = calloc((size_t)put->shard_count + 1, sizeof *told.blobs);
    int r = told.blobs ? 0 : xb_error_no_memory(err, "the session's index");
    for (unsigned i = 0; r == 0 && i < put->shard_count; i++) {
        told.names_hash += xb_fnv1a(put->shards[i].name);
        r = xb_index_blob_hash(put->shards[i].name, &told.blobs[i], err);
    }
    if (r < 0) {
        free(told.blobs);
        return r;
    }
    *ret = told;
    return 0;
}

int xb_index_put(struct xb_repository *repository, struct xb_index_listing *ret_after,
                 struct xb_index_put *ret, bool *ret_moved, struct xb_error *err)
{
    XB_CLEANUP(putting_free) struct putting put = {.repository = repository};
    bool moved = false;
    int r = collect(&put, err);
    if (r < 0) {
        return r;
    }
    begin_state(&put);
    r = put_shards(&put, &moved, err);
    if (r == 0 && !moved) {
        r = check_after(&put, ret_after, &moved, err);
    }
    if (r == 0 && !moved) {
        r = tell_put(&put, ret, err);
    }
    if (r == 0) {
        *ret_moved = moved;
    }
    return r;
}
