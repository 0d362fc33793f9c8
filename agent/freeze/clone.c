/* SPDX-License-Identifier: Apache-2.0
 * One file's bytes, shared with another file. The kernel locks the file for that long, so that they
 * are of one moment. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/freeze/internal.h"

enum { MAKE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };

void xb_freeze_clone_name(uint64_t number, char ret[XB_FREEZE_CLONE_NAME_BYTES])
{
    snprintf(ret, XB_FREEZE_CLONE_NAME_BYTES, "%u/%" PRIu64, (unsigned)(number >> 48) - 1,
             number & ((UINT64_C(1) << 48) - 1));
}

/* Files that are not copied on write (databases on btrfs often are) share only with their like. */
static int clone_without_cow(int fd, int clone)
{
    int flags = 0;
    if (ioctl(clone, FS_IOC_GETFLAGS, &flags) < 0) {
        return -1;
    }
    flags |= FS_NOCOW_FL;
    return ioctl(clone, FS_IOC_SETFLAGS, &flags) < 0 ? -1 : ioctl(clone, FICLONE, fd);
}

int xb_freeze_clone_file(int fd, int clones_fd, uint64_t number, struct stat *ret_st,
                         struct xb_error *err)
{
    char name[XB_FREEZE_CLONE_NAME_BYTES];
    xb_freeze_clone_name(number, name);
    XB_CLEANUP(xb_closep) int clone = openat(clones_fd, name, MAKE_FLAGS, 0600);
    if (clone < 0) {
        return xb_error_errno(err, errno, "making a clone");
    }
    int r = ioctl(clone, FICLONE, fd);
    if (r < 0 && errno == EINVAL) {
        r = clone_without_cow(fd, clone);
        errno = r < 0 ? EINVAL : 0;
    }
    if (r < 0) {
        int error = errno;
        (void)unlinkat(clones_fd, name, 0);
        return xb_error_errno(err, error, "cloning");
    }
    return fstat(clone, ret_st) < 0 ? xb_error_errno(err, errno, "a clone's attributes") : 0;
}

int xb_freeze_clone_prepare(int clones_fd, unsigned threads, struct xb_error *err)
{
    char name[16];
    struct stat st;
    for (unsigned i = 0; i < threads; i++) {
        snprintf(name, sizeof name, "%u", i);
        if (mkdirat(clones_fd, name, 0700) < 0) {
            return xb_error_errno(err, errno, "making a folder for clones");
        }
    }
    XB_CLEANUP(xb_closep) int empty = openat(clones_fd, "probe", MAKE_FLAGS, 0600);
    XB_CLEANUP(xb_closep) int fd = openat(clones_fd, "probe", O_RDONLY | O_CLOEXEC);
    if (empty < 0 || fd < 0) {
        return xb_error_errno(err, errno, "making a file for clones");
    }
    if (xb_freeze_clone_file(fd, clones_fd, xb_freeze_clone_number(0, 0), &st, err) < 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "its file system is %s, without blocks that files share",
                            xb_freeze_file_system_name(clones_fd));
    }
    return 0;
}
