/* SPDX-License-Identifier: Apache-2.0
 *
 * free_xfs.h - what the two files of the XFS parser share; for them only.
 *
 * What for:  free_xfs.c reads superblock and trees, free_xfs_log.c says whether the log is clean.
 */
#pragma once

#include "agent/device/free.h"

enum { XB_FREE_XFS_SECTOR_BYTES_MAX = 32768 };

struct xb_free_xfs {
    unsigned char super[XB_FREE_XFS_SECTOR_BYTES_MAX]; /* sector_bytes of it */
    unsigned char meta_uuid[16];
    uint32_t block_bytes, sector_bytes, ag_blocks, ags, log_blocks;
    unsigned ag_log;
    uint64_t blocks, free_blocks, log_start;
    uint64_t log_offset, log_bytes; /* in the device */
};

/* INVALID unless the last thing in the log is the record of a clean unmount. */
int xb_free_xfs_log(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                    struct xb_error *err) XB_MUST_CHECK;
