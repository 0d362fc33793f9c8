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

enum {
    MAKE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
    BLOCK_BYTES_MAX = 64 * 1024, /* of XFS */
    STEP_BYTES = 16 << 20        /* are in 4096 pieces at most */
};

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

/* In one step under the file's lock, as always, but over what the clone has already: XFS (since
 * Linux 5.9) passes over pieces that both share, which takes a twentieth of the time. What the
 * clone has ends at `left`; it would stay if the file is not longer than that by now. */
static bool clone_over(int fd, int clone, off_t left, struct stat *ret_st)
{
    return ioctl(clone, FICLONE, fd) == 0 && fstat(clone, ret_st) == 0 && ret_st->st_size > left;
}

/* Steps ahead of the one step, so that that is short, and no writer waits long for any of these. */
static bool clone_in_steps(int fd, int clone, struct stat *ret_st)
{
    struct stat st;
    off_t size = fstat(fd, &st) == 0 ? st.st_size : 0;
    off_t at = 0;
    for (; at + STEP_BYTES < size; at += STEP_BYTES) {
        const struct file_clone_range range = {.src_fd = fd,
                                               .src_offset = (uint64_t)at,
                                               .src_length = STEP_BYTES,
                                               .dest_offset = (uint64_t)at};
        if (ioctl(clone, FICLONERANGE, &range) < 0) {
            return false;
        }
    }
    return clone_over(fd, clone, at, ret_st);
}

static int clone_whole(int fd, int clone, struct stat *ret_st, struct xb_error *err)
{
    int r = ioctl(clone, FICLONE, fd);
    if (r < 0 && errno == EINVAL) {
        r = clone_without_cow(fd, clone);
        errno = r < 0 ? EINVAL : 0;
    }
    return r < 0 || fstat(clone, ret_st) < 0 ? xb_error_errno(err, errno, "cloning") : 0;
}

static bool on_xfs(const struct xb_freeze_cloning *cloning)
{
    return strcmp(xb_freeze_file_system_name(cloning->clones_fd), "XFS") == 0;
}

static int clone_anew(const struct xb_freeze_cloning *cloning, const char *name,
                      struct stat *ret_st, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int clone = openat(cloning->clones_fd, name, MAKE_FLAGS, 0600);
    if (clone < 0) {
        return xb_error_errno(err, errno, "making a clone");
    }
    bool in_steps = cloning->in_steps && on_xfs(cloning);
    if (in_steps && clone_in_steps(cloning->fd, clone, ret_st)) {
        return 0;
    }
    int r = in_steps && ftruncate(clone, 0) < 0 ? xb_error_errno(err, errno, "emptying a clone")
                                                : clone_whole(cloning->fd, clone, ret_st, err);
    if (r < 0) {
        (void)unlinkat(cloning->clones_fd, name, 0);
    }
    return r;
}

/* Its end is cut off before: that it has grown again shows that the file has not become shorter,
 * whatever the file's size was or is meanwhile. */
static bool cut_and_clone_over(int fd, int clone, struct stat *ret_st)
{
    struct stat st;
    if (clone < 0 || fstat(clone, &st) < 0 || st.st_size == 0) {
        return false;
    }
    off_t left = (st.st_size - 1) / BLOCK_BYTES_MAX * BLOCK_BYTES_MAX;
    return ftruncate(clone, left) == 0 && clone_over(fd, clone, left, ret_st);
}

/* It is renamed first: whatever refers to the clone of before must not find what becomes of it. */
static bool bring_up_to_date(const struct xb_freeze_cloning *cloning, const char *name,
                             struct stat *ret_st)
{
    char before[XB_FREEZE_CLONE_NAME_BYTES];
    xb_freeze_clone_name(cloning->before, before);
    if (!on_xfs(cloning) || renameat(cloning->clones_fd, before, cloning->clones_fd, name) < 0) {
        return false;
    }
    XB_CLEANUP(xb_closep)
    int clone = openat(cloning->clones_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (!cut_and_clone_over(cloning->fd, clone, ret_st)) {
        (void)unlinkat(cloning->clones_fd, name, 0);
        return false;
    }
    return true;
}

int xb_freeze_clone_file(const struct xb_freeze_cloning *cloning, struct stat *ret_st,
                         struct xb_error *err)
{
    char name[XB_FREEZE_CLONE_NAME_BYTES];
    xb_freeze_clone_name(cloning->number, name);
    return cloning->before && bring_up_to_date(cloning, name, ret_st)
               ? 0
               : clone_anew(cloning, name, ret_st, err);
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
    const struct xb_freeze_cloning probe = {
        .fd = fd, .clones_fd = clones_fd, .number = xb_freeze_clone_number(0, 0)};
    if (xb_freeze_clone_file(&probe, &st, err) < 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "its file system is %s, without blocks that files share",
                            xb_freeze_file_system_name(clones_fd));
    }
    return 0;
}
