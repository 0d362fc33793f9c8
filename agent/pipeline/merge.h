/* SPDX-License-Identifier: Apache-2.0
 *
 * merge.h - a large folder's names beside its parents' entries; for the files of this folder only.
 *
 * What for:  a parent's folder that is too large to be held is read entry by entry. The names that
 *            are there now are sorted first, through a scratch file if they are many, so that both
 *            come in one order.
 * Ownership: the frame's; it ends with the listing.
 * Threads:   the one that lists the folder.    Blocking: as the disk and the store.
 * Errors:    FULL: there is no room to sort. A parent that cannot be read on is no error: that is
 *            noted, and from there on it knows nothing.
 * Limits:    about a megabyte of names, a chunk and an entry of each parent. Special files and
 *            names that are no UTF-8 have another place among the entries, and find nothing: they
 *            are looked at anew.
 */
#pragma once

#include "agent/pipeline/frame.h"

struct merge;

/* What a parent says of a name; entry NULL: nothing. Lives until the next step. */
struct match {
    struct xb_entry *entry; /* its content may be taken; then an empty one is left */
    const struct xb_entry_text *text;
};

/* The cursors are taken over, also on failure; NULL where a parent has no such folder. */
int xb_merge_new(struct xb_directory_cursor *cursors[XB_SNAPSHOT_PARENTS_MAX], struct merge **ret,
                 struct xb_error *err) XB_MUST_CHECK;
void xb_merge_free(struct merge *merge);

int xb_merge_add(struct merge *merge, const char *name, bool folder,
                 struct xb_error *err) XB_MUST_CHECK;
/* The next name, once all are added; NULL at the end. */
int xb_merge_next(struct merge *merge, struct frame *frame, const char **ret_name,
                  struct match ret[XB_SNAPSHOT_PARENTS_MAX], struct xb_error *err) XB_MUST_CHECK;
/* Gives memory back for as long as other folders are gone through. */
void xb_merge_rest(struct merge *merge);
/* The first parent read to its end; NULL if there is none that can be. */
const struct xb_directory_cursor *xb_merge_finish(struct merge *merge, struct frame *frame);
