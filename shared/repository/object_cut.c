/* SPDX-License-Identifier: Apache-2.0
 * Cutting: blocks become chunks, without a copy and without a lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_cut.h"

enum { ZERO_BYTES = 256 * 1024 };

/* ---- lists of parts ---- */

void xb_object_parts_list_clear(struct xb_object_parts_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        xb_block_unref(list->blocks[i]);
    }
    list->count = 0;
}

void xb_object_parts_list_free(struct xb_object_parts_list *list)
{
    xb_object_parts_list_clear(list);
    free(list->parts);
    free(list->blocks);
    *list = (struct xb_object_parts_list){.count = 0};
}

static int make_room(struct xb_object_parts_list *list, size_t more, struct xb_error *err)
{
    size_t cap = list->cap;
    while (cap - list->count < more) {
        cap = cap ? 2 * cap : 16;
    }
    if (cap > list->cap) {
        struct iovec *parts = reallocarray(list->parts, cap, sizeof *parts);
        list->parts = parts ? parts : list->parts;
        struct xb_block **blocks =
            parts ? reallocarray(list->blocks, cap, sizeof(struct xb_block *)) : NULL;
        list->blocks = blocks ? blocks : list->blocks;
        if (!blocks) {
            return xb_error_no_memory(err, "the chunks of an object");
        }
        list->cap = cap;
    }
    return 0;
}

/* What follows the last part in memory becomes part of it. */
static int add_part(struct xb_object_parts_list *list, const struct xb_object_bytes *bytes,
                    size_t len, struct xb_error *err)
{
    unsigned char *data = bytes->block->data + bytes->at;
    if (list->count > 0 && list->blocks[list->count - 1] == bytes->block) {
        struct iovec *last = &list->parts[list->count - 1];
        if ((unsigned char *)last->iov_base + last->iov_len == data) {
            last->iov_len += len;
            return 0;
        }
    }
    int r = make_room(list, 1, err);
    if (r == 0) {
        list->parts[list->count] = (struct iovec){data, len};
        list->blocks[list->count++] = xb_block_ref(bytes->block);
    }
    return r;
}

static int move_parts(struct xb_object_parts_list *from, struct xb_object_parts_list *to,
                      struct xb_error *err)
{
    int r = make_room(to, from->count, err);
    if (r == 0 && from->count > 0) {
        memcpy(to->parts + to->count, from->parts, from->count * sizeof *from->parts);
        memcpy(to->blocks + to->count, from->blocks, from->count * sizeof(struct xb_block *));
        to->count += from->count;
        from->count = 0;
    }
    return r;
}

/* ---- batches ---- */

int xb_object_batch_new(struct xb_object_batch **ret, struct xb_error *err)
{
    struct xb_object_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        return xb_error_no_memory(err, "the chunks of an object");
    }
    *ret = batch;
    return 0;
}

void xb_object_batch_clear(struct xb_object_batch *batch)
{
    xb_object_parts_list_clear(&batch->list);
    batch->count = 0;
    batch->bytes = 0;
}

void xb_object_batch_free(struct xb_object_batch *batch)
{
    if (batch) {
        xb_object_parts_list_free(&batch->list);
        free(batch);
    }
}

size_t xb_object_batch_chunks(const struct xb_object_batch *batch)
{
    return batch->count;
}

uint64_t xb_object_batch_bytes(const struct xb_object_batch *batch)
{
    return batch->bytes;
}

/* ---- cutting ---- */

/* How many bytes may still be taken before a part ends. */
static uint64_t room_in_part(const struct xb_object_writer *writer, uint64_t len)
{
    if (!writer->options.part_bytes) {
        return len;
    }
    uint64_t left = writer->options.part_bytes - writer->fed % writer->options.part_bytes;
    return left < len ? left : len;
}

static int add_cut(struct xb_object_writer *writer, struct xb_object_batch *batch,
                   const struct xb_object_cut *cut, struct xb_error *err)
{
    if (batch->count == XB_OBJECT_BATCH_CHUNKS_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -ENOBUFS, "a batch of chunks is full");
    }
    if (batch->count == 0) {
        batch->first = writer->cut_count;
    }
    batch->cuts[batch->count++] = *cut;
    batch->bytes += cut->zeros ? 0 : cut->len;
    writer->cut_count++;
    return 0;
}

