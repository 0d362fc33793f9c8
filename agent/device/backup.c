/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/device/cut.h"
#include "shared/base/clock.h"
#include "shared/base/cpus.h"
#include "shared/base/file.h"
#include "shared/base/ticker.h"

enum { TICK_MS = 250, CHECKPOINT_MS = 40 * 60 * 1000, THREADS_MAX = 64 };

struct copy {
    struct xb_repository *repository;
    const struct xb_device_backup_options *options;
    struct xb_device device;
    struct xb_free_map map; /* bits NULL: nothing is known to be free */
    struct xb_object_writer *writer;
    struct xb_device_backup_result *result;
    struct xb_device_tree tree;
    struct xb_device_cut cut;
    int64_t checkpoint_ns;
};

/* ---- what happens meanwhile ---- */

static int checkpoint(struct copy *copy, struct xb_error *err)
{
    struct xb_object_id id;
    uint64_t bytes = 0;
    struct xb_snapshot snapshot = *copy->options->source; /* borrows its texts */
    static char incomplete[] = XB_INCOMPLETE_CHECKPOINT;
    int r = xb_object_writer_checkpoint(copy->writer, &id, &bytes, err);
    if (r < 0 || !id.text[0]) {
        return r;
    }
    pthread_mutex_lock(&copy->cut.lock);
    struct xb_device_tree tree = copy->tree;
    pthread_mutex_unlock(&copy->cut.lock);
    tree.object = id;
    tree.bytes = bytes;
    tree.incomplete = true;
    r = xb_device_tree_write(copy->repository, &tree, &snapshot.root, err);
    if (r == 0) {
        snapshot.incomplete = incomplete;
        snapshot.end_ns = xb_clock_wall_ns();
        r = xb_snapshot_publish(copy->repository, &snapshot, err);
        xb_entry_free(&snapshot.root);
    }
    return r < 0 ? xb_error_wrap(err, "writing a checkpoint") : 0;
}

static void tell(const struct copy *copy)
{
    const struct xb_device_backup_options *options = copy->options;
    if (options->progress) {
        const struct xb_device_progress progress = {atomic_load(&copy->cut.done),
                                                    copy->device.size};
        options->progress(options->progress_context, &progress);
    }
}

/* Has what is done indexed, and named by a checkpoint, when it is time. */
static int keep_work(struct copy *copy, struct xb_error *err)
{
    const struct xb_device_backup_options *options = copy->options;
    int64_t now_ns = xb_clock_mono_ns();
    int64_t every_ns =
        (options->checkpoint_every_ms ? options->checkpoint_every_ms : CHECKPOINT_MS) *
        XB_NS_PER_MS;
    if (options->source && now_ns - copy->checkpoint_ns >= every_ns) {
        copy->checkpoint_ns = now_ns;
        return checkpoint(copy, err);
    }
    return xb_repository_flush_if_due(
        copy->repository,
        options->index_every_ms ? options->index_every_ms * XB_NS_PER_MS : XB_FLUSH_AGE_NS_MAX,
        err);
}

/* ---- threads ---- */

static void *run_thread(void *context)
{
    struct copy *copy = context;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_object_batch_freep) struct xb_object_batch *batch = NULL;
    if (xb_object_batch_new(&batch, &err) < 0) {
        xb_device_cut_fail(&copy->cut, &err);
    }
    while (batch && xb_device_cut_turn(&copy->cut, batch)) {
    }
    return NULL;
}

/* Keeps the work and tells how far it is, while the others are at it. */
static void tick(void *context)
{
    struct copy *copy = context;
    struct xb_error err = XB_ERROR_INIT;
    tell(copy);
    if (keep_work(copy, &err) < 0) {
        xb_device_cut_fail(&copy->cut, &err);
    }
}

static int copy_all(struct copy *copy, struct xb_error *err)
{
    pthread_t threads[THREADS_MAX];
    XB_CLEANUP(xb_ticker_stopp) struct xb_ticker *ticker = NULL;
    unsigned count = 0;
    int error = 0;
    int r = xb_ticker_start(TICK_MS, tick, copy, &ticker, err);
    if (r < 0) {
        return r;
    }
    while (count < copy->cut.threads && error == 0) {
        error = pthread_create(&threads[count], NULL, run_thread, copy);
        count += error == 0;
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    xb_ticker_stop(XB_TAKE(ticker));
    if (count == 0) {
        return xb_error_errno(err, error, "starting a thread");
    }
    if (copy->cut.err.code) {
        *err = copy->cut.err;
        return err->code;
    }
    tell(copy);
    return 0;
}

/* ---- around it ---- */

static int read_for_map(void *context, uint64_t offset, void *data, size_t len,
                        struct xb_error *err)
{
    const struct copy *copy = context;
    return xb_file_pread_all(copy->device.cached_fd, data, len, (off_t)offset, copy->options->path,
                             err);
}

/* Not to know what is free is no failure: then everything is read. */
static void find_free(struct copy *copy)
{
    struct xb_error why = XB_ERROR_INIT;
    char *reason = copy->result->reason;
    const struct xb_free_source source = {
        .read = read_for_map, .context = copy, .size = copy->device.size};
    if (copy->options->full) {
        snprintf(reason, XB_DEVICE_REASON_BYTES, "that was asked for");
    } else if (!copy->device.exclusive) {
        snprintf(reason, XB_DEVICE_REASON_BYTES, "it is in use%s%.120s%s",
                 copy->device.user[0] ? " (" : "", copy->device.user,
                 copy->device.user[0] ? ")" : "");
    } else if (xb_free_find(&source, &copy->map, &why) < 0) {
        snprintf(reason, XB_DEVICE_REASON_BYTES, "%.*s", XB_DEVICE_REASON_BYTES - 1, why.text);
    }
}

/* An image has no claim. If it changed, what its file system said may be wrong by now. */
static int look_again(struct copy *copy, struct xb_error *err)
{
    struct stat st;
    if (copy->device.block) {
        return 0;
    }
    if (fstat(copy->device.cached_fd, &st) < 0) {
        return xb_error_errno(err, errno, "%s", copy->options->path);
    }
    const struct stat *before = &copy->device.st;
    copy->result->changed = st.st_size != before->st_size ||
                            st.st_mtim.tv_sec != before->st_mtim.tv_sec ||
                            st.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
    if (copy->result->changed && copy->map.bits) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                            "%s was changed while it was read and its free space was left out; end "
                            "what writes to it, or use --full",
                            copy->options->path);
    }
    return 0;
}

