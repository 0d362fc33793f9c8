/* SPDX-License-Identifier: Apache-2.0
 * Mounts that hang on a descriptor, and nowhere else: nobody else sees them, and whoever is killed
 * leaves none behind. And how a volume's folder is found in the mount of its copy, whatever its
 * path is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/freeze/internal.h"

int xb_freeze_mount(const struct xb_freeze_mounting *mounting, struct xb_error *err)
{
    const unsigned attributes = (mounting->read_only ? MOUNT_ATTR_RDONLY : 0) | MOUNT_ATTR_NOSUID |
                                MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    XB_CLEANUP(xb_closep) int fs = fsopen(mounting->type, FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", mounting->source, 0) < 0 ||
        (mounting->read_only && fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0) ||
        (mounting->option && fsconfig(fs, FSCONFIG_SET_FLAG, mounting->option, NULL, 0) < 0) ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        return xb_error_errno(err, errno, "mounting %.200s", mounting->source);
    }
    /* What fsmount gives only names the place. */
    XB_CLEANUP(xb_closep) int mounted = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    int top = mounted < 0 ? -1 : openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return top < 0 ? xb_error_errno(err, errno, "mounting %.200s", mounting->source) : top;
}

int xb_freeze_image_kind(int fd, const char **ret, struct xb_error *err)
{
    const char *name = xb_freeze_file_system_name(fd);
    const char *kind = strcmp(name, "XFS") == 0 ? "xfs" : strcmp(name, "ext4") == 0 ? "ext4" : NULL;
    if (!kind) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "its file system is %s", name);
    }
    *ret = kind;
    return 0;
}

/* Read-only for us; its journal is replayed into the copy all the same. An XFS of that name is
 * mounted already: the original. */
int xb_freeze_mount_image(const char *kind, const char *device, struct xb_error *err)
{
    const struct xb_freeze_mounting mounting = {.type = kind,
                                                .source = device,
                                                .option =
                                                    strcmp(kind, "xfs") == 0 ? "nouuid" : NULL,
                                                .read_only = true};
    return xb_freeze_mount(&mounting, err);
}

int xb_freeze_handle_of(int fd, struct xb_freeze_handle *ret, struct xb_error *err)
{
    struct file_handle *handle = (void *)ret->bytes;
    int mount_id = 0;
    handle->handle_bytes = XB_FREEZE_HANDLE_BYTES_MAX;
    return name_to_handle_at(fd, "", handle, &mount_id, AT_EMPTY_PATH) < 0
               ? xb_error_errno(err, errno, "naming its folder")
               : 0;
}

int xb_freeze_handle_open(int mounted_fd, const struct xb_freeze_handle *handle,
                          struct xb_error *err)
{
    struct xb_freeze_handle copy = *handle;
    int fd = open_by_handle_at(mounted_fd, (void *)copy.bytes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? xb_error_errno(err, errno, "finding its folder in the copy") : fd;
}
