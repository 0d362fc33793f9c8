/* SPDX-License-Identifier: Apache-2.0
 * Fetching: one read of a pack, each content of it opened once and written wherever it belongs. */
#include <errno.h>
#include <string.h>

#include "agent/restore/internal.h"

/* What one read brought; `sealed` NULL: nothing, each content is read by itself. */
struct reading {
    struct restore *restore;
    const struct xb_plan *plan;
    const struct xb_plan_range *range;
    struct load *load; /* NULL: the plan does not last */
    char *sealed;      /* contents are opened where they lie */
    struct xb_buf *plain;
};

/* A content that was opened, and where it belongs. */
struct opened {
    const struct xb_plan_row *rows;
    size_t count;
    const char *data;
};

bool xb_restore_wanted(const struct xb_plan_row *row)
{
    const struct file *file = row->owner;
    return !atomic_load(&file->failed) && !xb_restore_stopped(file->frame->restore);
}

static void write_rows(const struct reading *reading, const struct opened *opened)
{
    bool stays = opened->data != reading->plain->data;
    for (size_t i = 0; i < opened->count; i++) {
        xb_restore_write_row(stays ? reading->load : NULL, &opened->rows[i], opened->data);
    }
}

static void fail_rows(const struct xb_plan_row *rows, size_t count, const struct xb_error *why)
{
    for (size_t i = 0; i < count; i++) {
        xb_restore_file_row_done(rows[i].owner, 0, why);
    }
}

/* Opens one content from what was read. What does not open there is read again by itself: it may
 * have become wrong on the way, or it lies elsewhere by now. */
static int open_content(const struct reading *reading, const struct xb_plan_row *row,
                        const char **ret_data, struct xb_error *err)
{
    struct xb_content_info info;
    struct xb_error first = XB_ERROR_INIT;
    struct xb_repository *repository = reading->restore->repository;
    xb_buf_clear(reading->plain);
    if (reading->sealed) {
        xb_plan_info(reading->plan, row, &info);
        int r = xb_content_open_here(repository, &info,
                                     reading->sealed + (row->offset - reading->range->offset),
                                     false, reading->plain, ret_data, &first);
        if (r == 0) {
            return 0;
        }
        if (first.kind != XB_ERR_CORRUPT) {
            *err = first;
            return r;
        }
    }
    xb_buf_clear(reading->plain);
    xb_restore_count_read(reading->restore, row->packed_bytes);
    int r = xb_content_read(repository, &row->id, false, reading->plain, err);
    if (r == 0 && reading->plain->len != row->plain_bytes) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a content has another length by now");
    }
    *ret_data = reading->plain->data;
    return r;
}

static void deliver(const struct reading *reading)
{
    const struct xb_plan_row *rows = &reading->plan->rows[reading->range->first];
    for (size_t i = 0; i < reading->range->count;) {
        struct xb_error err = XB_ERROR_INIT;
        size_t count = 1;
        bool useful = xb_restore_wanted(&rows[i]);
        while (i + count < reading->range->count &&
               xb_plan_same_content(&rows[i], &rows[i + count])) {
            useful = useful || xb_restore_wanted(&rows[i + count]);
            count++;
        }
        if (!useful) {
            fail_rows(&rows[i], count, NULL);
        } else {
            struct opened opened = {.rows = &rows[i], .count = count};
            if (open_content(reading, &rows[i], &opened.data, &err) < 0) {
                fail_rows(&rows[i], count, &err);
            } else {
                write_rows(reading, &opened);
            }
        }
        i += count;
    }
}

static void fetch(const struct reading *reading, struct xb_buf *sealed, bool again);

/* Maintenance has moved the pack's contents (kopia-format section 13): they are looked up again,
 * and read from where they are now. */
