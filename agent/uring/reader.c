/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/uring/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/uring/direct.h"
#include "shared/base/log.h"

enum { DEPTH = 4, BUFFER_BYTES = 256 * 1024, ALIGN_BYTES = 4096, RETRIES_MAX = 1000 };

/* Reads under way where blocks are handed over: as few as the disk needs. */
enum { DEPTH_START = 2, DEPTH_LESS_AFTER = 32 };

/* A slot is one buffer; slots are used round and round, so that `head` is always the oldest. */
struct slot {
    unsigned char *data;    /* where it is read to */
    unsigned char *own;     /* the reader's buffer; made when it is needed first */
    struct xb_block *block; /* or a block's bytes */
    uint64_t offset;        /* in the file */
    size_t want, got;
    int error;   /* errno of the read, or 0 */
    bool busy;   /* the kernel may write to it */
    bool used;   /* belongs to the present range */
    bool end;    /* the file ended here */
    bool direct; /* past the page cache */
};

struct xb_reader {
    struct io_uring ring;
    bool has_ring;
    struct slot slots[XB_READER_DEPTH_MAX];
    unsigned depth, head, tail;
    size_t buffer_bytes;
    unsigned want_depth; /* of `depth`, at present */
    unsigned at_once;    /* blocks that were there when they were asked for, in a row */
    int fd;
    int direct_fd;                 /* the same file past the page cache, or -1 */
    bool direct;                   /* reads past it have not failed */
    struct xb_budget_share *share; /* NULL: into the own buffers */
    uint64_t next_offset, left;
    bool handed_out; /* slot `head` is with the caller */
    bool ended;      /* the file was shorter than the range */
    unsigned retries;
};

static int open_ring(struct xb_reader *reader)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char *off = getenv("XEBEC_NO_URING");
    int r = off && strcmp(off, "1") == 0 ? -ENOSYS
                                         : io_uring_queue_init(reader->depth, &reader->ring, 0);
    reader->has_ring = r == 0;
    if (r < 0 && !atomic_flag_test_and_set(&said)) {
        xb_log_warning("io_uring is not available here; reading with pread instead", "reason",
                       strerror(-r));
    }
    return r;
}

int xb_reader_new(const struct xb_reader_options *options, struct xb_reader **ret,
                  struct xb_error *err)
{
    unsigned depth = options && options->depth ? options->depth : DEPTH;
    size_t buffer_bytes = options && options->buffer_bytes ? options->buffer_bytes : BUFFER_BYTES;
    if (depth > XB_READER_DEPTH_MAX || buffer_bytes > XB_READER_BUFFER_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a reader of that size");
    }
    XB_CLEANUP(xb_reader_freep) struct xb_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return xb_error_no_memory(err, "a reader");
    }
    reader->depth = depth;
    reader->buffer_bytes = buffer_bytes;
    reader->fd = -1;
    reader->direct_fd = -1;
    (void)open_ring(reader);
    *ret = XB_TAKE(reader);
    return 0;
}

bool xb_reader_uses_ring(const struct xb_reader *reader)
{
    return reader->has_ring;
}

static void take_completion(struct io_uring_cqe *cqe)
{
    struct slot *slot = io_uring_cqe_get_data(cqe);
    slot->busy = false;
    if (cqe->res < 0) {
        slot->error = -cqe->res;
    } else {
        size_t left = slot->want - slot->got;
        size_t res = (size_t)cqe->res;
        slot->got += res < left ? res : left; /* whole sectors may be more */
        slot->end = res == 0;
    }
}

static void take_completions(struct xb_reader *reader)
{
    struct io_uring_cqe *cqe = NULL;
    while (reader->has_ring && io_uring_peek_cqe(&reader->ring, &cqe) == 0) {
        take_completion(cqe);
        io_uring_cqe_seen(&reader->ring, cqe);
    }
}

/* Buffers may be reused or freed only after the kernel has let go of them. */
static void drain(struct xb_reader *reader)
{
    for (unsigned i = 0; i < reader->depth; i++) {
        while (reader->slots[i].busy) {
            int r = io_uring_submit_and_wait(&reader->ring, 1);
            if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) {
                abort(); /* the kernel may still write into our memory */
            }
            take_completions(reader);
        }
    }
}

static void close_direct(struct xb_reader *reader)
{
    if (reader->direct_fd >= 0) {
        close(reader->direct_fd);
    }
    reader->direct_fd = -1;
    reader->direct = false;
}

void xb_reader_free(struct xb_reader *reader)
{
    if (!reader) {
        return;
    }
    if (reader->has_ring) {
        drain(reader);
        io_uring_queue_exit(&reader->ring);
    }
    for (unsigned i = 0; i < reader->depth; i++) {
        xb_block_unref(reader->slots[i].block);
        free(reader->slots[i].own);
    }
    close_direct(reader);
    free(reader);
}

/* Queues the rest of a slot's read. Past the cache whole sectors are asked for, also at the end of
 * a file; blocks have room for them. */