static int end_chunk(struct xb_object_writer *writer, struct xb_object_batch *batch,
                     struct xb_error *err)
{
    const struct xb_object_cut cut = {
        .first_part = batch->list.count, .part_count = writer->open.count, .len = writer->open_len};
    int r = add_cut(writer, batch, &cut, err);
    if (r == 0 && (r = move_parts(&writer->open, &batch->list, err)) == 0) {
        writer->open_len = 0;
        writer->state = (struct xb_splitter_state){.scanned = 0};
    }
    return r;
}

int xb_object_writer_feed(struct xb_object_writer *writer, struct xb_object_batch *batch,
                          const struct xb_object_bytes *bytes, size_t *ret_taken,
                          struct xb_error *err)
{
    size_t room = (size_t)room_in_part(writer, bytes->len);
    size_t cut = 0;
    if (writer->options.split && room > 0) {
        cut = xb_splitter_feed(&writer->splitter, &writer->state, bytes->block->data + bytes->at,
                               room);
    } else if (room > XB_CONTENT_BYTES_MAX - writer->open_len) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "an object of one content is full");
    }
    size_t take = cut ? cut : room;
    int r = take > 0 ? add_part(&writer->open, bytes, take, err) : 0;
    if (r < 0) {
        return r;
    }
    writer->fed += take;
    writer->open_len += take;
    bool part_ends =
        writer->options.part_bytes && take > 0 && writer->fed % writer->options.part_bytes == 0;
    if (cut || part_ends) {
        r = end_chunk(writer, batch, err);
    }
    *ret_taken = take;
    return r;
}

/* Where zeros alone are cut. */
static uint64_t measure_zeros(const struct xb_splitter *splitter)
{
    static const unsigned char zeros[ZERO_BYTES];
    struct xb_splitter_state state = {.scanned = 0};
    uint64_t len = 0;
    for (size_t cut = 0; cut == 0; len += cut ? cut : sizeof zeros) {
        cut = xb_splitter_feed(splitter, &state, zeros, sizeof zeros);
    }
    return len;
}

uint64_t xb_object_writer_zero_chunk(struct xb_object_writer *writer)
{
    if (!writer->options.split || writer->open_len > 0) {
        return 0;
    }
    if (!writer->zero_len) {
        writer->zero_len = measure_zeros(&writer->splitter);
    }
    return room_in_part(writer, writer->zero_len) == writer->zero_len ? writer->zero_len : 0;
}

int xb_object_writer_feed_zeros(struct xb_object_writer *writer, struct xb_object_batch *batch,
                                struct xb_error *err)
{
    const struct xb_object_cut cut = {.len = (size_t)xb_object_writer_zero_chunk(writer),
                                      .zeros = true};
    if (cut.len == 0) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "no chunk of zeros may begin here");
    }
    int r = add_cut(writer, batch, &cut, err);
    writer->fed += r == 0 ? cut.len : 0;
    return r;
}

uint64_t xb_object_writer_chunk_max(const struct xb_object_writer *writer)
{
    return writer->options.split ? writer->splitter.max : (uint64_t)XB_CONTENT_BYTES_MAX;
}

size_t xb_object_whole_bytes(const struct xb_repository *repository)
{
    struct xb_splitter splitter;
    struct xb_error ignored = XB_ERROR_INIT;
    return xb_splitter_parse(xb_repository_splitter(repository), &splitter, &ignored) == 0
               ? splitter.min
               : 0;
}

int xb_object_writer_feed_end(struct xb_object_writer *writer, struct xb_object_batch *batch,
                              struct xb_error *err)
{
    /* kopia's last part is empty where the size is a multiple of a part's. */
    bool empty_part = writer->options.part_bytes && writer->fed > 0 &&
                      writer->fed % writer->options.part_bytes == 0;
    int r = writer->open_len > 0 || writer->cut_count == 0 || empty_part
                ? end_chunk(writer, batch, err)
                : 0;
    writer->ended = r == 0;
    return r;
}

void xb_object_writer_forget_cuts(struct xb_object_writer *writer)
{
    xb_object_parts_list_clear(&writer->open);
    writer->state = (struct xb_splitter_state){.scanned = 0};
    writer->open_len = 0;
    writer->fed = 0;
    writer->cut_count = 0;
    writer->ended = false;
    if (writer->own) {
        xb_object_batch_clear(writer->own);
    }
    if (writer->fill && xb_block_alone(writer->fill)) {
        writer->filled = 0;
    }
}
