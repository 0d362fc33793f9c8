/* SPDX-License-Identifier: Apache-2.0
 * A snapshot of the dataset in which the volume lies: experimental, see zfs.h. No program and no
 * library is needed: the dataset is mounted once more, where only we see it, and a folder made in
 * its `.zfs/snapshot` is a snapshot. That is mounted by its name, too, instead of by going into the
 * folder: the kernel would have a program of the node mount it there, in a namespace that is not
 * ours, and show an empty folder if that fails. */
#include "agent/freeze/zfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/freeze/internal.h"
#include "shared/base/clock.h"

#define SNAPSHOTS ".zfs/snapshot"
#define ADMIN_PARAMETER "/sys/module/zfs/parameters/zfs_admin_snapshot"

/* A snapshot cannot be removed as long as it is mounted, which it is for a moment longer than its
 * last file is open. */
enum { REMOVE_TRIES_MAX = 20, REMOVE_AGAIN_MS = 50 };

struct xb_freeze_state {
    int top_fd, snapshots_fd;
    struct stat source; /* the volume's folder */
    char dataset[XB_ZFS_DATASET_BYTES];
    char snapshot[NAME_MAX + 1];
    struct xb_freeze_handle folder;
};

/* ---- names ---- */

int xb_zfs_dataset(const struct xb_mounts *mounts, unsigned major, unsigned minor,
                   char ret[XB_ZFS_DATASET_BYTES], struct xb_error *err)
{
    for (size_t i = 0; i < mounts->count; i++) {
        const struct xb_mount *mount = &mounts->items[i];
        if (mount->major != major || mount->minor != minor || strcmp(mount->type, "zfs") != 0) {
            continue;
        }
        size_t len = strlen(mount->source);
        if (len == 0 || len >= XB_ZFS_DATASET_BYTES || strchr(mount->source, '@')) {
            return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                                "what is mounted is no dataset, but '%.100s'", mount->source);
        }
        memcpy(ret, mount->source, len + 1);
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "its dataset is not among the mounts");
}

int xb_zfs_snapshot_name(const char *copy, char ret[NAME_MAX + 1], struct xb_error *err)
{
    size_t len = strlen(copy);
    bool bad = len == 0 || len + sizeof XB_ZFS_PREFIX > NAME_MAX + 1;
    for (size_t i = 0; i < len && !bad; i++) {
        bad = !isalnum((unsigned char)copy[i]) && !strchr("-_.:", copy[i]);
    }
    if (bad) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a name for a snapshot: '%.80s'",
                            copy);
    }
    snprintf(ret, NAME_MAX + 1, XB_ZFS_PREFIX "%s", copy);
    return 0;
}

const char *xb_zfs_copy_of(const char *snapshot)
{
    size_t len = sizeof XB_ZFS_PREFIX - 1;
    return strncmp(snapshot, XB_ZFS_PREFIX, len) == 0 && snapshot[len] ? snapshot + len : NULL;
}

/* ---- the dataset ---- */

static int find_dataset(const struct stat *st, char ret[XB_ZFS_DATASET_BYTES], struct xb_error *err)
{
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    int r = xb_mounts_read(XB_MOUNTS_PATH, &mounts, err);
    return r ? r : xb_zfs_dataset(&mounts, major(st->st_dev), minor(st->st_dev), ret, err);
}

static bool is_zfs(int fd)
{
    return strcmp(xb_freeze_file_system_name(fd), "ZFS") == 0;
}

/* Its root, which a volume that is a folder of it does not reach, and where its snapshots are. */
static int open_dataset(const char *dataset, int *ret_top, int *ret_snapshots, struct xb_error *err)
{
    const struct xb_freeze_mounting mounting = {.type = "zfs", .source = dataset};
    XB_CLEANUP(xb_closep) int top = xb_freeze_mount(&mounting, err);
    if (top < 0) {
        return top;
    }
    XB_CLEANUP(xb_closep)
    int snapshots = openat(top, SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (snapshots < 0 || !is_zfs(snapshots)) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "dataset %.150s has no " SNAPSHOTS " (is its property snapdir "
                            "disabled?)",
                            dataset);
    }
    *ret_top = XB_TAKE_FD(top);
    *ret_snapshots = XB_TAKE_FD(snapshots);
    return 0;
}

static int check_parameter(struct xb_error *err)
{
    XB_CLEANUP(xb_fclosep) FILE *file = fopen(ADMIN_PARAMETER, "re");
    return file && fgetc(file) == '0'
               ? xb_error_set(err, XB_ERR_INVALID, -EPERM,
                              "the module's parameter zfs_admin_snapshot is 0: no snapshots by "
                              "folders")
               : 0;
}

static int remove_snapshot(int snapshots_fd, const char *name, int tries)
{
    const struct timespec pause = {.tv_nsec = REMOVE_AGAIN_MS * XB_NS_PER_MS};
    int r = unlinkat(snapshots_fd, name, AT_REMOVEDIR);
    for (int try = 1; r < 0 && errno == EBUSY && try < tries; try++) {
        (void)nanosleep(&pause, NULL);
        r = unlinkat(snapshots_fd, name, AT_REMOVEDIR);
    }
    return r < 0 && errno == ENOENT ? 0 : r;
}

/* ---- the method ---- */

static int prepare_dataset(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    int r = find_dataset(&state->source, state->dataset, err);
    if (r < 0 || (r = xb_zfs_snapshot_name(freeze->request.name, state->snapshot, err)) < 0 ||
        (r = check_parameter(err)) < 0 ||
        (r = open_dataset(state->dataset, &state->top_fd, &state->snapshots_fd, err)) < 0 ||
        (r = xb_freeze_place_make_in(freeze, state->top_fd, err)) < 0) {
        return r;
    }
    /* The name is ours now: whoever had it before is gone. */
    return remove_snapshot(state->snapshots_fd, state->snapshot, 1) < 0
               ? xb_error_errno(err, errno, "removing a left-over snapshot of %.150s",
                                state->dataset)
               : 0;
}