static bool queue_slot(struct xb_reader *reader, struct slot *slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&reader->ring);
    if (!sqe) {
        return false;
    }
    size_t len = slot->want - slot->got;
    if (slot->direct) {
        len = (len + XB_DIRECT_ALIGN_BYTES - 1) / XB_DIRECT_ALIGN_BYTES * XB_DIRECT_ALIGN_BYTES;
    }
    io_uring_prep_read(sqe, slot->direct ? reader->direct_fd : reader->fd, slot->data + slot->got,
                       (unsigned)len, slot->offset + slot->got);
    io_uring_sqe_set_data(sqe, slot);
    slot->busy = true;
    return true;
}

static int make_buffers(struct xb_reader *reader, struct xb_error *err)
{
    size_t aligned_bytes = (reader->buffer_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    for (unsigned i = 0; i < reader->depth && !reader->slots[i].own; i++) {
        reader->slots[i].own = aligned_alloc(ALIGN_BYTES, aligned_bytes);
        if (!reader->slots[i].own) {
            return xb_error_no_memory(err, "a reader");
        }
    }
    return 0;
}

/* Memory for the slot's next read; false: there is none now. */
static bool find_memory(struct xb_reader *reader, struct slot *slot)
{
    struct xb_error ignored = XB_ERROR_INIT;
    if (!reader->share) {
        slot->data = slot->own;
        return true;
    }
    if (!slot->block && xb_block_try(reader->share, &slot->block, &ignored) < 0) {
        return false; /* whoever waits for one is told why */
    }
    slot->data = slot->block ? slot->block->data : NULL;
    return slot->block;
}

/* Whether one more read may be under way. */
static bool has_turn(const struct xb_reader *reader)
{
    unsigned under_way = (reader->tail + reader->depth - reader->head) % reader->depth;
    return !reader->share || under_way < reader->want_depth;
}

/* A block that comes late asks for more reads under way, and a row of those that were there for
 * fewer: what comes from memory needs none ahead, and its blocks serve somebody else. */
static void adapt_depth(struct xb_reader *reader, bool late)
{
    reader->at_once = late ? 0 : reader->at_once + 1;
    if (late && reader->want_depth < reader->depth) {
        reader->want_depth++;
    } else if (reader->at_once == DEPTH_LESS_AFTER) {
        reader->want_depth -= reader->want_depth > DEPTH_START;
        reader->at_once = 0;
    }
}

static bool is_direct(const struct xb_reader *reader, const struct slot *slot)
{
    return reader->direct && slot->offset % XB_DIRECT_ALIGN_BYTES == 0 &&
           xb_direct_is_cold(reader->fd, slot->offset, slot->want);
}

/* Gives every free slot the next piece of the range, and the kernel its work at once: the caller
 * may be busy for a while before he comes for the bytes. */
static void fill_slots(struct xb_reader *reader)
{
    bool queued = false;
    size_t most = reader->share ? (size_t)XB_BLOCK_BYTES : reader->buffer_bytes;
    while (reader->left > 0 && !reader->slots[reader->tail].used && has_turn(reader) &&
           find_memory(reader, &reader->slots[reader->tail])) {
        struct slot *slot = &reader->slots[reader->tail];
        size_t want = reader->left < most ? (size_t)reader->left : most;
        slot->offset = reader->next_offset;
        slot->want = want;
        slot->got = 0;
        slot->error = 0;
        slot->end = false;
        slot->direct = is_direct(reader, slot);
        if (reader->has_ring && !queue_slot(reader, slot)) {
            break;
        }
        queued = reader->has_ring;
        slot->used = true;
        reader->next_offset += want;
        reader->left -= want;
        reader->tail = (reader->tail + 1) % reader->depth;
    }
    if (queued) {
        (void)io_uring_submit(&reader->ring); /* what it did not take, the wait submits */
    }
}

void xb_reader_stop(struct xb_reader *reader)
{
    if (reader->has_ring) {
        drain(reader);
    }
    for (unsigned i = 0; i < reader->depth; i++) {
        reader->slots[i].used = false;
        xb_block_unref(XB_TAKE(reader->slots[i].block));
    }
    reader->head = 0;
    reader->tail = 0;
    reader->left = 0;
    reader->handed_out = false;
    reader->ended = false;
    reader->retries = 0;
    reader->share = NULL;
    close_direct(reader);
}

static void start(struct xb_reader *reader, int fd, uint64_t offset, uint64_t len)
{
    reader->fd = fd;
    reader->next_offset = offset;
    reader->left = len;
    fill_slots(reader);
}

int xb_reader_start(struct xb_reader *reader, int fd, uint64_t offset, uint64_t len,
                    struct xb_error *err)
{
    xb_reader_stop(reader);
    int r = make_buffers(reader, err);
    if (r == 0) {
        start(reader, fd, offset, len);
    }
    return r;
}

/* With both descriptors in use, a read through the cache is to bring nothing else into it: what was
 * read ahead would be found there, and read through the cache in its turn. */
static void open_direct(struct xb_reader *reader, int fd, uint64_t len)
{
    if (reader->has_ring && len >= XB_DIRECT_BYTES_MIN) {
        reader->direct_fd = xb_direct_open(fd);
    }
    reader->direct = reader->direct_fd >= 0;
    if (reader->direct) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    }
}

