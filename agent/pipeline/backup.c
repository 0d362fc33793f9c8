/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/pipeline/walk.h"
#include "shared/base/workers.h"

enum { THREADS = 2, QUEUE_MAX = 256, TICK_MS = 250 };

#define PART_BYTES (UINT64_C(2) << 30)

void xb_backup_fail(struct backup *backup, const struct xb_error *err)
{
    pthread_mutex_lock(&backup->lock);
    if (!backup->failure.code) {
        backup->failure = *err;
    }
    atomic_store(&backup->stop, true);
    pthread_mutex_unlock(&backup->lock);
}

bool xb_backup_stopped(const struct backup *backup)
{
    return atomic_load(&backup->stop) ||
           (backup->options->cancel && atomic_load(backup->options->cancel));
}

void xb_backup_note(struct backup *backup, const char *path, const char *text)
{
    pthread_mutex_lock(&backup->lock);
    struct xb_backup_result *result = &backup->result;
    if (result->message_count < XB_BACKUP_MESSAGES_MAX) {
        struct xb_backup_message message = {.path = strdup(path), .text = strdup(text)};
        if (message.path && message.text) {
            result->messages[result->message_count++] = message;
        } else {
            free(message.path);
            free(message.text);
        }
    }
    pthread_mutex_unlock(&backup->lock);
}

static int make_lanes(struct backup *backup, struct xb_error *err)
{
    const struct xb_object_writer_options whole = {.compression = backup->options->compression,
                                                   .split = true};
    const struct xb_object_writer_options parts = {
        .compression = backup->options->compression, .split = true, .part_bytes = PART_BYTES};
    for (unsigned i = 0; i < backup->lane_count; i++) {
        struct lane *lane = &backup->lanes[i];
        int r = xb_reader_new(NULL, &lane->reader, err);
        if (r < 0 ||
            (r = xb_object_writer_new(backup->repository, &whole, &lane->writer, err)) < 0 ||
            (r = xb_object_writer_new(backup->repository, &parts, &lane->part_writer, err)) < 0) {
            return r;
        }
    }
    backup->result.used_ring = xb_reader_uses_ring(backup->lanes[0].reader);
    return 0;
}

static void report(struct backup *backup)
{
    const struct xb_backup_progress progress = {.bytes_done = atomic_load(&backup->bytes_done),
                                                .bytes_total = atomic_load(&backup->bytes_total),
                                                .files_done = atomic_load(&backup->files_done),
                                                .files_total = atomic_load(&backup->files_total),
                                                .bytes_new = atomic_load(&backup->bytes_new)};
    backup->options->progress(backup->options->progress_context, &progress);
}

static void *tick(void *context)
{
    struct backup *backup = context;
    pthread_mutex_lock(&backup->lock);
    while (!backup->done) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&backup->changed, &backup->lock, &until);
        pthread_mutex_unlock(&backup->lock);
        report(backup);
        pthread_mutex_lock(&backup->lock);
    }
    pthread_mutex_unlock(&backup->lock);
    return NULL;
}

static struct xb_directory *parent_root(struct backup *backup)
{
    const struct xb_snapshot *parent = backup->options->parent;
    struct xb_directory *directory = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (parent && parent->root.type == XB_ENTRY_DIRECTORY &&
        xb_directory_read(backup->repository, &parent->root.object, &directory, &err) < 0) {
        xb_backup_note(backup, "", err.text);
    }
    return directory;
}

static void walk_with_progress(struct backup *backup, int root_fd, const struct stat *st)
{
    pthread_t ticker;
    pthread_t estimator;
    bool ticks = backup->options->progress && pthread_create(&ticker, NULL, tick, backup) == 0;
    bool estimates = backup->options->progress &&
                     pthread_create(&estimator, NULL, xb_backup_estimate, backup) == 0;
    xb_backup_walk(backup, root_fd, st, parent_root(backup));
    if (ticks) {
        pthread_join(ticker, NULL);
    }
    if (estimates) {
        pthread_join(estimator, NULL);
    }
    if (backup->options->progress) {
        report(backup);
    }
}

static int run(struct backup *backup, struct xb_error *err)
{
    struct stat st;
    int r = make_lanes(backup, err);
    if (r < 0 || (r = xb_workers_new(backup->lane_count, QUEUE_MAX, &backup->workers, err)) < 0) {
        return r;
    }
    int fd = openat(backup->options->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = xb_error_errno(err, errno, "opening the folder");
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    walk_with_progress(backup, fd, &st);
    if (backup->failure.code) {
        *err = backup->failure;
        return err->code;
    }
    if (xb_backup_stopped(backup)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    return 0;
}

int xb_backup_run(struct xb_repository *repository, const struct xb_backup_options *options,
                  struct xb_backup_result *ret, struct xb_error *err)
{
    struct backup *backup = calloc(1, sizeof *backup);
    if (!backup) {
        return xb_error_no_memory(err, "a backup");
    }
    backup->repository = repository;
    backup->options = options;
    backup->lane_count = options->threads ? options->threads : THREADS;
    if (backup->lane_count > XB_LANES_MAX) {
        backup->lane_count = XB_LANES_MAX;
    }
    pthread_mutex_init(&backup->lock, NULL);
    pthread_cond_init(&backup->changed, NULL);
    int r = run(backup, err);
    xb_workers_free(backup->workers);
    for (unsigned i = 0; i < backup->lane_count; i++) {
        xb_reader_free(backup->lanes[i].reader);
        xb_object_writer_free(backup->lanes[i].writer);
        xb_object_writer_free(backup->lanes[i].part_writer);
    }
    if (r == 0) {
        *ret = backup->result;
    } else {
        xb_backup_result_free(&backup->result);
    }
    pthread_mutex_destroy(&backup->lock);
    pthread_cond_destroy(&backup->changed);
    free(backup);
    return r;
}

void xb_backup_result_free(struct xb_backup_result *result)
{
    xb_entry_free(&result->root);
    for (size_t i = 0; i < result->message_count; i++) {
        free(result->messages[i].path);
        free(result->messages[i].text);
    }
    result->message_count = 0;
}
