/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guard/devices.h"

#include <errno.h>

#include "shared/base/log.h"

enum { LAYERS = 4, TOP = LAYERS - 1 };

static const struct xb_guard_mapper the_kernel = {
    .list = xb_mapper_list, .info = xb_mapper_info, .resume = xb_mapper_resume};

int xb_guard_devices_of(struct xb_mapper_id id, const struct xb_guard_mapper *mapper, int fd,
                        struct xb_guard_devices *ret, struct xb_error *err)
{
    ret->mapper = mapper ? mapper : &the_kernel;
    ret->fd = fd;
    int r = ret->mapper->info(fd, id, &ret->watched, err);
    if (r == 0 && !xb_mapper_is_lvm(ret->watched.uuid)) {
        r = xb_error_set(err, XB_ERR_DENIED, -EPERM, "%.128s is no volume of LVM",
                         ret->watched.name);
    }
    return r;
}

static unsigned layer_of(const struct xb_guard_devices *devices, struct xb_mapper_id id)
{
    const struct xb_mapper_id top = devices->watched.id;
    return id.major == top.major && id.minor == top.minor ? TOP
                                                          : xb_mapper_layer(devices->one.uuid);
}

/* Between the list and the question a device may go. */
int xb_guard_devices_suspended(struct xb_guard_devices *devices, struct xb_error *err)
{
    int count = 0;
    int r = devices->mapper->list(devices->fd, &devices->list, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < devices->list.count; i++) {
        struct xb_error ignored = XB_ERROR_INIT;
        const struct xb_mapper_id id = devices->list.ids[i];
        if (devices->mapper->info(devices->fd, id, &devices->one, &ignored) == 0 &&
            devices->one.suspended &&
            xb_mapper_same_group(devices->one.uuid, devices->watched.uuid)) {
            devices->suspended[count].id = id;
            devices->suspended[count++].layer = layer_of(devices, id);
        }
    }
    return count;
}

static int resume_one(struct xb_guard_devices *devices, struct xb_mapper_id id,
                      struct xb_error *err)
{
    struct xb_error ignored = XB_ERROR_INIT;
    bool named = devices->mapper->info(devices->fd, id, &devices->one, &ignored) == 0;
    const char *name = named ? devices->one.name : "a device that has just gone";
    int r = devices->mapper->resume(devices->fd, id, err);
    if (r < 0 && err->kind != XB_ERR_NOT_FOUND) {
        xb_log_err(XB_LOG_ERROR, err,
                   "a device stays suspended: resume it with dmsetup resume NAME", "device", name,
                   (char *)NULL);
        return r;
    }
    xb_log_warning("a device that was suspended was resumed", "device", name);
    return 0;
}

int xb_guard_devices_resume(struct xb_guard_devices *devices, struct xb_error *err)
{
    int failed = 0;
    int count = xb_guard_devices_suspended(devices, err);
    for (unsigned layer = 0; layer < LAYERS; layer++) {
        for (int i = 0; i < count; i++) {
            struct xb_error why = XB_ERROR_INIT;
            if (devices->suspended[i].layer == layer &&
                resume_one(devices, devices->suspended[i].id, &why) < 0) {
                *err = why;
                failed = why.code;
            }
        }
    }
    return failed ? failed : count;
}
