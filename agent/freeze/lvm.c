/* SPDX-License-Identifier: Apache-2.0
 * A snapshot of the logical volume on which the volume lies: experimental, see lvm.h. LVM suspends
 * the origin for it, which freezes its file system: so the snapshot's is whole, and what it has in
 * its journal is brought into order in the snapshot. Its device is open from the first moment on:
 * that keeps everybody from removing it, ourselves in a sweep, too. */
#include "agent/freeze/lvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/freeze/internal.h"
#include "agent/freeze/lvm_node.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* What has read it may hold it for a moment longer, udev too; and where lvcreate was cut off, it is
 * the second lvremove that succeeds. */
enum { REMOVE_TRIES_MAX = 3, REMOVE_AGAIN_MS = 100, SELECT_BYTES = 200 };

struct xb_freeze_state {
    const char *kind;   /* for mounting */
    struct stat source; /* the volume's folder */
    struct xb_freeze_handle folder;
    struct xb_lvm_ids ids;
    struct xb_lvm_report report;
    struct xb_lvm_plan plan; /* points into the report */
    struct xb_lvm_watch watch;
    char name[XB_LVM_NAME_BYTES];
    struct xb_lvm_device device; /* of the copy */
    int device_fd;
    struct xb_lvm_room room;
    bool made; /* or it may have been */
    bool cut;  /* lvcreate was, or its devices were resumed before it was ready */
};

/* ---- before it ---- */

static int find_volume(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    struct xb_lvm_device device;
    char path[XB_LVM_PATH_BYTES];
    state->watch = (struct xb_lvm_watch){.holder = freeze->request.holder,
                                         .major = major(state->source.st_dev),
                                         .minor = minor(state->source.st_dev)};
    int r = xb_lvm_device_by_number(state->watch.major, state->watch.minor, &device, err);
    if (r < 0 || (r = xb_lvm_ids_of(device.id, &state->ids, err)) < 0 ||
        (r = xb_lvm_copy_name(freeze->request.name, state->name, err)) < 0) {
        return r;
    }
    xb_lvm_device_path(&device, path);
    return access(path, R_OK) < 0
               ? xb_error_errno(err, errno, "its device, %s (is /dev the node's?)", path)
               : 0;
}

/* The volume, and the thin pools of its group, of which one is its own. */
static int look(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    char group[XB_LVM_ID_TEXT_BYTES];
    char volume[XB_LVM_ID_TEXT_BYTES];
    char select[SELECT_BYTES];
    xb_lvm_id_text(state->ids.group, group);
    xb_lvm_id_text(state->ids.volume, volume);
    snprintf(select, sizeof select, "lv_uuid=\"%s\" || (vg_uuid=\"%s\" && lv_attr=~\"^t\")", volume,
             group);
    int r = xb_lvm_look(select, freeze->request.cancel, &state->report, err);
    r = r ? r : xb_lvm_plan(&state->report, &state->ids, &state->plan, err);
    return r ? r : xb_lvm_room_begin(&state->plan, &state->room, err);
}

static int prepare(struct xb_freeze *freeze, struct xb_error *err)
{
    int root_fd = freeze->request.root_fd;
    struct xb_freeze_state *state = calloc(1, sizeof *state);
    if (!state) {
        return xb_error_no_memory(err, "a snapshot");
    }
    state->device_fd = state->room.fd = -1;
    freeze->state = state;
    int r = xb_freeze_image_kind(root_fd, &state->kind, err);
    if (r < 0) {
        return r;
    }
    if (fstat(root_fd, &state->source) < 0) {
        return xb_error_errno(err, errno, "its folder");
    }
    if ((r = find_volume(freeze, err)) < 0 || (r = xb_freeze_refuse_mounts(freeze, err)) < 0 ||
        (r = xb_freeze_handle_of(root_fd, &state->folder, err)) < 0 ||
        (r = xb_lvm_watch_check(&state->watch, err)) < 0 || (r = look(freeze, err)) < 0) {
        return r;
    }
    return xb_freeze_flush(freeze, err);
}

static int refresh(struct xb_freeze *freeze, struct xb_error *err)
{
    return xb_freeze_flush(freeze, err);
}

/* ---- the moment ---- */

