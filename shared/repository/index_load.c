/* SPDX-License-Identifier: Apache-2.0
 * The table that the blobs of a listing make: as much of it as possible from the table that is
 * there, or from the cache; the rest is fetched. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/workers.h"
#include "shared/repository/state.h"

enum {
    /* A larger blob goes through a file, piece by piece. */
    IN_MEMORY_BYTES_MAX = 512 * 1024,
    PIECE_BYTES = 512 * 1024,
    /* Fetched at once: over a network nearly all of the time is waiting. */
    FETCHERS = 4
};

struct wanted {
    struct xb_index_blob_hash hash;
    const char *name;
    bool covered;
};

struct load {
    struct xb_repository *repository;
    const struct xb_index_listing *listing;
    struct wanted *wanted; /* sorted by their hashes */
    struct xb_index_blob_hash *hashes;
    size_t count;
    struct xb_index_table *start; /* what is known already, or NULL */

    /* while the rest is fetched */
    struct xb_index_merge *merge; /* lock */
    pthread_mutex_t lock;
    atomic_size_t next; /* of wanted */
    atomic_bool stop;
    struct xb_error err; /* the first failure; lock */
};

static void load_free(struct load *load)
{
    free(load->wanted);
    free(load->hashes);
    xb_index_table_unref(load->start);
    xb_index_merge_free(load->merge);
    pthread_mutex_destroy(&load->lock);
}

/* ---- what is known already ---- */

static int by_hash(const void *a, const void *b)
{
    const struct wanted *left = a;
    const struct wanted *right = b;
    return memcmp(&left->hash, &right->hash, sizeof left->hash);
}

static int list_wanted(struct load *load, struct xb_error *err)
{
    const struct xb_epoch_set *set = &load->listing->set;
    load->count = set->active_count;
    load->wanted = calloc(load->count + 1, sizeof *load->wanted);
    load->hashes = calloc(load->count + 1, sizeof *load->hashes);
    if (!load->wanted || !load->hashes) {
        return xb_error_no_memory(err, "the list of index blobs");
    }
    for (size_t i = 0; i < load->count; i++) {
        load->wanted[i].name = set->active[i];
        int r = xb_index_blob_hash(set->active[i], &load->wanted[i].hash, err);
        if (r < 0) {
            return r;
        }
    }
    if (load->count > 1) {
        qsort(load->wanted, load->count, sizeof *load->wanted, by_hash);
    }
    for (size_t i = 0; i < load->count; i++) {
        load->hashes[i] = load->wanted[i].hash;
    }
    return 0;
}

static void note_covered(struct load *load, const struct xb_index_run *run)
{
    size_t at = 0;
    for (size_t i = 0; run && i < run->blob_count; i++) {
        while (memcmp(&load->wanted[at].hash, &run->blobs[i], sizeof *run->blobs) != 0) {
            at++; /* it is there: xb_index_blobs_cover has said so */
        }
        load->wanted[at].covered = true;
    }
}

/* A table holds good when every blob that it was made from still counts: what a blob that does not
 * count any more has said cannot be taken out of it. */
static int find_start(struct load *load, struct xb_error *err)
{
    struct xb_repository *repository = load->repository;
    const struct xb_index_blobs blobs = {load->hashes, load->count};
    struct xb_index_table *table = repository->table;
    int r = 0;
    if (table && xb_index_blobs_cover(&blobs, xb_index_table_base(table))) {
        struct xb_index_run *base = xb_index_table_base(table);
        const struct xb_index_run *over = xb_index_table_over(table);
        if (!over || xb_index_blobs_cover(&blobs, over)) {
            load->start = xb_index_table_ref(table);
        } else {
            r = xb_index_table_new(xb_index_run_ref(base), NULL, &load->start, err);
        }
    } else if (repository->cache) {
        load->start = xb_index_cache_load(repository->cache,
                                          1 + xb_sealer_hash_bytes(repository->sealer), &blobs);
    }
    if (r == 0 && load->start) {
        note_covered(load, xb_index_table_base(load->start));
        note_covered(load, xb_index_table_over(load->start));
    }
    return r;
}

/* ---- the rest ---- */

/* Blobs are decoded one at a time: the merge is one. */
static int decode(struct load *load, const struct wanted *blob, const void *plain, size_t len,
                  struct xb_error *err)
{
    pthread_mutex_lock(&load->lock);
    int r = xb_index_merge_add_index(load->merge, plain, len, err);
    r = r ? r : xb_index_merge_cover(load->merge, &blob->hash, err);
    pthread_mutex_unlock(&load->lock);
    return r;
}

static int add_small(struct load *load, const struct wanted *blob, struct xb_error *err)
{
    struct xb_repository *repository = load->repository;
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    int r = xb_store_get(repository->store, blob->name, 0, XB_STORE_TO_END, &sealed, err);
    r = r ? r
          : xb_unseal_blob(repository->sealer, blob->name, sealed.data, sealed.len, &plain, err);
    return r ? r : decode(load, blob, plain.data, plain.len, err);
}

