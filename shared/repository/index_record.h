/* SPDX-License-Identifier: Apache-2.0
 *
 * index_record.h - an index entry as a record of fixed width.
 *
 * What for:  what merged indexes are made of, in memory and in the cache's files. Only for
 *            index_run.c, index_merge.c and index_table.c.
 * Shapes:    the key (prefix byte, then the hash), then the fields in this machine's byte order,
 *            not aligned. Records of one index have keys of one length, and sort by memcmp.
 * Threads:   none shared.    Blocking: never (pure).
 */
#pragma once

#include <string.h>

#include "shared/repository/index.h"

struct xb_index_fields {
    uint64_t timestamp_s;
    uint32_t offset, packed_bytes, plain_bytes, compression, pack;
    uint8_t format_version, key_id, deleted;
};

enum {
    XB_INDEX_FIELDS_BYTES = offsetof(struct xb_index_fields, deleted) + 1,
    XB_INDEX_KEY_BYTES_MAX = 1 + XB_CONTENT_HASH_BYTES_MAX,
    XB_INDEX_RECORD_BYTES_MAX = XB_INDEX_KEY_BYTES_MAX + XB_INDEX_FIELDS_BYTES
};

static inline void xb_index_record_fields(const unsigned char *record, size_t key_bytes,
                                          struct xb_index_fields *ret)
{
    memcpy(ret, record + key_bytes, XB_INDEX_FIELDS_BYTES);
}

static inline void xb_index_record_set_pack(unsigned char *record, size_t key_bytes, uint32_t pack)
{
    memcpy(record + key_bytes + offsetof(struct xb_index_fields, pack), &pack, sizeof pack);
}

static inline uint32_t xb_index_record_pack(const unsigned char *record, size_t key_bytes)
{
    uint32_t pack;
    memcpy(&pack, record + key_bytes + offsetof(struct xb_index_fields, pack), sizeof pack);
    return pack;
}

static inline void xb_index_record_entry(const unsigned char *record, size_t key_bytes,
                                         struct xb_index_entry *ret)
{
    struct xb_index_fields f;
    xb_index_record_fields(record, key_bytes, &f);
    *ret =
        (struct xb_index_entry){.id = {.prefix = (char)record[0], .len = (uint8_t)(key_bytes - 1)},
                                .deleted = f.deleted != 0,
                                .format_version = f.format_version,
                                .key_id = f.key_id,
                                .pack = f.pack,
                                .offset = f.offset,
                                .packed_bytes = f.packed_bytes,
                                .plain_bytes = f.plain_bytes,
                                .compression = f.compression,
                                .timestamp_s = f.timestamp_s};
    memcpy(ret->id.hash, record + 1, key_bytes - 1);
}

static inline void xb_index_record_make(const struct xb_index_entry *entry, size_t key_bytes,
                                        unsigned char *record)
{
    struct xb_index_fields f = {.timestamp_s = entry->timestamp_s,
                                .offset = entry->offset,
                                .packed_bytes = entry->packed_bytes,
                                .plain_bytes = entry->plain_bytes,
                                .compression = entry->compression,
                                .pack = entry->pack,
                                .format_version = entry->format_version,
                                .key_id = entry->key_id,
                                .deleted = entry->deleted};
    record[0] = (unsigned char)entry->id.prefix;
    memcpy(record + 1, entry->id.hash, key_bytes - 1);
    memcpy(record + key_bytes, &f, XB_INDEX_FIELDS_BYTES);
}
