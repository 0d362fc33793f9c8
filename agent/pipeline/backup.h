/* SPDX-License-Identifier: Apache-2.0
 *
 * backup.h - a folder becomes a snapshot's tree in a repository.
 *
 * What for:  walks a tree through descriptors, reads what changed since the parent snapshot, and
 *            writes objects and directories. It does not publish: the caller does, with the result.
 * Ownership: the caller owns everything it passes; xb_backup_result_free frees the result.
 * Threads:   one call per thread; it uses workers of its own. The progress callback comes from
 *            another thread and must be quick.
 * Blocking:  yes, for as long as it takes.
 * Errors:    CANCELLED; FULL: the copy had to be given up (xb_freeze_fall_back, and once more);
 *            failures of the repository; failures to read the root. A file that cannot
 *            be read is no error of the call: it is counted and listed in the result, and in the
 *            snapshot's summary.
 * Rules:     no symbolic link is followed; sockets, fifos and devices are recorded, not read; a
 *            file that changes while it is read is read again, and counted and marked if it does
 *            not come to rest. Unchanged is: size, mtime, inode and ctime where a parent knows
 *            them, else kopia's rule (size, mtime, mode, owner). Other file systems that are
 *            mounted in the folder are gone into, as by kopia. A copy's files are known again by
 *            what the originals had: an incremental stays one whatever was read from.
 * Work kept: what is stored is indexed every ten minutes, and named by a checkpoint every forty,
 *            however long a single file takes: a killed backup's work is found by the next one.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/base/budget.h"
#include "shared/repository/snapshot.h"

enum { XB_BACKUP_MESSAGES_MAX = 100, XB_BACKUP_DEPTH_MAX = 900 };

struct xb_backup_progress {
    uint64_t bytes_done, bytes_total; /* of file data; total is an estimate, 0: not known yet */
    uint64_t files_done, files_total;
    uint64_t bytes_new; /* stored, before compression */
};
typedef void xb_backup_progress_fn(void *context, const struct xb_backup_progress *progress);

struct xb_freeze;

struct xb_backup_options {
    int root_fd;                               /* the folder, open for reading */
    struct xb_freeze *copy;                    /* instead of it, taken (freeze.h); NULL: none */
    const char *root_name;                     /* name of the root entry */
    const struct xb_snapshot_parents *parents; /* NULL or none: read everything */
    unsigned threads;                          /* 0: as many as there are CPUs for us */
    struct xb_budget *budget;                  /* NULL: the process's */
    enum xb_compression compression;           /* of file data */
    const atomic_bool *cancel;                 /* may be NULL */
    xb_backup_progress_fn *progress;           /* may be NULL; called about four times a second */
    void *progress_context;
    const struct xb_snapshot *source; /* what the snapshot to come says of itself (source, tags,
                                         start), for checkpoints; NULL: there will be none */
    unsigned index_every_ms, checkpoint_every_ms; /* 0: 10 and 40 minutes */
};

struct xb_backup_message {
    char *path, *text;
};

struct xb_backup_result {
    struct xb_entry root;
    uint64_t files, cached_files, dirs, symlinks, special_files;
    uint64_t bytes, bytes_read, bytes_new, bytes_stored;
    uint64_t changed_files; /* changed while they were read, again and again; marked in the tree */
    uint64_t vanished;      /* were listed and then gone */
    uint64_t failed;        /* could not be read */
    struct xb_backup_message messages[XB_BACKUP_MESSAGES_MAX];
    size_t message_count;
    bool used_ring;
};

int xb_backup_run(struct xb_repository *repository, const struct xb_backup_options *options,
                  struct xb_backup_result *ret, struct xb_error *err) XB_MUST_CHECK;

/* Moves the tree into the snapshot, with what was counted and the time. */
void xb_backup_fill_snapshot(struct xb_backup_result *result, struct xb_snapshot *snapshot);
void xb_backup_fill_stats(const struct xb_backup_result *result, struct xb_snapshot *snapshot);
void xb_backup_result_free(struct xb_backup_result *result); /* what it owns */
