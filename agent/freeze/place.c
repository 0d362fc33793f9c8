/* SPDX-License-Identifier: Apache-2.0
 * Where copies lie. They need names, and an application must not find them among its files: so they
 * lie in a folder of the administrator's, or beside the volume's folder, and only where neither is
 * on the same file system in the volume itself. All of them are two levels deep at most. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/freeze/internal.h"
#include "agent/freeze/lvm_node.h"
#include "agent/freeze/zfs.h"

enum { TRIES_MAX = 5, FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/* ---- what a folder lies on ---- */

static bool is_btrfs(int fd)
{
    struct statfs st;
    return fstatfs(fd, &st) == 0 && st.f_type == BTRFS_SUPER_MAGIC;
}

const char *xb_freeze_file_system_name(int fd)
{
    static const struct {
        long type;
        const char *name;
    } known[] = {{BTRFS_SUPER_MAGIC, "btrfs"}, {0x58465342, "XFS"},
                 {EXT4_SUPER_MAGIC, "ext4"},   {TMPFS_MAGIC, "tmpfs"},
                 {NFS_SUPER_MAGIC, "NFS"},     {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
                 {0x2fc12fc1, "ZFS"},          {0x65735546, "FUSE"}};
    struct statfs st;
    if (fstatfs(fd, &st) == 0) {
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (known[i].type == st.f_type) {
                return known[i].name;
            }
        }
    }
    return "of another kind";
}

/* Each subvolume of a btrfs has a device number of its own. */
bool xb_freeze_same_file_system(int a, int b)
{
    struct stat st_a;
    struct stat st_b;
    struct btrfs_ioctl_fs_info_args info_a = {.flags = 0};
    struct btrfs_ioctl_fs_info_args info_b = {.flags = 0};
    if (fstat(a, &st_a) < 0 || fstat(b, &st_b) < 0) {
        return false;
    }
    if (st_a.st_dev == st_b.st_dev) {
        return true;
    }
    return is_btrfs(a) && is_btrfs(b) && ioctl(a, BTRFS_IOC_FS_INFO, &info_a) == 0 &&
           ioctl(b, BTRFS_IOC_FS_INFO, &info_b) == 0 &&
           memcmp(info_a.fsid, info_b.fsid, sizeof info_a.fsid) == 0;
}

bool xb_freeze_is_subvolume(int fd)
{
    struct stat st;
    return is_btrfs(fd) && fstat(fd, &st) == 0 && st.st_ino == BTRFS_FIRST_FREE_OBJECTID;
}

/* Only a folder that nobody else may write into is ours. */
static int open_ours(int above, struct xb_error *err)
{
    struct stat st;
    XB_CLEANUP(xb_closep) int fd = openat(above, XB_FREEZE_FOLDER, FOLDER_FLAGS);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return xb_error_errno(err, errno, "opening " XB_FREEZE_FOLDER);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                            XB_FREEZE_FOLDER " is there and belongs to somebody else");
    }
    return XB_TAKE_FD(fd);
}

/* ---- removing ---- */

static int remove_subvolume(int above, const char *name)
{
    struct btrfs_ioctl_vol_args args = {.fd = 0};
    if (strlen(name) >= sizeof args.name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(args.name, name, strlen(name));
    return ioctl(above, BTRFS_IOC_SNAP_DESTROY, &args);
}

/* Calls `remove` with every name. Returns how many could not be removed. */
static unsigned remove_names(int fd, unsigned remove(int fd, const char *name))
{
    unsigned left = 0;
    int own = openat(fd, ".", FOLDER_FLAGS);
    XB_CLEANUP(xb_closedirp) DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (!dir) {
        if (own >= 0) {
            close(own);
        }
        return 1;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            left += remove(fd, entry->d_name);
        }
    }
    return left;
}

static unsigned remove_file(int fd, const char *name)
{
    return unlinkat(fd, name, 0) < 0 && errno != ENOENT;
}

