/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h - which reads bring back what a part of a restore needs.
 *
 * What for:  a restore walks files, a store is read by packs. A window of chunks is collected here,
 *            sorted by pack and offset, and neighbours become one read; a chunk that is needed in
 *            several places is read once. Pure: no I/O.
 * Ownership: the caller owns the struct (all zeros is empty) and what `owner` points to.
 * Threads:   one at a time while it is built; then rows of different ranges may be used at once.
 * Blocking:  never.
 * Limits:    a plan is full from XB_PLAN_ROWS_MAX rows on; who adds more than as many to one that
 *            is not full yet is a bug. A range is at most XB_PLAN_RANGE_BYTES_MAX long, unless one
 *            content alone is longer.
 */
#pragma once

#include "shared/repository/names.h"
#include "shared/repository/object.h"

enum {
    XB_PLAN_ROWS_MAX = 8192,
    XB_PLAN_GAP_BYTES_MAX = 256 * 1024, /* read and thrown away rather than asked around */
    XB_PLAN_RANGE_BYTES_MAX = 4 * 1024 * 1024,
    XB_PLAN_RANGE_CONTENTS_MAX = 1024 /* so that workers end at about the same time */
};

/* Where a chunk comes from. */
enum xb_plan_source {
    XB_PLAN_FETCH, /* the store */
    XB_PLAN_TAKE,  /* the file that is there already */
    XB_PLAN_NONE   /* it is in place */
};

struct xb_plan_row {
    void *owner;     /* the file */
    uint64_t target; /* offset in it */
    enum xb_plan_source source;
    uint32_t pack; /* number in the plan's names */
    uint32_t offset, packed_bytes, plain_bytes, compression;
    uint8_t key_id;
    struct xb_content_id id;
};

/* One read, for rows that stand next to one another after xb_plan_finish. */
struct xb_plan_range {
    size_t first, count;
    size_t contents; /* different ones */
    uint64_t offset, len;
    uint32_t pack;
    uint32_t unpacked_bytes_max; /* of its largest content that is compressed */
};

struct xb_plan {
    struct xb_plan_row *rows;
    size_t count, cap;
    struct xb_names packs;
    struct xb_plan_range *ranges;
    size_t range_count, range_cap;
    size_t fetch_count; /* after finish: rows before it are in ranges; behind are TAKE, then NONE */
};

int xb_plan_add(struct xb_plan *plan, const struct xb_content_info *info, void *owner,
                uint64_t target, struct xb_error *err) XB_MUST_CHECK;
bool xb_plan_full(const struct xb_plan *plan);
/* Sorts the rows and makes ranges of those to be fetched. */
int xb_plan_finish(struct xb_plan *plan, struct xb_error *err) XB_MUST_CHECK;
/* What xb_content_open needs to know about a row. */
void xb_plan_info(const struct xb_plan *plan, const struct xb_plan_row *row,
                  struct xb_content_info *ret);
/* Whether two rows are the same bytes of the same pack. */
bool xb_plan_same_content(const struct xb_plan_row *a, const struct xb_plan_row *b);
void xb_plan_truncate(struct xb_plan *plan, size_t count); /* forgets the rows behind `count` */
void xb_plan_clear(struct xb_plan *plan);                  /* empty again, with its memory */
void xb_plan_free(struct xb_plan *plan);                   /* what it owns */
