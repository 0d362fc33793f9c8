/* SPDX-License-Identifier: Apache-2.0
 * One large file's bytes into an object, by all workers that have nothing else to do: they take
 * turns in reading and cutting, and each hashes and stores what it has cut meanwhile. Holes are not
 * read: zeros are handed to the writer in their place, so that the object is the whole file for
 * everyone. */
#include <errno.h>
#include <stdlib.h>

#include "agent/pipeline/file_source.h"

/* Velero's kopia starts its splitter anew at each such multiple of a file larger than that. */
#define PART_BYTES (UINT64_C(2) << 30)

/* Of less than that nobody else is called to help with. */
#define HELP_BYTES (UINT64_C(8) << 20)

enum { BATCH_BYTES_MIN = 1 << 20, BLOCKS_MORE = 4 };

struct file_read {
    struct backup *backup;
    struct xb_object_writer *writer;
    struct xb_budget_share share;
    size_t batch_bytes_max, batch_chunks;
    struct file_read *next; /* in queue->open; under the queue's lock, as is `helpers` */
    unsigned helpers;

    pthread_mutex_t lock; /* whose turn it is to cut */
    struct file_source source;
    bool ended;          /* everything is cut */
    struct xb_error err; /* the first failure */

    pthread_cond_t left; /* by a helper; with the queue's lock */
};

/* ---- cutting ---- */

static bool is_full(const struct file_read *file, const struct xb_object_batch *batch)
{
    size_t chunks = xb_object_batch_chunks(batch);
    uint64_t bytes = xb_object_batch_bytes(batch);
    return chunks == XB_OBJECT_BATCH_CHUNKS_MAX || bytes >= file->batch_bytes_max ||
           (chunks >= file->batch_chunks && bytes >= BATCH_BYTES_MIN);
}

/* What is left of the block, to the end of a chunk at most. */
static int cut_block(struct file_read *file, struct xb_object_batch *batch, struct xb_error *err)
{
    struct file_source *source = &file->source;
    const struct xb_object_bytes bytes = {source->block, source->block_at,
                                          source->block_len - source->block_at};
    size_t chunks = xb_object_batch_chunks(batch);
    size_t taken = 0;
    int r = xb_object_writer_feed(file->writer, batch, &bytes, &taken, err);
    if (r < 0) {
        return r;
    }
    source->block_at += taken;
    if (xb_object_batch_chunks(batch) > chunks) {
        xb_file_source_take_back(source);
    }
    atomic_fetch_add(&file->backup->bytes_done, taken);
    return 0;
}

/* The next step; *ret_starved: there is no memory for it, and the batch holds something. */
static int cut_some(struct file_read *file, struct xb_object_batch *batch, bool *ret_starved,
                    struct xb_error *err)
{
    struct file_source *source = &file->source;
    if (source->block_at < source->block_len) {
        return cut_block(file, batch, err);
    }
    uint64_t zeros = xb_object_writer_zero_chunk(file->writer);
    if (zeros > 0 && source->zeros_left >= zeros) {
        source->at += zeros;
        source->zeros_left -= zeros;
        atomic_fetch_add(&file->backup->bytes_done, zeros);
        return xb_object_writer_feed_zeros(file->writer, batch, err);
    }
    return xb_file_source_next(source, xb_object_batch_chunks(batch) == 0, zeros, ret_starved, err);
}

/* Fills a batch, or comes to the end of the file. */
static int cut_batch(struct file_read *file, struct xb_object_batch *batch, struct xb_error *err)
{
    int r = 0;
    bool starved = false;
    while (r == 0 && !starved && !is_full(file, batch)) {
        if (xb_backup_stopped(file->backup)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        if (xb_file_source_ended(&file->source)) {
            file->ended = true;
            xb_file_source_stop(&file->source);
            return xb_object_writer_feed_end(file->writer, batch, err);
        }
        r = cut_some(file, batch, &starved, err);
    }
    return r;
}

/* ---- turns ---- */

static void fail(struct file_read *file, const struct xb_error *err)
{
    pthread_mutex_lock(&file->lock);
    if (!file->err.code) {
        file->err = *err;
    }
    pthread_mutex_unlock(&file->lock);
}

/* Cuts a batch and stores it; false: there is nothing left to cut. */
static bool take_turn(struct file_read *file, struct xb_object_batch *batch)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&file->lock);
    bool go = !file->ended && !file->err.code;
    int r = go ? cut_batch(file, batch, &err) : 0;
    if (r < 0) {
        file->err = err;
    }
    pthread_mutex_unlock(&file->lock);
    if (go) {
        /* Also after a failure: it empties the batch, and the others need its memory. */
        struct xb_error why = XB_ERROR_INIT;
        if (xb_object_writer_store(file->writer, batch, &why) < 0) {
            fail(file, &why);
        }
    }
    return go;
}

