/* SPDX-License-Identifier: Apache-2.0
 * A read-only snapshot of the subvolume in which the volume's folder lies. Nothing that lies in the
 * subvolume by path is asked for: inodes keep their numbers in a snapshot, so the folder is found
 * in it by its handle, wherever it was moved to meanwhile. Subvolumes in the volume are not in the
 * snapshot: then this is no copy of the volume. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/freeze/internal.h"

#define SNAPSHOT "snapshot"

enum { HANDLE_TYPE = 0x4d, NESTED_ROUNDS_MAX = 64 };

struct xb_freeze_state {
    int source_fd; /* the top of the subvolume */
    uint64_t tree;
    uint64_t inode; /* of the volume's folder */
};

/* How the kernel names an inode of a btrfs to servers of files; a generation of 0 is not asked for.
 */
struct btrfs_handle {
    uint64_t inode, tree;
    uint32_t generation;
} __attribute__((packed));

static int open_inode(int fd, uint64_t tree, uint64_t inode, struct xb_error *err)
{
    const struct btrfs_handle named = {.inode = inode, .tree = tree};
    _Alignas(struct file_handle) char bytes[sizeof(struct file_handle) + sizeof named];
    struct file_handle *handle = (void *)bytes;
    handle->handle_bytes = sizeof named;
    handle->handle_type = HANDLE_TYPE;
    memcpy(handle->f_handle, &named, sizeof named);
    int opened = open_by_handle_at(fd, handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return opened >= 0 ? opened : xb_error_errno(err, errno, "opening a folder by its number");
}

/* Of which subvolume an open folder is. */
static int find_tree(int fd, uint64_t *ret, struct xb_error *err)
{
    struct btrfs_ioctl_ino_lookup_args args = {.objectid = BTRFS_FIRST_FREE_OBJECTID};
    if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0) {
        return xb_error_errno(err, errno, "asking for its subvolume");
    }
    *ret = args.treeid;
    return 0;
}

/* A snapshot is made by whoever owns the folder, but only with that right removed again, and only
 * with it the kernel says where an inode lies: about one that is no subvolume's top, it asks. */
static int check_right(int fd, uint64_t tree, struct xb_error *err)
{
    struct btrfs_ioctl_ino_lookup_args args = {.treeid = tree,
                                               .objectid = BTRFS_FIRST_FREE_OBJECTID + 1};
    if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0 && errno == EPERM) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                            "a snapshot could not be removed again: that needs CAP_SYS_ADMIN");
    }
    return 0;
}

/* ---- subvolumes in the volume ---- */

/* Where in its subvolume a folder lies: "" or "a/b/". */
static int find_path(int fd, uint64_t tree, uint64_t inode, struct btrfs_ioctl_ino_lookup_args *ret,
                     struct xb_error *err)
{
    *ret = (struct btrfs_ioctl_ino_lookup_args){.treeid = tree, .objectid = inode};
    return ioctl(fd, BTRFS_IOC_INO_LOOKUP, ret) < 0
               ? xb_error_errno(err, errno, "asking where a folder lies")
               : 0;
}

/* Our own copies are no part of the volume. */
static bool is_copy(const char *path)
{
    return strncmp(path, XB_FREEZE_FOLDER "/", sizeof XB_FREEZE_FOLDER) == 0 ||
           strstr(path, "/" XB_FREEZE_FOLDER "/");
}

static int check_nested(const struct xb_freeze_state *state, uint64_t folder, struct xb_error *err)
{
    struct btrfs_ioctl_ino_lookup_args volume;
    struct btrfs_ioctl_ino_lookup_args nested;
    int r = find_path(state->source_fd, state->tree, state->inode, &volume, err);
    if (r == 0) {
        r = find_path(state->source_fd, state->tree, folder, &nested, err);
    }
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND ? 0 : r; /* it was removed a moment ago */
    }
    if (strncmp(nested.name, volume.name, strlen(volume.name)) != 0 || is_copy(nested.name)) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                        "there is a subvolume in it, below '/%.200s', which a snapshot leaves out",
                        nested.name + strlen(volume.name));
}

