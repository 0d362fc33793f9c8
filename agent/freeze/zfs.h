/* SPDX-License-Identifier: Apache-2.0
 *
 * zfs.h - what zfs.c does without a ZFS: names, and what is left over; for the files of this folder
 *         only.
 *
 * What for:  EXPERIMENTAL. No kernel with ZFS was at hand where this was written: it follows what
 *            OpenZFS for Linux documents and does, and has never met one. It is off unless somebody
 *            names the method, refuses whatever differs from what it expects, and its parts that
 *            need no ZFS have tests.
 * Ownership: nothing is kept.
 * Threads:   any.
 * Shapes:    a copy NAME is the snapshot XB_ZFS_PREFIX NAME of the volume's dataset, made, listed
 *            and removed as a folder in `.zfs/snapshot` of the dataset's root. It is in use as long
 *            as the folder XB_FREEZE_FOLDER/NAME in the dataset's root is locked, which is there
 *            before the snapshot and goes after it.
 * Errors:    INVALID: not to be had, with the reason.
 */
#pragma once

#include <limits.h>

#include "agent/freeze/freeze.h"
#include "shared/base/mounts.h"

#define XB_ZFS_PREFIX "xebec-point-in-time-"

enum { XB_ZFS_DATASET_BYTES = 256 };

/* The dataset that is mounted as that device (pure): "pool/a/b". A snapshot is none. */
int xb_zfs_dataset(const struct xb_mounts *mounts, unsigned major, unsigned minor,
                   char ret[XB_ZFS_DATASET_BYTES], struct xb_error *err) XB_MUST_CHECK;
/* A copy's snapshot (pure). INVALID: a name that ZFS would not take. */
int xb_zfs_snapshot_name(const char *copy, char ret[NAME_MAX + 1],
                         struct xb_error *err) XB_MUST_CHECK;
/* The copy that a snapshot is (pure), lent by its name; NULL: it is none of ours. */
const char *xb_zfs_copy_of(const char *snapshot);

/* Removes snapshots of ours that nobody uses; counts them in *removed. Returns how many are left
 * that cannot be removed. */
unsigned xb_zfs_sweep_in(int top_fd, int snapshots_fd, int *removed);
/* The same for the dataset in which an open folder lies; 0 for a folder elsewhere. */
unsigned xb_zfs_sweep(int root_fd, int *removed);
