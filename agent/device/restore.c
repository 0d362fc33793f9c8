/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/device/write.h"
#include "agent/restore/memory.h"
#include "agent/restore/plan.h"
#include "agent/restore/restore.h"
#include "shared/base/clock.h"
#include "shared/base/workers.h"

enum {
    THREADS = 2,
    THREADS_MAX = 64,
    ROWS_MAX = 16, /* chunks taken at once: neighbours in the object, often in a pack */
    TAKE_BYTES_MAX = 8 * 1024 * 1024,
    ZERO_IDS_MAX = 4,
    TICK_MS = 250,
    SEALED_BYTES_MAX = 1 << 28
};

/* Zeros that are made in one step, between two looks whether to stop. */
#define ZERO_STEP_BYTES (UINT64_C(1) << 30)

struct restore {
    struct xb_repository *repository;
    const struct xb_device_restore_options *options;
    const struct xb_entry *file;
    struct xb_device device;
    struct xb_restore_memory memory;

    pthread_mutex_t lock; /* for what follows */
    struct xb_object_pieces *pieces;
    struct xb_object_piece ahead; /* read, but not taken yet; len 0: none */
    bool ended;
    struct xb_content_id zero_ids[ZERO_IDS_MAX]; /* contents that hold zeros only */
    size_t zero_id_count;
    struct xb_error failure;
    uint64_t bytes_done;
    int64_t told_ns;
    struct xb_device_restore_result result;

    atomic_bool stop, touched; /* touched: something may have been written */
};

/* What one worker does next: chunks to be fetched, or a row of zeros. */
struct batch {
    struct xb_object_piece rows[ROWS_MAX];
    size_t count;
    uint64_t zero_offset, zero_bytes;
};

struct worker {
    struct restore *restore;
    struct xb_device_writer writer;
    struct xb_plan plan;
    struct xb_buf sealed, plain;
};

static void fail(struct restore *restore, const struct xb_error *err)
{
    pthread_mutex_lock(&restore->lock);
    if (!restore->failure.code) {
        restore->failure = *err;
    }
    atomic_store(&restore->stop, true);
    pthread_mutex_unlock(&restore->lock);
}

static bool stopped(const struct restore *restore)
{
    return atomic_load(&restore->stop) ||
           (restore->options->cancel && atomic_load(restore->options->cancel));
}

