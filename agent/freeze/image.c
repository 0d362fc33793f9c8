/* SPDX-License-Identifier: Apache-2.0
 * The file behind the loop device on which the volume lies, cloned whole. That is one step under
 * the file's lock: the clone is what the device would be after a power failure, and its journal
 * brings it into order when it is mounted, which is after the application works on. Nothing has a
 * name: the clone is a file without one, the loop device clears itself, and the mount hangs on a
 * descriptor. So whoever is killed leaves nothing behind. Where somebody can be asked to hold the
 * file system still for it (request.holder), the clone is in order already, and no journal is
 * needed; where not, a file system without one has no moment at which it is whole. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/freeze/ext.h"
#include "agent/freeze/internal.h"

/* Of a file in more pieces the lock would be held for longer than a moment: some three microseconds
 * for each. */
enum { EXTENTS_MAX = 50000, LOOP_MAJOR = 7, TRIES_MAX = 10 };

struct xb_freeze_state {
    int backing_fd, clone_fd, loop_fd;
    struct loop_info64 info;
    uint32_t block_bytes;
    const char *kind; /* for mounting */
    bool journaled;
    char *path; /* of the file behind the device */
    struct xb_freeze_handle folder;
};

/* ---- the file behind the volume ---- */

static int read_backing_path(unsigned minor, char **ret, struct xb_error *err)
{
    char name[64];
    char *line = NULL;
    size_t size = 0;
    snprintf(name, sizeof name, "/sys/dev/block/%d:%u/loop/backing_file", LOOP_MAJOR, minor);
    XB_CLEANUP(xb_fclosep) FILE *file = fopen(name, "re");
    ssize_t len = file ? getline(&line, &size, file) : -1;
    if (len <= 1) {
        free(line);
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "its loop device has no file");
    }
    line[len - 1] = '\0';
    *ret = line;
    return 0;
}

/* An ext2 and an ext4 look the same from outside, and one with a journal has none in use when it is
 * mounted as an ext2. */
static int find_journal(struct xb_freeze_state *state, int device_fd, unsigned minor,
                        struct xb_error *err)
{
    unsigned char block[XB_EXT_SUPER_BYTES];
    enum xb_ext_journal journal = XB_EXT_JOURNAL_NONE;
    char used[40];
    if (strcmp(state->kind, "ext4") != 0) {
        state->journaled = true;
        return 0;
    }
    if (pread(device_fd, block, sizeof block, XB_EXT_SUPER_OFFSET) != sizeof block) {
        return xb_error_errno(err, errno ? errno : EIO, "reading its superblock");
    }
    int r = xb_ext_journal_parse(block, &journal, err);
    if (r == 0 && journal == XB_EXT_JOURNAL_ELSEWHERE) {
        r = xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                         "its journal is on another device, of which there would be no copy");
    }
    snprintf(used, sizeof used, "/sys/fs/ext4/loop%u", minor);
    state->journaled = journal == XB_EXT_JOURNAL_WITHIN && access(used, F_OK) == 0;
    return r;
}

static int open_backing(struct xb_freeze_state *state, unsigned minor, struct xb_error *err)
{
    char device[32];
    struct stat st;
    int r = read_backing_path(minor, &state->path, err);
    if (r < 0) {
        return r;
    }
    snprintf(device, sizeof device, "/dev/loop%u", minor);
    XB_CLEANUP(xb_closep) int fd = open(device, O_RDONLY | O_CLOEXEC);
    int block_bytes = 0;
    if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &state->info) < 0 ||
        ioctl(fd, BLKSSZGET, &block_bytes) < 0) {
        return xb_error_errno(err, errno, "%s", device);
    }
    if ((r = find_journal(state, fd, minor, err)) < 0) {
        return r;
    }
    state->block_bytes = (uint32_t)block_bytes;
    state->backing_fd = open(state->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (state->backing_fd < 0 || fstat(state->backing_fd, &st) < 0) {
        return xb_error_errno(err, errno, "the file behind its loop device, %.200s", state->path);
    }
    if (!S_ISREG(st.st_mode) || st.st_ino != state->info.lo_inode ||
        st.st_dev !=
            makedev(state->info.lo_device >> 8 & 0xfff,
                    (state->info.lo_device & 0xff) | (state->info.lo_device >> 12 & 0xfff00))) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ESTALE,
                            "%.200s is not the file behind its loop device", state->path);
    }
    return 0;
}