static int prepare(struct xb_freeze *freeze, struct xb_error *err)
{
    int root_fd = freeze->request.root_fd;
    if (!is_zfs(root_fd)) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "its file system is %s",
                            xb_freeze_file_system_name(root_fd));
    }
    struct xb_freeze_state *state = calloc(1, sizeof *state);
    if (!state) {
        return xb_error_no_memory(err, "a snapshot");
    }
    state->top_fd = state->snapshots_fd = -1;
    freeze->state = state;
    if (fstat(root_fd, &state->source) < 0) {
        return xb_error_errno(err, errno, "its folder");
    }
    int r = xb_freeze_handle_of(root_fd, &state->folder, err);
    if (r < 0 || (r = xb_freeze_refuse_mounts(freeze, err)) < 0 ||
        (r = xb_freeze_space_begin(freeze, root_fd, err)) < 0 ||
        (r = prepare_dataset(freeze, err)) < 0) {
        return r;
    }
    return syncfs(root_fd) < 0 ? xb_error_errno(err, errno, "writing its changes to the disk") : 0;
}

static int take(struct xb_freeze *freeze, struct xb_error *err)
{
    const struct xb_freeze_state *state = freeze->state;
    return mkdirat(state->snapshots_fd, state->snapshot, 0700) < 0
               ? xb_error_errno(err, errno, "making a snapshot of %.150s", state->dataset)
               : 0;
}

static int open_copy(struct xb_freeze *freeze, struct xb_error *err)
{
    const struct xb_freeze_state *state = freeze->state;
    char source[XB_ZFS_DATASET_BYTES + NAME_MAX + 2];
    struct stat st;
    struct statvfs mounted;
    snprintf(source, sizeof source, "%s@%s", state->dataset, state->snapshot);
    const struct xb_freeze_mounting mounting = {.type = "zfs", .source = source, .read_only = true};
    XB_CLEANUP(xb_closep) int top = xb_freeze_mount(&mounting, err);
    if (top < 0) {
        return top;
    }
    XB_CLEANUP(xb_closep) int fd = xb_freeze_handle_open(top, &state->folder, err);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) < 0 || fstatvfs(fd, &mounted) < 0) {
        return xb_error_errno(err, errno, "the snapshot");
    }
    if (!is_zfs(fd) || st.st_ino != state->source.st_ino || st.st_dev == state->source.st_dev ||
        !(mounted.f_flag & ST_RDONLY)) {
        return xb_error_set(err, XB_ERR_INVALID, -ESTALE, "%.200s does not have its folder",
                            source);
    }
    freeze->root_fd = XB_TAKE_FD(fd);
    return 0;
}

/* While others read it, it stays: they are told, and the owner tries again when they have ended. */
static void remove_copy(struct xb_freeze *freeze)
{
    const struct xb_freeze_state *state = freeze->state;
    int tries = freeze->root_fd < 0 ? REMOVE_TRIES_MAX : 1;
    if (state && freeze->place.fd >= 0 &&
        remove_snapshot(state->snapshots_fd, state->snapshot, tries) == 0) {
        xb_freeze_place_remove(freeze);
    }
}

static void drop(struct xb_freeze *freeze)
{
    if (freeze->state) {
        xb_closep(&freeze->state->snapshots_fd);
        xb_closep(&freeze->state->top_fd);
    }
    free(freeze->state);
    freeze->state = NULL;
}

const struct xb_freeze_driver xb_freeze_zfs = {.method = XB_FREEZE_ZFS,
                                               .consistency = XB_FREEZE_CRASH,
                                               .prepare = prepare,
                                               .take = take,
                                               .open = open_copy,
                                               .remove = remove_copy,
                                               .drop = drop};

/* ---- what is left over ---- */

static unsigned sweep_snapshot(int top_fd, int snapshots_fd, const char *name, int *removed)
{
    XB_CLEANUP(xb_closep) int fd = -1; /* its lock: until it is gone nobody makes one anew */
    const char *copy = xb_zfs_copy_of(name);
    if (!copy || xb_freeze_place_in_use(top_fd, copy, &fd)) {
        return 0;
    }
    if (remove_snapshot(snapshots_fd, name, 1) < 0) {
        return 1;
    }
    ++*removed;
    return 0;
}

unsigned xb_zfs_sweep_in(int top_fd, int snapshots_fd, int *removed)
{
    unsigned left = 0;
    int own = openat(snapshots_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closedirp) DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        xb_closep(&own);
        return 0;
    }
    const struct dirent *entry = NULL;
    while (*removed < XB_FREEZE_SWEEP_MAX && (entry = readdir(dir))) {
        left += sweep_snapshot(top_fd, snapshots_fd, entry->d_name, removed);
    }
    int folders = 0; /* of the same copies, or of such as never came to their snapshot */
    return left + (left ? 0 : xb_freeze_place_sweep(top_fd, &folders));
}

unsigned xb_zfs_sweep(int root_fd, int *removed)
{
    struct stat st;
    struct xb_error ignored = XB_ERROR_INIT;
    char dataset[XB_ZFS_DATASET_BYTES];
    XB_CLEANUP(xb_closep) int top = -1;
    XB_CLEANUP(xb_closep) int snapshots = -1;
    if (!is_zfs(root_fd) || fstat(root_fd, &st) < 0 || find_dataset(&st, dataset, &ignored) < 0 ||
        open_dataset(dataset, &top, &snapshots, &ignored) < 0) {
        return 0;
    }
    return xb_zfs_sweep_in(top, snapshots, removed);
}
