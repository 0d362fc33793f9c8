/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.h - a file's bytes in order, with several reads under way.
 *
 * What for:  the one way in which volume data is read. io_uring where the kernel allows it, pread
 *            behind the same interface where not (seccomp, sysctl, an old kernel; or
 *            XEBEC_NO_URING=1), which is said once per process.
 * How:       xb_reader_start and _next hand out bytes in the reader's own buffers. With
 *            xb_reader_start_blocks and _next_block each read goes into a block of a budget
 *            (shared/base/blocks.h), which is handed over: as many reads are under way as the
 *            budget allows and the disk needs, up to the depth, so that a block is there when it is
 *            asked for. What of a large regular file is not in the page cache is read past it.
 * Ownership: the caller frees the reader and keeps the descriptors it hands in.
 * Threads:   one reader per thread.
 * Blocking:  xb_reader_next waits for the disk.
 * Shapes:    at most depth * buffer (or block) bytes are in memory and under way.
 * Errors:    as the read failed; IO for the disk's errors, named by errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/blocks.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_READER_DEPTH_MAX = 16, XB_READER_BUFFER_BYTES_MAX = 4 << 20 };

struct xb_reader;

struct xb_reader_options {
    unsigned depth;      /* reads under way; 0: 4 */
    size_t buffer_bytes; /* of each; 0: 256 KiB */
};

int xb_reader_new(const struct xb_reader_options *options, struct xb_reader **ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_reader_free(struct xb_reader *reader);
XB_DEFINE_CLEANUP(xb_reader_freep, struct xb_reader, xb_reader_free);

/* Whether io_uring is at work. */
bool xb_reader_uses_ring(const struct xb_reader *reader);

/* Begins with the bytes [offset, offset + len) of fd; what was under way before is given up. */
int xb_reader_start(struct xb_reader *reader, int fd, uint64_t offset, uint64_t len,
                    struct xb_error *err) XB_MUST_CHECK;

/* The next bytes, valid until the next call on this reader. *ret_len 0: the end of the range, or
 * of the file if that is shorter. */
int xb_reader_next(struct xb_reader *reader, const void **ret_data, size_t *ret_len,
                   struct xb_error *err) XB_MUST_CHECK;

/* The same with blocks of the share; it must live until the reader is started anew, stopped or
 * freed. */
void xb_reader_start_blocks(struct xb_reader *reader, struct xb_budget_share *share, int fd,
                            uint64_t offset, uint64_t len);

/* The next block with bytes from its beginning, a reference of the caller's; *ret_len 0: the end,
 * and no block. Where nothing is under way because the budget has no block, `wait` decides: it
 * waits for one, or says *ret_block NULL and a length. */
int xb_reader_next_block(struct xb_reader *reader, bool wait, struct xb_block **ret_block,
                         size_t *ret_len, struct xb_error *err) XB_MUST_CHECK;

/* Gives up what is under way, and its blocks. */
void xb_reader_stop(struct xb_reader *reader);