void xb_reader_start_blocks(struct xb_reader *reader, struct xb_budget_share *share, int fd,
                            uint64_t offset, uint64_t len)
{
    xb_reader_stop(reader);
    reader->share = share;
    reader->want_depth = reader->depth < DEPTH_START ? reader->depth : DEPTH_START;
    reader->at_once = 0;
    open_direct(reader, fd, len);
    start(reader, fd, offset, len);
}

static bool passing(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* Reads what is missing of the slot, in this thread. */
static void read_slot(struct xb_reader *reader, struct slot *slot)
{
    ssize_t got = pread(reader->fd, slot->data + slot->got, slot->want - slot->got,
                        (off_t)(slot->offset + slot->got));
    if (got < 0) {
        slot->error = errno;
    } else {
        slot->got += (size_t)got;
        slot->end = got == 0;
    }
}

static int wait_ring(struct xb_reader *reader, struct slot *slot, struct xb_error *err)
{
    take_completions(reader);
    while (slot->busy) {
        int r = io_uring_submit_and_wait(&reader->ring, 1);
        if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) {
            return xb_error_errno(err, -r, "io_uring");
        }
        take_completions(reader);
    }
    return 0;
}

/* What did not work past the cache is tried through it, by this slot; after an error so is all that
 * follows. The rest of a sector cannot be asked for directly. */
static void leave_direct(struct xb_reader *reader, struct slot *slot)
{
    if (!slot->direct || (!slot->error && slot->got % XB_DIRECT_ALIGN_BYTES == 0)) {
        return;
    }
    slot->direct = false;
    if (slot->error && !passing(slot->error)) {
        slot->error = 0;
        reader->direct = false;
        (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_NORMAL);
    }
}

/* Until the slot is full, the file has ended or the read has failed for good. */
static int complete_slot(struct xb_reader *reader, struct slot *slot, struct xb_error *err)
{
    while (!slot->end && slot->got < slot->want) {
        leave_direct(reader, slot);
        if (slot->error && !(passing(slot->error) && reader->retries++ < RETRIES_MAX)) {
            return xb_error_errno(err, slot->error, "reading at offset %llu",
                                  (unsigned long long)(slot->offset + slot->got));
        }
        if (!reader->has_ring) {
            slot->error = 0;
            read_slot(reader, slot);
            continue;
        }
        if (!slot->busy) {
            slot->error = 0;
            if (!queue_slot(reader, slot)) {
                return xb_error_set(err, XB_ERR_BUG, -EBUSY, "the ring is full");
            }
        }
        int r = wait_ring(reader, slot, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Waits until the oldest slot is full, the file has ended or failed. */
static int finish_slot(struct xb_reader *reader, struct slot *slot, struct xb_error *err)
{
    int r = reader->has_ring ? wait_ring(reader, slot, err) : 0;
    if (r == 0) {
        r = complete_slot(reader, slot, err);
    }
    if (r == 0 && slot->end) {
        /* Shorter than the range: nothing behind it counts, also if the file grows meanwhile. */
        reader->ended = true;
        reader->left = 0;
    }
    return r;
}

int xb_reader_next(struct xb_reader *reader, const void **ret_data, size_t *ret_len,
                   struct xb_error *err)
{
    if (reader->handed_out) {
        reader->slots[reader->head].used = false;
        reader->head = (reader->head + 1) % reader->depth;
        reader->handed_out = false;
        fill_slots(reader);
    }
    struct slot *slot = &reader->slots[reader->head];
    *ret_len = 0;
    if (!slot->used || reader->ended) {
        return 0;
    }
    int r = finish_slot(reader, slot, err);
    if (r < 0) {
        return r;
    }
    reader->handed_out = slot->got > 0;
    *ret_data = slot->data;
    *ret_len = slot->got;
    return 0;
}

int xb_reader_next_block(struct xb_reader *reader, bool wait, struct xb_block **ret_block,
                         size_t *ret_len, struct xb_error *err)
{
    struct slot *slot = &reader->slots[reader->head];
    *ret_block = NULL;
    *ret_len = 0;
    fill_slots(reader);
    if (!slot->used && reader->left > 0 && !reader->ended) {
        *ret_len = (size_t)XB_BLOCK_BYTES;
        int r = wait ? xb_block_wait(reader->share, &slot->block, err) : 0;
        if (r < 0 || !wait) {
            return r;
        }
        fill_slots(reader);
        *ret_len = 0;
    }
    if (!slot->used || reader->ended) {
        return 0;
    }
    take_completions(reader);
    adapt_depth(reader, slot->busy);
    int r = finish_slot(reader, slot, err);
    if (r < 0 || slot->got == 0) {
        return r;
    }
    *ret_block = XB_TAKE(slot->block);
    *ret_len = slot->got;
    slot->used = false;
    reader->head = (reader->head + 1) % reader->depth;
    return 0;
}
