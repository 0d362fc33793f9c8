/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever files are made of, and whatever a repository's index says: each byte of each file is
 * written exactly once, each row lies in one range, ranges keep their limits, and no two contents
 * of one range share a byte. And runs of holes and data are what a reader of single bytes would
 * say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/holes.h"
#include "agent/restore/plan.h"
#include "tests/harness/property.h"

enum {
    PACKS = 5,
    CONTENTS = 600,
    FILES = 60,
    PIECES_MAX = 400,
    ROUNDS = 60,
    HOLES_ROUNDS = 3000,
    HOLES_BYTES = 40000
};

struct target {
    uint64_t len, planned;
    unsigned char *written; /* how often, by chunk of the file */
    uint64_t *starts;
    size_t pieces;
};

static struct xb_content_info contents[CONTENTS];

/* Contents that lie one behind another with gaps; `wild`: anywhere, over one another. */
static void make_contents(struct property *source, bool wild)
{
    uint64_t ends[PACKS] = {32, 32, 32, 32, 32};
    for (size_t i = 0; i < CONTENTS; i++) {
        struct xb_content_info *info = &contents[i];
        size_t pack = property_below(source, PACKS);
        *info = (struct xb_content_info){.id = {.len = 16}};
        memcpy(info->id.hash, &i, sizeof i);
        snprintf(info->pack, sizeof info->pack, "p%zu", pack);
        info->packed_bytes =
            (uint32_t)(28 +
                       property_below(source, property_once_in(source, 20) ? 20 << 20 : 50000));
        info->plain_bytes = (uint32_t)(1 + property_below(source, 100000));
        info->pack_offset = ends[pack];
        if (property_once_in(source, 10)) {
            info->pack_offset += property_below(source, 600000);
        }
        if (wild) {
            info->pack_offset = property_below(source, 1 << 30);
        }
        ends[pack] = info->pack_offset + info->packed_bytes;
    }
}

static void check_range(const struct xb_plan *plan, const struct xb_plan_range *range)
{
    uint32_t largest = 0;
    uint32_t unpacked = 0;
    uint64_t end = range->offset;
    for (size_t i = range->first; i < range->first + range->count; i++) {
        const struct xb_plan_row *row = &plan->rows[i];
        assert_int_equal(row->pack, range->pack);
        assert_true(row->offset >= range->offset);
        if (i == range->first || !xb_plan_same_content(&row[-1], row)) {
            assert_true(row->offset >= end); /* they are opened in place */
            end = (uint64_t)row->offset + row->packed_bytes;
        }
        assert_true((uint64_t)row->offset + row->packed_bytes <= range->offset + range->len);
        largest = row->packed_bytes > largest ? row->packed_bytes : largest;
        if (row->compression && row->plain_bytes > unpacked) {
            unpacked = row->plain_bytes;
        }
    }
    assert_true(range->count > 0);
    assert_int_equal(unpacked, range->unpacked_bytes_max);
    assert_true(range->len <= XB_PLAN_RANGE_BYTES_MAX || range->len == largest);
}

static void write_row(const struct xb_plan *plan, const struct xb_plan_row *row)
{
    struct target *target = row->owner;
    struct xb_content_info info;
    size_t piece = 0;
    xb_plan_info(plan, row, &info);
    size_t number = 0;
    memcpy(&number, info.id.hash, sizeof number);
    assert_string_equal(info.pack, contents[number].pack);
    assert_int_equal(info.pack_offset, contents[number].pack_offset);
    assert_int_equal(info.packed_bytes, contents[number].packed_bytes);
    while (piece < target->pieces && target->starts[piece] != row->target) {
        piece++;
    }
    assert_true(piece < target->pieces);
    target->written[piece]++;
    target->planned += row->plain_bytes;
}

/* Everything in the window is done, and checked. */
static void run_window(struct property *source, struct xb_plan *plan, bool wild)
{
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < plan->count; i++) {
        plan->rows[i].source = (enum xb_plan_source)(
            property_once_in(source, 4) ? property_below(source, 3) : XB_PLAN_FETCH);
    }
    assert_int_equal(xb_plan_finish(plan, &err), 0);
    size_t at = 0;
    for (size_t i = 0; i < plan->range_count; i++) {
        const struct xb_plan_range *range = &plan->ranges[i];
        assert_int_equal(range->first, at);
        check_range(plan, range);
        if (i > 0 && !wild && range->pack == range[-1].pack) {
            assert_true(range->offset >= range[-1].offset + range[-1].len);
        }
        at += range->count;
    }
    assert_int_equal(at, plan->fetch_count);
    for (size_t i = 0; i < plan->count; i++) {
        const struct xb_plan_row *row = &plan->rows[i];
        assert_int_equal(row->source == XB_PLAN_FETCH, i < plan->fetch_count);
        assert_true(i <= plan->fetch_count || row->source >= row[-1].source);
        write_row(plan, row);
    }
    xb_plan_clear(plan);
}

