/* SPDX-License-Identifier: Apache-2.0
 * The table that the blobs of a listing make: as much of it as possible from the table that is
 * there, or from the cache; the rest is fetched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/state.h"

enum {
    /* A larger blob goes through a file, piece by piece. */
    IN_MEMORY_BYTES_MAX = 512 * 1024,
    PIECE_BYTES = 1024 * 1024
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
};

static void load_free(struct load *load)
{
    free(load->wanted);
    free(load->hashes);
    xb_index_table_unref(load->start);
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

static int add_small(struct load *load, const char *name, struct xb_index_merge *merge,
                     struct xb_error *err)
{
    struct xb_repository *repository = load->repository;
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    int r = xb_store_get(repository->store, name, 0, XB_STORE_TO_END, &sealed, err);
    if (r < 0 ||
        (r = xb_unseal_blob(repository->sealer, name, sealed.data, sealed.len, &plain, err)) < 0) {
        return r;
    }
    return xb_index_merge_add_index(merge, plain.data, plain.len, err);
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

static int add_large(struct load *load, const char *name, uint64_t size,
                     struct xb_index_merge *merge, struct xb_error *err)
{
    int folder = xb_repository_cache_folder(load->repository);
    XB_CLEANUP(xb_spill_free) struct xb_spill sealed = XB_SPILL_INIT(folder);
    XB_CLEANUP(xb_spill_free) struct xb_spill plain = XB_SPILL_INIT(folder);
    const unsigned char *bytes = NULL;
    unsigned char *room = NULL;
    size_t len = 0;
    int r = fetch_pieces(load, name, size, &sealed, err);
    r = r ? r : xb_spill_map(&sealed, &bytes, err);
    r = r ? r : xb_spill_room(&plain, (size_t)size, &room, err);
    r = r ? r
          : xb_unseal_blob_to(load->repository->sealer, name, bytes, (size_t)size, room, &len, err);
    return r ? r : xb_index_merge_add_index(merge, room, len, err);
}

static int add_blob(struct load *load, const struct wanted *blob, struct xb_index_merge *merge,
                    struct xb_error *err)
{
    uint64_t size = xb_index_item_of(blob->name)->size;
    int r = size > IN_MEMORY_BYTES_MAX ? add_large(load, blob->name, size, merge, err)
                                       : add_small(load, blob->name, merge, err);
    return r < 0 ? xb_error_wrap(err, "index blob %s", blob->name)
                 : xb_index_merge_cover(merge, &blob->hash, err);
}

static int merge_rest(struct load *load, struct xb_index_table **ret, struct xb_error *err)
{
    struct xb_repository *repository = load->repository;
    XB_CLEANUP(xb_index_merge_freep) struct xb_index_merge *merge = NULL;
    int r = xb_index_merge_new(xb_sealer_hash_bytes(repository->sealer), &merge, err);
    if (r < 0) {
        return r;
    }
    xb_index_merge_in(merge, xb_repository_cache_folder(repository));
    r = load->start ? xb_index_merge_add_table(merge, load->start, err) : 0;
    for (size_t i = 0; r == 0 && i < load->count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        if (!load->wanted[i].covered && add_blob(load, &load->wanted[i], merge, &why) < 0) {
            r = xb_repository_tolerate(repository, load->wanted[i].name, &why, err);
        }
    }
    return r ? r : xb_index_merge_finish(merge, load->listing->set.watermark_s, ret, err);
}

static int make_table(struct load *load, struct xb_index_table **ret, struct xb_error *err)
{
    int r = list_wanted(load, err);
    if (r < 0 || (r = find_start(load, err)) < 0) {
        return r;
    }
    size_t covered = 0;
    while (covered < load->count && load->wanted[covered].covered) {
        covered++;
    }
    if (load->start && covered == load->count &&
        xb_index_table_base(load->start)->head.watermark_s == load->listing->set.watermark_s) {
        *ret = XB_TAKE(load->start);
        return 0;
    }
    r = merge_rest(load, ret, err);
    if (r == 0 && load->repository->cache) {
        xb_index_cache_save(load->repository->cache, *ret);
    }
    return r;
}

int xb_repository_load_table(struct xb_repository *repository,
                             const struct xb_index_listing *listing, struct xb_error *err)
{
    XB_CLEANUP(load_free) struct load load = {.repository = repository, .listing = listing};
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