/* What lies in a copy's folder: a snapshot, files, folders of files. */
static unsigned remove_content(int fd, const char *name)
{
    XB_CLEANUP(xb_closep) int folder = openat(fd, name, FOLDER_FLAGS);
    if (folder < 0) {
        return remove_file(fd, name);
    }
    if (xb_freeze_is_subvolume(folder)) {
        return remove_subvolume(fd, name) < 0 && errno != ENOENT;
    }
    unsigned left = remove_names(folder, remove_file);
    return left + (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT);
}

/* A copy's folder, if nobody holds it: taken or left, and counted as either. */
static unsigned sweep_copy(int holder, const char *name, int *ret_removed)
{
    XB_CLEANUP(xb_closep) int fd = openat(holder, name, FOLDER_FLAGS);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return 0;
    }
    unsigned left = remove_names(fd, remove_content);
    if (left == 0 && unlinkat(holder, name, AT_REMOVEDIR) == 0) {
        ++*ret_removed;
        return 0;
    }
    return 1;
}

static void remove_holder(int above)
{
    (void)unlinkat(above, XB_FREEZE_FOLDER, AT_REMOVEDIR); /* others may have copies there */
}

void xb_freeze_place_remove(struct xb_freeze *freeze)
{
    struct xb_freeze_place *place = &freeze->place;
    if (place->fd >= 0 && remove_names(place->fd, remove_content) == 0 &&
        unlinkat(place->holder_fd, place->name, AT_REMOVEDIR) == 0) {
        remove_holder(place->above_fd);
    }
}

void xb_freeze_place_close(struct xb_freeze *freeze)
{
    xb_closep(&freeze->place.fd);
    xb_closep(&freeze->place.holder_fd);
    xb_closep(&freeze->place.above_fd);
    freeze->place = XB_FREEZE_NO_PLACE;
}

/* ---- making ---- */

static int open_holder(int above, struct xb_error *err)
{
    if (mkdirat(above, XB_FREEZE_FOLDER, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "making " XB_FREEZE_FOLDER);
    }
    return open_ours(above, err);
}

static bool still_linked(int holder, const char *name, int fd)
{
    struct stat here;
    struct stat there;
    return fstat(fd, &here) == 0 && fstatat(holder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

/* A sweep of another process may take the folder before it is locked: -EAGAIN then. */
static int lock_folder(int holder, const char *name, struct xb_error *err)
{
    if (mkdirat(holder, name, 0700) < 0 && errno != EEXIST) {
        return errno == ENOENT ? xb_error_set(err, XB_ERR_RETRY, -EAGAIN, "swept away")
                               : xb_error_errno(err, errno, "making the copy's folder");
    }
    XB_CLEANUP(xb_closep) int fd = openat(holder, name, FOLDER_FLAGS);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK
                   ? xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                                  "a copy named %.100s is in use by another process", name)
                   : xb_error_errno(err, errno, "locking the copy's folder");
    }
    if (fd < 0 || !still_linked(holder, name, fd)) {
        return xb_error_set(err, XB_ERR_RETRY, -EAGAIN, "swept away");
    }
    if (remove_names(fd, remove_content) > 0) {
        return xb_error_set(err, XB_ERR_IO, -EIO, "a left-over copy cannot be removed");
    }
    return XB_TAKE_FD(fd);
}

/* Takes `above` over if it succeeds. */
static int make_in(struct xb_freeze *freeze, int *above, struct xb_error *err)
{
    struct xb_freeze_place *place = &freeze->place;
    int r = -EAGAIN;
    for (int try = 0; try < TRIES_MAX && r == -EAGAIN; try++) {
        XB_CLEANUP(xb_closep) int holder = open_holder(*above, err);
        int fd = holder < 0 ? holder : lock_folder(holder, place->name, err);
        if (fd >= 0) {
            place->fd = fd;
            place->holder_fd = XB_TAKE_FD(holder);
            place->above_fd = XB_TAKE_FD(*above);
            return 0;
        }
        r = fd;
    }
    remove_holder(*above);
    return r;
}

