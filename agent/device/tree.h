/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.h - what stands around the object of a device or image in a snapshot.
 *
 * What for:  backup.c writes it at the end and for checkpoints (backup.h, Shapes).
 * Ownership: xb_device_tree_free frees what the struct owns.
 */
#pragma once

#include "agent/device/device.h"

struct xb_device_tree {
    char *name;
    bool folder; /* a folder around it */
    uint32_t mode, uid, gid;
    int64_t mtime_ns;
    struct xb_hole *holes;
    size_t hole_count;
    struct xb_object_id object;
    uint64_t bytes;
    bool changed, incomplete;
};

int xb_device_tree_begin(const struct xb_device *device, const char *path,
                         struct xb_device_tree *ret, struct xb_error *err) XB_MUST_CHECK;
/* Ascending; too many are left out, which loses only room. Devices have none. */
int xb_device_tree_hole(struct xb_device_tree *tree, uint64_t offset, uint64_t len,
                        struct xb_error *err) XB_MUST_CHECK;
/* Makes the root entry; a folder is written into the repository. */
int xb_device_tree_write(struct xb_repository *repository, const struct xb_device_tree *tree,
                         struct xb_entry *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_device_tree_free(struct xb_device_tree *tree);
