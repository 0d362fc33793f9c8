/* SPDX-License-Identifier: Apache-2.0
 * Windows: while the workers fetch what one or two of them need, the next one is planned. */
#include <stdlib.h>
#include <string.h>

#include "agent/restore/walk.h"
#include "shared/base/workers.h"

enum { TAKE_ROWS = 64, SEALED_BYTES_MAX = 1 << 28, SCRATCH_BYTES_MAX = 32 * 1024 * 1024 };

struct window *xb_restore_window_planned(struct restore *restore)
{
    return &restore->windows[restore->sequence % XB_RESTORE_WINDOWS];
}

/* ---- memory ---- */

struct scratch xb_restore_take_memory(struct restore *restore, uint64_t bytes)
{
    struct scratch scratch = {XB_BUF_INIT(SEALED_BYTES_MAX), XB_BUF_INIT(XB_CONTENT_BYTES_MAX)};
    xb_restore_memory_take(&restore->memory, bytes);
    pthread_mutex_lock(&restore->lock);
    if (restore->scratch_count > 0) {
        scratch = restore->scratch[--restore->scratch_count];
    }
    pthread_mutex_unlock(&restore->lock);
    return scratch;
}

static void free_scratch(struct scratch *scratch)
{
    xb_buf_free(&scratch->sealed);
    xb_buf_free(&scratch->plain);
}

void xb_restore_give_memory(struct restore *restore, uint64_t bytes, struct scratch *scratch)
{
    pthread_mutex_lock(&restore->lock);
    bool keep = restore->scratch_count < XB_RESTORE_SCRATCH_MAX &&
                scratch->sealed.cap + scratch->plain.cap <= SCRATCH_BYTES_MAX;
    if (keep) {
        xb_buf_clear(&scratch->sealed);
        xb_buf_clear(&scratch->plain);
        restore->scratch[restore->scratch_count++] = *scratch;
    }
    pthread_mutex_unlock(&restore->lock);
    if (!keep) {
        free_scratch(scratch);
    }
    xb_restore_memory_give(&restore->memory, bytes);
}

/* ---- jobs ---- */

void xb_restore_window_job_ended(struct window *window)
{
    struct restore *restore = window->restore;
    pthread_mutex_lock(&restore->lock);
    window->running--;
    pthread_cond_broadcast(&restore->idle);
    pthread_mutex_unlock(&restore->lock);
}

static void run_job(void *context)
{
    struct window_job *job = context;
    struct window *window = job->window;
    if (job->take) {
        xb_restore_fetch_take(window->restore, &window->plan, job->first, job->count);
        xb_restore_window_job_ended(window);
        return;
    }
    xb_restore_fetch_range(window);
}

/* Hands out what is to be fetched or taken. Rows that are in place are told first: the plan must
 * not be looked at any more once its last job may have ended. False: no memory, nothing was done.
 */
static bool submit_all(struct window *window)
{
    const struct xb_plan *plan = &window->plan;
    size_t end = plan->fetch_count;
    while (end < plan->count && plan->rows[end].source == XB_PLAN_TAKE) {
        end++;
    }
    size_t takes = (end - plan->fetch_count + TAKE_ROWS - 1) / TAKE_ROWS;
    window->jobs = calloc(plan->range_count + takes + 1, sizeof *window->jobs);
    if (!window->jobs || !xb_restore_order_ranges(window)) {
        return false;
    }
    for (size_t i = end; i < plan->count; i++) {
        if (plan->rows[i].owner) {
            xb_restore_file_row_done(plan->rows[i].owner, plan->rows[i].plain_bytes, NULL);
        }
    }
    window->running = plan->range_count + takes; /* nobody else is there yet */
    for (size_t i = 0; i < takes; i++) {
        size_t first = plan->fetch_count + i * TAKE_ROWS;
        size_t count = end - first < TAKE_ROWS ? end - first : TAKE_ROWS;
        window->jobs[plan->range_count + i] =
            (struct window_job){.window = window, .first = first, .count = count, .take = true};
    }
    size_t jobs = window->running;
    for (size_t i = 0; i < jobs; i++) {
        xb_workers_submit(window->restore->workers, run_job, &window->jobs[i]);
    }
    return true;
}

/* ---- what becomes of the files of a window ---- */