bool xb_read_help(struct lane *lane)
{
    struct read_queue *queue = &lane->backup->queue;
    pthread_mutex_lock(&queue->lock);
    struct file_read *file = queue->open;
    if (file) {
        file->helpers++;
        /* The next to help takes the next file. */
        if (file->next) {
            struct file_read *last = file->next;
            while (last->next) {
                last = last->next;
            }
            queue->open = file->next;
            last->next = file;
            file->next = NULL;
        }
    }
    pthread_mutex_unlock(&queue->lock);
    if (!file) {
        return false;
    }
    bool helped = take_turn(file, lane->batch);
    pthread_mutex_lock(&queue->lock);
    file->helpers--;
    pthread_cond_signal(&file->left);
    pthread_mutex_unlock(&queue->lock);
    return helped;
}

static void open_to_all(struct file_read *file)
{
    struct read_queue *queue = &file->backup->queue;
    pthread_mutex_lock(&queue->lock);
    file->next = queue->open;
    queue->open = file;
    pthread_mutex_unlock(&queue->lock);
    xb_read_call_help(file->backup);
}

/* Afterwards nobody else knows the file. */
static void close_to_all(struct file_read *file)
{
    struct read_queue *queue = &file->backup->queue;
    pthread_mutex_lock(&queue->lock);
    struct file_read **at = &queue->open;
    while (*at && *at != file) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = file->next;
    }
    while (file->helpers > 0) {
        pthread_cond_wait(&file->left, &queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
}

/* ---- the whole ---- */

/* With so much a file comes to its end whatever others do: one chunk, the blocks that it shares
 * with others at its ends, and one to read into. Pieces between holes fill blocks to two thirds. */
static size_t floor_bytes(const struct file_read *file)
{
    uint64_t chunk = xb_object_writer_chunk_max(file->writer);
    uint64_t most = file->source.size < chunk ? file->source.size : chunk;
    most += file->source.sparse ? most / 2 : 0;
    return (size_t)((most / XB_BLOCK_BYTES + BLOCKS_MORE) * XB_BLOCK_BYTES);
}

static void begin(struct file_read *file)
{
    struct backup *backup = file->backup;
    size_t lanes = xb_repository_lanes(backup->repository);
    pthread_mutex_init(&file->lock, NULL);
    pthread_cond_init(&file->left, NULL);
    file->batch_chunks = lanes;
    file->batch_bytes_max = backup->budget->max / backup->lane_count;
    xb_budget_join(backup->budget, floor_bytes(file), &file->share);
    file->source.share = &file->share;
}

static void end(struct file_read *file)
{
    xb_file_source_stop(&file->source);
    if (file->err.code) {
        xb_object_writer_abort(file->writer);
    }
    xb_budget_leave(&file->share);
    pthread_cond_destroy(&file->left);
    pthread_mutex_destroy(&file->lock);
}

int xb_backup_read_file(struct backup *backup, struct lane *lane, int fd, struct xb_entry *entry,
                        struct xb_error *err)
{
    struct stat st;
    struct xb_object_stats stats;
    if (fstat(fd, &st) < 0) {
        return xb_error_errno(err, errno, "reading its size");
    }
    uint64_t size = (uint64_t)st.st_size;
    struct file_read file = {.backup = backup,
                             .writer = size > PART_BYTES ? lane->part_writer : lane->writer,
                             .source = {.reader = lane->reader,
                                        .entry = entry,
                                        .fd = fd,
                                        .sparse = xb_read_sparse(&st),
                                        .size = size},
                             .err = XB_ERROR_INIT};
    entry->hole_count = 0;
    begin(&file);
    bool shared = size >= HELP_BYTES && backup->lane_count > 1;
    if (shared) {
        open_to_all(&file);
    }
    while (take_turn(&file, lane->batch)) {
    }
    if (shared) {
        close_to_all(&file);
    }
    if (!file.err.code) {
        (void)!xb_object_writer_finish(file.writer, &entry->object, &stats, &file.err);
    }
    end(&file);
    if (file.err.code) {
        *err = file.err;
        return err->code;
    }
    entry->size = stats.bytes;
    xb_read_count(backup, &stats);
    return 0;
}
