/* SPDX-License-Identifier: Apache-2.0
 *
 * index.h - index bytes: where each content lies. Encode version 2, decode versions 1 and 2.
 *
 * What for:  index blobs and the local index at the end of each pack; the only place that knows
 *            their layout. Internal to the repository.
 * Ownership: caller's; entries name packs by number in a struct xb_names that the caller passes.
 * Threads:   none shared.    Blocking: never (pure).
 * Shapes:    entries in ascending order of their ids, each id once.
 * Errors:    CORRUPT with the field and the entry's number: bytes are taken only if every length,
 *            number and order in them holds. INVALID for entries that the format cannot express.
 * Limits:    XB_INDEX_* below.
 * Source:    kopia-format section 6.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"
#include "shared/repository/names.h"
#include "shared/repository/repository.h"

enum {
    XB_INDEX_OFFSET_MAX = (1 << 30) - 1,
    XB_INDEX_LENGTH_MAX = (1 << 28) - 1,
    XB_INDEX_SHARD_ENTRIES_MAX = 16000000,
    XB_INDEX_BLOB_BYTES_MAX = 512 * 1024 * 1024,
    XB_INDEX_FORMATS_MAX = 255
};

struct xb_index_entry {
    struct xb_content_id id;
    bool deleted;
    uint8_t format_version;
    uint8_t key_id; /* must be 0 to be readable */
    uint32_t pack;  /* number in the caller's xb_names */
    uint32_t offset, packed_bytes, plain_bytes, compression;
    uint64_t timestamp_s;
};

/* The merge rule: whether `a` (in a pack of name a_pack) wins over `b`. Later wins, then not
 * deleted, then the greater pack name. False for equals. */
bool xb_index_entry_beats(const struct xb_index_entry *a, const char *a_pack,
                          const struct xb_index_entry *b, const char *b_pack);

/* Puts entries into id order. */
void xb_index_sort(struct xb_index_entry *entries, size_t count);

/* Appends index version 2. `entries` in id order, all ids of one length, at least one. */
int xb_index_encode(const struct xb_index_entry *entries, size_t count,
                    const struct xb_names *packs, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;

typedef int xb_index_entry_fn(void *context, const struct xb_index_entry *entry,
                              struct xb_error *err);

/* Calls fn for each entry in order, after the frame was checked. Pack names are interned into
 * `packs`. hash_bytes: what ids of this repository must have. */
int xb_index_decode(const void *data, size_t len, size_t hash_bytes, struct xb_names *packs,
                    xb_index_entry_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;

/* The shard (of `count`) that an id belongs to when an index is too large for one blob. */
uint32_t xb_index_shard(const struct xb_content_id *id, uint32_t count);
