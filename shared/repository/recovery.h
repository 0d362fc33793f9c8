/* SPDX-License-Identifier: Apache-2.0
 *
 * recovery.h - what is still known of a damaged repository.
 *
 * What for:  verification, and bringing back what a lost index blob has named: every pack has a
 *            copy of its own part of the index at its end.
 * Ownership: texts are lent for the time of the callback.
 * Threads:   as repository.h.    Blocking: yes (store).
 * Errors:    CORRUPT: the end of a pack is not one, or its index cannot be opened.
 * Source:    kopia-format sections 5 and 7.
 */
#pragma once

#include "shared/repository/repository.h"

/* Most losses that are kept; more are only counted. */
enum { XB_LOSSES_MAX = 1000 };

/* What could not be read, of a repository opened with `tolerate_damage`: an index blob, or a
 * content that holds manifests ("m..."). */
struct xb_loss {
    const char *name, *why;
};
typedef int xb_loss_fn(void *context, const struct xb_loss *loss, struct xb_error *err);
/* *ret_count: all that there were. fn may be NULL. */
int xb_repository_losses(struct xb_repository *repository, xb_loss_fn *fn, void *context,
                         uint64_t *ret_count, struct xb_error *err) XB_MUST_CHECK;

/* Every entry of the index at the end of a pack, whose name and size `pack` has. Entries of other
 * packs (deletions of the same session) are told, too. */
int xb_pack_index_read(struct xb_repository *repository, const struct xb_store_item *pack,
                       xb_content_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;

/* Every session marker in the store; item->name is the session's id. */
int xb_repository_list_sessions(struct xb_repository *repository, xb_store_item_fn *fn,
                                void *context, struct xb_error *err) XB_MUST_CHECK;

/* The session that wrote a pack or an index blob, "" if the name tells none. */
enum { XB_SESSION_TEXT_BYTES = 64 };
void xb_blob_session(const char *name, char out[XB_SESSION_TEXT_BYTES]);

/* A pack that no index names and no session is writing, though it holds contents that nobody has
 * deleted: an index blob has been lost. */
struct xb_orphan {
    const char *name;
    uint64_t size;
    uint64_t contents, bytes; /* that no index names; packed bytes */
    const char *why;          /* NULL, or why its own index cannot be read */
};
typedef int xb_orphan_fn(void *context, const struct xb_orphan *orphan, struct xb_error *err);

/* Calls fn for each. With `adopt` their contents get entries, which xb_repository_flush makes
 * durable. What maintenance may have dropped on purpose stays dropped. */
int xb_repository_orphans(struct xb_repository *repository, bool adopt, xb_orphan_fn *fn,
                          void *context, struct xb_error *err) XB_MUST_CHECK;

/* Contents deleted at or before this second may have been dropped from the index by now;
 * INT64_MIN: none. */
int64_t xb_repository_watermark_s(struct xb_repository *repository);