static void open_candidates(struct xb_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct file *file = plan->rows[i].owner;
        if (file->candidate && file->several && file->existing < 0) {
            file->candidate = xb_restore_file_open_existing(file);
        }
    }
}

/* One file's rows, compared: are they all right, or is there something to do? */
static void settle_file(struct restore *restore, struct xb_plan_row *rows, size_t count)
{
    struct file *file = rows[0].owner;
    struct xb_error err = XB_ERROR_INIT;
    bool same = file->candidate && file->stays;
    for (size_t i = 0; i < count; i++) {
        same = same && rows[i].source == XB_PLAN_NONE;
    }
    file->differs = file->differs || !same;
    for (size_t i = 0; restore->options->dry_run && file->differs && i < count; i++) {
        file->kept += rows[i].source == XB_PLAN_NONE ? rows[i].plain_bytes : 0;
    }
    bool nothing = !file->differs || restore->options->dry_run || xb_restore_stopped(restore);
    if (!nothing && file->several && file->fd < 0 && xb_restore_file_make(file, &err) < 0) {
        xb_restore_file_fail(file, &err);
        nothing = true;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i].source = nothing                          ? XB_PLAN_NONE
                         : rows[i].source == XB_PLAN_NONE ? XB_PLAN_TAKE
                                                          : XB_PLAN_FETCH;
    }
}

static void settle(struct restore *restore, struct xb_plan *plan)
{
    for (size_t i = 0; i < plan->count;) {
        size_t count = 1;
        if (!plan->rows[i].owner) { /* finished while it was compared */
            i++;
            continue;
        }
        while (i + count < plan->count && plan->rows[i + count].owner == plan->rows[i].owner) {
            count++;
        }
        settle_file(restore, &plan->rows[i], count);
        i += count;
    }
}

/* Without memory there is no restore; its files end as those of one that was stopped. */
static void give_up(struct restore *restore, const struct xb_plan *plan)
{
    xb_restore_fail_memory(restore);
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->rows[i].owner) {
            xb_restore_file_row_done(plan->rows[i].owner, 0, NULL);
        }
    }
}

/* ---- the ring ---- */

void xb_restore_window_begin(struct restore *restore)
{
    restore->sequence = 1; /* 0: was there before any window */
    for (size_t i = 0; i < XB_RESTORE_WINDOWS; i++) {
        restore->windows[i].restore = restore;
    }
}

/* Takes the oldest window's place for the next plan. */
static void recycle(struct restore *restore, struct window *window)
{
    pthread_mutex_lock(&restore->lock);
    while (window->running > 0) {
        pthread_cond_wait(&restore->idle, &restore->lock);
    }
    pthread_mutex_unlock(&restore->lock);
    xb_plan_clear(&window->plan);
    free(XB_TAKE(window->jobs));
    free(XB_TAKE(window->lanes));
    window->folders = window->open_files = 0;
    /* What waited for its end can be done by the walk now. */
    struct later *later = XB_TAKE(window->later);
    size_t count = window->later_count;
    window->later_count = window->later_cap = 0;
    xb_restore_walk_ready(restore, later, count);
}

void xb_restore_window_launch(struct restore *restore)
{
    struct window *window = xb_restore_window_planned(restore);
    struct xb_error err = XB_ERROR_INIT;
    if (window->plan.count > 0) {
        open_candidates(&window->plan);
        xb_restore_compare_rows(restore, &window->plan);
        settle(restore, &window->plan);
        if (xb_plan_finish(&window->plan, &err) < 0 || !submit_all(window)) {
            give_up(restore, &window->plan);
        }
    }
    restore->sequence++;
    recycle(restore, xb_restore_window_planned(restore));
}

void xb_restore_window_drain(struct restore *restore)
{
    for (size_t i = 0; i < XB_RESTORE_WINDOWS; i++) {
        xb_restore_window_launch(restore);
    }
}

void xb_restore_window_free(struct restore *restore)
{
    for (size_t i = 0; i < XB_RESTORE_WINDOWS; i++) {
        xb_plan_free(&restore->windows[i].plan);
        free(restore->windows[i].jobs);
        free(restore->windows[i].lanes);
    }
    while (restore->scratch_count > 0) {
        free_scratch(&restore->scratch[--restore->scratch_count]);
    }
}
