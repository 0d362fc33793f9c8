/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/file_source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* From here on a stretch of data is worth the ring. */
enum { RING_BYTES = 4 * XB_BLOCK_BYTES };

bool xb_file_source_ended(const struct file_source *source)
{
    return source->at >= source->size && source->block_at == source->block_len &&
           source->zeros_left == 0;
}

void xb_file_source_stop(struct file_source *source)
{
    xb_reader_stop(source->reader);
    xb_block_unref(XB_TAKE(source->block));
    source->block_at = 0;
    source->block_len = 0;
}

void xb_file_source_take_back(struct file_source *source)
{
    size_t left = source->block_len - source->block_at;
    if (left > 0 && left <= source->zero_tail) {
        source->block_len -= left;
        source->at -= left;
        source->zeros_left += left;
        source->zero_tail -= left;
    }
}

static void use(struct file_source *source, struct xb_block *block, size_t len)
{
    xb_block_unref(source->block);
    source->block = block;
    source->block_at = 0;
    source->block_len = len;
}

/* Where it stands within holes and data, if that is not known. */
static int look(struct file_source *source, struct xb_error *err)
{
    uint64_t start = source->at;
    uint64_t end = source->size;
    if (source->zeros_left > 0 || source->data_end > source->at || source->at >= source->size) {
        return 0;
    }
    if (source->sparse) {
        xb_read_next_data(source->fd, source->at, source->size, &start, &end);
    }
    source->zeros_left = start - source->at;
    source->data_end = end;
    return start > source->at ? xb_read_add_hole(source->entry, source->at, source->zeros_left, err)
                              : 0;
}

/* ---- by the ring ---- */

static int next_of_ring(struct file_source *source, bool wait, bool *ret_starved,
                        struct xb_error *err)
{
    struct xb_block *block = NULL;
    size_t len = 0;
    int r = xb_reader_next_block(source->reader, wait, &block, &len, err);
    if (r < 0) {
        return r;
    }
    *ret_starved = !block && len > 0;
    if (!block && len == 0) {
        source->size = source->at; /* it has become shorter */
        source->range_end = source->at;
    }
    if (block) {
        use(source, block, len);
        source->at += len;
    }
    return 0;
}

/* ---- small pieces put together ---- */

static int add_data(struct file_source *source, unsigned char *to, size_t room, size_t *ret_len,
                    struct xb_error *err)
{
    uint64_t left = source->data_end - source->at;
    size_t want = left < room ? (size_t)left : room;
    ssize_t got = TEMP_FAILURE_RETRY(pread(source->fd, to, want, (off_t)source->at));
    if (got < 0) {
        return xb_error_errno(err, errno, "reading at offset %llu", (unsigned long long)source->at);
    }
    if (got == 0) {
        source->size = source->at;
    }
    source->at += (uint64_t)got;
    source->zero_tail = 0;
    *ret_len = (size_t)got;
    return 0;
}

static size_t add_zeros(struct file_source *source, unsigned char *to, size_t room)
{
    size_t len = source->zeros_left < room ? (size_t)source->zeros_left : room;
    memset(to, 0, len);
    source->zeros_left -= len;
    source->at += len;
    source->zero_tail += len;
    return len;
}

static bool for_ring(const struct file_source *source)
{
    return source->zeros_left == 0 && source->data_end > source->at &&
           (source->data_end - source->at >= RING_BYTES || !source->sparse);
}

static int gather(struct file_source *source, struct xb_block *block, size_t *ret_len,
                  struct xb_error *err)
{
    size_t len = 0;
    int r = look(source, err);
    source->zero_tail = 0;
    while (r == 0 && len < XB_BLOCK_BYTES && source->at < source->size && !for_ring(source)) {
        size_t more = 0;
        if (source->zeros_left > 0) {
            more = add_zeros(source, block->data + len, XB_BLOCK_BYTES - len);
        } else {
            r = add_data(source, block->data + len, XB_BLOCK_BYTES - len, &more, err);
        }
        len += more;
        if (r == 0 && source->zeros_left == 0) {
            r = look(source, err);
        }
    }
    *ret_len = len;
    return r;
}

static int next_gathered(struct file_source *source, bool wait, bool *ret_starved,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_block_unrefp) struct xb_block *block = NULL;
    size_t len = 0;
    int r =
        wait ? xb_block_wait(source->share, &block, err) : xb_block_try(source->share, &block, err);
    if (r < 0 || !block) {
        *ret_starved = r == 0;
        return r;
    }
    r = gather(source, block, &len, err);
    if (r == 0 && len > 0) {
        use(source, XB_TAKE(block), len);
    }
    return r;
}

int xb_file_source_next(struct file_source *source, bool wait, uint64_t run, bool *ret_starved,
                        struct xb_error *err)
{
    *ret_starved = false;
    use(source, NULL, 0);
    if (source->at < source->range_end) {
        source->zero_tail = 0;
        return next_of_ring(source, wait, ret_starved, err);
    }
    int r = look(source, err);
    if (r < 0 || source->at >= source->size || (run > 0 && source->zeros_left >= run)) {
        return r;
    }
    if (!for_ring(source)) {
        return next_gathered(source, wait, ret_starved, err);
    }
    source->zero_tail = 0;
    source->range_end = source->data_end;
    xb_reader_start_blocks(source->reader, source->share, source->fd, source->at,
                           source->range_end - source->at);
    return next_of_ring(source, wait, ret_starved, err);
}