/* The n-th folder in which the copy may lie: *ret_fd -1 if it cannot. False: there are no more. */
static bool candidate(const struct xb_freeze_request *request, size_t n, int *ret_fd)
{
    const char *const *places = request->places;
    size_t count = 0;
    while (places && places[count]) {
        count++;
    }
    *ret_fd = -1;
    if (n < count) {
        *ret_fd = open(places[n], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else if (request->root_fd >= 0 && n < count + 2) {
        *ret_fd = openat(request->root_fd, n == count ? ".." : ".", FOLDER_FLAGS);
    }
    return n < count + 2;
}

static int take_name(struct xb_freeze *freeze, struct xb_error *err)
{
    const char *name = freeze->request.name;
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX || name[0] == '.' || strchr(name, '/')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a name for a copy");
    }
    memcpy(freeze->place.name, name, len + 1);
    return 0;
}

int xb_freeze_place_make_in(struct xb_freeze *freeze, int above_fd, struct xb_error *err)
{
    int r = take_name(freeze, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep) int above = openat(above_fd, ".", FOLDER_FLAGS);
    return above < 0 ? xb_error_errno(err, errno, "a place for copies")
                     : make_in(freeze, &above, err);
}

int xb_freeze_place_make(struct xb_freeze *freeze, struct xb_error *err)
{
    int fd = -1;
    int r = take_name(freeze, err);
    if (r < 0) {
        return r;
    }
    struct xb_error last = XB_ERROR_INIT;
    (void)!xb_error_set(&last, XB_ERR_NOT_FOUND, -ENOENT, "there is no place for it");
    for (size_t n = 0; candidate(&freeze->request, n, &fd); n++) {
        XB_CLEANUP(xb_closep) int above = fd;
        if (above < 0 || !xb_freeze_same_file_system(above, freeze->request.root_fd)) {
            continue;
        }
        if (make_in(freeze, &above, &last) == 0) {
            return 0;
        }
        if (last.kind == XB_ERR_CONFLICT) {
            break;
        }
    }
    *err = last;
    return err->code;
}

/* ---- sweeping ---- */

bool xb_freeze_place_in_use(int above_fd, const char *name, int *ret_fd)
{
    struct xb_error ignored = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int holder = open_ours(above_fd, &ignored);
    XB_CLEANUP(xb_closep) int fd = holder < 0 ? -1 : openat(holder, name, FOLDER_FLAGS);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return true;
    }
    *ret_fd = XB_TAKE_FD(fd);
    return false;
}

unsigned xb_freeze_place_sweep(int above, int *removed)
{
    unsigned left = 0;
    struct xb_error ignored = XB_ERROR_INIT;
    int holder = open_ours(above, &ignored);
    XB_CLEANUP(xb_closedirp) DIR *dir = holder < 0 ? NULL : fdopendir(holder);
    if (!dir) {
        xb_closep(&holder);
        return 0;
    }
    const struct dirent *entry = NULL;
    while (*removed < XB_FREEZE_SWEEP_MAX && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            left += sweep_copy(holder, entry->d_name, removed);
        }
    }
    remove_holder(above);
    return left;
}

int xb_freeze_sweep(const struct xb_freeze_request *request, struct xb_error *err)
{
    int removed = 0;
    unsigned left = 0;
    int fd = -1;
    if (request->root_fd >= 0 && request->methods & 1U << XB_FREEZE_ZFS) {
        left += xb_zfs_sweep(request->root_fd, &removed);
    }
    if (request->methods & 1U << XB_FREEZE_LVM) {
        left += xb_lvm_sweep(request, &removed);
    }
    for (size_t n = 0; candidate(request, n, &fd); n++) {
        XB_CLEANUP(xb_closep) int above = fd;
        left += above < 0 ? 0 : xb_freeze_place_sweep(above, &removed);
    }
    return left
               ? xb_error_set(
                     err, XB_ERR_IO, -EIO,
                     "%u left-over copies of %.200s cannot be removed (in folders " XB_FREEZE_FOLDER
                     ", or snapshots named like that)",
                     left, request->path ? request->path : "a place for copies")
               : removed;
}
