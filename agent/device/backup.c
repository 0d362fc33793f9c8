/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/device/free.h"
#include "agent/device/tree.h"
#include "agent/device/write.h"
#include "agent/uring/reader.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"

enum {
    DEPTH = 8, /* reads of one chunk each: devices want some at once */
    TICK_MS = 250,
    CHECKPOINT_MS = 40 * 60 * 1000,
    CHUNK = XB_DEVICE_CHUNK_BYTES
};

/* Between two looks at the clock and at `cancel` while there is nothing to read. */
#define ZERO_BYTES (UINT64_C(1) << 30)

struct copy {
    struct xb_repository *repository;
    const struct xb_device_backup_options *options;
    struct xb_device device;
    struct xb_free_map map; /* bits NULL: nothing is known to be free */
    struct xb_reader *reader;
    struct xb_object_writer *writer;
    struct xb_device_backup_result *result;
    struct xb_device_tree tree;
    uint64_t at;
    int64_t told_ns, checkpoint_ns;
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
    struct xb_device_tree tree = copy->tree;
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

/* Between two chunks: stops if that is wanted, tells how far it is, keeps what is done. */
static int look_around(struct copy *copy, struct xb_error *err)
{
    const struct xb_device_backup_options *options = copy->options;
    int64_t now_ns = xb_clock_mono_ns();
    if (options->cancel && atomic_load(options->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (now_ns - copy->told_ns < TICK_MS * XB_NS_PER_MS) {
        return 0;
    }
    copy->told_ns = now_ns;
    if (options->progress) {
        const struct xb_device_progress progress = {copy->at, copy->device.size};
        options->progress(options->progress_context, &progress);
    }
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

/* ---- what is to be read ---- */

/* Where the next data of an image begins, at or behind `at`. */
static uint64_t next_data(const struct copy *copy, uint64_t at)
{
    off_t start =
        copy->device.block ? (off_t)at : lseek(copy->device.cached_fd, (off_t)at, SEEK_DATA);
    if (start < 0) {
        /* ENXIO: only a hole is left. Anything else: this file system knows no holes. */
        return errno == ENXIO ? copy->device.size : at;
    }
    return (uint64_t)start < copy->device.size ? (uint64_t)start : copy->device.size;
}

/* The first chunk at or behind `at` with something in it. */
static uint64_t next_chunk(const struct copy *copy, uint64_t at)
{
    uint64_t size = copy->device.size;
    while (at < size) {
        uint64_t data = next_data(copy, at) / CHUNK * CHUNK;
        at = data > at ? data : at;
        bool is_free = false;
        uint64_t run =
            copy->map.bits && at < size ? xb_free_map_run(&copy->map, at, size - at, &is_free) : 0;
        /* A chunk is left out if all of it is free. */
        if (!is_free || (run < CHUNK && run < size - at)) {
            break;
        }
        at = run == size - at ? size : at + run / CHUNK * CHUNK;
    }
    return at < size ? at : size;
}

/* Where the row of chunks that are to be read ends, which begins at `at`. */
static uint64_t end_of_row(const struct copy *copy, uint64_t at)
{
    uint64_t size = copy->device.size;
    uint64_t next = at;
    while (next == at && at < size) {
        at = size - at < CHUNK ? size : at + CHUNK;
        next = next_chunk(copy, at);
    }
    return at;
}

/* ---- reading and writing ---- */

static int put_zeros(struct copy *copy, uint64_t len, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && len > 0) {
        uint64_t take = len < ZERO_BYTES ? len : ZERO_BYTES;
        r = look_around(copy, err);
        if (r == 0) {
            r = xb_object_writer_write_zeros(copy->writer, take, err);
        }
        copy->at += take;
        len -= take;
    }
    return r;
}

/* What was read of one chunk; its free parts are zeros, whatever the device has there. */
static int put(struct copy *copy, const unsigned char *data, size_t len, struct xb_error *err)
{
    int r = 0;
    copy->result->bytes_read += len;
    while (r == 0 && len > 0) {
        bool is_free = false;
        size_t run =
            copy->map.bits ? (size_t)xb_free_map_run(&copy->map, copy->at, len, &is_free) : len;
        r = is_free || xb_device_all_zero(data, run)
                ? xb_object_writer_write_zeros(copy->writer, run, err)
                : xb_object_writer_write(copy->writer, data, run, err);
        copy->at += run;
        data += run;
        len -= run;
    }
    return r;
}

static int unreadable(struct copy *copy, struct xb_error *err)
{
    return err->kind == XB_ERR_CANCELLED
               ? err->code
               : xb_error_wrap(err, "%s cannot be read in the megabyte from byte %llu on",
                               copy->options->path, (unsigned long long)(copy->at / CHUNK * CHUNK));
}

static int shorter(struct copy *copy, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CONFLICT, -EIO, "%s became shorter while it was read",
                        copy->options->path);
}

/* The whole blocks of a row by the ring. */
static int copy_blocks(struct copy *copy, uint64_t end, struct xb_error *err)
{
    int r = xb_reader_start(copy->reader, copy->device.fd, copy->at, end - copy->at, err);
    while (r == 0 && copy->at < end) {
        const void *data = NULL;
        size_t len = 0;
        r = look_around(copy, err);
        if (r == 0 && (r = xb_reader_next(copy->reader, &data, &len, err)) < 0) {
            return unreadable(copy, err);
        }
        if (r == 0) {
            r = len == 0 ? shorter(copy, err) : put(copy, data, len, err);
        }
    }
    return r;
}

/* The last bytes of an image that is no multiple of a block: nobody reads such past the cache. */
static int copy_rest(struct copy *copy, uint64_t end, struct xb_error *err)
{
    unsigned char data[65536];
    size_t len = (size_t)(end - copy->at);
    int r = xb_file_pread_all(copy->device.cached_fd, data, len, (off_t)copy->at,
                              copy->options->path, err);
    return r < 0 ? unreadable(copy, err) : put(copy, data, len, err);
}

static int copy_row(struct copy *copy, uint64_t end, struct xb_error *err)
{
    uint64_t whole = end - end % copy->device.align;
    int r = whole > copy->at ? copy_blocks(copy, whole, err) : 0;
    return r == 0 && end > copy->at ? copy_rest(copy, end, err) : r;
}

static int copy_all(struct copy *copy, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && copy->at < copy->device.size) {
        uint64_t start = next_chunk(copy, copy->at);
        if (start > copy->at) {
            r = xb_device_tree_hole(&copy->tree, copy->at, start - copy->at, err);
            if (r == 0) {
                r = put_zeros(copy, start - copy->at, err);
            }
        }
        if (r == 0 && start < copy->device.size) {
            r = copy_row(copy, end_of_row(copy, start), err);
        }
    }
    return r;
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
    if (copy->options->progress) {
        const struct xb_device_progress progress = {copy->at, copy->device.size};
        copy->options->progress(copy->options->progress_context, &progress);
    }
    return xb_device_tree_write(copy->repository, &copy->tree, &copy->result->root, err);
}

static int run(struct copy *copy, struct xb_error *err)
{
    const struct xb_reader_options reading = {.depth = DEPTH, .buffer_bytes = CHUNK};
    const struct xb_object_writer_options writing = {
        .compression = copy->options->compression, .split = true, .splitter = XB_DEVICE_SPLITTER};
    int r = xb_device_open_source(copy->options->path, &copy->device, err);
    if (r < 0) {
        return r;
    }
    copy->result->record = calloc(1, sizeof *copy->result->record);
    if (!copy->result->record) {
        return xb_error_no_memory(err, "a backup");
    }
    xb_device_identify(&copy->device, copy->result->record);
    if ((r = xb_device_tree_begin(&copy->device, copy->options->path, &copy->tree, err)) < 0 ||
        (r = xb_reader_new(&reading, &copy->reader, err)) < 0 ||
        (r = xb_object_writer_new(copy->repository, &writing, &copy->writer, err)) < 0) {
        return r;
    }
    find_free(copy);
    memcpy(copy->result->user, copy->device.user, sizeof copy->result->user);
    copy->result->in_use = copy->device.block && !copy->device.exclusive;
    copy->result->direct = copy->device.direct;
    copy->result->used_ring = xb_reader_uses_ring(copy->reader);
    r = copy_all(copy, err);
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
    xb_reader_free(copy.reader);
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
