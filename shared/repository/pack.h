/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.h - one pack blob, written from front to back without being held in memory.
 *
 * What for:  sealed contents go in, their places come out; closing adds what recovery needs.
 *            Internal to the repository.
 * Ownership: the caller frees a pack; one that was not closed leaves nothing in the store.
 * Threads:   one at a time.    Blocking: yes (store).
 * Limits:    an offset stays below XB_INDEX_OFFSET_MAX.
 * Source:    kopia-format section 5.
 */
#pragma once

#include <stdbool.h>

#include "shared/repository/index.h"
#include "shared/repository/seal.h"
#include "shared/store/store.h"

enum { XB_PACK_NAME_BYTES = 96, XB_PACK_PREAMBLE_BYTES = 32, XB_PACK_ALIGN_BYTES = 4096 };

struct xb_pack;

/* kind: 'p' (contents without prefix) or 'q'. */
int xb_pack_new(struct xb_store *store, char kind, const char *session, struct xb_pack **ret,
                struct xb_error *err) XB_MUST_CHECK;
const char *xb_pack_name(const struct xb_pack *pack);
uint64_t xb_pack_bytes(const struct xb_pack *pack);

/* Appends sealed contents: `parts` is what all of them are one after the other. The entries are
 * complete (packed_bytes says how long each is) but for pack and offset, which is filled here;
 * entry->pack is not a number yet (the caller interns the name). */
int xb_pack_append_many(struct xb_pack *pack, const struct iovec *parts, size_t part_count,
                        struct xb_index_entry *const *entries, size_t count,
                        struct xb_error *err) XB_MUST_CHECK;

/* Adds to the local index that a content was deleted; it may lie in another pack. */
int xb_pack_add_deletion(struct xb_pack *pack, const struct xb_index_entry *entry,
                         const char *in_pack, struct xb_error *err) XB_MUST_CHECK;

/* Padding, local index, postamble, commit: durable when it returns 0. */
int xb_pack_close(struct xb_pack *pack, const struct xb_sealer *sealer,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_pack_free(struct xb_pack *pack);
XB_DEFINE_CLEANUP(xb_pack_freep, struct xb_pack, xb_pack_free);

/* What the end of a pack says of its local index. */
struct xb_pack_tail {
    unsigned char iv[XB_CONTENT_HASH_BYTES_MAX];
    size_t iv_len;
    uint64_t index_offset, index_len;
};
/* Parses the last bytes of a pack (pure). CORRUPT unless the checksum fits. */
int xb_pack_tail_parse(const void *data, size_t len, struct xb_pack_tail *ret,
                       struct xb_error *err) XB_MUST_CHECK;
