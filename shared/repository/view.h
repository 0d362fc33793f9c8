/* SPDX-License-Identifier: Apache-2.0
 *
 * view.h - the merged index of a repository as it stood at one moment.
 *
 * What for:  work that goes through many contents and keeps something about each of them: a
 *            content is a number here, and stays that number whatever others write meanwhile.
 * Ownership: the caller frees a view. Names lent by it live as long as it does, and the view may
 *            outlive a refresh of the repository, but not the repository.
 * Threads:   a view never changes.    Blocking: never.
 * Memory:    it shares the repository's index, which stays as it is until the view is freed.
 */
#pragma once

#include "shared/repository/repository.h"

struct xb_content_view;

int xb_content_view_open(struct xb_repository *repository, struct xb_content_view **ret,
                         struct xb_error *err) XB_MUST_CHECK;
void xb_content_view_free(struct xb_content_view *view);
XB_DEFINE_CLEANUP(xb_content_view_freep, struct xb_content_view, xb_content_view_free);

/* Contents are 0..count-1, in the order of their ids, deleted ones too. */
size_t xb_content_view_count(const struct xb_content_view *view);
bool xb_content_view_find(const struct xb_content_view *view, const struct xb_content_id *id,
                          size_t *ret_number);
void xb_content_view_at(const struct xb_content_view *view, size_t number,
                        struct xb_content_info *ret);

/* The same without the name of the pack: packs are 0..pack_count-1. */
struct xb_content_spot {
    uint32_t pack, packed_bytes, plain_bytes;
    uint64_t offset;
};
void xb_content_view_spot(const struct xb_content_view *view, size_t number,
                          struct xb_content_spot *ret);
size_t xb_content_view_pack_count(const struct xb_content_view *view);
/* Whether any entry, also one that another one beats, is in this pack. */
bool xb_content_view_names_pack(const struct xb_content_view *view, const char *name);
const char *xb_content_view_pack(const struct xb_content_view *view, uint32_t pack);
