/* SPDX-License-Identifier: Apache-2.0
 *
 * pack_probe.h - single contents, sealed and packed as the writer does it with many.
 *
 * What for:  tests of packs and seals that are made by hand.
 * Ownership: everything stays the caller's.    Threads: any.
 * Errors:    those of xb_seal_content_parts and xb_pack_append_many.
 */
#pragma once

#include <string.h>

#include "shared/repository/pack.h"
#include "shared/repository/seal.h"

/* Appends the content, sealed under its id. */
static inline int probe_seal_content(const struct xb_sealer *sealer, const struct xb_content_id *id,
                                     const void *data, size_t len, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_aead_ends ends;
    int r = xb_buf_reserve(out, len + XB_SEAL_OVERHEAD_BYTES, &err);
    if (r < 0) {
        return r;
    }
    char *nonce = out->data + out->len;
    const struct iovec from = {(void *)(uintptr_t)data, len};
    const struct iovec to = {nonce + sizeof ends.nonce, len};
    const struct xb_aead_parts parts = {&from, 1, &to, 1};
    if ((r = xb_seal_content_parts(sealer, id, &parts, &ends, &err)) < 0) {
        return r;
    }
    memcpy(nonce, ends.nonce, sizeof ends.nonce);
    memcpy(nonce + sizeof ends.nonce + len, ends.tag, sizeof ends.tag);
    out->len += len + XB_SEAL_OVERHEAD_BYTES;
    out->data[out->len] = '\0';
    return 0;
}

/* Appends one content; packed_bytes and offset are filled. */
static inline int probe_pack_append(struct xb_pack *pack, const void *sealed, uint32_t len,
                                    struct xb_index_entry *entry, struct xb_error *err)
{
    const struct iovec part = {(void *)(uintptr_t)sealed, len};
    entry->packed_bytes = len;
    return xb_pack_append_many(pack, &part, 1, &entry, 1, err);
}
