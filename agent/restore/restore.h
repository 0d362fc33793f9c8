/* SPDX-License-Identifier: Apache-2.0
 *
 * restore.h - a snapshot's tree back into a folder.
 *
 * What for:  restores for pods and for people. Existing files of the same name are replaced,
 *            others stay.
 * Ownership: the caller owns everything it passes; xb_restore_result_free frees the result.
 * Threads:   one call per thread; it uses workers of its own. The progress callback comes from
 *            another thread.
 * Blocking:  yes; returns when the data is on disk (syncfs).
 * Errors:    CANCELLED; NOT_FOUND: no such path in the snapshot; CORRUPT: the root cannot be read;
 *            IO and FULL of the target's file system. A file that cannot be read or written is
 *            counted and listed in the result, and no half of it is left.
 * Rules:     everything is created through descriptors of folders that were opened or made without
 *            following a link: no name in a repository leads out of the target. Attributes come
 *            last, a folder's after its content.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/repository/snapshot.h"

enum { XB_RESTORE_MESSAGES_MAX = 100, XB_RESTORE_DEPTH_MAX = 900, XB_RESTORE_LINKS_MAX = 262144 };

struct xb_restore_progress {
    uint64_t bytes_done, bytes_total, files_done, files_total;
};
typedef void xb_restore_progress_fn(void *context, const struct xb_restore_progress *progress);

struct xb_restore_options {
    int target_fd;             /* the folder to restore into */
    const char *path;          /* only this part of the snapshot; NULL or "": all */
    bool devices;              /* make device nodes too */
    bool privileged;           /* set trusted.* and security.* attributes too */
    bool sparse;               /* leave blocks of zeros out, also where no hole was recorded */
    unsigned threads;          /* 0: 2 */
    const atomic_bool *cancel; /* may be NULL */
    xb_restore_progress_fn *progress;
    void *progress_context;
};

struct xb_restore_message {
    char *path, *text;
};

struct xb_restore_result {
    uint64_t files, dirs, symlinks, special_files, hard_links, bytes;
    uint64_t failed;  /* entries that are not back, or not as they were */
    uint64_t skipped; /* left out by rule: devices and attributes that are not switched on */
    struct xb_restore_message messages[XB_RESTORE_MESSAGES_MAX];
    size_t message_count;
    bool damaged; /* some failure was the repository's */
};

int xb_restore_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                   const struct xb_restore_options *options, struct xb_restore_result *ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_restore_result_free(struct xb_restore_result *result); /* what it owns */

/* The entry at `path` of a snapshot ("a/b"; "" is the root), copied. */
int xb_snapshot_find_path(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                          const char *path, struct xb_entry *ret,
                          struct xb_error *err) XB_MUST_CHECK;
