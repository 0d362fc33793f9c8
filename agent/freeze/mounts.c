/* SPDX-License-Identifier: Apache-2.0
 * A snapshot holds nothing of what is mounted in the volume. */
#include "shared/base/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/freeze/internal.h"

int xb_freeze_find_mount_in(int fd, char ret[PATH_MAX], struct xb_error *err)
{
    char link[40];
    char folder[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, folder, sizeof folder - 1);
    if (len < 0) {
        return xb_error_errno(err, errno, "%s", link);
    }
    folder[len] = '\0';
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    int r = xb_mounts_read(XB_MOUNTS_PATH, &mounts, err);
    for (size_t i = 0; r == 0 && i < mounts.count; i++) {
        const char *point = mounts.items[i].point;
        if (xb_mount_is_in(folder, point)) {
            snprintf(ret, PATH_MAX, "%s", point);
            r = 1;
        }
    }
    return r;
}

int xb_freeze_refuse_mounts(const struct xb_freeze *freeze, struct xb_error *err)
{
    char path[PATH_MAX];
    int r = xb_freeze_find_mount_in(freeze->request.root_fd, path, err);
    return r <= 0 ? r
                  : xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                                 "%.300s is mounted in it, which a snapshot leaves out", path);
}
