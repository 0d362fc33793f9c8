/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/read_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/known.h"
#include "shared/base/workers.h"

enum { REREADS_MAX = 2 };

/* Larger files are not read again because they changed meanwhile: a database would never end. */
#define REREAD_BYTES_MAX (UINT64_C(64) << 20)

struct job {
    struct frame *frame;
    struct stat st; /* as the folder was listed */
    char name[];
};

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

static int open_file(const struct job *job)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(job->frame->fd, job->name, flags | O_NOATIME);
    return fd < 0 && errno == EPERM ? openat(job->frame->fd, job->name, flags) : fd;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && xb_timespec_ns(&a->st_mtim) == xb_timespec_ns(&b->st_mtim) &&
           xb_timespec_ns(&a->st_ctim) == xb_timespec_ns(&b->st_ctim);
}

/* While it is set, checkpoints hold what has been stored of the file. */
static void set_file(struct lane *lane, const struct job *job, const struct stat *st)
{
    pthread_mutex_lock(&lane->lock);
    lane->frame = job ? job->frame : NULL;
    lane->name = job ? job->name : NULL;
    if (st) {
        lane->st = *st;
    }
    pthread_mutex_unlock(&lane->lock);
}

/* One reading; *ret_rested says whether the file was the same from beginning to end. */
static int read_once(struct job *job, struct lane *lane, int fd, struct xb_entry *entry,
                     bool *ret_rested, struct xb_error *err)
{
    struct backup *backup = job->frame->backup;
    struct stat before;
    struct stat after;
    if (fstat(fd, &before) < 0) {
        return xb_error_errno(err, errno, "reading its attributes");
    }
    const struct xb_attribute_source source = {
        .fd = fd, .name = job->name, .st = &before, .root_device = backup->root_device};
    int r = xb_entry_from_file(&source, entry, err);
    if (r < 0) {
        return r;
    }
    set_file(lane, job, &before);
    r = xb_backup_read_file(backup, lane, fd, entry, err);
    set_file(lane, NULL, NULL);
    if (r == 0 && fstat(fd, &after) < 0) {
        r = xb_error_errno(err, errno, "reading its attributes");
    }
    if (r < 0) {
        xb_entry_free(entry);
        return r;
    }
    *ret_rested = same_state(&before, &after);
    return 0;
}

static void note_change(struct job *job, struct xb_entry *entry)
{
    struct backup *backup = job->frame->backup;
    XB_CLEANUP(xb_freep) char *path = xb_frame_child_path(job->frame, job->name);
    xb_backup_note(backup, path ? path : job->name, "changed while it was read");
    pthread_mutex_lock(&backup->lock);
    backup->result.changed_files++;
    pthread_mutex_unlock(&backup->lock);
    entry->changed = true;
    entry->ctime_ns = 1; /* never equal: the next backup reads it again */
}

/* Reads until the file was at rest from beginning to end, or the tries are used up. */
static int read_at_rest(struct job *job, struct lane *lane, int fd, struct xb_entry *entry,
                        struct xb_error *err)
{
    for (unsigned try = 0;; try++) {
        bool rested = false;
        int r = read_once(job, lane, fd, entry, &rested, err);
        if (r < 0 || rested) {
            return r;
        }
        if (try == REREADS_MAX || entry->size > REREAD_BYTES_MAX) {
            note_change(job, entry);
            return 0;
        }
        xb_entry_free(entry);
    }
}

static void count_file(struct backup *backup, const struct xb_entry *entry)
{
    atomic_fetch_add(&backup->files_done, 1);
    pthread_mutex_lock(&backup->lock);
    backup->result.files++;
    backup->result.bytes += entry->size;
    pthread_mutex_unlock(&backup->lock);
}

/* Failures of the repository end the backup; those of the file only concern the file. */
static bool ends_backup(const struct xb_error *err, const struct backup *backup)
{
    return err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_BUG || xb_backup_stopped(backup) ||
           xb_repository_failed(backup->repository);
}

static void read_file(struct job *job, struct lane *lane)
{
    struct frame *frame = job->frame;
    struct stat st;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_entry entry = {.name = NULL};
    if (xb_known_keep(frame, job->name, &job->st)) {
        return;
    }
    XB_CLEANUP(xb_closep) int fd = open_file(job);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP)) {
        xb_frame_add_vanished(frame, job->name);
        return;
    }
    if (fd < 0 || fstat(fd, &st) < 0) {
        xb_frame_add_failure(frame, job->name, strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        xb_frame_add_failure(frame, job->name, "was replaced by another kind of file");
        return;
    }
    if (!xb_known_reuse(frame, job->name, fd, &st, &entry)) {
        if (read_at_rest(job, lane, fd, &entry, &err) < 0) {
            if (ends_backup(&err, frame->backup)) {
                xb_backup_fail(frame->backup, &err);
            } else {
                xb_frame_add_failure(frame, job->name, err.text);
            }
            return;
        }
    }
    count_file(frame->backup, &entry);
    xb_frame_add(frame, &entry);
}

static void run_job(void *context)
{
    struct job *job = context;
    struct frame *frame = job->frame;
    struct backup *backup = frame->backup;
    if (!xb_backup_stopped(backup)) {
        struct lane *lane = take_lane(backup);
        read_file(job, lane);
        return_lane(backup, lane);
    }
    free(job);
    xb_frame_release(frame);
}

void xb_read_job_submit(struct frame *frame, const char *name, const struct stat *st)
{
    size_t len = strlen(name);
    struct job *job = malloc(sizeof *job + len + 1);
    if (!job) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_no_memory(&err, "the walk");
        xb_backup_fail(frame->backup, &err);
        return;
    }
    job->frame = frame;
    job->st = *st;
    memcpy(job->name, name, len + 1);
    xb_frame_hold(frame);
    /* Who submits is a worker: it must not wait for workers. */
    if (!xb_workers_try_submit(frame->backup->workers, run_job, job)) {
        run_job(job);
    }
}
