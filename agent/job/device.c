/* SPDX-License-Identifier: Apache-2.0
 * A volume that is a raw block device: one object, as Velero's own block uploads have it. */
#include <errno.h>
#include <stdio.h>

#include "agent/device/backup.h"
#include "agent/device/restore.h"
#include "agent/job/internal.h"
#include "agent/pipeline/backup.h"
#include "agent/restore/restore.h"
#include "shared/base/log.h"
#include "shared/repository/policy.h"
#include "shared/velero/in_place.h"

enum { SELF_BYTES = 32 };

/* The descriptor only names the device: so it is opened, and claimed, by whoever reads or writes.
 */
static void name_of(const struct xb_order_place *place, char out[SELF_BYTES])
{
    snprintf(out, SELF_BYTES, "/proc/self/fd/%d", place->volume.fd);
}

static void show_read(void *context, const struct xb_device_progress *progress)
{
    xb_order_progress(context, progress->bytes_done, progress->bytes_total);
}

int xb_order_read_device(struct xb_order *order, const struct xb_order_place *place,
                         struct xb_snapshot *snapshot, struct xb_backup_result *ret,
                         struct xb_error *err)
{
    char self[SELF_BYTES];
    struct xb_device_backup_result result;
    struct xb_device_backup_options options = {.path = self,
                                               .name = place->where.folder,
                                               .cancel = &order->cancel,
                                               .progress = show_read,
                                               .progress_context = order,
                                               .source = snapshot};
    name_of(place, self);
    int r = xb_policy_compression(place->repository, &options.compression, err);
    r = r ? r : xb_device_backup(place->repository, &options, &result, err);
    if (r < 0) {
        return xb_error_wrap(err, "the node's %s", place->volume.path);
    }
    xb_log_info("a device was read", "order", order->key, "device", place->volume.path, "in use by",
                result.user, "free space was read, too", result.reason);
    ret->bytes = result.stats.bytes;
    ret->bytes_new = result.stats.new_bytes;
    xb_device_backup_fill(&result, snapshot);
    xb_device_backup_free(&result);
    return 0;
}

static void show_written(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    xb_order_progress(context, bytes_done, bytes_total);
}

int xb_order_write_device(struct xb_order *order, const struct xb_order_place *place,
                          const struct xb_snapshot *snapshot, struct xb_restore_result *ret,
                          struct xb_error *err)
{
    char self[SELF_BYTES];
    struct xb_entry file;
    struct xb_device_restore_result result;
    const struct xb_device_restore_options options = {.target = self,
                                                      .cancel = &order->cancel,
                                                      .progress = show_written,
                                                      .progress_context = order};
    if (xb_in_place_order(order->object)) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "the volume is a raw block device, and a pod that runs has it: it is "
                            "restored with its pod, or into a new claim, not in place");
    }
    name_of(place, self);
    int r = xb_device_restore_find(place->repository, snapshot, NULL, &file, err);
    if (r < 0) {
        return r;
    }
    r = xb_device_restore(place->repository, &file, &options, &result, err);
    if (r == 0) {
        ret->bytes = result.bytes;
        xb_device_restore_free(&result);
    }
    xb_entry_free(&file);
    return r < 0 ? xb_error_wrap(err, "the node's %s", place->volume.path) : 0;
}
