/* SPDX-License-Identifier: Apache-2.0
 *
 * track.h - how far a restore has got, whatever order its items end in.
 *
 * What for:  items are numbered as they are handed out, kind by kind. All below a mark have ended;
 *            the mark is kept in the Restore (XB_BRING_MARK_ANNOTATION), so that a coordinator that
 *            begins anew knows what has been made before it: what of that is gone since was
 *            deleted, and is not made a second time. What items have to say goes into the log in
 *            their order too, so that two runs say the same.
 * Ownership: the caller owns the track. A mark's text is the caller's to free.
 * Threads:   begin_group and begin_item by one, end_item by any.
 * Blocking:  begin_item, while XB_BRING_WINDOW items wait for one before them.
 * Shapes:    the mark: {"order":"<hash of the kinds>","kind":1,"items":20,"failed":["pods//a"]}.
 * Limits:    XB_BRING_FAILED_MAX failed items are known by name; of more, all that is missing is
 *            made again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/record/log.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_BRING_WINDOW = 2048, XB_BRING_FAILED_MAX = 256, XB_BRING_MARK_BYTES_MAX = 96 * 1024 };

struct xb_bring_track;

/* `kinds`: in their order, of which there are `count`. `mark`: what an earlier run left, or NULL;
 * one that makes no sense, or was made of other kinds, counts as none. */
int xb_bring_track_new(const char *const *kinds, size_t count, const char *mark,
                       struct xb_bring_track **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_bring_track_free(struct xb_bring_track *track);
XB_DEFINE_CLEANUP(xb_bring_track_freep, struct xb_bring_track, xb_bring_track_free);

/* Whether an earlier run got anywhere. */
bool xb_bring_track_resumes(const struct xb_bring_track *track);

/* The items of kind `kind` follow. */
void xb_bring_track_begin_group(struct xb_bring_track *track, size_t kind);
/* The next item's number. */
uint64_t xb_bring_track_begin_item(struct xb_bring_track *track);
/* Whether an earlier run has brought it to its end, and not failed. `name`: as at its end.*/
bool xb_bring_track_done_before(struct xb_bring_track *track, uint64_t number, const char *name);
/* Its end; takes the lines over. `failed`: its name, or NULL. */
void xb_bring_track_end_item(struct xb_bring_track *track, uint64_t number,
                             struct xb_record_lines *lines, const char *failed);
/* The restore ends early: nobody waits any more. */
void xb_bring_track_stop(struct xb_bring_track *track);
/* After the last item of all. */
void xb_bring_track_end(struct xb_bring_track *track);
/* Where lines go; before the first item. */
void xb_bring_track_log(struct xb_bring_track *track, struct xb_record_log *log);

/* The mark as it is now; NULL: no memory. */
char *xb_bring_track_mark(struct xb_bring_track *track);
