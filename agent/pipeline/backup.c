/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/freeze/freeze.h"
#include "agent/pipeline/walk.h"
#include "shared/base/clock.h"
#include "shared/base/cpus.h"
#include "shared/base/ticker.h"
#include "shared/base/workers.h"

enum { QUEUE_MAX = 256, TICK_MS = 250 };

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
    const struct xb_backup_options *options = backup->options;
    return atomic_load(&backup->stop) || (options->cancel && atomic_load(options->cancel)) ||
           (options->copy && atomic_load(xb_freeze_lost(options->copy)));
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
    const struct xb_reader_options reading = {.depth = XB_READER_DEPTH_MAX};
    for (unsigned i = 0; i < backup->lane_count; i++) {
        struct lane *lane = &backup->lanes[i];
        lane->backup = backup;
        int r = xb_reader_new(&reading, &lane->reader, err);
        if (r < 0 || (r = xb_object_batch_new(&lane->batch, err)) < 0 ||
            (r = xb_object_writer_new(backup->repository, &whole, &lane->writer, err)) < 0 ||
            (r = xb_object_writer_new(backup->repository, &parts, &lane->part_writer, err)) < 0) {
            return r;
        }
    }
    backup->result.used_ring = xb_reader_uses_ring(backup->lanes[0].reader);
    return 0;
}

void xb_backup_wait(struct backup *backup, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&backup->changed, &backup->lock, &until);
}

static void report(void *context)
{
    struct backup *backup = context;
    struct xb_backup_progress progress = {.bytes_done = atomic_load(&backup->bytes_done),
                                          .bytes_total = atomic_load(&backup->bytes_total),
                                          .files_done = atomic_load(&backup->files_done),
                                          .files_total = atomic_load(&backup->files_total),
                                          .bytes_new = atomic_load(&backup->bytes_new)};
    backup->options->progress(backup->options->progress_context, &progress);
}

/* What is to come, as far as a copy or a parent tells; else it has to be counted. */
static bool expect_as_before(struct backup *backup)
{
    if (backup->recorded) {
        uint64_t files = 0;
        uint64_t bytes = 0;
        xb_listing_totals(backup->recorded, &files, &bytes);
        atomic_store(&backup->bytes_total, bytes);
        atomic_store(&backup->files_total, files);
        return true;
    }
    const struct xb_snapshot_parents *parents = backup->options->parents;
    const struct xb_snapshot *last = parents && parents->count ? parents->items[0] : NULL;
    if (!last || last->incomplete || !last->root.summary) {
        return false;
    }
    atomic_store(&backup->bytes_total, last->root.summary->size);
    atomic_store(&backup->files_total, last->root.summary->files);
    return true;
}

/* The threads beside the walk. */
struct aside {
    pthread_t keeper, estimator;
    struct xb_ticker *ticker; /* NULL: nobody looks */
    bool estimates;
};

static int start_aside(struct backup *backup, struct aside *aside, struct xb_error *err)
{
    int error = pthread_create(&aside->keeper, NULL, xb_backup_keeper, backup);
    if (error) {
        return xb_error_errno(err, error, "starting a thread");
    }
    if (backup->options->progress) {
        struct xb_error ignored = XB_ERROR_INIT;
        (void)!xb_ticker_start(TICK_MS, report, backup, &aside->ticker, &ignored);
        aside->estimates = !expect_as_before(backup) &&
                           pthread_create(&aside->estimator, NULL, xb_backup_estimate, backup) == 0;
    }
    return 0;
}

static void join_aside(struct backup *backup, struct aside *aside)
{
    pthread_mutex_lock(&backup->lock);
    atomic_store(&backup->done, true);
    pthread_cond_broadcast(&backup->changed);
    pthread_mutex_unlock(&backup->lock);
    pthread_join(aside->keeper, NULL);
    xb_ticker_stop(aside->ticker);
    if (aside->estimates) {
        pthread_join(aside->estimator, NULL);
    }
    if (backup->options->progress) {
        report(backup);
    }
}

