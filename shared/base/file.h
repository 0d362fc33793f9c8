/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h - small whole files, safely, and opening beneath a folder.
 *
 * Threads:   any.    Blocking: yes.
 * Ownership: descriptors returned belong to the caller, all are close-on-exec.
 * Errors:    the text names the path. FULL when a file is larger than the ceiling.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

/* Appends the whole file to `out`, whose ceiling bounds it. */
int xb_file_read(const char *path, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Writes all bytes, however many writes it takes. `what` names the target in an error. */
int xb_file_write_all(int fd, const void *data, size_t len, const char *what,
                      struct xb_error *err) XB_MUST_CHECK;

/* The same for parts that follow one another, of any number. */
int xb_file_writev_all(int fd, const struct iovec *parts, size_t count, const char *what,
                       struct xb_error *err) XB_MUST_CHECK;

/* Reads exactly len bytes at offset; a short file is CORRUPT. */
int xb_file_pread_all(int fd, void *data, size_t len, off_t offset, const char *what,
                      struct xb_error *err) XB_MUST_CHECK;

/* Replaces `path` atomically and durably: temporary file beside it, fsync, rename, fsync of the
 * folder. */
int xb_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct xb_error *err) XB_MUST_CHECK;

/* openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS: no part of `path` may
 * leave `dir_fd` or follow a link. Adds O_CLOEXEC. Returns a descriptor or a negative errno with
 * err set. */
int xb_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                         struct xb_error *err) XB_MUST_CHECK;
