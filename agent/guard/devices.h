/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.h - the devices of one volume group that stand still, and how they go on; for the files
 *             of this folder only.
 *
 * What for:  who works on a volume group (lvcreate) suspends its devices, and one that is killed
 *            then leaves them so, and whoever writes to them waits for ever. agent/mapper/mapper.h
 *            says what is left in each case, and why it is right to go on as before.
 * Ownership: the caller's struct; `fd` is lent.
 * Threads:   one at a time per struct.
 * Blocking:  a resume waits for a suspend that is under way.
 * Errors:    those of agent/mapper. DENIED: it is no device of LVM's.
 * Limits:    XB_MAPPER_DEVICES_MAX. Nothing is allocated.
 */
#pragma once

#include "agent/guard/serve.h"
#include "agent/mapper/mapper.h"

struct xb_guard_devices {
    const struct xb_guard_mapper *mapper;
    int fd; /* of the device mapper */
    struct xb_mapper_device watched;
    struct xb_mapper_list list;
    struct xb_mapper_device one;
    struct {
        struct xb_mapper_id id;
        unsigned layer;
    } suspended[XB_MAPPER_DEVICES_MAX];
};

/* The group that the device belongs to. `mapper` NULL: the real one. */
int xb_guard_devices_of(struct xb_mapper_id id, const struct xb_guard_mapper *mapper, int fd,
                        struct xb_guard_devices *ret, struct xb_error *err) XB_MUST_CHECK;
/* Returns how many are suspended. */
int xb_guard_devices_suspended(struct xb_guard_devices *devices,
                               struct xb_error *err) XB_MUST_CHECK;
/* Resumes those, the lower ones first and the watched one last, and says so in the log. Returns how
 * many it has found suspended; what cannot be resumed is an error, after all others. */
int xb_guard_devices_resume(struct xb_guard_devices *devices, struct xb_error *err) XB_MUST_CHECK;