static int fetch_pieces(struct load *load, const char *name, uint64_t size, struct xb_spill *out,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf piece = XB_BUF_INIT(PIECE_BYTES);
    if (size > XB_INDEX_BLOB_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "it is larger than %d bytes",
                            XB_INDEX_BLOB_BYTES_MAX);
    }
    for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
        uint64_t len = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
        xb_buf_clear(&piece);
        int r = xb_store_get(load->repository->store, name, at, len, &piece, err);
        if (r < 0 || (r = xb_spill_append(out, piece.data, piece.len, err)) < 0) {
            return r;
        }
    }
    return 0;
}

static int add_large(struct load *load, const struct wanted *blob, uint64_t size,
                     struct xb_error *err)
{
    int folder = xb_repository_cache_folder(load->repository);
    XB_CLEANUP(xb_spill_free) struct xb_spill sealed = XB_SPILL_INIT(folder);
    XB_CLEANUP(xb_spill_free) struct xb_spill plain = XB_SPILL_INIT(folder);
    const unsigned char *bytes = NULL;
    unsigned char *room = NULL;
    size_t len = 0;
    int r = fetch_pieces(load, blob->name, size, &sealed, err);
    r = r ? r : xb_spill_map(&sealed, &bytes, err);
    r = r ? r : xb_spill_room(&plain, (size_t)size, &room, err);
    r = r ? r
          : xb_unseal_blob_to(load->repository->sealer, blob->name, bytes, (size_t)size, room, &len,
                              err);
    return r ? r : decode(load, blob, room, len, err);
}

/* A blob that cannot be read ends everything, unless that is to be put up with. */
static void add_blob(struct load *load, const struct wanted *blob)
{
    struct xb_error why = XB_ERROR_INIT;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t size = xb_index_item_of(blob->name)->size;
    int r = size > IN_MEMORY_BYTES_MAX ? add_large(load, blob, size, &why)
                                       : add_small(load, blob, &why);
    if (r == 0) {
        return;
    }
    xb_error_wrap(&why, "index blob %s", blob->name);
    if (xb_repository_tolerate(load->repository, blob->name, &why, &err) < 0) {
        pthread_mutex_lock(&load->lock);
        load->err = load->err.code ? load->err : err;
        pthread_mutex_unlock(&load->lock);
        atomic_store(&load->stop, true);
    }
}

static void fetch_some(void *context)
{
    struct load *load = context;
    while (!atomic_load(&load->stop)) {
        size_t i = atomic_fetch_add(&load->next, 1);
        if (i >= load->count) {
            return;
        }
        if (!load->wanted[i].covered) {
            add_blob(load, &load->wanted[i]);
        }
    }
}

static int fetch_rest(struct load *load, size_t missing, struct xb_error *err)
{
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    size_t threads = missing < FETCHERS ? missing : (size_t)FETCHERS;
    int r = threads > 1 ? xb_workers_new((unsigned)threads - 1, threads, &workers, err) : 0;
    if (r < 0) {
        return r;
    }
    for (size_t i = 1; i < threads; i++) {
        xb_workers_submit(workers, fetch_some, load);
    }
    fetch_some(load);
    if (workers) {
        xb_workers_drain(workers);
    }
    if (load->err.code) {
        *err = load->err;
    }
    return load->err.code;
}

static int merge_rest(struct load *load, size_t missing, struct xb_index_table **ret,
                      struct xb_error *err)
{
    struct xb_repository *repository = load->repository;
    int r = xb_index_merge_new(xb_sealer_hash_bytes(repository->sealer), &load->merge, err);
    if (r < 0) {
        return r;
    }
    xb_index_merge_in(load->merge, xb_repository_cache_folder(repository));
    r = load->start ? xb_index_merge_add_table(load->merge, load->start, err) : 0;
    r = r ? r : fetch_rest(load, missing, err);
    return r ? r : xb_index_merge_finish(load->merge, load->listing->set.watermark_s, ret, err);
}

static int make_table(struct load *load, struct xb_index_table **ret, struct xb_error *err)
{
    int r = list_wanted(load, err);
    if (r < 0 || (r = find_start(load, err)) < 0) {
        return r;
    }
    size_t missing = 0;
    for (size_t i = 0; i < load->count; i++) {
        missing += !load->wanted[i].covered;
    }
    if (load->start && missing == 0 &&
        xb_index_table_base(load->start)->head.watermark_s == load->listing->set.watermark_s) {
        *ret = XB_TAKE(load->start);
        return 0;
    }
    r = merge_rest(load, missing, ret, err);
    if (r == 0 && load->repository->cache) {
        xb_index_cache_save(load->repository->cache, *ret);
    }
    return r;
}

int xb_repository_load_table(struct xb_repository *repository,
                             const struct xb_index_listing *listing, struct xb_error *err)
{
    XB_CLEANUP(load_free)
    struct load load = {
        .repository = repository, .listing = listing, .lock = PTHREAD_MUTEX_INITIALIZER};
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
    int r = make_table(&load, &table, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&repository->lock);
    struct xb_index_table *old = repository->table;
    if (old && old != table) {
        r = xb_reuse_carry(repository, old, table, err);
    }
    if (r == 0) {
        repository->table = table;
        repository->table_listed_ns = listing->listed_ns;
        repository->write_epoch = listing->set.write_epoch;
        repository->watermark_s = listing->set.watermark_s;
        repository->index_blobs = listing->set.active_count;
        repository->index_names_hash = listing->names_hash;
        table = old;
    }
    pthread_mutex_unlock(&repository->lock);
    return r;
}
