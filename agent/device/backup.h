/* SPDX-License-Identifier: Apache-2.0
 *
 * backup.h - a block device or an image file becomes a snapshot's tree.
 *
 * What for:  reads it as one object, cut every XB_DEVICE_CHUNK_BYTES. It does not publish: the
 *            caller does, with the result.
 * Ownership: the caller owns everything it passes; xb_device_backup_free frees the result.
 * Threads:   one call per thread; it uses threads of its own. The progress callback comes from one
 *            of them, or from the calling thread; one at a time.
 * Blocking:  yes, for as long as it takes.
 * Errors:    CANCELLED; those of the repository; IO names the place that cannot be read: unlike a
 *            folder, a device with a hole in it is no backup.
 * Shapes:    as others have it, so that they restore ours and the other way round. An image file is
 *            the root entry itself, as in kopia's snapshot of a file; a device is the only entry of
 *            a root folder, as in Velero's block uploads.
 * Rules:     holes of an image are not read. Free blocks of a file system (free.h) are not read if
 *            the device is ours alone (device.h); an image must also be the same afterwards. Both
 *            are zeros in the object. Everything else is read, also what has not changed since the
 *            last backup; only new chunks are stored.
 * Memory:    blocks of the process's budget (cut.h), and a map of at most XB_FREE_MAP_BYTES_MAX.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "agent/device/device.h"

enum { XB_DEVICE_REASON_BYTES = 200 };

/* The name of that cut; Velero's own block format has the same grid. */
#define XB_DEVICE_SPLITTER "FIXED-1M"

struct xb_device_progress {
    uint64_t bytes_done, bytes_total;
};
typedef void xb_device_progress_fn(void *context, const struct xb_device_progress *progress);

struct xb_device_backup_options {
    const char *path;
    const char *name; /* of a device in the tree; NULL: the path's last part */
    enum xb_compression compression;
    unsigned threads;                /* 0: as many as there are processors */
    bool full;                       /* also what is free */
    const atomic_bool *cancel;       /* may be NULL */
    xb_device_progress_fn *progress; /* may be NULL; called about four times a second */
    void *progress_context;
    const struct xb_snapshot *source; /* for checkpoints, as in agent/pipeline/backup.h; or NULL */
    unsigned index_every_ms, checkpoint_every_ms; /* 0: 10 and 40 minutes */
};

struct xb_device_backup_result {
    struct xb_entry root;
    struct xb_snapshot_device *record;
    struct xb_object_stats stats;
    uint64_t bytes_read;
    bool used_ring, direct;
    bool in_use;  /* a device; `user`: by whom, as far as that is known */
    bool changed; /* an image, while it was read */
    char user[XB_DEVICE_USER_BYTES];
    char reason[XB_DEVICE_REASON_BYTES]; /* why free space was read; "": it was not */
};

int xb_device_backup(struct xb_repository *repository,
                     const struct xb_device_backup_options *options,
                     struct xb_device_backup_result *ret, struct xb_error *err) XB_MUST_CHECK;
/* Moves tree and record into the snapshot, with what was counted and the time. */
void xb_device_backup_fill(struct xb_device_backup_result *result, struct xb_snapshot *snapshot);
void xb_device_backup_free(struct xb_device_backup_result *result); /* what it owns */
