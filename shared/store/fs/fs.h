/* SPDX-License-Identifier: Apache-2.0
 *
 * fs.h - what the files of the folder driver share; for them only.
 *
 * What for:  an object is a regular file below the root descriptor, under its own name. Everything
 *            is opened beneath that descriptor and no symbolic link is followed, so that nothing
 *            planted in the folder can lead out of it.
 * Threads:   any (the descriptor is only ever used with *at calls).
 */
#pragma once

#include <sys/stat.h>

#include "shared/store/driver.h"

enum { XB_FS_TEMPORARY_SUFFIX_BYTES = 5 + 16 }; /* ".tmp." and 16 hex digits */

struct xb_fs {
    struct xb_store base;
    int root_fd;
};

/* Opens the folder that `path` (a name, or "" for the root) lies in or is. */
int xb_fs_open_folder(const struct xb_fs *self, const char *path,
                      struct xb_error *err) XB_MUST_CHECK;

/* Gives -ELOOP a text and kind of its own; hands on every other r. */
int xb_fs_told_link(int r, const char *name, struct xb_error *err) XB_MUST_CHECK;

/* Removes the folders above `name` that are empty, the deepest first. Best effort: a folder that
 * somebody fills at the same moment simply stays. */
void xb_fs_remove_empty_folders(const struct xb_fs *self, const char *name);

/* Whether a file's last part is one of our temporary names: never an object. */
bool xb_fs_is_temporary(const char *file);

int xb_fs_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
               struct xb_error *err) XB_MUST_CHECK;
int xb_fs_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                       void *context, struct xb_error *err) XB_MUST_CHECK;

/* Removes temporary files that a crash has left more than a day ago. Best effort: a store whose
 * leftovers cannot be removed still works. */
void xb_fs_remove_stale(const struct xb_fs *self);

int64_t xb_fs_mtime_ns(const struct stat *st);

/* The writing half of the driver. */
int xb_fs_begin(struct xb_store *store, const char *name,
                const struct xb_store_put_options *options, struct xb_store_upload **ret,
                struct xb_error *err) XB_MUST_CHECK;
int xb_fs_write(struct xb_store_upload *upload, const void *data, size_t len,
                struct xb_error *err) XB_MUST_CHECK;
int xb_fs_writev(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                 struct xb_error *err);
int xb_fs_commit(struct xb_store_upload *upload, struct xb_error *err) XB_MUST_CHECK;
void xb_fs_upload_free(struct xb_store_upload *upload);