static int finish(struct copy *copy, struct xb_error *err)
{
    int r = xb_object_writer_finish(copy->writer, &copy->tree.object, &copy->result->stats, err);
    if (r < 0 || (r = look_again(copy, err)) < 0) {
        return r;
    }
    copy->tree.bytes = copy->result->stats.bytes;
    copy->tree.changed = copy->result->changed;
    for (uint64_t at = 0; copy->map.bits && at < copy->device.size;) {
        bool is_free = false;
        uint64_t run = xb_free_map_run(&copy->map, at, copy->device.size - at, &is_free);
        copy->result->record->free_bytes += is_free ? run : 0;
        at += run;
    }
    copy->result->bytes_read = copy->cut.bytes_read;
    return xb_device_tree_write(copy->repository, &copy->tree, &copy->result->root, err);
}

static unsigned thread_count(const struct copy *copy)
{
    unsigned wanted = copy->options->threads ? copy->options->threads : xb_cpus_usable();
    return wanted < THREADS_MAX ? wanted : THREADS_MAX;
}

static int cut_all(struct copy *copy, struct xb_error *err)
{
    const struct xb_object_writer_options writing = {
        .compression = copy->options->compression, .split = true, .splitter = XB_DEVICE_SPLITTER};
    int r = xb_object_writer_new(copy->repository, &writing, &copy->writer, err);
    if (r < 0) {
        return r;
    }
    copy->cut = (struct xb_device_cut){.path = copy->options->path,
                                       .device = &copy->device,
                                       .map = &copy->map,
                                       .cancel = copy->options->cancel,
                                       .writer = copy->writer,
                                       .tree = &copy->tree,
                                       .threads = thread_count(copy),
                                       .lanes = xb_repository_lanes(copy->repository)};
    r = xb_device_cut_begin(&copy->cut, err);
    if (r < 0) {
        return r;
    }
    copy->result->used_ring = xb_reader_uses_ring(copy->cut.reader);
    r = copy_all(copy, err);
    if (r < 0) {
        xb_object_writer_abort(copy->writer); /* lets go of its blocks */
    }
    xb_device_cut_end(&copy->cut);
    return r;
}

static int run(struct copy *copy, struct xb_error *err)
{
    int r = xb_device_open_source(copy->options->path, &copy->device, err);
    if (r < 0) {
        return r;
    }
    copy->result->record = calloc(1, sizeof *copy->result->record);
    if (!copy->result->record) {
        return xb_error_no_memory(err, "a backup");
    }
    xb_device_identify(&copy->device, copy->result->record);
    const char *name = copy->options->name ? copy->options->name : copy->options->path;
    r = xb_device_tree_begin(&copy->device, name, &copy->tree, err);
    if (r < 0) {
        return r;
    }
    find_free(copy);
    memcpy(copy->result->user, copy->device.user, sizeof copy->result->user);
    copy->result->in_use = copy->device.block && !copy->device.exclusive;
    copy->result->direct = copy->device.direct;
    r = cut_all(copy, err);
    return r < 0 ? r : finish(copy, err);
}

int xb_device_backup(struct xb_repository *repository,
                     const struct xb_device_backup_options *options,
                     struct xb_device_backup_result *ret, struct xb_error *err)
{
    struct xb_device_backup_result result = {.bytes_read = 0};
    struct copy copy = {.repository = repository,
                        .options = options,
                        .device = {.fd = -1, .cached_fd = -1},
                        .result = &result,
                        .checkpoint_ns = xb_clock_mono_ns()};
    int r = run(&copy, err);
    xb_object_writer_free(copy.writer);
    xb_device_close(&copy.device);
    xb_free_map_free(&copy.map);
    xb_device_tree_free(&copy.tree);
    if (r < 0) {
        xb_device_backup_free(&result);
        if (err->kind == XB_ERR_CANCELLED) {
            /* What is stored is for the next backup to find. */
            struct xb_error ignored = XB_ERROR_INIT;
            (void)!xb_repository_flush(repository, &ignored);
        }
        return r;
    }
    *ret = result;
    return 0;
}

void xb_device_backup_fill(struct xb_device_backup_result *result, struct xb_snapshot *snapshot)
{
    snapshot->root = result->root;
    result->root = (struct xb_entry){.name = NULL};
    snapshot->device = XB_TAKE(result->record);
    snapshot->end_ns = xb_clock_wall_ns();
    snapshot->stats.total_bytes = result->stats.bytes;
    snapshot->stats.files = snapshot->stats.non_cached_files = 1;
    snapshot->stats.dirs = snapshot->root.type == XB_ENTRY_DIRECTORY;
    snapshot->stats.changed_files = result->changed;
}

void xb_device_backup_free(struct xb_device_backup_result *result)
{
    xb_entry_free(&result->root);
    xb_snapshot_device_free(XB_TAKE(result->record));
}
