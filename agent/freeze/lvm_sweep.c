/* SPDX-License-Identifier: Apache-2.0
 * Snapshots that somebody who is gone has left over. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/freeze/internal.h"
#include "agent/freeze/lvm_node.h"

enum { SELECT_BYTES = 200, PREFIX_BYTES = 40 };

/* The volume's group; false: it is on no logical volume, so it has none. */
static bool find_group(int root_fd, struct xb_lvm_ids *ret)
{
    struct stat st;
    struct xb_lvm_device device;
    struct xb_error ignored = XB_ERROR_INIT;
    return fstat(root_fd, &st) == 0 &&
           xb_lvm_device_by_number(major(st.st_dev), minor(st.st_dev), &device, &ignored) == 0 &&
           xb_lvm_ids_of(device.id, ret, &ignored) == 0;
}

/* Any device of the group is watched over with all of it. If it has none, none is suspended. */
static int remove_one(const struct xb_freeze_request *request, const struct xb_lvm_volume *volume)
{
    char prefix[PREFIX_BYTES];
    struct xb_lvm_device device;
    struct xb_error ignored = XB_ERROR_INIT;
    snprintf(prefix, sizeof prefix, "LVM-%s", volume->ids.group);
    const struct xb_lvm_device_wanted wanted = {.id_begins = prefix};
    if (xb_lvm_device_find(&wanted, &device, &ignored) < 0) {
        return -1;
    }
    struct xb_lvm_watch watch = {
        .holder = request->holder, .major = device.major, .minor = device.minor};
    int r = xb_lvm_remove(&watch, volume->group, volume->name, &ignored);
    xb_lvm_clear(&volume->ids, volume->group, volume->name);
    return r < 0 ? xb_lvm_remove(&watch, volume->group, volume->name, &ignored) : 0;
}

unsigned xb_lvm_sweep(const struct xb_freeze_request *request, int *removed)
{
    struct xb_lvm_ids ids = {.group = ""};
    struct xb_error ignored = XB_ERROR_INIT;
    XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
    char group[XB_LVM_ID_TEXT_BYTES];
    char select[SELECT_BYTES] = "lv_name=~\"^" XB_LVM_PREFIX "\"";
    if (!request->holder || !request->holder->watch) {
        return 0;
    }
    if (request->root_fd >= 0) {
        if (!find_group(request->root_fd, &ids)) {
            return 0;
        }
        xb_lvm_id_text(ids.group, group);
        size_t len = strlen(select);
        snprintf(select + len, sizeof select - len, " && vg_uuid=\"%s\"", group);
    }
    if (xb_lvm_look(select, NULL, &report, &ignored) < 0) {
        return 0;
    }
    unsigned left = 0;
    for (size_t i = 0; i < report.count && *removed < XB_FREEZE_SWEEP_MAX; i++) {
        const struct xb_lvm_volume *volume = &report.volumes[i];
        if (!xb_lvm_is_left_over(volume, xb_lvm_maker_lives(&volume->maker), xb_lvm_now_s())) {
            continue;
        }
        bool gone = remove_one(request, volume) == 0;
        *removed += gone;
        left += !gone;
    }
    return left;
}
