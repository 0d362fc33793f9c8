/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/cut.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/device/write.h"
#include "shared/base/file.h"

enum {
    DEPTH = 16, /* reads of one block each */
    CHUNK = XB_DEVICE_CHUNK_BYTES,
    FLOOR_BLOCKS = 3 * XB_DEVICE_PARTS_MAX, /* a chunk, what is under way, what is being stored */
    BATCH_BYTES_MIN = CHUNK
};

/* Read in one go. */
#define ROW_BYTES (UINT64_C(256) << 20)

/* ---- what is to be read ---- */

/* Where the next data of an image begins, at or behind `at`. */
static uint64_t next_data(const struct xb_device_cut *cut, uint64_t at)
{
    uint64_t size = cut->device->size;
    off_t start =
        cut->device->block ? (off_t)at : lseek(cut->device->cached_fd, (off_t)at, SEEK_DATA);
    if (start < 0) {
        /* ENXIO: only a hole is left. Anything else: this file system knows no holes. */
        return errno == ENXIO ? size : at;
    }
    return (uint64_t)start < size ? (uint64_t)start : size;
}

/* The first chunk at or behind `at` with something in it; `at` is a chunk's beginning. */
static uint64_t next_chunk(const struct xb_device_cut *cut, uint64_t at)
{
    uint64_t size = cut->device->size;
    while (at < size) {
        bool is_free = false;
        uint64_t data = next_data(cut, at);
        if (data == size) {
            return size;
        }
        data = data / CHUNK * CHUNK;
        at = data > at ? data : at;
        uint64_t run = cut->map->bits ? xb_free_map_run(cut->map, at, size - at, &is_free) : 0;
        /* A chunk is left out if all of it is free. */
        if (!is_free || (run < CHUNK && run < size - at)) {
            return at;
        }
        at = run == size - at ? size : at + run / CHUNK * CHUNK;
    }
    return size;
}

/* Where the row of chunks that are to be read ends, which begins at `at`. */
static uint64_t end_of_row(const struct xb_device_cut *cut, uint64_t at)
{
    uint64_t size = cut->device->size;
    uint64_t next = at;
    uint64_t most = size - at < ROW_BYTES ? size : at + ROW_BYTES;
    while (next == at && at < most) {
        at = size - at < CHUNK ? size : at + CHUNK;
        next = at < size ? next_chunk(cut, at) : size;
    }
    return at;
}

/* ---- one chunk ---- */

static void drop_parts(struct xb_device_cut *cut)
{
    for (size_t i = 0; i < cut->part_count; i++) {
        xb_block_unref(cut->parts[i].block);
    }
    cut->part_count = 0;
    cut->part_bytes = 0;
}

static int unreadable(struct xb_device_cut *cut, struct xb_error *err)
{
    return xb_error_wrap(err, "%s cannot be read in the megabyte from byte %" PRIu64 " on",
                         cut->path, cut->at);
}

static void add_part(struct xb_device_cut *cut, struct xb_block *block, size_t len)
{
    cut->parts[cut->part_count++] = (struct xb_object_bytes){.block = block, .len = len};
    cut->part_bytes += len;
    cut->bytes_read += len;
}

/* The last bytes of an image that is no multiple of a block: nobody reads such past the cache. */
static int read_rest(struct xb_device_cut *cut, size_t len, struct xb_error *err)
{
    struct xb_block *block = NULL;
    int r = xb_block_heap(len, &block, err);
    if (r < 0) {
        return r;
    }
    r = xb_file_pread_all(cut->device->cached_fd, block->data, len,
                          (off_t)(cut->at + cut->part_bytes), cut->path, err);
    if (r < 0) {
        xb_block_unref(block);
        return unreadable(cut, err);
    }
    add_part(cut, block, len);
    return 0;
}

/* Reads on in the chunk at `at`, which is `len` bytes long. *ret_starved: there is no memory for
 * more of it; what is there stays for the next turn. */
static int read_chunk(struct xb_device_cut *cut, uint64_t len, bool wait, bool *ret_starved,
                      struct xb_error *err)
{
    uint64_t whole = cut->row_end - cut->row_end % cut->device->align;
    int r = 0;
    while (r == 0 && cut->part_bytes < len) {
        struct xb_block *block = NULL;
        size_t got = 0;
        uint64_t at = cut->at + cut->part_bytes;
        if (at >= whole) {
            r = read_rest(cut, (size_t)(len - cut->part_bytes), err);
            continue;
        }
        if (cut->part_count == XB_DEVICE_PARTS_MAX) {
            return xb_error_set(err, XB_ERR_BUG, -ENOBUFS, "a chunk of too many parts");
        }
        if (xb_reader_next_block(cut->reader, wait, &block, &got, err) < 0) {
            return unreadable(cut, err);
        }
        if (!block && got > 0) {
            *ret_starved = true;
            return 0;
        }
        if (!block || got > len - cut->part_bytes) {
            xb_block_unref(block);
            return xb_error_set(err, XB_ERR_CONFLICT, -EIO, "%s became shorter while it was read",
                                cut->path);
        }
        add_part(cut, block, got);
    }
    return r;
}

/* Makes the free parts of a chunk zeros, whatever the device has there; true: all of it is. */
static bool clear_free(const struct xb_device_cut *cut)
{
    uint64_t at = cut->at;
    bool zero = true;
    for (size_t i = 0; i < cut->part_count; i++) {
        unsigned char *data = cut->parts[i].block->data;
        size_t left = cut->parts[i].len;
        while (left > 0) {
            bool is_free = false;
            size_t run =
                cut->map->bits ? (size_t)xb_free_map_run(cut->map, at, left, &is_free) : left;
            if (is_free) {
                memset(data, 0, run);
            }
            zero = zero && (is_free || xb_device_all_zero(data, run));
            at += run;
            data += run;
            left -= run;
        }
    }
    return zero;
}

