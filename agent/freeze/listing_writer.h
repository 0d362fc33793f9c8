/* SPDX-License-Identifier: Apache-2.0
 *
 * listing_writer.h - how a listing is made, by several threads; for the files of this folder
 * only.
 *
 * What for:  each thread writes folders into a segment of its own, which is a scratch file in
 *            memory; what a folder's number means is noted when the folder is whole.
 * Errors:    FULL: the scratch folder has no room.
 */
#pragma once

#include "agent/freeze/listing.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_LISTING_SEGMENTS_MAX = 8 };

/* clones_fd: the folder that the clones' names are in; lent. */
int xb_listing_new(unsigned segments, int clones_fd, struct xb_listing **ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_listing_free(struct xb_listing *listing);
XB_DEFINE_CLEANUP(xb_listing_freep, struct xb_listing, xb_listing_free);
/* Makes room for as much as another listing holds, ahead of time. */
int xb_listing_reserve_like(struct xb_listing *listing, const struct xb_listing *other,
                            struct xb_error *err) XB_MUST_CHECK;

/* A new folder's number. */
uint64_t xb_listing_number(struct xb_listing *listing);

struct xb_listing_parts {
    const char *name;
    const struct stat *st;
    uint64_t child;
    int64_t seen_ns;
    const char *target; /* "": none */
    const void *xattrs;
    size_t xattr_bytes;
};
/* A folder under way; one at a time per segment. */
struct xb_listing_draft {
    struct xb_listing *listing;
    unsigned segment;
    uint64_t number, self;
    uint64_t *offsets; /* kept from folder to folder */
    size_t count, room;
};
/* Begins with the folder itself. */
int xb_listing_begin(struct xb_listing_draft *draft, uint64_t number,
                     const struct xb_listing_parts *self, struct xb_error *err) XB_MUST_CHECK;
int xb_listing_add(struct xb_listing_draft *draft, const struct xb_listing_parts *parts,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_listing_end(struct xb_listing_draft *draft, struct xb_error *err) XB_MUST_CHECK;

/* Appends an attribute to what `xattrs` above points to; false: `room` is too small. */
bool xb_listing_pack_xattr(char *bytes, size_t room, size_t *used,
                           const struct xb_listing_xattr *xattr);
