/* SPDX-License-Identifier: Apache-2.0
 *
 * mounts.h - what is mounted where, by the kernel's own list.
 *
 * What for:  the one place that knows how a line of mountinfo is written: its fields, and that
 *            blanks, newlines and backslashes in them are octal numbers.
 * Ownership: the texts belong to the list, which xb_mounts_free frees; an empty one is
 *            `struct xb_mounts mounts = {.count = 0};`.
 * Threads:   any; one list by one thread.
 * Blocking:  xb_mounts_read reads a file of the kernel's; the others never.
 * Shapes:    in the kernel's order: of two mounts at one place the later hides the earlier.
 *            Fields are decoded; tags (shared:1) and the file system's own options are left out.
 * Errors:    CORRUPT: a line that is none; the list is then refused as a whole, since who asks
 *            what must not be touched cannot do with half of it. FULL: more than the limits.
 * Limits:    XB_MOUNTS_*.
 * Source:    proc(5), "/proc/pid/mountinfo".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

#define XB_MOUNTS_PATH "/proc/self/mountinfo"

enum {
    XB_MOUNTS_MAX = 100000, /* the kernel's own limit of one namespace, unless changed */
    XB_MOUNTS_BYTES_MAX = 16 << 20
};

struct xb_mount {
    uint64_t id, parent;
    unsigned major, minor; /* of the file system: the same for all its mounts */
    const char *root;      /* which folder of the file system is mounted */
    const char *point;     /* where, as seen from this process's root */
    const char *options;   /* of the mount: "rw,nosuid" */
    const char *type;      /* of the file system */
    const char *source;    /* a device, or whatever was given; may be "" */
};

struct xb_mounts {
    struct xb_mount *items;
    size_t count;
    char *text; /* what the items' texts lie in */
};

int xb_mounts_parse(const char *text, size_t len, struct xb_mounts *ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* The list of this process's namespace is at XB_MOUNTS_PATH. */
int xb_mounts_read(const char *path, struct xb_mounts *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_mounts_free(struct xb_mounts *mounts);

/* Whether the path lies in the folder, and is not the folder itself. */
bool xb_mount_is_in(const char *folder, const char *path);
