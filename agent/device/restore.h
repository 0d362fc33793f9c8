/* SPDX-License-Identifier: Apache-2.0
 *
 * restore.h - an object onto a block device or into an image file.
 *
 * What for:  what backup.h, `kopia snapshot create FILE` and Velero's block uploads have stored,
 *            and any other single file of a snapshot, written in place.
 * Ownership: the caller owns everything it passes; xb_device_restore_free frees the result.
 * Threads:   one call per thread; it uses workers of its own. The progress callback comes from any
 *            of them, one at a time.
 * Blocking:  yes; returns when the data is on the device (fsync).
 * Errors:    before anything is written: CONFLICT, INVALID and others of xb_device_open_target;
 *            NOT_FOUND, CORRUPT of the repository. Once something may have been written, the text
 *            says that the target is half written: it is neither what it was nor what it should be.
 * Rules:     every byte of the object's length is right afterwards, also where there are zeros:
 *            they are made by calls that promise zeros (punching a hole, BLKZEROOUT), which also
 *            give the room back where the device can; discarding promises nothing and is not used.
 *            What a larger device has behind them stays. A regular file is emptied first.
 * Memory:    per worker one range of a pack (agent/restore/plan.h), a chunk, and a buffer.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "agent/device/device.h"

struct xb_device_restore_options {
    const char *target;
    bool dry_run;
    unsigned threads;                                                           /* 0: 2 */
    const atomic_bool *cancel;                                                  /* may be NULL */
    void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total); /* may be NULL */
    void *progress_context;
};

struct xb_device_restore_result {
    uint64_t bytes, bytes_written, bytes_zeroed;
    uint64_t reads, bytes_read;        /* requests to the store, and what came */
    uint64_t target_bytes;             /* the device's own size */
    bool block, made;                  /* made: a new file */
    struct xb_snapshot_device *before; /* what was on it */
};

/* The file of a snapshot that can be written onto a device: the one at `path` (NULL or "": the
 * root), or the only one in the folder there. NOT_FOUND if there is none. */
int xb_device_restore_find(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                           const char *path, struct xb_entry *ret,
                           struct xb_error *err) XB_MUST_CHECK;
/* Whether a snapshot is one of a device or an image, so that it becomes a file where the target is
 * not there yet. */
bool xb_device_restore_suits(const struct xb_snapshot *snapshot);

int xb_device_restore(struct xb_repository *repository, const struct xb_entry *file,
                      const struct xb_device_restore_options *options,
                      struct xb_device_restore_result *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_device_restore_free(struct xb_device_restore_result *result); /* what it owns */
