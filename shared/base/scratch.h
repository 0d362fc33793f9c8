/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.h - bytes that are kept for a while, in memory first and beyond a limit in a file without
 * a name.
 *
 * What for:  texts whose length comes from outside and that are needed again: runs of a sorter, the
 *            index of a large object.
 * Ownership: the caller owns the scratch. The file goes with it, and with the process, however it
 *            ends.
 * Threads:   one at a time.      Blocking: yes, beyond the limit.
 * Shapes:    the file lies in TMPDIR, or /var/tmp, or /tmp: the first that takes it.
 * Errors:    FULL names the folder and says what to do.
 * Limits:    memory_max bytes in memory; the disk bounds the rest.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

struct xb_scratch;

/* `what` says in errors what is kept; it must outlive the scratch. */
int xb_scratch_new(const char *what, size_t memory_max, struct xb_scratch **ret,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_scratch_append(struct xb_scratch *scratch, const void *data, size_t len,
                      struct xb_error *err) XB_MUST_CHECK;
uint64_t xb_scratch_length(const struct xb_scratch *scratch);
/* Exactly `len` bytes from `offset`; both within the length. */
int xb_scratch_read(const struct xb_scratch *scratch, uint64_t offset, void *to, size_t len,
                    struct xb_error *err) XB_MUST_CHECK;
/* Forgets the bytes; the file goes. */
void xb_scratch_clear(struct xb_scratch *scratch);
void xb_scratch_free(struct xb_scratch *scratch);
XB_DEFINE_CLEANUP(xb_scratch_freep, struct xb_scratch, xb_scratch_free);

/* A new file without a name. *ret_folder: where it lies, for messages; lives as long as the
 * environment does. Returns a descriptor that is the caller's. */
int xb_scratch_file(const char *what, const char **ret_folder, struct xb_error *err) XB_MUST_CHECK;
/* The same in this folder only. */
int xb_scratch_file_in(const char *folder, const char *what, struct xb_error *err) XB_MUST_CHECK;
