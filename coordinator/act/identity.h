/* SPDX-License-Identifier: Apache-2.0
 *
 * identity.h - under which name this process holds the leader's lease.
 *
 * What for:  a process that is killed cannot give its lease back, and whoever comes next must wait
 *            until it has run out. Not its own successor on the same scratch folder: that one knows
 *            that nobody else can still act under the name, and goes on under it at once.
 * Ownership: the caller's; xb_identity_close.    Threads: one.    Blocking: scratch disk only.
 * Rules:     the name stands in a file in the scratch folder, with the id of this boot of this
 *            kernel, and its user keeps the file locked as long as he lives. Who gets the lock
 *            under the same kernel therefore knows that the process before has ended: no clock, no
 *            API server and no missing pod tells that (a pod that was deleted by force, or whose
 *            node is cut off, is gone there and may still run). Anything else in the file, or a
 *            lock that cannot be had, means a new name.
 * Errors:    none: without the file, the name is one that nobody has had.
 */
#pragma once

#include "shared/velero/velero.h"

enum { XB_IDENTITY_BYTES = XB_VELERO_NAME_BYTES + 16, XB_BOOT_ID_BYTES = 40 };

struct xb_identity {
    char name[XB_IDENTITY_BYTES];
    int fd; /* locked; -1: the name ends with this process */
};

struct xb_identity_place {
    const char *scratch; /* folder; it exists */
    const char *pod;     /* the name begins with this */
    const char *boot_id; /* NULL: of the kernel */
};
void xb_identity_open(const struct xb_identity_place *place, struct xb_identity *ret);
void xb_identity_close(struct xb_identity *identity);
