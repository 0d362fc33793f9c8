/* SPDX-License-Identifier: Apache-2.0
 * Which range of a window is next. Only one thread can write into a file, and several files of a
 * backup share their packs: so the ranges stand in one lane per large file, and a worker takes the
 * next one of a file that nobody is at. */
#include <stdlib.h>

#include "agent/restore/internal.h"

/* The file that most of the range's bytes belong to; NULL: small ones, which are nobody's turn. */
static struct file *file_of(const struct xb_plan *plan, const struct xb_plan_range *range)
{
    struct file *file = NULL;
    uint64_t votes = 0;
    for (size_t i = range->first; i < range->first + range->count; i++) {
        const struct xb_plan_row *row = &plan->rows[i];
        if (row->owner == file) {
            votes += row->plain_bytes;
        } else if (votes < row->plain_bytes) {
            file = row->owner;
            votes = row->plain_bytes - votes;
        } else {
            votes -= row->plain_bytes;
        }
    }
    return file && file->several ? file : NULL;
}

static uint64_t rank_of(const struct window_job *job)
{
    return job->file ? job->file->number + 1 : 0;
}

static int compare_jobs(const void *left, const void *right)
{
    const struct window_job *a = left;
    const struct window_job *b = right;
    const uint64_t rank_a = rank_of(a);
    const uint64_t rank_b = rank_of(b);
    return rank_a != rank_b ? (rank_a > rank_b) - (rank_a < rank_b)
                            : (a->first > b->first) - (a->first < b->first);
}

/* The jobs of all ranges stand first in window->jobs, by lane, then by place in the store. */
bool xb_restore_order_ranges(struct window *window)
{
    const struct xb_plan *plan = &window->plan;
    const size_t count = plan->range_count;
    window->lane_count = 0;
    window->lanes = calloc(count + 1, sizeof *window->lanes);
    if (!window->lanes) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        window->jobs[i] = (struct window_job){
            .window = window, .first = i, .file = file_of(plan, &plan->ranges[i])};
    }
    if (count > 1) {
        qsort(window->jobs, count, sizeof *window->jobs, compare_jobs);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || window->jobs[i].file != window->jobs[i - 1].file) {
            window->lanes[window->lane_count++] =
                (struct lane){.file = window->jobs[i].file, .next = i};
        }
        window->lanes[window->lane_count - 1].end = i + 1;
    }
    return true;
}

/* Whether it is the better one to be at next. The longer lane otherwise: all end together then. */
static bool better(const struct lane *a, const struct lane *b)
{
    const unsigned at_a = a->active + (a->file && a->file->busy ? 1 : 0);
    const unsigned at_b = b->active + (b->file && b->file->busy ? 1 : 0);
    return at_a != at_b ? at_a < at_b : a->end - a->next > b->end - b->next;
}

struct lane *xb_restore_take_range(struct window *window, const struct xb_plan_range **ret_range)
{
    struct restore *restore = window->restore;
    struct lane *best = NULL;
    pthread_mutex_lock(&restore->lock);
    for (size_t i = 0; i < window->lane_count; i++) {
        struct lane *lane = &window->lanes[i];
        if (lane->next < lane->end && (!best || better(lane, best))) {
            best = lane;
        }
    }
    if (best) {
        best->active++;
        *ret_range = &window->plan.ranges[window->jobs[best->next++].first];
    }
    pthread_mutex_unlock(&restore->lock);
    return best;
}

void xb_restore_leave_lane(struct window *window, struct lane *lane)
{
    pthread_mutex_lock(&window->restore->lock);
    lane->active--;
    pthread_mutex_unlock(&window->restore->lock);
}
