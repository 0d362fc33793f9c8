/* SPDX-License-Identifier: Apache-2.0
 *
 * mounts.h - lines of the kernel's list of mounts (pure); for the files of this folder only.
 *
 * What for:  a snapshot holds nothing of what is mounted in the volume, and a loop device's file
 *            system has a root that need not be the volume's.
 * Shapes:    proc(5), /proc/pid/mountinfo.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

struct xb_mount {
    unsigned long long id;
    char root[PATH_MAX];  /* which folder of the file system is mounted */
    char point[PATH_MAX]; /* where */
};

/* False: it is no such line. */
bool xb_mount_parse(const char *line, struct xb_mount *ret);

/* Whether the path lies in the folder, and is not the folder itself. */
bool xb_mount_is_in(const char *folder, const char *path);
