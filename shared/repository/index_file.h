/* SPDX-License-Identifier: Apache-2.0
 *
 * index_file.h - a run of index entries as a file of the cache.
 *
 * What for:  index_cache.c, which alone knows folders and names.
 * Ownership: descriptors stay the caller's.
 * Threads:   any.    Blocking: yes (disk).
 * Shapes:    the run's bytes; 16 bytes of code for each XB_INDEX_FILE_BLOCK_BYTES of them; a tail
 *            of fixed size with the run's head and its own code. A code covers the run's id and the
 *            block's number, so that blocks of other files, or of other places, do not fit.
 * Errors:    CORRUPT: not such a file, or not all of it is as it was written.
 */
#pragma once

#include "shared/crypto/hash.h"
#include "shared/repository/index_run.h"

enum { XB_INDEX_FILE_BLOCK_BYTES = 64 * 1024 };

/* The hash whose codes a file has; `hash` NULL-safe to free with xb_hash_free. */
int xb_index_file_hash(const unsigned char *key, size_t key_len, struct xb_hash **ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* Checks every byte of the file and maps it. */
int xb_index_file_read(int fd, const struct xb_hash *hash, struct xb_index_run **ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* Appends codes and tail to a file that holds the run's bytes already (`whole` false), or writes
 * all of it to an empty one. */
int xb_index_file_write(int fd, const struct xb_hash *hash, const struct xb_index_run *run,
                        bool whole, struct xb_error *err) XB_MUST_CHECK;
