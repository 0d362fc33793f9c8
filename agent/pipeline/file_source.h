/* SPDX-License-Identifier: Apache-2.0
 *
 * file_source.h - a file's bytes in order, in blocks, and the zeros of its holes; for file*.c only.
 *
 * What for:  file.c cuts what comes from here. Large stretches are read by the ring, several blocks
 *            ahead; what lies in small pieces between holes is put together in one block, so that
 *            a chunk never keeps many blocks for few bytes.
 * Threads:   one at a time.    Blocking: the disk, and the budget where told to wait.
 * Errors:    as the read failed. A file that ends early is no error: `size` shrinks.
 */
#pragma once

#include "agent/pipeline/read_internal.h"

struct file_source {
    struct xb_reader *reader;
    struct xb_budget_share *share;
    struct xb_entry *entry; /* its holes are noted */
    int fd;
    bool sparse;
    uint64_t size;
    uint64_t at;         /* so far is it in blocks */
    uint64_t range_end;  /* the reader's range */
    uint64_t data_end;   /* data is known from `at` to here */
    uint64_t zeros_left; /* of the hole at `at` */

    struct xb_block *block; /* under way: bytes [block_at, block_len) are to be taken */
    size_t block_at, block_len;
    size_t zero_tail; /* so many at its end are the beginning of zeros_left */
};

/* The block is used up: brings the next. Where the budget has none and `wait` is not set,
 * *ret_starved. `run`: a hole of at least so many bytes is left to the caller. At the end of the
 * file, or at such a hole, there is no block afterwards. */
int xb_file_source_next(struct file_source *source, bool wait, uint64_t run, bool *ret_starved,
                        struct xb_error *err) XB_MUST_CHECK;
/* A chunk has ended: what is left of a block is given back if it is the hole's. */
void xb_file_source_take_back(struct file_source *source);
bool xb_file_source_ended(const struct file_source *source);
void xb_file_source_stop(struct file_source *source);
