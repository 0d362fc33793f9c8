/* SPDX-License-Identifier: Apache-2.0
 *
 * maintenance.h - what the owner of a repository's maintenance does, as far as writers and readers
 * notice it: epochs move on, index blobs are compacted and removed, deletions come into force.
 *
 * What for:  tests of writers and readers beside maintenance. Not kopia's schedule and ages: a test
 *            decides what happens when.
 * Ownership: nothing is kept. `repository` lends its keys only; `store` is the one to change.
 * Threads:   one maintenance at a time, as the format wants.
 */
#pragma once

#include "tests/harness/repository_probe.h"

#include "shared/base/random.h"
#include "shared/codec/text.h"

/* The highest epoch marker, 0 if there is none. */
static inline long maintain_write_epoch(struct xb_store *store)
{
    struct probe_names names = probe_list(store, "xe");
    long epoch = 0;
    for (size_t i = 0; i < names.count; i++) {
        long number = strtol(names.names[i] + 2, NULL, 10);
        epoch = number > epoch ? number : epoch;
    }
    probe_names_free(&names);
    return epoch;
}

static inline void maintain_advance(struct xb_store *store)
{
    char marker[40];
    snprintf(marker, sizeof marker, "xe%ld", maintain_write_epoch(store) + 1);
    probe_put(store, marker, "epoch-marker");
}

static inline void maintain_watermark(struct xb_store *store, int64_t seconds)
{
    char mark[40];
    snprintf(mark, sizeof mark, "xw%lld", (long long)seconds);
    probe_put(store, mark, "deletion-watermark");
}

/* False if the blob is gone: its writer has taken it back. */
static inline bool maintain_merge_blob(struct xb_repository *repository, struct xb_store *store,
                                       const char *name, struct xb_index_merge *merge)
{
    struct xb_error gone = XB_ERROR_INIT;
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    if (xb_store_get(store, name, 0, XB_STORE_TO_END, &sealed, &gone) < 0) {
        assert_int_equal(gone.kind, XB_ERR_NOT_FOUND);
        return false;
    }
    PROBE_OK(xb_unseal_blob(repository->sealer, name, sealed.data, sealed.len, &plain, &err));
    PROBE_OK(xb_index_merge_add_index(merge, plain.data, plain.len, &err));
    return true;
}

/* Puts an index of these entries under a name of this beginning, as one shard of a set. */
static inline void maintain_put_index(struct xb_repository *repository, struct xb_store *store,
                                      const char *prefix, const struct xb_index_entry *entries,
                                      size_t count, const struct xb_names *packs)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    char name[XB_SEAL_BLOB_NAME_BYTES];
    char suffix[40];
    unsigned long long set = 0;
    xb_random_bytes(&set, sizeof set);
    snprintf(suffix, sizeof suffix, "s%016llx-c1", set);
    PROBE_OK(xb_index_encode(entries, count, packs, &plain, &err));
    PROBE_OK(xb_seal_blob(repository->sealer, prefix, suffix, plain.data, plain.len, name, &sealed,
                          &err));
    PROBE_OK(xb_store_put(store, name, sealed.data, sealed.len, NULL, &err));
}

static inline void maintain_put_table(struct xb_repository *repository, struct xb_store *store,
                                      const char *prefix, const struct xb_index_table *table)
{
    struct xb_names packs = {.count = 0};
    size_t count = xb_index_table_count(table);
    struct xb_index_entry *entries = calloc(count + 1, sizeof *entries);
    assert_non_null(entries);
    for (size_t i = 0; i < count; i++) {
        xb_index_table_at(table, i, &entries[i]);
        const char *pack = xb_index_table_pack(table, entries[i].pack);
        PROBE_OK(xb_names_intern(&packs, pack, strlen(pack), &entries[i].pack, &err));
    }
    if (count > 0) { /* an empty epoch yields no blob */
        maintain_put_index(repository, store, prefix, entries, count, &packs);
    }
    free(entries);
    xb_names_free(&packs);
}

/* The epoch that an index blob's name begins with, or -1 for markers. */
static inline long maintain_epoch_of(const char *name)
{
    return name[0] == 'x' && strchr("nsr", name[1]) && strchr(name, '_')
               ? strtol(name + 2, NULL, 10)
               : -1;
}

/* Merges the active blobs whose epochs begin in first..last (deleted entries stay) into a
 * compaction: xs<first> when both are equal, else xr<first>_<last>. False: a blob is gone, nothing
 * was done. */
static inline bool maintain_compact(struct xb_repository *repository, struct xb_store *store,
                                    long first, long last)
{
    XB_CLEANUP(xb_index_merge_freep) struct xb_index_merge *merge = NULL;
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
    struct probe_names names = probe_list(store, "x");
    struct xb_epoch_set set;
    char prefix[60];
    PROBE_OK(xb_epoch_compute((const char *const *)names.names, names.count, &set, &err));
    PROBE_OK(xb_index_merge_new(xb_sealer_hash_bytes(repository->sealer), &merge, &err));
    bool whole = true;
    for (size_t i = 0; whole && i < set.active_count; i++) {
        long epoch = maintain_epoch_of(set.active[i]);
        if (epoch >= first && epoch <= last) {
            whole = maintain_merge_blob(repository, store, set.active[i], merge);
        }
    }
    PROBE_OK(xb_index_merge_finish(merge, XB_EPOCH_NO_WATERMARK, &table, &err));
    if (first == last) {
        snprintf(prefix, sizeof prefix, "xs%ld_", first);
    } else {
        snprintf(prefix, sizeof prefix, "xr%ld_%ld_", first, last);
    }
    if (whole) {
        maintain_put_table(repository, store, prefix, table);
    }
    xb_epoch_set_free(&set);
    probe_names_free(&names);
    return whole;
}

/* Removes every plain blob of the epoch: a compaction of it must be there. */
static inline void maintain_remove(struct xb_store *store, long epoch)
{
    char prefix[40];
    snprintf(prefix, sizeof prefix, "xn%ld_", epoch);
    struct probe_names names = probe_list(store, prefix);
    for (size_t i = 0; i < names.count; i++) {
        PROBE_OK(xb_store_delete(store, names.names[i], &err));
    }
    probe_names_free(&names);
}