/* How it has ended. */
static int judge(struct backup *backup, struct xb_error *err)
{
    struct xb_freeze *copy = backup->options->copy;
    if (copy) {
        xb_freeze_look(copy);
    }
    bool lost = copy && atomic_load(xb_freeze_lost(copy));
    if (backup->failure.code && !lost) {
        *err = backup->failure;
        return err->code;
    }
    if (!lost && !xb_backup_stopped(backup)) {
        return 0;
    }
    /* What is stored is for the next backup to find. */
    struct xb_error ignored = XB_ERROR_INIT;
    (void)!xb_repository_flush(backup->repository, &ignored);
    return lost ? xb_error_set(err, XB_ERR_FULL, -ENOSPC, "%s", xb_freeze_lost_reason(copy))
                : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
}

static int run(struct backup *backup, struct xb_error *err)
{
    struct aside aside = {.estimates = false};
    int r = make_lanes(backup, err);
    if (r < 0 || (r = xb_workers_new(backup->lane_count, QUEUE_MAX, &backup->workers, err)) < 0) {
        return r;
    }
    int fd = openat(backup->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "opening the folder");
    }
    r = start_aside(backup, &aside, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    xb_backup_walk(backup, fd);
    join_aside(backup, &aside);
    return judge(backup, err);
}

static void init(struct backup *backup)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&backup->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&backup->lock, NULL);
    pthread_mutex_init(&backup->deep, NULL);
    pthread_mutex_init(&backup->queue.lock, NULL);
    for (unsigned i = 0; i < XB_LANES_MAX; i++) {
        pthread_mutex_init(&backup->lanes[i].lock, NULL);
    }
}

static size_t small_bytes(const struct xb_repository *repository)
{
    size_t whole = xb_object_whole_bytes(repository);
    return whole < XB_BLOCK_BYTES ? whole : XB_BLOCK_BYTES;
}

static void read_from(struct backup *backup)
{
    struct xb_freeze *copy = backup->options->copy;
    backup->root_fd = backup->options->root_fd;
    if (copy) {
        struct xb_freeze_facts facts;
        xb_freeze_open(copy);
        xb_freeze_describe(copy, &facts);
        backup->root_fd = xb_freeze_root(copy);
        backup->recorded = xb_freeze_listing(copy);
        backup->taken_ns = facts.taken_ns;
    }
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
    read_from(backup);
    backup->budget = options->budget ? options->budget : xb_budget_process();
    backup->small_bytes = small_bytes(repository);
    backup->lane_count = options->threads ? options->threads : xb_cpus_usable();
    if (backup->lane_count > XB_LANES_MAX) {
        backup->lane_count = XB_LANES_MAX;
    }
    init(backup);
    int r = run(backup, err);
    xb_workers_free(backup->workers);
    for (unsigned i = 0; i < XB_LANES_MAX; i++) {
        xb_reader_free(backup->lanes[i].reader);
        xb_object_writer_free(backup->lanes[i].writer);
        xb_object_writer_free(backup->lanes[i].part_writer);
        xb_object_batch_free(backup->lanes[i].batch);
        pthread_mutex_destroy(&backup->lanes[i].lock);
    }
    if (r == 0) {
        *ret = backup->result;
    } else {
        xb_backup_result_free(&backup->result);
    }
    pthread_mutex_destroy(&backup->lock);
    pthread_mutex_destroy(&backup->deep);
    pthread_mutex_destroy(&backup->queue.lock);
    pthread_cond_destroy(&backup->changed);
    free(backup);
    return r;
}

void xb_backup_fill_stats(const struct xb_backup_result *result, struct xb_snapshot *snapshot)
{
    snapshot->stats.total_bytes = result->bytes;
    snapshot->stats.files = result->files;
    snapshot->stats.cached_files = result->cached_files;
    snapshot->stats.non_cached_files = result->files - result->cached_files;
    snapshot->stats.dirs = result->dirs;
    snapshot->stats.errors = result->failed;
    snapshot->stats.special_files = result->special_files;
    snapshot->stats.changed_files = result->changed_files;
    snapshot->stats.vanished = result->vanished;
}

void xb_backup_fill_snapshot(struct xb_backup_result *result, struct xb_snapshot *snapshot)
{
    snapshot->root = result->root;
    result->root = (struct xb_entry){.name = NULL};
    snapshot->end_ns = xb_clock_wall_ns();
    xb_backup_fill_stats(result, snapshot);
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
