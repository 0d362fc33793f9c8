/* SPDX-License-Identifier: Apache-2.0
 *
 * index_cache.h - merged indexes that outlive the process, in a folder of its user.
 *
 * What for:  opening a repository of millions of contents without fetching and merging its index
 *            again. Everything in it can be made again from the repository: it may be deleted at
 *            any time. Internal.
 * Ownership: the caller frees a cache; the tables that it gave stay good.
 * Threads:   one at a time. Any number of processes may share a folder: a file gets its name when
 *            it is whole and is never changed; one that is deleted lives on for who has it mapped.
 * Blocking:  yes (disk): loading reads every byte once.
 * Shapes:    a folder per repository (a hash of its unique id), in it "base-<id>" and "over-<id>":
 *            the bytes of an index_run.h, an authentication code for each block of them, the head
 *            with its own code. The codes' key comes from the repository's: who cannot open the
 *            repository cannot make a file that is taken.
 * Secrets:   ids of contents and names of packs lie there in clear; no keys, no data.
 * Errors:    nothing of it is ever an error of the repository: what cannot be read, is not whole or
 *            does not fit is not there; what cannot be written is given up.
 * Limits:    `bytes_max` for all repositories together: the one that was not used for longest goes
 *            first.
 */
#pragma once

#include "shared/base/secret.h"
#include "shared/repository/index_table.h"

struct xb_index_cache_options {
    const char *folder; /* of all repositories */
    const unsigned char *unique_id;
    size_t unique_id_len;
    const struct xb_secret *key; /* the repository's master key */
    uint64_t bytes_max;          /* 0: XB_CACHE_BYTES_MAX */
};

struct xb_index_cache;
/* Makes the folders if they are missing. DENIED: somebody else may write there. */
int xb_index_cache_open(const struct xb_index_cache_options *options, struct xb_index_cache **ret,
                        struct xb_error *err) XB_MUST_CHECK;
void xb_index_cache_free(struct xb_index_cache *cache);

/* The repository's folder, for xb_index_merge_in. */
int xb_index_cache_folder(const struct xb_index_cache *cache);

/* Blobs by their hashes, sorted. */
struct xb_index_blobs {
    const struct xb_index_blob_hash *hashes;
    size_t count;
};
/* Whether all blobs of the run are among these. */
bool xb_index_blobs_cover(const struct xb_index_blobs *blobs, const struct xb_index_run *run);

/* A table of blobs that are all among `blobs`, or NULL. */
struct xb_index_table *xb_index_cache_load(struct xb_index_cache *cache, size_t key_bytes,
                                           const struct xb_index_blobs *blobs);
/* Keeps what is not in it yet. */
void xb_index_cache_save(struct xb_index_cache *cache, const struct xb_index_table *table);