static int check_extents(const struct xb_freeze_state *state, struct xb_error *err)
{
    struct fiemap map = {.fm_length = FIEMAP_MAX_OFFSET};
    if (ioctl(state->backing_fd, FS_IOC_FIEMAP, &map) < 0) {
        return xb_error_errno(err, errno, "asking in how many pieces %.200s lies", state->path);
    }
    return map.fm_mapped_extents <= EXTENTS_MAX
               ? 0
               : xb_error_set(err, XB_ERR_FULL, -E2BIG,
                              "%.200s lies in %u pieces, of which %d may be cloned in one moment",
                              state->path, map.fm_mapped_extents, EXTENTS_MAX);
}

/* Two files without names: the clone, and one to try with. */
static int make_clone(struct xb_freeze_state *state, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *path = strdup(state->path);
    const int flags = O_RDWR | O_TMPFILE | O_CLOEXEC;
    if (!path) {
        return xb_error_no_memory(err, "a clone");
    }
    const char *folder = dirname(path);
    state->clone_fd = open(folder, flags, 0600);
    XB_CLEANUP(xb_closep) int empty = open(folder, flags, 0600);
    if (state->clone_fd < 0 || empty < 0) {
        return xb_error_errno(err, errno, "making a file in %.200s", folder);
    }
    return ioctl(state->clone_fd, FICLONE, empty) < 0
               ? xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                              "%.200s lies on %s, without blocks that files share", state->path,
                              xb_freeze_file_system_name(state->clone_fd))
               : 0;
}

static int need_journal(const struct xb_freeze *freeze, const char *why, struct xb_error *err)
{
    return freeze->state->journaled
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                              "its file system has no journal, and was not held still: %s", why);
}

static int prepare(struct xb_freeze *freeze, struct xb_error *err)
{
    int root_fd = freeze->request.root_fd;
    struct stat st;
    if (fstat(root_fd, &st) < 0) {
        return xb_error_errno(err, errno, "its folder");
    }
    if (major(st.st_dev) != LOOP_MAJOR) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "it is on no loop device");
    }
    struct xb_freeze_state *state = calloc(1, sizeof *state);
    if (!state) {
        return xb_error_no_memory(err, "a clone");
    }
    state->backing_fd = state->clone_fd = state->loop_fd = -1;
    freeze->state = state;
    int r = xb_freeze_image_kind(root_fd, &state->kind, err);
    if (r < 0 || (r = open_backing(state, minor(st.st_dev), err)) < 0 ||
        (r = freeze->request.holder ? 0 : need_journal(freeze, "there is no bracket guard", err)) <
            0 ||
        (r = check_extents(state, err)) < 0 || (r = make_clone(state, err)) < 0 ||
        (r = xb_freeze_refuse_mounts(freeze, err)) < 0 ||
        (r = xb_freeze_handle_of(root_fd, &state->folder, err)) < 0 ||
        (r = xb_freeze_space_begin(freeze, state->backing_fd, err)) < 0) {
        return r;
    }
    if (access("/dev/loop-control", R_OK | W_OK) < 0) {
        return xb_error_errno(err, errno, "/dev/loop-control");
    }
    return syncfs(root_fd) < 0 || fdatasync(state->backing_fd) < 0
               ? xb_error_errno(err, errno, "writing its changes to the disk")
               : 0;
}

static int clone_backing(const struct xb_freeze_state *state, struct xb_error *err)
{
    return ioctl(state->clone_fd, FICLONE, state->backing_fd) < 0
               ? xb_error_errno(err, errno, "cloning %.200s", state->path)
               : 0;
}

