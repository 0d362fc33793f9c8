/* SPDX-License-Identifier: Apache-2.0
 *
 * index_maker.h - index blobs of any number of contents, as writers put them, without the contents.
 *
 * What for:  tests and benchmarks of large indexes.
 * Ownership: the repository and its store stay the caller's.
 * Threads:   one at a time.    Blocking: as the store does.
 * Shapes:    content i of a seed has always the same id; the packs named do not exist.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/repository/state.h"

enum { INDEX_MAKER_PER_PACK = 200, INDEX_MAKER_FIRST_S = 1700000000 };

struct index_maker {
    struct xb_repository *repository;
    uint64_t seed;
    size_t per_blob;
    int epoch;
};

/* splitmix64 */
static inline uint64_t index_maker_number(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* One in sixteen is of a folder. */
static inline void index_maker_id(const struct index_maker *maker, uint64_t i,
                                  struct xb_content_id *ret)
{
    size_t len = xb_sealer_hash_bytes(maker->repository->sealer);
    *ret = (struct xb_content_id){.prefix = i % 16 ? 0 : 'k', .len = (uint8_t)len};
    for (size_t k = 0; k < len; k += 8) {
        uint64_t number = index_maker_number(maker->seed, 4 * i + k / 8);
        memcpy(ret->hash + k, &number, len - k < 8 ? len - k : 8);
    }
}

static inline void index_maker_entry(const struct index_maker *maker, uint64_t i,
                                     struct xb_index_entry *ret)
{
    uint32_t packed = 20000 + (uint32_t)(index_maker_number(maker->seed, i) % 160000);
    *ret = (struct xb_index_entry){.format_version = 3,
                                   .offset = (uint32_t)(i % INDEX_MAKER_PER_PACK) * 180000,
                                   .packed_bytes = packed,
                                   .plain_bytes = packed - XB_SEAL_OVERHEAD_BYTES,
                                   .timestamp_s = INDEX_MAKER_FIRST_S + i / 1000};
    index_maker_id(maker, i, &ret->id);
}

/* Entries from..from+count-1 as one blob. */
static inline int index_maker_blob(const struct index_maker *maker, uint64_t from, size_t count,
                                   struct xb_error *err)
{
    struct xb_names packs = {.count = 0};
    struct xb_buf plain = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    char prefix[32], suffix[64], name[XB_SEAL_BLOB_NAME_BYTES];
    struct xb_index_entry *entries = calloc(count, sizeof *entries);
    int r = entries ? 0 : xb_error_no_memory(err, "entries");
    for (size_t k = 0; r == 0 && k < count; k++) {
        uint64_t pack = (from + k) / INDEX_MAKER_PER_PACK;
        char text[64];
        index_maker_entry(maker, from + k, &entries[k]);
        snprintf(text, sizeof text, "p%016" PRIx64 "%016" PRIx64 "-s%016" PRIx64 "131",
                 index_maker_number(maker->seed, pack), pack, maker->seed);
        r = xb_names_intern(&packs, text, strlen(text), &entries[k].pack, err);
    }
    if (r == 0) {
        xb_index_sort(entries, count);
        r = xb_index_encode(entries, count, &packs, &plain, err);
    }
    snprintf(prefix, sizeof prefix, "xn%d_", maker->epoch);
    snprintf(suffix, sizeof suffix, "s%016" PRIx64 "131-c1",
             index_maker_number(maker->seed, UINT64_MAX / 2 + from));
    r = r ? r
          : xb_seal_blob(maker->repository->sealer, prefix, suffix, plain.data, plain.len, name,
                         &sealed, err);
    r = r ? r : xb_store_put(maker->repository->store, name, sealed.data, sealed.len, NULL, err);
    free(entries);
    xb_names_free(&packs);
    xb_buf_free(&plain);
    xb_buf_free(&sealed);
    return r;
}

/* Contents from..from+count-1. */
static inline int index_maker_put(const struct index_maker *maker, uint64_t from, uint64_t count,
                                  struct xb_error *err)
{
    int r = 0;
    for (uint64_t at = 0; r == 0 && at < count; at += maker->per_blob) {
        uint64_t left = count - at;
        r = index_maker_blob(maker, from + at,
                             left < maker->per_blob ? (size_t)left : maker->per_blob, err);
    }
    return r;
}