static void fetch_moved(const struct reading *reading, struct xb_buf *sealed)
{
    struct restore *restore = reading->restore;
    struct xb_plan plan = {.rows = NULL};
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_plan_range *range = reading->range;
    bool fresh = xb_repository_refresh_old(restore->repository, &err) == 0;
    for (size_t i = range->first; i < range->first + range->count; i++) {
        const struct xb_plan_row *row = &reading->plan->rows[i];
        struct xb_content_info info;
        struct xb_error why = err;
        if (!fresh || xb_content_locate(restore->repository, &row->id, &info, &why) < 0 ||
            xb_plan_add(&plan, &info, row->owner, row->target, &why) < 0) {
            xb_restore_file_row_done(row->owner, 0, &why);
        }
    }
    if (xb_plan_finish(&plan, &err) < 0) {
        fail_rows(plan.rows, plan.count, &err);
        plan.range_count = 0;
    }
    for (size_t i = 0; i < plan.range_count; i++) {
        const struct reading moved = {
            .restore = restore, .plan = &plan, .range = &plan.ranges[i], .plain = reading->plain};
        fetch(&moved, sealed, true);
    }
    xb_plan_free(&plan);
}

static void fetch(const struct reading *reading, struct xb_buf *sealed, bool again)
{
    const struct xb_plan_range *range = reading->range;
    const char *pack = xb_names_at(&reading->plan->packs, range->pack);
    struct xb_error err = XB_ERROR_INIT;
    struct reading got = *reading;
    int r = 0;
    xb_buf_clear(sealed);
    if (!xb_restore_stopped(reading->restore)) {
        r = xb_content_fetch(reading->restore->repository, pack, range->offset, range->len, sealed,
                             &err);
        xb_restore_count_read(reading->restore, sealed->len);
    }
    if (r < 0 && err.kind == XB_ERR_NOT_FOUND && !again) {
        fetch_moved(reading, sealed);
    } else if (r < 0 && err.kind != XB_ERR_NOT_FOUND && err.kind != XB_ERR_CORRUPT &&
               err.kind != XB_ERR_IO) {
        (void)!xb_error_wrap(&err, "pack %s", pack);
        fail_rows(&reading->plan->rows[range->first], range->count, &err);
    } else {
        /* Of a pack that is cut short the beginning can still be read, content by content, and of
         * one on a failing disk all but what lies in its bad sectors. */
        got.sealed = r == 0 && sealed->len == range->len ? sealed->data : NULL;
        deliver(&got);
    }
}

void xb_restore_fetch_range(struct window *window)
{
    const struct xb_plan_range *range = NULL;
    struct lane *lane = xb_restore_take_range(window, &range);
    /* What is read is opened where it lies; what is compressed needs room of its own then. */
    struct load *load = xb_restore_load_new(window, range->len + range->unpacked_bytes_max);
    if (!load) {
        xb_restore_fail_memory(window->restore);
        fail_rows(&window->plan.rows[range->first], range->count, NULL);
        xb_restore_window_job_ended(window);
        return;
    }
    const struct reading reading = {.restore = window->restore,
                                    .plan = &window->plan,
                                    .range = range,
                                    .load = load,
                                    .plain = &load->scratch.plain};
    fetch(&reading, &load->scratch.sealed, false);
    xb_restore_leave_lane(window, lane);
    xb_restore_load_release(load);
}

static void take_row(struct restore *restore, const struct xb_plan *plan,
                     const struct xb_plan_row *row, struct xb_buf *plain)
{
    struct file *file = row->owner;
    if (!xb_restore_wanted(row)) {
        xb_restore_file_row_done(file, 0, NULL);
    } else if (xb_restore_take_row(row, plain)) {
        xb_restore_count(restore, &file->kept, row->plain_bytes);
        xb_restore_write_row(NULL, row, plain->data);
    } else {
        /* It has changed since it was compared, or had to go to make room. */
        struct xb_error err = XB_ERROR_INIT;
        const struct reading reading = {.restore = restore, .plan = plan, .plain = plain};
        const char *data = NULL;
        if (open_content(&reading, row, &data, &err) < 0) {
            xb_restore_file_row_done(file, 0, &err);
        } else {
            xb_restore_write_row(NULL, row, data);
        }
    }
}

void xb_restore_fetch_take(struct restore *restore, const struct xb_plan *plan, size_t first,
                           size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        const struct xb_plan_row *row = &plan->rows[i];
        uint64_t bytes = row->plain_bytes;
        struct scratch scratch = xb_restore_take_memory(restore, bytes);
        take_row(restore, plan, row, &scratch.plain);
        xb_restore_give_memory(restore, bytes, &scratch);
    }
}
