/* SPDX-License-Identifier: Apache-2.0
 * What is done with a file before and after its bytes are read; and one large file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/known.h"
#include "agent/pipeline/read_internal.h"

/* Larger files are not read again because they changed meanwhile: a database would never end. */
#define REREAD_BYTES_MAX (UINT64_C(64) << 20)

/* ---- before ---- */

static int open_file(const struct job *job)
{
    const struct backup *backup = job->frame->backup;
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    if (backup->recorded) {
        const struct xb_listing_entry *recorded = xb_frame_recorded(job->frame, job->name);
        return recorded ? xb_listing_open(backup->recorded, recorded) : -1;
    }
    int fd = openat(job->frame->fd, job->name, flags | O_NOATIME);
    return fd < 0 && errno == EPERM ? openat(job->frame->fd, job->name, flags) : fd;
}

int xb_read_open(struct job *job, struct stat *ret_st)
{
    struct frame *frame = job->frame;
    struct xb_entry entry = {.name = NULL};
    struct xb_error err = XB_ERROR_INIT;
    if (xb_known_keep(frame, job->name, &job->st)) {
        return -1;
    }
    XB_CLEANUP(xb_closep) int fd = open_file(job);
    /* A clone that is gone is no file that was removed: somebody has taken it from us. */
    bool removed = fd < 0 && (errno == ENOENT || errno == ELOOP);
    if (removed && !frame->backup->recorded) {
        xb_frame_add_vanished(frame, job->name);
        return -1;
    }
    if (fd < 0) {
        xb_frame_add_failure(frame, job->name, strerror(errno));
        return -1;
    }
    if (xb_read_state(job, fd, ret_st, &err) < 0) {
        xb_frame_add_failure(frame, job->name, err.text);
        return -1;
    }
    if (!S_ISREG(ret_st->st_mode)) {
        xb_frame_add_failure(frame, job->name, "was replaced by another kind of file");
        return -1;
    }
    if (xb_known_reuse(frame, job->name, fd, ret_st, &entry)) {
        xb_read_settle(job, &entry);
        return -1;
    }
    return XB_TAKE_FD(fd);
}

int xb_read_state(const struct job *job, int fd, struct stat *ret_st, struct xb_error *err)
{
    if (job->frame->backup->recorded) {
        *ret_st = job->st;
        return 0;
    }
    return fstat(fd, ret_st) < 0 ? xb_error_errno(err, errno, "reading its attributes") : 0;
}

int xb_read_attributes(const struct job *job, int fd, const struct stat *st, struct xb_entry *ret,
                       struct xb_error *err)
{
    const struct xb_attribute_source source = {.fd = fd,
                                               .name = job->name,
                                               .recorded = xb_frame_recorded(job->frame, job->name),
                                               .st = st,
                                               .backup = job->frame->backup};
    return xb_entry_from_file(&source, ret, err);
}

bool xb_read_same_state(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && xb_timespec_ns(&a->st_mtim) == xb_timespec_ns(&b->st_mtim) &&
           xb_timespec_ns(&a->st_ctim) == xb_timespec_ns(&b->st_ctim);
}

bool xb_read_sparse(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
}

/* ---- after ---- */

void xb_read_note_change(const struct job *job, struct xb_entry *entry)
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

void xb_read_count(struct backup *backup, const struct xb_object_stats *stats)
{
    atomic_fetch_add(&backup->bytes_new, stats->new_bytes);
    pthread_mutex_lock(&backup->lock);
    backup->result.bytes_read += stats->bytes;
    backup->result.bytes_new += stats->new_bytes;
    backup->result.bytes_stored += stats->stored_bytes;
    pthread_mutex_unlock(&backup->lock);
}

void xb_read_settle(const struct job *job, struct xb_entry *entry)
{
    struct backup *backup = job->frame->backup;
    atomic_fetch_add(&backup->files_done, 1);
    pthread_mutex_lock(&backup->lock);
    backup->result.files++;
    backup->result.bytes += entry->size;
    pthread_mutex_unlock(&backup->lock);
    xb_frame_add(job->frame, entry);
}

/* Failures of the repository end the backup; those of the file only concern the file. */
void xb_read_fail(const struct job *job, const struct xb_error *err)
{
    struct backup *backup = job->frame->backup;
    if (err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_BUG || xb_backup_stopped(backup) ||
        xb_repository_failed(backup->repository)) {
        xb_backup_fail(backup, err);
    } else {
        xb_frame_add_failure(job->frame, job->name, err->text);
    }
}

void xb_read_end(struct job *job)
{
    struct frame *frame = job->frame;
    free(job);
    xb_frame_release(frame);
}

/* ---- one large file ---- */

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
static int read_once(const struct job *job, struct lane *lane, int fd, struct xb_entry *entry,
                     bool *ret_rested, struct xb_error *err)
{
    struct stat before;
    struct stat after;
    int r = xb_read_state(job, fd, &before, err);
    if (r < 0 || (r = xb_read_attributes(job, fd, &before, entry, err)) < 0) {
        return r;
    }
    set_file(lane, job, &before);
    r = xb_backup_read_file(lane->backup, lane, fd, entry, err);
    set_file(lane, NULL, NULL);
    if (r == 0) {
        r = xb_read_state(job, fd, &after, err);
    }
    if (r < 0) {
        xb_entry_free(entry);
        return r;
    }
    *ret_rested = xb_read_same_state(&before, &after);
    return 0;
}

/* Reads until the file was at rest from beginning to end, or the tries are used up. */
static int read_at_rest(const struct job *job, struct lane *lane, int fd, struct xb_entry *entry,
                        struct xb_error *err)
{
    for (unsigned try = 0;; try++) {
        bool rested = false;
        int r = read_once(job, lane, fd, entry, &rested, err);
        if (r < 0 || rested) {
            return r;
        }
        if (try == XB_REREADS_MAX || entry->size > REREAD_BYTES_MAX) {
            xb_read_note_change(job, entry);
            return 0;
        }
        xb_entry_free(entry);
    }
}

void xb_read_large(struct lane *lane, struct job *job)
{
    struct stat st;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_entry entry = {.name = NULL};
    XB_CLEANUP(xb_closep) int fd = xb_read_open(job, &st);
    if (fd >= 0) {
        if (read_at_rest(job, lane, fd, &entry, &err) < 0) {
            xb_read_fail(job, &err);
        } else {
            xb_read_settle(job, &entry);
        }
    }
    xb_read_end(job);
}