static int open_device(struct xb_freeze_state *state, struct xb_error *err)
{
    char name[XB_LVM_DEVICE_NAME_BYTES];
    char path[XB_LVM_PATH_BYTES];
    struct xb_lvm_ids ids;
    struct stat st;
    xb_lvm_device_name(state->plan.origin->group, state->name, name);
    const struct xb_lvm_device_wanted wanted = {.id_begins = "LVM-", .name = name};
    int r = xb_lvm_device_find(&wanted, &state->device, err);
    r = r ? r : xb_lvm_ids_of(state->device.id, &ids, err);
    if (r < 0) {
        return r;
    }
    if (!state->room.thin) {
        state->room.device = state->device;
    }
    xb_lvm_device_path(&state->device, path);
    state->device_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (state->device_fd < 0 || fstat(state->device_fd, &st) < 0) {
        return xb_error_errno(err, errno, "the snapshot's device, %s", path);
    }
    return strcmp(ids.group, state->ids.group) != 0 || !S_ISBLK(st.st_mode) ||
                   st.st_rdev != makedev(state->device.major, state->device.minor)
               ? xb_error_set(err, XB_ERR_CONFLICT, -ESTALE, "%s is not the snapshot", path)
               : 0;
}

/* One that LVM could not make it has cleared away itself; of one that it was kept from making,
 * nobody knows how far it came. */
static int take(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    int r = xb_freeze_flush(freeze, err);
    if (r < 0) {
        return r;
    }
    r = xb_lvm_create(&state->watch, &state->plan, state->name, err);
    state->cut = state->watch.begun && r < 0 && err->kind != XB_ERR_IO;
    state->made = r == 0 || state->cut;
    if (r < 0) {
        return r;
    }
    freeze->facts.frozen_us = state->watch.suspended_us;
    return open_device(state, err);
}

/* ---- after it ---- */

static int open_copy(struct xb_freeze *freeze, struct xb_error *err)
{
    const struct xb_freeze_state *state = freeze->state;
    char path[XB_LVM_PATH_BYTES];
    struct stat st;
    xb_lvm_device_path(&state->device, path);
    XB_CLEANUP(xb_closep) int top = xb_freeze_mount_image(state->kind, path, err);
    if (top < 0) {
        return top;
    }
    XB_CLEANUP(xb_closep) int fd = xb_freeze_handle_open(top, &state->folder, err);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) < 0 || st.st_ino != state->source.st_ino ||
        st.st_dev != makedev(state->device.major, state->device.minor)) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ESTALE, "the snapshot does not have its folder");
    }
    freeze->root_fd = XB_TAKE_FD(fd);
    return 0;
}

static int check(struct xb_freeze *freeze, struct xb_error *err)
{
    return xb_lvm_room_check(&freeze->state->room, err);
}

/* While others read it, it stays: they are told, and the owner tries again when they have ended.
 * What cannot be removed is for the sweep. */
static void remove_copy(struct xb_freeze *freeze)
{
    const struct timespec pause = {.tv_nsec = REMOVE_AGAIN_MS * XB_NS_PER_MS};
    struct xb_freeze_state *state = freeze->state;
    if (!state || !state->made || freeze->root_fd >= 0) {
        return;
    }
    xb_closep(&state->device_fd);
    state->device_fd = -1;
    struct xb_error err = XB_ERROR_INIT;
    for (int try = 0; try < REMOVE_TRIES_MAX && state->made; try++) {
        if (try > 0) {
            (void)nanosleep(&pause, NULL);
        }
        state->made =
            xb_lvm_remove(&state->watch, state->plan.origin->group, state->name, &err) < 0;
    }
    if (state->cut) {
        xb_lvm_clear(&state->ids, state->plan.origin->group, state->name);
    }
    if (state->made) {
        xb_log_warning("a snapshot cannot be removed now: the next sweep will", "snapshot",
                       state->name, "error", err.text);
    }
}

static void drop(struct xb_freeze *freeze)
{
    if (freeze->state) {
        xb_closep(&freeze->state->device_fd);
        xb_closep(&freeze->state->room.fd);
        xb_lvm_report_free(&freeze->state->report);
    }
    free(freeze->state);
    freeze->state = NULL;
}

const struct xb_freeze_driver xb_freeze_lvm = {.method = XB_FREEZE_LVM,
                                               .consistency = XB_FREEZE_CRASH,
                                               .prepare = prepare,
                                               .refresh = refresh,
                                               .take = take,
                                               .open = open_copy,
                                               .check = check,
                                               .remove = remove_copy,
                                               .drop = drop};
