/* SPDX-License-Identifier: Apache-2.0
 *
 * mapper.h - a small client of the kernel's device mapper, without a library.
 *
 * What for:  whether a volume's device stands still (suspended), to let it go on (resume), and how
 *            full its snapshot or its thin pool is.
 * Ownership: the caller owns the descriptor of /dev/mapper/control; the rest is the caller's.
 * Threads:   any number with one descriptor.
 * Blocking:  asking never waits for a device. A resume waits for a suspend that is under way.
 *            Nothing is allocated: it is for those who must not fail then (the bracket guard).
 * Errors:    NOT_FOUND: no such device, or no device mapper; DENIED: no CAP_SYS_ADMIN; CORRUPT:
 *            the kernel's answer is none; FULL: more devices than XB_MAPPER_DEVICES_MAX.
 * Limits:    XB_MAPPER_*.
 * Source:    <linux/dm-ioctl.h>; the kernel's Documentation/admin-guide/device-mapper/ (snapshot,
 *            thin-provisioning).
 *
 * What a killed lvcreate leaves (LVM 2.03.16, Linux 6.1; killed after each of its changes to the
 * device mapper, tests/vm/guard_test):
 *
 *   Thin:  LVM's own record with the new volume and the message "create_snap ID" is on the disk
 *          first. Then: suspend origin, create_snap, set_transaction_id, resume origin. While the
 *          origin is suspended it has no other table waiting, so that a resume is what was before.
 *          Killed between the two messages the pool has the snapshot, and LVM believes that it has
 *          not: each later change of the pool fails ("already contain thin device with device_id"),
 *          until somebody tells the pool to delete it (docs/operations.md: by hand, since a
 *          wrong ID deletes a volume).
 *   Thick: devices and tables are prepared (NAME-real, the snapshot and its -cow), then suspend
 *          origin, suspend NAME-real, (LVM's own record is written), resume NAME-real, resume
 *          snapshot, resume origin. The table that waits for the origin leads through NAME-real,
 *          which may have none in use yet: a plain resume would give the application errors. So
 *          the waiting table is dropped first; the one in use leads to the same blocks, always.
 *          What is left are devices that LVM no longer knows once the snapshot is removed: that one
 *          and its -cow, NAME-real.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum {
    XB_MAPPER_NAME_BYTES = 128,
    XB_MAPPER_UUID_BYTES = 129,
    XB_MAPPER_TYPE_BYTES = 16,
    XB_MAPPER_TEXT_BYTES = 512, /* of a target's state */
    XB_MAPPER_DEVICES_MAX = 512
};

struct xb_mapper_id {
    unsigned major, minor;
};

struct xb_mapper_device {
    struct xb_mapper_id id;
    char name[XB_MAPPER_NAME_BYTES];
    char uuid[XB_MAPPER_UUID_BYTES]; /* "": it has none */
    bool suspended;
    bool active, waiting; /* has a table in use; has another one, that a resume would take */
    int32_t open_count;
};

struct xb_mapper_list {
    size_t count;
    struct xb_mapper_id ids[XB_MAPPER_DEVICES_MAX];
};

/* A device's first target, which is its only one where there is something to be read in it. */
struct xb_mapper_target {
    char type[XB_MAPPER_TYPE_BYTES]; /* "snapshot", "thin-pool", ...; "": it has no table */
    char text[XB_MAPPER_TEXT_BYTES];
};

/* Returns a descriptor. */
int xb_mapper_open(struct xb_error *err) XB_MUST_CHECK;
int xb_mapper_info(int fd, struct xb_mapper_id id, struct xb_mapper_device *ret,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_mapper_list(int fd, struct xb_mapper_list *ret, struct xb_error *err) XB_MUST_CHECK;
int xb_mapper_status(int fd, struct xb_mapper_id id, struct xb_mapper_target *ret,
                     struct xb_error *err) XB_MUST_CHECK;
/* A suspended device goes on as it was: with the table that it has, and not with one that waits
 * (see above), which is dropped. One that is not suspended stays as it is. */
int xb_mapper_resume(int fd, struct xb_mapper_id id, struct xb_error *err) XB_MUST_CHECK;

/* ---- what a state says (pure) ---- */

/* Digits, as many as there are from *at on, which then is behind them. False: there are none, or
 * too many. */
bool xb_mapper_number(const char **at, uint64_t *ret);

struct xb_mapper_snapshot {
    bool lost; /* it is no copy any more: it was full, or could not be written */
    uint64_t used_sectors, total_sectors;
};
/* Of a target of type "snapshot". CORRUPT: its text is none. */
int xb_mapper_snapshot_parse(const char *text, struct xb_mapper_snapshot *ret,
                             struct xb_error *err) XB_MUST_CHECK;

struct xb_mapper_pool {
    bool failed;       /* it cannot be used, and says nothing else */
    bool writable;     /* neither read-only nor out of space */
    bool out_of_space; /* of data */
    uint64_t transaction;
    uint64_t used_metadata, total_metadata; /* blocks of the metadata */
    uint64_t used_data, total_data;         /* blocks of the pool's own size */
};
/* Of a target of type "thin-pool". */
int xb_mapper_pool_parse(const char *text, struct xb_mapper_pool *ret,
                         struct xb_error *err) XB_MUST_CHECK;

/* ---- LVM's names of devices (pure) ---- */

enum { XB_MAPPER_GROUP_BYTES = 32 };

/* Whether it is a device of LVM's: "LVM-", 32 characters of its volume group, 32 of its volume, and
 * perhaps what it is of that volume ("-real", "-cow", "-tpool"). */
bool xb_mapper_is_lvm(const char *uuid);
/* Whether both are, and of one volume group. */
bool xb_mapper_same_group(const char *uuid, const char *other);
/* Devices with a lower one lie below those with a higher one. */
unsigned xb_mapper_layer(const char *uuid);
