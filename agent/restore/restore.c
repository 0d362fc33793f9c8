/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/restore/walk.h"
#include "shared/base/random.h"
#include "shared/base/ticker.h"
#include "shared/base/workers.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"

enum { THREADS = 2, QUEUE_MAX = 256, TICK_MS = 250 };

void xb_restore_fail(struct restore *restore, const struct xb_error *err)
{
    pthread_mutex_lock(&restore->lock);
    if (!restore->failure.code) {
        restore->failure = *err;
    }
    atomic_store(&restore->stop, true);
    pthread_mutex_unlock(&restore->lock);
}

bool xb_restore_stopped(const struct restore *restore)
{
    return atomic_load(&restore->stop) ||
           (restore->options->cancel && atomic_load(restore->options->cancel));
}

void xb_restore_fail_memory(struct restore *restore)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)!xb_error_no_memory(&err, "the restore");
    xb_restore_fail(restore, &err);
}

static int copy_entry(const struct xb_entry *from, struct xb_entry *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_MANIFEST_BYTES_MAX);
    int r = xb_entry_encode(from, &text, err);
    return r < 0 ? r : xb_entry_decode(text.data, text.len, ret, err);
}

static int step_down(struct xb_repository *repository, const char *name, struct xb_entry *entry,
                     struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *found = NULL;
    if (entry->type != XB_ENTRY_DIRECTORY) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTDIR, "'%.200s' is no folder", entry->name);
    }
    int r = xb_directory_open(repository, &entry->object, &cursor, err);
    do {
        r = r < 0 ? r : xb_directory_next(cursor, &found, err);
    } while (r == 0 && found && strcmp(found->name, name) != 0);
    if (r < 0) {
        return r;
    }
    if (!found) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "there is no '%.200s' in it", name);
    }
    xb_entry_free(entry);
    *entry = *found;
    *found = (struct xb_entry){.name = NULL};
    return 0;
}

int xb_snapshot_find_path(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                          const char *path, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_entry entry;
    XB_CLEANUP(xb_freep) char *copy = strdup(path ? path : "");
    if (!copy) {
        return xb_error_no_memory(err, "a path");
    }
    int r = copy_entry(&snapshot->root, &entry, err);
    if (r < 0) {
        return r;
    }
    char *rest = NULL;
    for (char *name = strtok_r(copy, "/", &rest); r == 0 && name;
         name = strtok_r(NULL, "/", &rest)) {
        r = step_down(repository, name, &entry, err);
    }
    if (r < 0) {
        xb_entry_free(&entry);
        return xb_error_wrap(err, "path '%.300s' of snapshot %s", path, snapshot->id);
    }
    *ret = entry;
    return 0;
}

static void report(void *context)
{
    struct restore *restore = context;
    const struct xb_restore_progress progress = {.bytes_done = atomic_load(&restore->bytes_done),
                                                 .bytes_total = restore->bytes_total,
                                                 .files_done = atomic_load(&restore->files_done),
                                                 .files_total = restore->files_total};
    restore->options->progress(restore->options->progress_context, &progress);
}

static void walk_with_progress(struct restore *restore, int target_fd, struct xb_entry *entry)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct xb_ticker *ticker = NULL;
    restore->bytes_total = entry->summary ? entry->summary->size : entry->size;
    restore->files_total = entry->summary ? entry->summary->files : 1;
    if (restore->options->progress) {
        (void)!xb_ticker_start(TICK_MS, report, restore, &ticker, &ignored);
    }
    xb_restore_walk(restore, target_fd, entry);
    if (ticker) {
        xb_ticker_stop(ticker);
        report(restore);
    }
}

/* Two restores into one folder would take each other's files for leftovers. The lock ends with the
 * process; where a file system has no locks there is none. */
static int open_target(const struct xb_restore_options *options, struct xb_error *err)
{
    if (options->target_fd < 0) {
        return -1; /* a dry run */
    }
    int fd = openat(options->target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "opening the target");
    }
    if (!options->dry_run && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        close(fd);
        return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                            "another restore is at work in the target; wait until it has ended");
    }
    return fd;
}

/* Whether a file can be made without a name and get one later; not every file system, and not
 * everybody, can. */
static bool can_be_nameless(const struct restore *restore, int target_fd)
{
    char name[64];
    snprintf(name, sizeof name, XB_RESTORE_TEMPORARY "%s-0", restore->token);
    XB_CLEANUP(xb_closep) int fd = openat(target_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    bool can = fd >= 0 && linkat(fd, "", target_fd, name, AT_EMPTY_PATH) == 0;
    return can && unlinkat(target_fd, name, 0) == 0;
}

unsigned xb_restore_threads(const struct restore *restore)
{
    return restore->options->threads ? restore->options->threads : THREADS;
}

static int prepare(struct restore *restore, struct xb_error *err)
{
    unsigned char token[8];
    xb_random_bytes(token, sizeof token);
    xb_hex_encode(token, sizeof token, restore->token);
    restore->umask = xb_restore_umask();
    int r = xb_links_new(&restore->links, err);
    return r < 0 ? r
                 : xb_workers_new(xb_restore_threads(restore), QUEUE_MAX, &restore->workers, err);
}

static int run(struct restore *restore, const struct xb_snapshot *snapshot, struct xb_error *err)
{
    const struct xb_restore_options *options = restore->options;
    struct xb_entry entry;
    int r = prepare(restore, err);
    if (r < 0 || (r = xb_snapshot_find_path(restore->repository, snapshot, options->path, &entry,
                                            err)) < 0) {
        return r;
    }
    int fd = open_target(options, err);
    if (fd < 0 && options->target_fd >= 0) {
        xb_entry_free(&entry);
        return fd;
    }
    atomic_store(&restore->nameless, fd >= 0 && !options->dry_run && can_be_nameless(restore, fd));
    walk_with_progress(restore, fd, &entry);
    if (restore->failure.code) {
        *err = restore->failure;
        return err->code;
    }
    if (xb_restore_stopped(restore)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (!options->dry_run && syncfs(options->target_fd) < 0) {
        return xb_error_errno(err, errno, "writing the target's data to disk");
    }
    return 0;
}

int xb_restore_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                   const struct xb_restore_options *options, struct xb_restore_result *ret,
                   struct xb_error *err)
{
    if (options->target_fd < 0 && !options->dry_run) {
        return xb_error_set(err, XB_ERR_BUG, -EBADF, "a restore without a target");
    }
    struct restore *restore = calloc(1, sizeof *restore);
    if (!restore) {
        return xb_error_no_memory(err, "a restore");
    }
    restore->repository = repository;
    restore->options = options;
    pthread_mutex_init(&restore->lock, NULL);
    pthread_cond_init(&restore->changed, NULL);
    pthread_cond_init(&restore->idle, NULL);
    int r = xb_restore_memory_begin(&restore->memory, options->cancel, err);
    if (r == 0) {
        r = run(restore, snapshot, err);
        xb_workers_free(restore->workers);
        xb_restore_memory_end(&restore->memory);
    }
    xb_restore_window_free(restore);
    xb_links_free(restore->links);
    if (r == 0) {
        *ret = restore->result;
    } else {
        xb_restore_result_free(&restore->result);
    }
    pthread_mutex_destroy(&restore->lock);
    pthread_cond_destroy(&restore->changed);
    pthread_cond_destroy(&restore->idle);
    free(restore);
    return r;
}
