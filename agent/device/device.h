/* SPDX-License-Identifier: Apache-2.0
 *
 * device.h - block devices and image files: what they are, who uses them, and opening them.
 *
 * What for:  backup.h reads one as one object, restore.h writes one back. This is the only room
 *            that knows of devices' sizes, claims and contents, and the only user of libblkid.
 * Ownership: xb_device_close closes what was opened; xb_device_record_free frees a record's texts.
 * Threads:   any; one struct by one thread, but for its descriptors.
 * Blocking:  yes (devices).
 * Errors:    NOT_FOUND, DENIED, IO as the system says; INVALID: neither a block device nor a
 *            regular file, too small, read-only; CONFLICT: in use, with who uses it and what to do.
 * Rules:     a source is claimed for ourselves if nobody else has it: then nobody can mount it
 *            while it is read (`exclusive`). A source in use is read all the same; a target in use
 *            is refused. The claim is the kernel's own (O_EXCL on a block device), which knows the
 *            mounts of every namespace. A regular file is exclusive if nobody has it open for
 *            writing (a lease tells; file systems without leases: never).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "shared/repository/snapshot.h"

enum {
    XB_DEVICE_ALIGN_BYTES = 4096,
    XB_DEVICE_CHUNK_BYTES = 1024 * 1024, /* an object's chunks */
    XB_DEVICE_USER_BYTES = 200
};

struct xb_device {
    int fd;        /* past the page cache if `direct`; offsets, lengths and memory in `align` */
    int cached_fd; /* through it; holds the claim */
    bool block, direct, exclusive;
    uint64_t size;
    uint32_t sector_bytes, align;
    struct stat st;                  /* as it was opened */
    char user[XB_DEVICE_USER_BYTES]; /* who has it, as far as that can be found; "" */
};

/* Whether a path (links are followed) is something for this module. */
bool xb_device_is(const struct stat *st);

int xb_device_open_source(const char *path, struct xb_device *ret,
                          struct xb_error *err) XB_MUST_CHECK;
/* Opens for writing and claims. A regular file is made if it is not there; it gets the length that
 * is wanted only by xb_device_set_length. `look` only looks: nothing is made, and read-only
 * descriptors are handed out (-1 for a file that is not there). `need`: bytes that have to fit. */
struct xb_device_target {
    const char *path;
    uint64_t need;
    bool look;
};
int xb_device_open_target(const struct xb_device_target *target, struct xb_device *ret,
                          struct xb_error *err) XB_MUST_CHECK;
/* A regular file becomes so long; a block device stays as it is. */
int xb_device_set_length(struct xb_device *device, uint64_t bytes,
                         struct xb_error *err) XB_MUST_CHECK;
void xb_device_close(struct xb_device *device);

/* What is on it, for the record: a file system's or partition table's type, label and uuid. What
 * cannot be told stays empty; that is no error. */
void xb_device_identify(const struct xb_device *device, struct xb_snapshot_device *ret);

/* Finds out who uses the block device `number`: "mounted at /mnt", "swap", "used by dm-0"; "" if
 * none can be named. For use.c's tests, where proc and sys lie. */
struct xb_device_places {
    const char *mountinfo, *swaps, *sys_block;
};
void xb_device_find_user(const struct xb_device_places *places, dev_t number,
                         char ret[XB_DEVICE_USER_BYTES]);