static int refuse_nested(const struct xb_freeze_state *state, struct xb_error *err)
{
    struct btrfs_ioctl_get_subvol_rootref_args refs = {.min_treeid = 0};
    for (int round = 0; round < NESTED_ROUNDS_MAX; round++) {
        int r = ioctl(state->source_fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, &refs);
        if (r < 0 && errno != EOVERFLOW) {
            return xb_error_errno(err, errno, "asking for subvolumes in it");
        }
        bool more = r < 0;
        for (size_t i = 0; i < refs.num_items; i++) {
            int bad = check_nested(state, refs.rootref[i].dirid, err);
            if (bad < 0) {
                return bad;
            }
        }
        if (!more) {
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_FULL, -E2BIG, "its subvolume has too many subvolumes");
}

/* ---- the method ---- */

static int prepare(struct xb_freeze *freeze, struct xb_error *err)
{
    int root_fd = freeze->request.root_fd;
    struct stat st;
    const char *kind = xb_freeze_file_system_name(root_fd);
    if (strcmp(kind, "btrfs") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "its file system is %s", kind);
    }
    struct xb_freeze_state *state = calloc(1, sizeof *state);
    if (!state) {
        return xb_error_no_memory(err, "a snapshot");
    }
    state->source_fd = -1;
    freeze->state = state;
    if (fstat(root_fd, &st) < 0) {
        return xb_error_errno(err, errno, "its folder");
    }
    state->inode = st.st_ino;
    int r = find_tree(root_fd, &state->tree, err);
    if (r < 0 || (r = check_right(root_fd, state->tree, err)) < 0) {
        return r;
    }
    state->source_fd = open_inode(root_fd, state->tree, BTRFS_FIRST_FREE_OBJECTID, err);
    if (state->source_fd < 0) {
        return state->source_fd;
    }
    if ((r = xb_freeze_refuse_mounts(freeze, err)) < 0 || (r = refuse_nested(state, err)) < 0 ||
        (r = xb_freeze_space_begin(freeze, root_fd, err)) < 0 ||
        (r = xb_freeze_place_make(freeze, err)) < 0) {
        return r;
    }
    /* So that the snapshot itself finds little that is not on the disk yet. */
    return xb_freeze_flush(freeze, err);
}

static int refresh(struct xb_freeze *freeze, struct xb_error *err)
{
    return xb_freeze_flush(freeze, err);
}

static int open_snapshot(struct xb_freeze *freeze, struct xb_error *err)
{
    uint64_t tree = 0;
    XB_CLEANUP(xb_closep)
    int fd = openat(freeze->place.fd, SNAPSHOT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "opening the snapshot");
    }
    int r = find_tree(fd, &tree, err);
    if (r == 0) {
        freeze->root_fd = open_inode(fd, tree, freeze->state->inode, err);
        r = freeze->root_fd < 0 ? freeze->root_fd : 0;
    }
    return r;
}

static int take(struct xb_freeze *freeze, struct xb_error *err)
{
    struct btrfs_ioctl_vol_args_v2 args = {
        .fd = freeze->state->source_fd, .flags = BTRFS_SUBVOL_RDONLY, .name = SNAPSHOT};
    if (ioctl(freeze->place.fd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0) {
        return xb_error_errno(err, errno, "making the snapshot");
    }
    int r = open_snapshot(freeze, err);
    /* One may have been made since it was prepared. */
    return r < 0 ? r : refuse_nested(freeze->state, err);
}

static void drop(struct xb_freeze *freeze)
{
    if (freeze->state && freeze->state->source_fd >= 0) {
        close(freeze->state->source_fd);
    }
    free(freeze->state);
    freeze->state = NULL;
}

const struct xb_freeze_driver xb_freeze_btrfs = {.method = XB_FREEZE_BTRFS,
                                                 .consistency = XB_FREEZE_CRASH,
                                                 .prepare = prepare,
                                                 .refresh = refresh,
                                                 .take = take,
                                                 .remove = xb_freeze_place_remove,
                                                 .drop = drop};
