/* SPDX-License-Identifier: Apache-2.0
 * New contents on their way: compressed where that pays, sealed, put into packs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compress/compress.h"
#include "shared/repository/state.h"

/* Readers of version 1 indexes take for granted that nothing is compressed. */
static bool may_compress(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    bool may = repository->format.index_version >= 2;
    pthread_mutex_unlock(&repository->lock);
    return may;
}

/* Room for sealed bytes that may not take the plain ones' place. */
static int make_own(struct xb_packing *packing, size_t len, struct xb_error *err)
{
    packing->own = (struct xb_buf)XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    int r = xb_buf_reserve(&packing->own, len, err);
    packing->own_part = (struct iovec){packing->own.data, len};
    return r;
}

/* What is compressed is sealed into the plain bytes' place, too: it is shorter, and the stream's
 * memory is free again before the next content is looked at. */
static int seal_one(struct xb_repository *repository, struct xb_packing *packing, bool may_shrink,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf stream = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    struct xb_index_entry *entry = &packing->entry;
    bool smaller = false;
    int r = 0;
    if (packing->compression != XB_COMPRESSION_NONE && may_shrink) {
        r = xb_compress_encode_parts((uint32_t)packing->compression, packing->parts,
                                     packing->part_count, &stream, &smaller, err);
    }
    size_t len = smaller ? stream.len : entry->plain_bytes;
    if (r == 0 && !packing->in_place) {
        r = make_own(packing, len, err);
    }
    if (r < 0) {
        return r;
    }
    const struct iovec shrunk = {stream.data, stream.len};
    const struct xb_aead_parts parts = {.from = smaller ? &shrunk : packing->parts,
                                        .from_count = smaller ? 1 : packing->part_count,
                                        .to =
                                            packing->in_place ? packing->parts : &packing->own_part,
                                        .to_count = packing->in_place ? packing->part_count : 1};
    entry->compression = smaller ? (uint32_t)packing->compression : 0;
    entry->packed_bytes = (uint32_t)(len + XB_SEAL_OVERHEAD_BYTES);
    packing->sealed_bytes = len;
    return xb_seal_content_parts(repository->sealer, &entry->id, &parts, &packing->ends, err);
}

/* Packs are of one kind: a run of contents that belong into the same goes there at once. */
static int put_all(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                   struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0, end = 0; r == 0 && at < count; at = end) {
        bool prefixed = packings[at].entry.id.prefix != 0;
        while (end < count && (packings[end].entry.id.prefix != 0) == prefixed) {
            end++;
        }
        r = xb_pack_slot_put(repository, packings + at, end - at, err);
    }
    return r;
}

int xb_content_store(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                     struct xb_error *err)
{
    bool may_shrink = may_compress(repository);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = seal_one(repository, &packings[i], may_shrink, err);
    }
    if (r == 0) {
        r = put_all(repository, packings, count, err);
    }
    if (r < 0) {
        xb_repository_fail(repository, err);
    }
    for (size_t i = 0; i < count; i++) {
        xb_buf_free(&packings[i].own);
    }
    return r;
}
