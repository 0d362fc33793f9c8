/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROWS = 64, FIRST_RANGES = 16 };

static int add_row(struct xb_plan *plan, const struct xb_plan_row *row, struct xb_error *err)
{
    if (plan->count == plan->cap) {
        size_t cap = plan->cap ? 2 * plan->cap : FIRST_ROWS;
        struct xb_plan_row *rows = reallocarray(plan->rows, cap, sizeof *rows);
        if (!rows) {
            return xb_error_no_memory(err, "a plan of a restore");
        }
        plan->rows = rows;
        plan->cap = cap;
    }
    plan->rows[plan->count++] = *row;
    return 0;
}

int xb_plan_add(struct xb_plan *plan, const struct xb_content_info *info, void *owner,
                uint64_t target, struct xb_error *err)
{
    if (plan->count >= 2 * XB_PLAN_ROWS_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -E2BIG, "a plan of more than %d chunks",
                            2 * XB_PLAN_ROWS_MAX);
    }
    struct xb_plan_row row = {.owner = owner,
                              .target = target,
                              .offset = (uint32_t)info->pack_offset,
                              .packed_bytes = info->packed_bytes,
                              .plain_bytes = info->plain_bytes,
                              .compression = info->compression,
                              .key_id = info->key_id,
                              .id = info->id};
    int r = xb_names_intern(&plan->packs, info->pack, strlen(info->pack), &row.pack, err);
    return r < 0 ? r : add_row(plan, &row, err);
}

bool xb_plan_full(const struct xb_plan *plan)
{
    return plan->count >= XB_PLAN_ROWS_MAX;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* To be fetched by place in the store, everything else by place in the target; and the target
 * decides between equals, so that the order is always the same. */
static int compare_rows(const void *left, const void *right)
{
    const struct xb_plan_row *a = left;
    const struct xb_plan_row *b = right;
    int order = compare_numbers(a->source, b->source);
    if (order == 0 && a->source == XB_PLAN_FETCH) {
        order = compare_numbers(a->pack, b->pack);
        order = order ? order : compare_numbers(a->offset, b->offset);
        order = order ? order : compare_numbers(a->packed_bytes, b->packed_bytes);
        order = order ? order : xb_content_id_compare(&a->id, &b->id);
    }
    order = order ? order : compare_numbers((uintptr_t)a->owner, (uintptr_t)b->owner);
    return order ? order : compare_numbers(a->target, b->target);
}

bool xb_plan_same_content(const struct xb_plan_row *a, const struct xb_plan_row *b)
{
    return a->pack == b->pack && a->offset == b->offset && a->packed_bytes == b->packed_bytes &&
           xb_content_id_compare(&a->id, &b->id) == 0;
}

/* Whether another content still belongs into the range. Those of a range are opened where they lie,
 * and written from there later: if an index says, wrongly, that two share some bytes, opening the
 * second would spoil the first. */
static bool fits(const struct xb_plan_range *range, const struct xb_plan_row *row)
{
    uint64_t end = range->offset + range->len;
    uint64_t row_end = (uint64_t)row->offset + row->packed_bytes;
    return row->pack == range->pack && range->contents < XB_PLAN_RANGE_CONTENTS_MAX &&
           row->offset >= end && row->offset - end <= XB_PLAN_GAP_BYTES_MAX &&
           row_end - range->offset <= XB_PLAN_RANGE_BYTES_MAX;
}

static int new_range(struct xb_plan *plan, size_t first, struct xb_error *err)
{
    if (plan->range_count == plan->range_cap) {
        size_t cap = plan->range_cap ? 2 * plan->range_cap : FIRST_RANGES;
        struct xb_plan_range *ranges = reallocarray(plan->ranges, cap, sizeof *ranges);
        if (!ranges) {
            return xb_error_no_memory(err, "a plan of a restore");
        }
        plan->ranges = ranges;
        plan->range_cap = cap;
    }
    const struct xb_plan_row *row = &plan->rows[first];
    plan->ranges[plan->range_count++] =
        (struct xb_plan_range){.first = first, .pack = row->pack, .offset = row->offset};
    return 0;
}

int xb_plan_finish(struct xb_plan *plan, struct xb_error *err)
{
    plan->range_count = 0;
    plan->fetch_count = 0;
    if (plan->count > 0) {
        qsort(plan->rows, plan->count, sizeof *plan->rows, compare_rows);
    }
    for (size_t i = 0; i < plan->count && plan->rows[i].source == XB_PLAN_FETCH; i++) {
        const struct xb_plan_row *row = &plan->rows[i];
        bool again = i > 0 && xb_plan_same_content(&row[-1], row);
        if (!again &&
            (plan->range_count == 0 || !fits(&plan->ranges[plan->range_count - 1], row))) {
            int r = new_range(plan, i, err);
            if (r < 0) {
                return r;
            }
        }
        struct xb_plan_range *range = &plan->ranges[plan->range_count - 1];
        uint64_t len = (uint64_t)row->offset + row->packed_bytes - range->offset;
        range->count++;
        range->contents += !again;
        range->len = len > range->len ? len : range->len;
        if (row->compression && row->plain_bytes > range->unpacked_bytes_max) {
            range->unpacked_bytes_max = row->plain_bytes;
        }
        plan->fetch_count = i + 1;
    }
    return 0;
}

void xb_plan_info(const struct xb_plan *plan, const struct xb_plan_row *row,
                  struct xb_content_info *ret)
{
    *ret = (struct xb_content_info){.id = row->id,
                                    .key_id = row->key_id,
                                    .plain_bytes = row->plain_bytes,
                                    .packed_bytes = row->packed_bytes,
                                    .compression = row->compression,
                                    .pack_offset = row->offset};
    const char *pack = xb_names_at(&plan->packs, row->pack);
    memcpy(ret->pack, pack, strnlen(pack, sizeof ret->pack - 1));
}

void xb_plan_truncate(struct xb_plan *plan, size_t count)
{
    plan->count = count;
}

void xb_plan_clear(struct xb_plan *plan)
{
    xb_names_free(&plan->packs);
    plan->count = plan->range_count = plan->fetch_count = 0;
}

void xb_plan_free(struct xb_plan *plan)
{
    xb_plan_clear(plan);
    free(plan->rows);
    free(plan->ranges);
    *plan = (struct xb_plan){.rows = NULL};
}
