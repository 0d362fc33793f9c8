/* SPDX-License-Identifier: Apache-2.0
 * Opening devices and image files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/device/device.h"
#include "shared/base/mounts.h"

enum { FILE_MODE = 0600 };

static const struct xb_device_places places = {
    .mountinfo = XB_MOUNTS_PATH, .swaps = "/proc/swaps", .sys_block = "/sys/dev/block"};

bool xb_device_is(const struct stat *st)
{
    return S_ISBLK(st->st_mode) || S_ISREG(st->st_mode);
}

void xb_device_close(struct xb_device *device)
{
    xb_closep(&device->fd);
    xb_closep(&device->cached_fd);
    device->fd = device->cached_fd = -1;
}

/* Whether nobody else has the file open for writing (`alone`: at all). The lease itself is given
 * back: who comes later is found by the file's times. */
static bool lease_tells(int fd, bool alone, bool *ret_knows)
{
    if (fcntl(fd, F_SETLEASE, alone ? F_WRLCK : F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        *ret_knows = true;
        return true;
    }
    *ret_knows = errno == EAGAIN || errno == EBUSY;
    return false;
}

static int measure(const char *path, struct xb_device *device, struct xb_error *err)
{
    int sector = 0;
    if (fstat(device->cached_fd, &device->st) < 0) {
        return xb_error_errno(err, errno, "%s", path);
    }
    device->block = S_ISBLK(device->st.st_mode);
    device->sector_bytes = 512;
    device->align = XB_DEVICE_ALIGN_BYTES;
    if (!xb_device_is(&device->st)) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTBLK,
                            "%s is neither a block device nor a regular file", path);
    }
    if (!device->block) {
        device->size = (uint64_t)device->st.st_size;
        return 0;
    }
    if (ioctl(device->cached_fd, BLKGETSIZE64, &device->size) < 0 ||
        ioctl(device->cached_fd, BLKSSZGET, &sector) < 0) {
        return xb_error_errno(err, errno, "asking %s for its size", path);
    }
    if (sector < 512 || sector > 65536 || (sector & (sector - 1))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s has sectors of %d bytes", path,
                            sector);
    }
    device->sector_bytes = (uint32_t)sector;
    if (device->sector_bytes > device->align) {
        device->align = device->sector_bytes;
    }
    return 0;
}

/* A second descriptor of the same thing, past the page cache where that is possible. */
static int open_direct(const char *path, int flags, struct xb_device *device, struct xb_error *err)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", device->cached_fd);
    device->fd = open(self, flags | O_DIRECT | O_CLOEXEC);
    device->direct = device->fd >= 0;
    if (device->fd < 0 && errno == EINVAL) {
        device->fd = open(self, flags | O_CLOEXEC);
    }
    return device->fd < 0 ? xb_error_errno(err, errno, "opening %s", path) : 0;
}

/* Opens the claimed descriptor; *ret_busy: somebody has it. */
static int claim(const char *path, int flags, bool *ret_busy)
{
    struct stat st;
    bool block = stat(path, &st) == 0 && S_ISBLK(st.st_mode);
    int fd = open(path, flags | (block ? O_EXCL : 0) | O_CLOEXEC | O_NONBLOCK, FILE_MODE);
    *ret_busy = fd < 0 && errno == EBUSY && block;
    return fd;
}

int xb_device_open_source(const char *path, struct xb_device *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_device_close) struct xb_device device = {.fd = -1, .cached_fd = -1};
    bool busy = false;
    bool knows = false;
    device.cached_fd = claim(path, O_RDONLY, &busy);
    if (busy) {
        device.cached_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (device.cached_fd < 0) {
        return xb_error_errno(err, errno, "opening %s", path);
    }
    int r = measure(path, &device, err);
    if (r < 0 || (r = open_direct(path, O_RDONLY, &device, err)) < 0) {
        return r;
    }
    device.exclusive = device.block ? !busy : lease_tells(device.cached_fd, false, &knows);
    if (busy) {
        xb_device_find_user(&places, device.st.st_rdev, device.user);
    }
    *ret = device;
    device.fd = device.cached_fd = -1;
    return 0;
}

/* ---- targets ---- */

static int refuse_busy(const char *path, struct xb_error *err)
{
    char user[XB_DEVICE_USER_BYTES] = "";
    struct stat st;
    if (stat(path, &st) == 0) {
        xb_device_find_user(&places, st.st_rdev, user);
    }
    return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                        "%s is in use (%s); unmount or release it first, nothing was written", path,
                        user[0] ? user : "by another program, or in another namespace");
}

static int check_target(const struct xb_device_target *target, struct xb_device *device,
                        struct xb_error *err)
{
    int read_only = 0;
    bool knows = false;
    if (!device->block) {
        if (!lease_tells(device->cached_fd, true, &knows) && knows) {
            return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                                "%s is open in another program (a virtual machine, or a loop "
                                "device); end that first, nothing was written",
                                target->path);
        }
        return 0;
    }
    if (ioctl(device->cached_fd, BLKROGET, &read_only) < 0) {
        return xb_error_errno(err, errno, "asking %s whether it can be written", target->path);
    }
    if (read_only) {
        return xb_error_set(err, XB_ERR_INVALID, -EROFS,
                            "%s is read-only (blockdev --setrw makes it writable, if its driver "
                            "does)",
                            target->path);
    }
    if (device->size < target->need) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOSPC,
                            "%s has %" PRIu64 " bytes and the snapshot %" PRIu64
                            "; take a device that is as large, nothing was written",
                            target->path, device->size, target->need);
    }
    return 0;
}

int xb_device_open_target(const struct xb_device_target *target, struct xb_device *ret,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_device_close) struct xb_device device = {.fd = -1, .cached_fd = -1};
    bool busy = false;
    int flags = target->look ? O_RDONLY : O_RDWR;
    device.cached_fd = claim(target->path, flags, &busy);
    if (device.cached_fd < 0 && errno == ENOENT) {
        if (target->look) {
            device.align = XB_DEVICE_ALIGN_BYTES;
            *ret = device;
            return 0;
        }
        /* O_EXCL: a regular file of ours, not what somebody has put there meanwhile. */
        device.cached_fd = open(target->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    }
    if (busy) {
        return refuse_busy(target->path, err);
    }
    if (device.cached_fd < 0) {
        return xb_error_errno(err, errno, "opening %s for writing", target->path);
    }
    int r = measure(target->path, &device, err);
    if (r < 0 || (r = check_target(target, &device, err)) < 0 ||
        (r = open_direct(target->path, flags, &device, err)) < 0) {
        return r;
    }
    device.exclusive = true;
    *ret = device;
    device.fd = device.cached_fd = -1;
    return 0;
}

int xb_device_set_length(struct xb_device *device, uint64_t bytes, struct xb_error *err)
{
    if (device->block) {
        return 0;
    }
    if (ftruncate(device->cached_fd, (off_t)bytes) < 0) {
        return xb_error_errno(err, errno, "setting the file's length to %" PRIu64, bytes);
    }
    device->size = bytes;
    return 0;
}
