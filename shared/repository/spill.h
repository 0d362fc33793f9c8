/* SPDX-License-Identifier: Apache-2.0
 *
 * spill.h - bytes that grow: in memory while they are few, else in a file that nobody else sees.
 *
 * What for:  what is built from a whole index (index_merge.c) takes no heap in proportion to it.
 *            Internal to the repository.
 * Ownership: the caller owns the struct; an empty one is XB_SPILL_INIT. A pointer that
 *            xb_spill_map or xb_spill_room returns lives until the next call but
 *            xb_spill_map of an unchanged spill.
 * Threads:   one at a time; once nothing is appended any more, any number may read.
 * Blocking:  yes (file).
 * Shapes:    the file is made in the folder given, where it can be given a name later
 *            (`linkable`); where that fails in TMPDIR, /var/tmp or /tmp; a place that runs full is
 *            left for the next; the last one is the system's memory, which is said in the log.
 * Limits:    XB_SPILL_HEAP_BYTES of heap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum { XB_SPILL_HEAP_BYTES = 128 * 1024 };

struct xb_spill {
    int folder; /* borrowed; -1: none */
    int fd;     /* -1: all of it is in buf */
    bool linkable;
    unsigned tried; /* places for the file that are used up */
    unsigned char *buf;
    size_t buf_len, buf_cap;
    uint64_t flushed; /* bytes in the file */
    unsigned char *map;
    size_t map_len;
};

#define XB_SPILL_INIT(folder_fd)                                                                   \
    {                                                                                              \
        .folder = (folder_fd), .fd = -1                                                            \
    }

void xb_spill_free(struct xb_spill *spill); /* frees what it owns and empties it */

static inline uint64_t xb_spill_len(const struct xb_spill *spill)
{
    return spill->flushed + spill->buf_len;
}

int xb_spill_append(struct xb_spill *spill, const void *data, size_t len,
                    struct xb_error *err) XB_MUST_CHECK;
/* Zeros up to a multiple of `step`. */
int xb_spill_align(struct xb_spill *spill, size_t step, struct xb_error *err) XB_MUST_CHECK;

/* All bytes in one piece, for reading. More may be appended afterwards. */
int xb_spill_map(struct xb_spill *spill, const unsigned char **ret,
                 struct xb_error *err) XB_MUST_CHECK;

/* Makes an empty spill of `len` bytes, to be written through *ret. */
int xb_spill_room(struct xb_spill *spill, size_t len, unsigned char **ret,
                  struct xb_error *err) XB_MUST_CHECK;
