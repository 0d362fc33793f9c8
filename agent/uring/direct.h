/* SPDX-License-Identifier: Apache-2.0
 *
 * direct.h - whether a stretch of a file is better read past the page cache.
 *
 * What for:  a volume that is backed up must not push the applications' pages out of the node's
 *            memory, and what is not in the cache is read with less CPU time past it. What is in
 *            the cache already is cheaper from there.
 * How:       a second descriptor of the same file with O_DIRECT, made from the first one, so that
 *            it cannot be another file. Only for regular files of which the kernel says that and
 *            how they can be read that way (statx, STATX_DIOALIGN); cachestat tells what is in
 *            memory. Neither is there on an old kernel: then everything is read through the cache.
 * Ownership: the caller closes what xb_direct_open returns.
 * Threads:   any.    Blocking: as opening a file.
 * Errors:    none: whatever does not work is a reason for the cache.
 * Limits:    XB_DIRECT_ALIGN_BYTES suffices as alignment of offsets, lengths and memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { XB_DIRECT_ALIGN_BYTES = 4096 };

/* Shorter stretches are not worth a second descriptor. */
#define XB_DIRECT_BYTES_MIN (UINT64_C(8) << 20)

/* -1: read it through the cache. */
int xb_direct_open(int fd);

/* Whether these bytes are worth to be read past the cache: most of them are not in it, and none has
 * still to be written to the disk (a direct read would wait for that). */
bool xb_direct_is_cold(int fd, uint64_t offset, size_t len);
