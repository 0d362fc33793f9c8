/* SPDX-License-Identifier: Apache-2.0
 * What is there already: is it right, as a whole or in part? Only bytes count, never times. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/restore/internal.h"
#include "shared/base/file.h"
#include "shared/base/workers.h"

enum { BATCH_ROWS = 256, BATCH_BYTES = 8 * 1024 * 1024, BATCHES_MAX = 32 };

struct batch {
    struct restore *restore;
    struct xb_plan_row *rows;
    size_t count;
    uint32_t plain_bytes_max;
};

/* A file that has other names, too, stays only if nothing of it will be changed: they are not this
 * restore's business. */
bool xb_restore_file_may_stay(const struct file *file, const struct stat *st)
{
    const struct xb_entry *entry = &file->entry;
    int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    return S_ISREG(st->st_mode) && (uint64_t)st->st_size == entry->size &&
           (st->st_nlink == 1 ||
            (entry->link && st->st_uid == entry->uid && st->st_gid == entry->gid &&
             (st->st_mode & 07777) == entry->mode && mtime_ns == entry->mtime_ns));
}

bool xb_restore_file_open_existing(struct file *file)
{
    const struct xb_restore_options *options = file->frame->restore->options;
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    bool punch = (file->entry.hole_count || options->sparse) && !options->dry_run;
    struct stat st;
    int fd = punch ? openat(file->frame->fd, file->entry.name, O_RDWR | flags) : -1;
    if (fd < 0) {
        fd = openat(file->frame->fd, file->entry.name, O_RDONLY | flags);
    }
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    file->stays = file->stays && fd >= 0 && xb_restore_file_may_stay(file, &st);
    file->existing = fd;
    return fd >= 0;
}

void xb_restore_file_close_existing(struct file *file)
{
    if (file->existing >= 0) {
        close(file->existing);
        file->existing = -1;
    }
}

bool xb_restore_take_row(const struct xb_plan_row *row, struct xb_buf *plain)
{
    const struct file *file = row->owner;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_id id;
    xb_buf_clear(plain);
    if (file->existing < 0 || xb_buf_reserve(plain, row->plain_bytes, &err) < 0 ||
        xb_file_pread_all(file->existing, plain->data, row->plain_bytes, (off_t)row->target,
                          file->entry.name, &err) < 0) {
        return false;
    }
    plain->len = row->plain_bytes;
    plain->data[plain->len] = '\0';
    return xb_content_identify(file->frame->restore->repository, row->id.prefix, plain->data,
                               plain->len, &id, &err) == 0 &&
           xb_content_id_compare(&id, &row->id) == 0;
}

static void compare_row(struct xb_plan_row *row, struct xb_buf *plain)
{
    struct file *file = row->owner;
    bool same = (file->several || (xb_restore_file_open_existing(file) && file->stays)) &&
                xb_restore_take_row(row, plain);
    if (same) {
        row->source = XB_PLAN_NONE;
        if (file->stays) {
            xb_restore_file_punch(file, row->target, plain->data, plain->len);
        }
    }
    if (file->several) {
        return;
    }
    if (same) {
        /* Here and now, so that a descriptor is open no longer than this. */
        row->owner = NULL;
        xb_restore_file_row_done(file, row->plain_bytes, NULL);
    } else {
        xb_restore_file_close_existing(file);
        file->candidate = false;
    }
}

static void run_batch(void *context)
{
    const struct batch *batch = context;
    struct restore *restore = batch->restore;
    struct scratch scratch = xb_restore_take_memory(restore, batch->plain_bytes_max);
    for (size_t i = 0; i < batch->count && !xb_restore_stopped(restore); i++) {
        const struct file *file = batch->rows[i].owner;
        if (file->candidate) {
            compare_row(&batch->rows[i], &scratch.plain);
        }
    }
    xb_restore_give_memory(restore, batch->plain_bytes_max, &scratch);
    pthread_mutex_lock(&restore->lock);
    restore->comparing--;
    pthread_cond_broadcast(&restore->idle);
    pthread_mutex_unlock(&restore->lock);
}

static void wait_for_batches(struct restore *restore)
{
    pthread_mutex_lock(&restore->lock);
    while (restore->comparing > 0) {
        pthread_cond_wait(&restore->idle, &restore->lock);
    }
    pthread_mutex_unlock(&restore->lock);
}

/* The next batch from row `first` on; its count is 0 at the end. Rows without anything to compare
 * are passed over at its beginning. */
static struct batch next_batch(struct restore *restore, struct xb_plan *plan, size_t first)
{
    struct batch batch = {.restore = restore};
    uint64_t bytes = 0;
    while (first < plan->count && !((const struct file *)plan->rows[first].owner)->candidate) {
        first++;
    }
    batch.rows = plan->rows + first;
    while (first + batch.count < plan->count && batch.count < BATCH_ROWS && bytes < BATCH_BYTES) {
        const struct xb_plan_row *row = &plan->rows[first + batch.count];
        bytes += ((const struct file *)row->owner)->candidate ? row->plain_bytes : 0;
        if (row->plain_bytes > batch.plain_bytes_max) {
            batch.plain_bytes_max = row->plain_bytes;
        }
        batch.count++;
    }
    return batch;
}

void xb_restore_compare_rows(struct restore *restore, struct xb_plan *plan)
{
    struct batch batches[BATCHES_MAX];
    size_t at = 0;
    while (at < plan->count) {
        size_t count = 0;
        while (count < BATCHES_MAX && at < plan->count) {
            batches[count] = next_batch(restore, plan, at);
            if (batches[count].count == 0) {
                at = plan->count;
                break;
            }
            at = (size_t)(batches[count].rows - plan->rows) + batches[count].count;
            count++;
        }
        restore->comparing = count; /* nobody else is there yet */
        for (size_t i = 0; i < count; i++) {
            xb_workers_submit(restore->workers, run_batch, &batches[i]);
        }
        wait_for_batches(restore);
    }
}

int xb_restore_compare_file(struct restore *restore, struct file *file, bool *ret_same,
                            struct xb_error *err)
{
    XB_CLEANUP(xb_object_pieces_freep) struct xb_object_pieces *pieces = NULL;
    struct xb_plan plan = {.rows = NULL};
    bool same = xb_restore_file_open_existing(file) && file->stays;
    bool more = true;
    int r = xb_object_pieces_open(restore->repository, &file->entry.object, &pieces, err);
    while (r == 0 && same && more && !xb_restore_stopped(restore)) {
        xb_plan_clear(&plan);
        r = xb_restore_file_gather(file, pieces, &plan, &more, err);
        if (r == 0) {
            xb_restore_compare_rows(restore, &plan);
        }
        for (size_t i = 0; same && i < plan.count; i++) {
            same = plan.rows[i].source == XB_PLAN_NONE;
        }
    }
    xb_plan_free(&plan);
    if (r == 0) {
        *ret_same = same && !xb_restore_stopped(restore);
    }
    return r;
}