static int feed_parts(struct xb_device_cut *cut, struct xb_object_batch *batch,
                      struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cut->part_count; i++) {
        struct xb_object_bytes bytes = cut->parts[i];
        while (r == 0 && bytes.len > 0) {
            size_t taken = 0;
            r = xb_object_writer_feed(cut->writer, batch, &bytes, &taken, err);
            bytes.at += taken;
            bytes.len -= taken;
        }
    }
    return r;
}

static int feed_zeros(struct xb_device_cut *cut, struct xb_object_batch *batch, uint64_t len,
                      struct xb_error *err)
{
    if (len == CHUNK) {
        return xb_object_writer_feed_zeros(cut->writer, batch, err);
    }
    /* The end of the device. */
    struct xb_block *block = NULL;
    int r = xb_block_heap((size_t)len, &block, err);
    if (r < 0) {
        return r;
    }
    memset(block->data, 0, (size_t)len);
    drop_parts(cut);
    cut->parts[cut->part_count++] = (struct xb_object_bytes){.block = block, .len = (size_t)len};
    return feed_parts(cut, batch, err);
}

/* ---- turns ---- */

static int look_ahead(struct xb_device_cut *cut, struct xb_error *err)
{
    if (cut->at < cut->zero_end || cut->at < cut->row_end) {
        return 0;
    }
    uint64_t start = next_chunk(cut, cut->at);
    if (start > cut->at) {
        cut->zero_end = start;
        return xb_device_tree_hole(cut->tree, cut->at, start - cut->at, err);
    }
    cut->row_end = end_of_row(cut, cut->at);
    uint64_t whole = cut->row_end - cut->row_end % cut->device->align;
    if (whole > cut->at) {
        xb_reader_start_blocks(cut->reader, &cut->share, cut->device->fd, cut->at, whole - cut->at);
    }
    return 0;
}

static int cut_chunk(struct xb_device_cut *cut, struct xb_object_batch *batch, bool *ret_starved,
                     struct xb_error *err)
{
    int r = look_ahead(cut, err);
    uint64_t left = cut->device->size - cut->at;
    uint64_t len = left < CHUNK ? left : CHUNK;
    bool zero = cut->at < cut->zero_end;
    if (r == 0 && !zero) {
        bool wait = xb_object_batch_chunks(batch) == 0;
        r = read_chunk(cut, len, wait, ret_starved, err);
        if (r < 0 || *ret_starved) {
            return r;
        }
        zero = clear_free(cut);
    }
    if (r == 0) {
        r = zero ? feed_zeros(cut, batch, len, err) : feed_parts(cut, batch, err);
    }
    drop_parts(cut);
    cut->at += len;
    atomic_store(&cut->done, cut->at);
    return r;
}

static bool is_full(const struct xb_device_cut *cut, const struct xb_object_batch *batch)
{
    size_t chunks = xb_object_batch_chunks(batch);
    uint64_t bytes = xb_object_batch_bytes(batch);
    return chunks == XB_OBJECT_BATCH_CHUNKS_MAX || bytes >= cut->share.budget->max / cut->threads ||
           (chunks >= cut->lanes && bytes >= BATCH_BYTES_MIN);
}

/* Fills a batch, or comes to the end of the device. */
static int cut_batch(struct xb_device_cut *cut, struct xb_object_batch *batch, struct xb_error *err)
{
    int r = 0;
    bool starved = false;
    while (r == 0 && !starved && !is_full(cut, batch)) {
        if (cut->cancel && atomic_load(cut->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        if (cut->at >= cut->device->size) {
            cut->ended = true;
            xb_reader_stop(cut->reader);
            return xb_object_writer_feed_end(cut->writer, batch, err);
        }
        r = cut_chunk(cut, batch, &starved, err);
    }
    return r;
}

void xb_device_cut_fail(struct xb_device_cut *cut, const struct xb_error *err)
{
    pthread_mutex_lock(&cut->lock);
    if (!cut->err.code) {
        cut->err = *err;
    }
    pthread_mutex_unlock(&cut->lock);
}

bool xb_device_cut_turn(struct xb_device_cut *cut, struct xb_object_batch *batch)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&cut->lock);
    bool go = !cut->ended && !cut->err.code;
    if (go && cut_batch(cut, batch, &err) < 0) {
        cut->err = err;
    }
    pthread_mutex_unlock(&cut->lock);
    if (go) {
        /* Also after a failure: it empties the batch, and the others need its memory. */
        struct xb_error why = XB_ERROR_INIT;
        if (xb_object_writer_store(cut->writer, batch, &why) < 0) {
            xb_device_cut_fail(cut, &why);
        }
    }
    return go;
}

int xb_device_cut_begin(struct xb_device_cut *cut, struct xb_error *err)
{
    const struct xb_reader_options reading = {.depth = DEPTH};
    int r = xb_reader_new(&reading, &cut->reader, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_init(&cut->lock, NULL);
    xb_budget_join(xb_budget_process(), (size_t)FLOOR_BLOCKS * XB_BLOCK_BYTES, &cut->share);
    return 0;
}

void xb_device_cut_end(struct xb_device_cut *cut)
{
    if (!cut->reader) {
        return;
    }
    xb_reader_stop(cut->reader);
    drop_parts(cut);
    xb_reader_free(XB_TAKE(cut->reader));
    xb_budget_leave(&cut->share);
    pthread_mutex_destroy(&cut->lock);
}
