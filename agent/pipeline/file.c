/* SPDX-License-Identifier: Apache-2.0
 * One file's bytes into an object. Holes are not read: zeros are handed to the writer in their
 * place, so that the object is the whole file for everyone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/internal.h"

/* Between two looks whether the backup has been stopped. */
#define ZERO_BYTES (UINT64_C(1) << 30)

/* Velero's kopia starts its splitter anew at each such multiple of a file larger than that. */
#define PART_BYTES (UINT64_C(2) << 30)

static bool sparse(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
}

static int add_hole(struct xb_entry *entry, uint64_t offset, uint64_t len, struct xb_error *err)
{
    if (entry->hole_count == XB_ENTRY_HOLES_MAX) {
        return 0; /* the rest comes back as zeros: right, but allocated */
    }
    if (entry->hole_count % 16 == 0) {
        struct xb_hole *holes = reallocarray(entry->holes, entry->hole_count + 16, sizeof *holes);
        if (!holes) {
            return xb_error_no_memory(err, "a file's holes");
        }
        entry->holes = holes;
    }
    entry->holes[entry->hole_count++] = (struct xb_hole){offset, len};
    return 0;
}

static int write_zeros(struct backup *backup, struct xb_object_writer *writer, uint64_t len,
                       struct xb_error *err)
{
    int r = 0;
    while (r == 0 && len > 0) {
        uint64_t take = len < ZERO_BYTES ? len : ZERO_BYTES;
        if (xb_backup_stopped(backup)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        r = xb_object_writer_write_zeros(writer, take, err);
        atomic_fetch_add(&backup->bytes_done, take);
        len -= take;
    }
    return r;
}

/* Data of [offset, offset + len); *ret_read is less when the file ends before. */
static int copy_data(struct backup *backup, struct lane *lane, struct xb_object_writer *writer,
                     uint64_t *ret_read, struct xb_error *err)
{
    const void *data = NULL;
    size_t got = 1;
    *ret_read = 0;
    while (got > 0) {
        if (xb_backup_stopped(backup)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        int r = xb_reader_next(lane->reader, &data, &got, err);
        if (r < 0 || (got > 0 && (r = xb_object_writer_write(writer, data, got, err)) < 0)) {
            return r;
        }
        *ret_read += got;
        atomic_fetch_add(&backup->bytes_done, got);
    }
    return 0;
}

/* Where the next data begins and ends, at or behind `offset`. */
static void next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start,
                      uint64_t *ret_end)
{
    off_t start = lseek(fd, (off_t)offset, SEEK_DATA);
    if (start < 0) {
        /* ENXIO: only a hole is left. Anything else: this file system knows no holes. */
        *ret_start = errno == ENXIO ? size : offset;
        *ret_end = size;
        return;
    }
    off_t end = lseek(fd, start, SEEK_HOLE);
    *ret_start = (uint64_t)start < size ? (uint64_t)start : size;
    *ret_end = end < 0 || (uint64_t)end > size ? size : (uint64_t)end;
}

struct copy {
    struct backup *backup;
    struct lane *lane;
    struct xb_object_writer *writer;
    int fd;
    uint64_t at, size; /* size shrinks when the file turns out to be shorter */
};

static int copy_range(struct copy *copy, uint64_t end, struct xb_error *err)
{
    uint64_t got = 0;
    uint64_t len = end - copy->at;
    int r = xb_reader_start(copy->lane->reader, copy->fd, copy->at, len, err);
    if (r == 0) {
        r = copy_data(copy->backup, copy->lane, copy->writer, &got, err);
    }
    copy->at += got;
    if (got < len) {
        copy->size = copy->at;
    }
    return r;
}

static int copy_sparse(struct copy *copy, struct xb_entry *entry, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && copy->at < copy->size) {
        uint64_t start = 0;
        uint64_t end = 0;
        next_data(copy->fd, copy->at, copy->size, &start, &end);
        if (start > copy->at) {
            r = add_hole(entry, copy->at, start - copy->at, err);
            if (r == 0) {
                r = write_zeros(copy->backup, copy->writer, start - copy->at, err);
            }
            copy->at = start;
        }
        if (r == 0 && start < end) {
            r = copy_range(copy, end, err);
        }
    }
    return r;
}

int xb_backup_find_holes(int fd, const struct stat *st, struct xb_entry *entry,
                         struct xb_error *err)
{
    uint64_t size = (uint64_t)st->st_size;
    int r = 0;
    for (uint64_t at = 0; sparse(st) && r == 0 && at < size;) {
        uint64_t start = 0;
        uint64_t end = 0;
        next_data(fd, at, size, &start, &end);
        if (start > at) {
            r = add_hole(entry, at, start - at, err);
        }
        at = end > at ? end : size;
    }
    return r;
}

int xb_backup_read_file(struct backup *backup, struct lane *lane, int fd, struct xb_entry *entry,
                        struct xb_error *err)
{
    struct stat st;
    struct xb_object_id id;
    struct xb_object_stats stats;
    if (fstat(fd, &st) < 0) {
        return xb_error_errno(err, errno, "reading its size");
    }
    bool parts = (uint64_t)st.st_size > PART_BYTES;
    struct copy copy = {.backup = backup,
                        .lane = lane,
                        .writer = parts ? lane->part_writer : lane->writer,
                        .fd = fd,
                        .size = (uint64_t)st.st_size};
    entry->hole_count = 0;
    int r = sparse(&st) ? copy_sparse(&copy, entry, err)
            : copy.size ? copy_range(&copy, copy.size, err)
                        : 0;
    if (r < 0) {
        xb_object_writer_abort(copy.writer);
        return r;
    }
    r = xb_object_writer_finish(copy.writer, &id, &stats, err);
    if (r < 0) {
        return r;
    }
    entry->object = id;
    entry->size = stats.bytes;
    atomic_fetch_add(&backup->bytes_new, stats.new_bytes);
    pthread_mutex_lock(&backup->lock);
    backup->result.bytes_read += stats.bytes;
    backup->result.bytes_new += stats.new_bytes;
    backup->result.bytes_stored += stats.stored_bytes;
    pthread_mutex_unlock(&backup->lock);
    return 0;
}
