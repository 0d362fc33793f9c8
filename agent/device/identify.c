/* SPDX-License-Identifier: Apache-2.0
 * What is on a device, by libblkid. */
#include <blkid/blkid.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/device.h"

enum { VALUE_BYTES_MAX = 256 };

static char *value(blkid_probe probe, const char *name)
{
    const char *data = NULL;
    size_t len = 0;
    if (blkid_probe_lookup_value(probe, name, &data, &len) < 0 || !data) {
        return NULL;
    }
    return strndup(data, len < VALUE_BYTES_MAX ? len : VALUE_BYTES_MAX);
}

void xb_device_identify(const struct xb_device *device, struct xb_snapshot_device *ret)
{
    ret->block = device->block;
    ret->bytes = device->size;
    ret->sector_bytes = device->sector_bytes;
    blkid_probe probe = device->cached_fd < 0 ? NULL : blkid_new_probe();
    if (!probe) {
        return;
    }
    if (blkid_probe_set_device(probe, device->cached_fd, 0, 0) == 0) {
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
                                                     BLKID_SUBLKS_UUID);
        blkid_probe_enable_partitions(probe, 1);
        /* Several at once, or none: then there is nothing to say. */
        if (blkid_do_safeprobe(probe) == 0) {
            ret->type = value(probe, "TYPE");
            ret->label = value(probe, "LABEL");
            ret->uuid = value(probe, "UUID");
            ret->table = value(probe, "PTTYPE");
        }
    }
    blkid_free_probe(probe);
}