static void plan_file(struct property *source, struct xb_plan *plan, struct target *target,
                      bool wild)
{
    *target = (struct target){.pieces = property_below(source, PIECES_MAX)};
    target->written = calloc(target->pieces + 1, 1);
    target->starts = calloc(target->pieces + 1, sizeof *target->starts);
    assert_true(target->written && target->starts);
    for (size_t i = 0; i < target->pieces; i++) {
        const struct xb_content_info *info = &contents[property_below(source, CONTENTS)];
        struct xb_error err = XB_ERROR_INIT;
        target->starts[i] = target->len;
        assert_int_equal(xb_plan_add(plan, info, target, target->len, &err), 0);
        target->len += info->plain_bytes;
        if (xb_plan_full(plan) || property_once_in(source, 3000)) {
            run_window(source, plan, wild);
        }
    }
}

static void each_byte_is_written_once(void **state)
{
    (void)state;
    struct property source = property_begin("plan");
    struct xb_plan plan = {.rows = NULL};
    for (int round = 0; round < ROUNDS; round++) {
        bool wild = round % 3 == 2;
        struct target targets[FILES];
        make_contents(&source, wild);
        for (size_t i = 0; i < FILES; i++) {
            plan_file(&source, &plan, &targets[i], wild);
        }
        run_window(&source, &plan, wild);
        for (size_t i = 0; i < FILES; i++) {
            assert_int_equal(targets[i].planned, targets[i].len);
            for (size_t k = 0; k < targets[i].pieces; k++) {
                assert_int_equal(targets[i].written[k], 1);
            }
            free(targets[i].written);
            free(targets[i].starts);
        }
    }
    xb_plan_free(&plan);
}

/* ---- holes ---- */

static bool in_hole(const struct xb_entry *entry, uint64_t at)
{
    for (size_t i = 0; i < entry->hole_count; i++) {
        if (at >= entry->holes[i].offset && at - entry->holes[i].offset < entry->holes[i].len) {
            return true;
        }
    }
    return false;
}

/* Runs cover the data in order; what is called a hole is zeros, and recorded or a whole block. */
static void check_runs(struct property *source, const struct xb_entry *entry, const char *data,
                       bool honest)
{
    bool sparse = property_once_in(source, 2);
    uint64_t at = property_below(source, HOLES_BYTES);
    uint64_t end = at + property_below(source, HOLES_BYTES - at + 1);
    bool before = false;
    uint64_t start = at;
    while (at < end) {
        const struct xb_holes_run run =
            xb_holes_next(entry, sparse, at, data + at, (size_t)(end - at));
        assert_true(run.len > 0 && run.len <= end - at);
        assert_true(at == start || run.hole != before);
        for (uint64_t i = at; i < at + run.len; i++) {
            assert_true(!run.hole || data[i] == 0);
            assert_true(!run.hole || sparse || in_hole(entry, i));
            assert_true(run.hole || !honest || !in_hole(entry, i));
        }
        before = run.hole;
        at += run.len;
    }
}

static void runs_are_right(void **state)
{
    (void)state;
    struct property source = property_begin("holes");
    char *data = malloc(HOLES_BYTES);
    struct xb_hole holes[8];
    assert_non_null(data);
    for (int round = 0; round < HOLES_ROUNDS; round++) {
        struct xb_entry entry = {.holes = holes};
        bool honest = !property_once_in(&source, 4);
        uint64_t at = 0;
        memset(data, property_once_in(&source, 2) ? 0 : 1, HOLES_BYTES);
        while (entry.hole_count < 8 && property_below(&source, 6)) {
            at += property_below(&source, 5000);
            uint64_t len = 1 + property_below(&source, 9000);
            if (at + len > HOLES_BYTES) {
                break;
            }
            holes[entry.hole_count++] = (struct xb_hole){at, len};
            memset(data + at, 0, len);
            at += len;
        }
        if (!honest) {
            data[property_below(&source, HOLES_BYTES)] = 1;
        }
        check_runs(&source, &entry, data, honest);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_is_written_once),
        cmocka_unit_test(runs_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
