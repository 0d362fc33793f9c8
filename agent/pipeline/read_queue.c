/* SPDX-License-Identifier: Apache-2.0
 * Which worker reads what. Small files are taken many at once; a large file is begun by one worker
 * and helped by those who find nothing else. Whoever submits is a worker himself and must not wait
 * for workers: when enough has gathered, he reads. */
#include <stdlib.h>
#include <string.h>

#include "agent/pipeline/read_internal.h"
#include "agent/pipeline/read_job.h"
#include "shared/base/workers.h"

enum {
    BATCH_FILES = 64,
    BATCH_BYTES = 768 * 1024,     /* with what is lost at the ends of blocks, four blocks */
    QUEUE_MAX = 4 * BATCH_FILES,  /* from here on he who submits reads */
    PER_WORKER = BATCH_FILES / 2, /* is worth waking one more */
};

/* ---- lanes ---- */

static struct lane *take_lane(struct backup *backup)
{
    struct lane *lane = NULL;
    pthread_mutex_lock(&backup->lock);
    for (unsigned i = 0; i < backup->lane_count && !lane; i++) {
        if (!backup->lanes[i].taken) {
            lane = &backup->lanes[i];
            lane->taken = true;
        }
    }
    pthread_mutex_unlock(&backup->lock);
    return lane; /* there are as many lanes as workers */
}

static void return_lane(struct backup *backup, struct lane *lane)
{
    pthread_mutex_lock(&backup->lock);
    lane->taken = false;
    pthread_mutex_unlock(&backup->lock);
}

/* ---- the queue ---- */

/* A large file, or a row of small ones; NULL: the queue is empty. */
static struct job *pop(struct backup *backup)
{
    struct read_queue *queue = &backup->queue;
    pthread_mutex_lock(&queue->lock);
    struct job *list = queue->first;
    struct job *last = list;
    size_t count = list ? 1 : 0;
    if (list && xb_read_is_small(backup, &list->st)) {
        off_t bytes = list->st.st_size;
        while (last->next && count < BATCH_FILES && xb_read_is_small(backup, &last->next->st) &&
               bytes + last->next->st.st_size <= BATCH_BYTES) {
            last = last->next;
            bytes += last->st.st_size;
            count++;
        }
    }
    if (list) {
        queue->first = last->next;
        queue->last = queue->first ? queue->last : NULL;
        last->next = NULL;
        queue->count -= count;
    }
    pthread_mutex_unlock(&queue->lock);
    return list;
}

static void drop(struct job *list)
{
    while (list) {
        struct job *next = list->next;
        xb_read_end(list);
        list = next;
    }
}

static void read_list(struct lane *lane, struct job *list)
{
    struct job *large = list;
    if (xb_read_is_small(lane->backup, &list->st)) {
        xb_read_small(lane, list, &large);
    }
    while (large) {
        struct job *next = large->next;
        xb_read_large(lane, large);
        large = next;
    }
}

/* One row of jobs; false: there was none. */
static bool read_next(struct lane *lane)
{
    struct job *list = pop(lane->backup);
    if (!list) {
        return false;
    }
    if (xb_backup_stopped(lane->backup)) {
        drop(list);
    } else {
        read_list(lane, list);
    }
    return true;
}

/* Until there is nothing to do; what comes after the last look has its own runner called. */
static bool nothing_left(struct read_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool nothing = queue->count == 0;
    queue->runners -= nothing;
    pthread_mutex_unlock(&queue->lock);
    return nothing;
}

static void run(void *context)
{
    struct backup *backup = context;
    struct lane *lane = NULL;
    do {
        lane = take_lane(backup);
        while (read_next(lane) || xb_read_help(lane)) {
        }
        return_lane(backup, lane);
    } while (!nothing_left(&backup->queue));
}

void xb_read_call_help(struct backup *backup)
{
    struct read_queue *queue = &backup->queue;
    pthread_mutex_lock(&queue->lock);
    unsigned missing =
        queue->runners < backup->lane_count ? backup->lane_count - queue->runners : 0;
    queue->runners += missing;
    pthread_mutex_unlock(&queue->lock);
    for (; missing > 0; missing--) {
        if (!xb_workers_try_submit(backup->workers, run, backup)) {
            pthread_mutex_lock(&queue->lock);
            queue->runners--;
            pthread_mutex_unlock(&queue->lock);
        }
    }
}

static struct job *new_job(struct frame *frame, const char *name, const struct stat *st)
{
    size_t len = strlen(name);
    struct job *job = malloc(sizeof *job + len + 1);
    if (!job) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_no_memory(&err, "the walk");
        xb_backup_fail(frame->backup, &err);
        return NULL;
    }
    *job = (struct job){.frame = frame, .st = *st};
    memcpy(job->name, name, len + 1);
    xb_frame_hold(frame);
    return job;
}

void xb_read_job_submit(struct frame *frame, const char *name, const struct stat *st)
{
    struct backup *backup = frame->backup;
    struct read_queue *queue = &backup->queue;
    struct job *job = new_job(frame, name, st);
    if (!job) {
        return;
    }
    pthread_mutex_lock(&queue->lock);
    if (queue->last) {
        queue->last->next = job;
    } else {
        queue->first = job;
    }
    queue->last = job;
    queue->count++;
    bool call = queue->runners == 0 || (queue->runners < backup->lane_count &&
                                        queue->count > (size_t)queue->runners * PER_WORKER);
    queue->runners += call;
    bool read = queue->count > QUEUE_MAX;
    pthread_mutex_unlock(&queue->lock);
    if (call && !xb_workers_try_submit(backup->workers, run, backup)) {
        run(backup);
    }
    if (read) {
        struct lane *lane = take_lane(backup);
        (void)read_next(lane);
        return_lane(backup, lane);
    }
}
