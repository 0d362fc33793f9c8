/* SPDX-License-Identifier: Apache-2.0
 *
 * index_run.h - one sorted run of index entries, in one piece of memory or of a file.
 *
 * What for:  the levels of a table (index_table.h): a large run, and a small one over it. The same
 *            bytes lie in memory and in the cache's files (index_cache.h). Internal.
 * Ownership: reference counted.
 * Threads:   a run never changes once it is finished.    Blocking: building writes to a file.
 * Shapes:    sections, each at a multiple of 16 bytes: the records that exist; those that are
 *            deleted and not above the watermark, which only later merges look at; the names of
 *            packs; where to begin to look for a key; the blobs whose entries are in here; and, of
 *            a run that lies over another, where its records belong among the other's.
 */
#pragma once

#include <stdatomic.h>

#include "shared/base/cleanup.h"
#include "shared/repository/index_record.h"
#include "shared/repository/spill.h"

enum {
    XB_INDEX_RUN_ID_BYTES = 16,
    XB_INDEX_BLOB_HASH_BYTES = 16,
    XB_INDEX_PREFIXES = 21, /* none, 'g' to 'z' */
    XB_INDEX_RUN_RECORDS_MAX = UINT32_MAX - 1
};

/* What a blob of that name is known by. */
struct xb_index_blob_hash {
    unsigned char bytes[XB_INDEX_BLOB_HASH_BYTES];
};
int xb_index_blob_hash(const char *name, struct xb_index_blob_hash *ret,
                       struct xb_error *err) XB_MUST_CHECK;

enum xb_index_section {
    XB_INDEX_RECORDS,
    XB_INDEX_HIDDEN,
    XB_INDEX_NAME_TEXT,
    XB_INDEX_NAME_OFFSETS,
    XB_INDEX_NAME_SLOTS,
    XB_INDEX_FAN,
    XB_INDEX_BLOBS,
    XB_INDEX_RANKS,
    XB_INDEX_SECTIONS
};

/* Entries of one prefix; those whose hash begins with the bits v start at fan[fan_at + v]. */
struct xb_index_group {
    uint32_t start, count, fan_at, bits;
};

/* All that is not in the sections; no padding, no pointers: it is in the file as it is. */
struct xb_index_head {
    unsigned char id[XB_INDEX_RUN_ID_BYTES];
    unsigned char below[XB_INDEX_RUN_ID_BYTES]; /* the run under this one; zeros: none */
    int64_t watermark_s;
    uint64_t key_bytes;
    uint64_t at[XB_INDEX_SECTIONS], len[XB_INDEX_SECTIONS]; /* in bytes */
    struct xb_index_group groups[XB_INDEX_PREFIXES];
    uint32_t name_count, slot_count;
    uint32_t below_names; /* packs below this number are named by the run under this one */
    uint32_t inserts;     /* records whose key the run under this one does not have */
};

/* Where a record belongs: before which record of the run below, and its number in the whole. */
struct xb_index_rank {
    uint32_t below, number;
};

struct xb_index_run {
    atomic_uint refs;
    atomic_bool saved;     /* it is in the cache */
    struct xb_spill spill; /* the bytes, when they were built here */
    void *map;             /* or when they are a file of the cache */
    size_t map_len;
    struct xb_index_head head;
    size_t key_bytes, stride, count, hidden_count, blob_count;
    const unsigned char *records, *hidden;
    const uint32_t *fan;
    const struct xb_index_blob_hash *blobs; /* sorted */
    const struct xb_index_rank *ranks;
    struct xb_names packs; /* borrows from the sections */
};

struct xb_index_run *xb_index_run_ref(struct xb_index_run *run);
void xb_index_run_unref(struct xb_index_run *run);
XB_DEFINE_CLEANUP(xb_index_run_unrefp, struct xb_index_run, xb_index_run_unref);

/* The first record whose key is not below `key` (all key_bytes of it). */
size_t xb_index_run_lower(const struct xb_index_run *run, const unsigned char *key);
/* The first record whose prefix is not below this one. */
size_t xb_index_run_lower_prefix(const struct xb_index_run *run, unsigned char prefix);
bool xb_index_run_find(const struct xb_index_run *run, const unsigned char *key, size_t *ret_i);
/* The hidden record of that key, or NULL. */
const unsigned char *xb_index_run_find_hidden(const struct xb_index_run *run,
                                              const unsigned char *key);

static inline const unsigned char *xb_index_run_at(const struct xb_index_run *run, size_t i)
{
    return run->records + i * run->stride;
}

/* ---- making one ---- */

struct xb_index_build {
    size_t key_bytes;
    int64_t watermark_s;
    const struct xb_index_run *below; /* NULL: it lies over none */
    struct xb_spill records, hidden, ranks;
    uint32_t inserts;
};

void xb_index_build_free(struct xb_index_build *build); /* what it owns */
/* Records come in the order of their keys, each key once. */
int xb_index_build_add(struct xb_index_build *build, const unsigned char *record,
                       struct xb_error *err) XB_MUST_CHECK;
/* `below` is where it belongs in the run below, `replaces` that it takes the place of that one. */
int xb_index_build_add_over(struct xb_index_build *build, const unsigned char *record, size_t below,
                            bool replaces, struct xb_error *err) XB_MUST_CHECK;
int xb_index_build_hide(struct xb_index_build *build, const unsigned char *record,
                        struct xb_error *err) XB_MUST_CHECK;
/* `packs`: the names from number below_names on. The blobs are sorted in place. */
int xb_index_build_finish(struct xb_index_build *build, const struct xb_names *packs,
                          struct xb_index_blob_hash *blobs, size_t blob_count,
                          struct xb_index_run **ret, struct xb_error *err) XB_MUST_CHECK;

/* Points a run's fields into its bytes, whose head has been filled; CORRUPT if they do not fit. */
int xb_index_run_attach(struct xb_index_run *run, const unsigned char *data, uint64_t len,
                        struct xb_error *err) XB_MUST_CHECK;