/* `lock` is held. */
static bool known_zero(const struct restore *restore, const struct xb_content_id *id)
{
    for (size_t i = 0; i < restore->zero_id_count; i++) {
        if (xb_content_id_compare(&restore->zero_ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static void learn_zero(struct restore *restore, const struct xb_content_id *id)
{
    pthread_mutex_lock(&restore->lock);
    if (restore->zero_id_count < ZERO_IDS_MAX && !known_zero(restore, id)) {
        restore->zero_ids[restore->zero_id_count++] = *id;
    }
    pthread_mutex_unlock(&restore->lock);
}

static void advance(struct restore *restore, uint64_t bytes)
{
    int64_t now_ns = xb_clock_mono_ns();
    const struct xb_device_restore_options *options = restore->options;
    pthread_mutex_lock(&restore->lock);
    restore->bytes_done += bytes;
    if (options->progress && (now_ns - restore->told_ns >= TICK_MS * XB_NS_PER_MS ||
                              restore->bytes_done == restore->file->size)) {
        restore->told_ns = now_ns;
        options->progress(options->progress_context, restore->bytes_done, restore->file->size);
    }
    pthread_mutex_unlock(&restore->lock);
}

static void count_read(struct restore *restore, uint64_t bytes)
{
    pthread_mutex_lock(&restore->lock);
    restore->result.reads++;
    restore->result.bytes_read += bytes;
    pthread_mutex_unlock(&restore->lock);
}

/* ---- what is next ---- */

/* The next piece stays in `ahead` until it is taken. `lock` is held. */
static int look_ahead(struct restore *restore, struct xb_error *err)
{
    if (restore->ahead.len > 0 || restore->ended) {
        return 0;
    }
    int r = xb_object_pieces_next(restore->pieces, &restore->ahead, err);
    restore->ended = r == 0 && restore->ahead.len == 0;
    return r;
}

/* `lock` is held. */
static int fill_batch(struct restore *restore, struct batch *batch, struct xb_error *err)
{
    uint64_t bytes = 0;
    while (batch->count < ROWS_MAX && !stopped(restore)) {
        int r = look_ahead(restore, err);
        if (r < 0 || restore->ended) {
            return r;
        }
        bool zero = known_zero(restore, &restore->ahead.content);
        if (zero ? batch->count > 0
                 : batch->zero_bytes > 0 ||
                       (bytes > 0 && bytes + restore->ahead.len > TAKE_BYTES_MAX)) {
            return 0;
        }
        if (!zero) {
            bytes += restore->ahead.len;
            batch->rows[batch->count++] = restore->ahead;
        } else {
            batch->zero_offset = batch->zero_bytes ? batch->zero_offset : restore->ahead.offset;
            batch->zero_bytes += restore->ahead.len;
        }
        restore->ahead.len = 0;
    }
    return 0;
}

static int take_batch(struct restore *restore, struct batch *batch, struct xb_error *err)
{
    *batch = (struct batch){.count = 0};
    pthread_mutex_lock(&restore->lock);
    int r = fill_batch(restore, batch, err);
    pthread_mutex_unlock(&restore->lock);
    return r;
}

/* ---- doing it ---- */

static int make_zeros(struct worker *worker, uint64_t offset, uint64_t len, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && len > 0 && !stopped(worker->restore)) {
        uint64_t take = len < ZERO_STEP_BYTES ? len : ZERO_STEP_BYTES;
        r = xb_device_zero(&worker->writer, offset, take, err);
        advance(worker->restore, r == 0 ? take : 0);
        offset += take;
        len -= take;
    }
    return r;
}

/* Opens a content from what was read; what does not open there is read again by itself: it may have
 * become wrong on the way, or it lies elsewhere by now. */
static int open_content(struct worker *worker, const struct xb_plan_row *row, const char *sealed,
                        struct xb_error *err)
{
    struct xb_repository *repository = worker->restore->repository;
    struct xb_error first = XB_ERROR_INIT;
    struct xb_content_info info;
    xb_buf_clear(&worker->plain);
    if (sealed) {
        xb_plan_info(&worker->plan, row, &info);
        int r = xb_content_open(repository, &info, sealed, false, &worker->plain, &first);
        if (r == 0) {
            return 0;
        }
        if (first.kind != XB_ERR_CORRUPT) {
            *err = first;
            return r;
        }
        xb_buf_clear(&worker->plain);
    }
    count_read(worker->restore, row->packed_bytes);
    int r = xb_content_read(repository, &row->id, false, &worker->plain, err);
    if (r == 0 && worker->plain.len != row->plain_bytes) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a content has another length by now");
    }
    return r;
}

static int write_row(struct worker *worker, const struct xb_plan_row *row, struct xb_error *err)
{
    bool zero = false;
    atomic_store(&worker->restore->touched, true);
    int r = xb_device_write(&worker->writer, row->target, (const unsigned char *)worker->plain.data,
                            worker->plain.len, &zero, err);
    if (r == 0) {
        advance(worker->restore, worker->plain.len);
    }
    if (r == 0 && zero) {
        learn_zero(worker->restore, &row->id);
    }
    return r;
}

static int read_range(struct worker *worker, const struct xb_plan_range *range,
                      struct xb_error *err)
{
    struct restore *restore = worker->restore;
    const struct xb_plan_row *rows = &worker->plan.rows[range->first];
    const char *pack = xb_names_at(&worker->plan.packs, range->pack);
    struct xb_error missing = XB_ERROR_INIT;
    xb_buf_clear(&worker->sealed);
    int r = xb_content_fetch(restore->repository, pack, range->offset, range->len, &worker->sealed,
                             &missing);
    count_read(restore, worker->sealed.len);
    if (r < 0 && missing.kind != XB_ERR_NOT_FOUND && missing.kind != XB_ERR_CORRUPT) {
        *err = missing;
        return xb_error_wrap(err, "pack %s", pack);
    }
    const char *sealed = r == 0 && worker->sealed.len == range->len ? worker->sealed.data : NULL;
    for (size_t i = 0; i < range->count; i++) {
        if (stopped(restore)) {
            return 0;
        }
        const char *at = sealed ? sealed + (rows[i].offset - range->offset) : NULL;
        bool again = i > 0 && xb_plan_same_content(&rows[i - 1], &rows[i]);
        r = again ? 0 : open_content(worker, &rows[i], at, err);
        if (r < 0) {
            return xb_error_wrap(err, "the megabyte at byte %" PRIu64, rows[i].target);
        }
        if ((r = write_row(worker, &rows[i], err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* What is read, and the largest content that is opened from it, is memory of the process's budget;
 * who has to wait for some keeps none. */
static int fetch_range(struct worker *worker, const struct xb_plan_range *range,
                       struct xb_error *err)
{
    struct xb_restore_memory *memory = &worker->restore->memory;
    uint64_t bytes = 0;
    for (size_t i = range->first; i < range->first + range->count; i++) {
        const uint64_t plain = worker->plan.rows[i].plain_bytes;
        bytes = plain > bytes ? plain : bytes;
    }
    bytes += range->len;
    if (!xb_restore_memory_try(memory, bytes)) {
        xb_buf_free(&worker->sealed);
        xb_buf_free(&worker->plain);
        xb_restore_memory_take(memory, bytes);
    }
    int r = read_range(worker, range, err);
    xb_restore_memory_give(memory, bytes);
    return r;
}

static int fetch_batch(struct worker *worker, const struct batch *batch, struct xb_error *err)
{
    int r = 0;
    xb_plan_clear(&worker->plan);
    for (size_t i = 0; r == 0 && i < batch->count; i++) {
        const struct xb_object_piece *piece = &batch->rows[i];
        struct xb_content_info info;
        r = xb_content_locate(worker->restore->repository, &piece->content, &info, err);
        if (r == 0) {
            r = xb_object_piece_check(piece, info.plain_bytes, err);
        }
        if (r == 0) {
            r = xb_plan_add(&worker->plan, &info, worker, piece->offset, err);
        }
    }
    if (r == 0) {
        r = xb_plan_finish(&worker->plan, err);
    }
    for (size_t i = 0; r == 0 && i < worker->plan.range_count; i++) {
        r = fetch_range(worker, &worker->plan.ranges[i], err);
    }
    return r;
}

static int work(struct worker *worker, struct xb_error *err)
{
    struct restore *restore = worker->restore;
    struct batch batch;
    int r = xb_device_writer_begin(&restore->device, &worker->writer, err);
    while (r == 0 && !stopped(restore)) {
        r = take_batch(restore, &batch, err);
        if (r < 0 || (batch.count == 0 && batch.zero_bytes == 0)) {
            break;
        }
        atomic_store(&restore->touched, true);
        r = batch.count > 0 ? fetch_batch(worker, &batch, err)
                            : make_zeros(worker, batch.zero_offset, batch.zero_bytes, err);
    }
    return r;
}

static void run_worker(void *context)
{
    struct worker worker = {.restore = context,
                            .sealed = XB_BUF_INIT(SEALED_BYTES_MAX),
                            .plain = XB_BUF_INIT(XB_CONTENT_BYTES_MAX)};
    struct restore *restore = context;
    struct xb_error err = XB_ERROR_INIT;
    if (work(&worker, &err) < 0) {
        fail(restore, &err);
    }
    pthread_mutex_lock(&restore->lock);
    restore->result.bytes_written += worker.writer.written;
    restore->result.bytes_zeroed += worker.writer.zeroed;
    pthread_mutex_unlock(&restore->lock);
    xb_device_writer_end(&worker.writer);
    xb_plan_free(&worker.plan);
    xb_buf_free(&worker.sealed);
    xb_buf_free(&worker.plain);
}

static int run_workers(struct restore *restore, struct xb_error *err)
{
    unsigned threads = restore->options->threads ? restore->options->threads : THREADS;
    struct xb_workers *workers = NULL;
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    int r = xb_workers_new(threads, threads, &workers, err);
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < threads; i++) {
        xb_workers_submit(workers, run_worker, restore);
    }
    xb_workers_free(workers);
    if (restore->failure.code) {
        *err = restore->failure;
        return err->code;
    }
    if (stopped(restore)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (fsync(restore->device.cached_fd) < 0 || fsync(restore->device.fd) < 0) {
        return xb_error_errno(err, errno, "writing it through to the device");
    }
    return 0;
}

/* ---- around it ---- */

static int open_object(struct restore *restore, struct xb_error *err)
{
    const struct xb_entry *file = restore->file;
    int r = xb_object_pieces_open(restore->repository, &file->object, &restore->pieces, err);
    if (r == 0 && xb_object_pieces_length(restore->pieces) != file->size) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                         "its data has %" PRIu64 " bytes where the snapshot says %" PRIu64,
                         xb_object_pieces_length(restore->pieces), file->size);
    }
    return r < 0 ? xb_error_wrap(err, "'%.200s'", file->name) : 0;
}

static int look_at_target(struct restore *restore, struct xb_error *err)
{
    const struct xb_device_target target = {.path = restore->options->target,
                                            .need = restore->file->size,
                                            .look = restore->options->dry_run};
    struct xb_device_restore_result *result = &restore->result;
    int r = xb_device_open_target(&target, &restore->device, err);
    if (r < 0) {
        return r;
    }
    result->before = calloc(1, sizeof *result->before);
    if (!result->before) {
        return xb_error_no_memory(err, "a restore");
    }
    xb_device_identify(&restore->device, result->before);
    result->block = restore->device.block;
    result->bytes = restore->file->size;
    result->target_bytes = restore->device.block ? restore->device.size : restore->file->size;
    result->made = !restore->device.block && restore->device.size == 0;
    return 0;
}

static int write_target(struct restore *restore, struct xb_error *err)
{
    int r = xb_restore_memory_begin(&restore->memory, restore->options->cancel, err);
    if (r < 0) {
        return r;
    }
    atomic_store(&restore->touched, restore->device.size > 0 && !restore->device.block);
    if ((r = xb_device_set_length(&restore->device, 0, err)) == 0 &&
        (r = xb_device_set_length(&restore->device, restore->file->size, err)) == 0) {
        r = run_workers(restore, err);
    }
    xb_restore_memory_end(&restore->memory);
    if (r < 0 && atomic_load(&restore->touched)) {
        return xb_error_wrap(err, "%s is half written and of no use until it is restored again",
                             restore->options->target);
    }
    if (r == 0 && restore->device.block) {
        (void)ioctl(restore->device.cached_fd, BLKRRPART); /* if it has partitions */
    }
    return r;
}

int xb_device_restore(struct xb_repository *repository, const struct xb_entry *file,
                      const struct xb_device_restore_options *options,
                      struct xb_device_restore_result *ret, struct xb_error *err)
{
    struct restore restore = {.repository = repository,
                              .options = options,
                              .file = file,
                              .device = {.fd = -1, .cached_fd = -1}};
    pthread_mutex_init(&restore.lock, NULL);
    int r = open_object(&restore, err);
    if (r == 0) {
        r = look_at_target(&restore, err);
    }
    if (r == 0 && !options->dry_run) {
        r = write_target(&restore, err);
    }
    xb_object_pieces_free(restore.pieces);
    xb_device_close(&restore.device);
    pthread_mutex_destroy(&restore.lock);
    if (r < 0) {
        xb_device_restore_free(&restore.result);
        return r;
    }
    *ret = restore.result;
    return 0;
}

void xb_device_restore_free(struct xb_device_restore_result *result)
{
    xb_snapshot_device_free(XB_TAKE(result->before));
}

/* ---- which file ---- */

bool xb_device_restore_suits(const struct xb_snapshot *snapshot)
{
    return snapshot->device || snapshot->root.type == XB_ENTRY_FILE;
}

int xb_device_restore_find(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                           const char *path, struct xb_entry *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    struct xb_entry entry;
    int r = xb_snapshot_find_path(repository, snapshot, path, &entry, err);
    if (r < 0) {
        return r;
    }
    if (entry.type == XB_ENTRY_DIRECTORY) {
        r = xb_directory_read(repository, &entry.object, &directory, err);
        xb_entry_free(&entry);
        if (r == 0 && directory->count == 1) {
            entry = directory->entries[0];
            directory->entries[0] = (struct xb_entry){.name = NULL};
        }
    }
    if (r == 0 && (!entry.name || entry.type != XB_ENTRY_FILE || entry.node)) {
        r = xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                         "that part of the snapshot is no single file: name one with --path");
        xb_entry_free(&entry);
    }
    if (r == 0) {
        *ret = entry;
    }
    return r;
}
