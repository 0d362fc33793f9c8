/* SPDX-License-Identifier: Apache-2.0
 *
 * readahead.h - small contents that lie side by side come with one request. Internal.
 *
 * What for:  a walk reads a tree's folders one after another, and they lie in their packs in nearly
 *            that order. Asked for one by one they are as many requests as there are folders, each
 *            of which a store over the network answers after tens of milliseconds. So more of the
 *            pack is read than was asked for, and kept as long as there is room: little at first,
 *            and the more the more often it was of use.
 * Ownership: the caller owns the readahead; xb_readahead_free(NULL) does nothing.
 * Threads:   any number at once. Who needs what another one is reading waits for that.
 * Blocking:  as the store does.
 * Errors:    those of the store. What is kept is as stored: whoever opens it must have it read
 *            again by itself (and forgotten here) before it is called damage.
 * Limits:    XB_READAHEAD_BLOCKS stretches of a pack, each at most XB_READAHEAD_BLOCK_BYTES_MAX and
 *            one content long.
 */
#pragma once

#include "shared/store/store.h"

enum {
    XB_READAHEAD_BLOCKS = 6,
    XB_READAHEAD_BLOCK_BYTES_MAX = 1024 * 1024,
    XB_READAHEAD_CONTENT_BYTES_MAX = 256 * 1024 /* longer ones are read by themselves */
};

struct xb_readahead;

int xb_readahead_new(struct xb_readahead **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_readahead_free(struct xb_readahead *readahead);

/* Appends bytes [offset, offset+len) of the pack to `out`, as xb_store_get does. */
int xb_readahead_read(struct xb_readahead *readahead, struct xb_store *store, const char *pack,
                      uint64_t offset, uint64_t len, struct xb_buf *out,
                      struct xb_error *err) XB_MUST_CHECK;
/* Drops what is kept of a pack (NULL: of all). */
void xb_readahead_forget(struct xb_readahead *readahead, const char *pack);