/* Writers that went on too early have made of it what it would be without having been held. */
static int clone_held(struct xb_freeze *freeze, struct xb_error *err)
{
    const struct xb_freeze_holder *holder = freeze->request.holder;
    struct xb_error why = XB_ERROR_INIT;
    uint64_t us = 0;
    int r = clone_backing(freeze->state, err);
    if (holder->release(holder->context, &us, &why) < 0) {
        return r ? r : need_journal(freeze, why.text, err);
    }
    freeze->facts.frozen_us = us;
    return r;
}

static int take(struct xb_freeze *freeze, struct xb_error *err)
{
    const struct xb_freeze_holder *holder = freeze->request.holder;
    struct xb_freeze_state *state = freeze->state;
    struct xb_error why = XB_ERROR_INIT;
    /* Down to the file, so that little is left to be written while it is held. */
    if (syncfs(freeze->request.root_fd) < 0 || (holder && fdatasync(state->backing_fd) < 0)) {
        return xb_error_errno(err, errno, "writing its changes to the disk");
    }
    if (holder && holder->hold(holder->context, freeze->request.root_fd, &why) == 0) {
        return clone_held(freeze, err);
    }
    int r = need_journal(freeze, why.text, err);
    return r ? r : clone_backing(state, err);
}

/* ---- mounting the clone ---- */

/* Another one may take the free device first. */
static int attach(struct xb_freeze_state *state, char device[32], struct xb_error *err)
{
    const struct loop_config config = {.fd = (uint32_t)state->clone_fd,
                                       .block_size = state->block_bytes,
                                       .info = {.lo_offset = state->info.lo_offset,
                                                .lo_sizelimit = state->info.lo_sizelimit,
                                                .lo_flags = LO_FLAGS_AUTOCLEAR}};
    XB_CLEANUP(xb_closep) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) {
        return xb_error_errno(err, errno, "/dev/loop-control");
    }
    for (int try = 0; try < TRIES_MAX; try++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            return xb_error_errno(err, errno, "asking for a loop device");
        }
        snprintf(device, 32, "/dev/loop%d", number);
        XB_CLEANUP(xb_closep) int fd = open(device, O_RDWR | O_CLOEXEC);
        if (fd < 0) {
            return xb_error_errno(err, errno, "%s", device);
        }
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            state->loop_fd = XB_TAKE_FD(fd);
            return 0;
        }
        if (errno != EBUSY) {
            return xb_error_errno(err, errno, "%s", device);
        }
    }
    return xb_error_set(err, XB_ERR_RETRY, -EBUSY, "no loop device is free");
}

static int open_copy(struct xb_freeze *freeze, struct xb_error *err)
{
    char device[32];
    struct xb_freeze_state *state = freeze->state;
    int r = attach(state, device, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep) int mounted = xb_freeze_mount_image(state->kind, device, err);
    if (mounted < 0) {
        return mounted;
    }
    freeze->root_fd = xb_freeze_handle_open(mounted, &state->folder, err);
    return freeze->root_fd < 0 ? freeze->root_fd : 0;
}

/* Others may be reading: they get errors, and know that the copy is lost. */
static void remove_clone(struct xb_freeze *freeze)
{
    if (freeze->state && freeze->state->clone_fd >= 0) {
        (void)!ftruncate(freeze->state->clone_fd, 0);
    }
}

static void drop(struct xb_freeze *freeze)
{
    struct xb_freeze_state *state = freeze->state;
    if (state) {
        xb_closep(&state->loop_fd);
        xb_closep(&state->clone_fd);
        xb_closep(&state->backing_fd);
        free(state->path);
        free(state);
        freeze->state = NULL;
    }
}

const struct xb_freeze_driver xb_freeze_image = {.method = XB_FREEZE_IMAGE,
                                                 .consistency = XB_FREEZE_CRASH,
                                                 .prepare = prepare,
                                                 .take = take,
                                                 .open = open_copy,
                                                 .remove = remove_clone,
                                                 .drop = drop};
