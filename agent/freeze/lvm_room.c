/* SPDX-License-Identifier: Apache-2.0
 * The room that a copy takes while it lives. A thick one that is full hurts only itself; a thin
 * pool that is full stops everybody who writes into it, so that is given up earlier. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/freeze/lvm_node.h"
#include "agent/mapper/mapper.h"

enum { WHOLE = 10000, ID_BYTES = 100 };

int xb_lvm_room_begin(const struct xb_lvm_plan *plan, struct xb_lvm_room *ret, struct xb_error *err)
{
    struct xb_lvm_room room = {.thin = plan->pool != NULL};
    if (room.thin) {
        char id[ID_BYTES];
        snprintf(id, sizeof id, "LVM-%s%s-tpool", plan->pool->ids.group, plan->pool->ids.volume);
        const struct xb_lvm_device_wanted wanted = {.id_begins = id};
        int r = xb_lvm_device_find(&wanted, &room.device, err);
        if (r < 0) {
            return r;
        }
    }
    room.fd = xb_mapper_open(err);
    if (room.fd < 0) {
        return room.fd;
    }
    *ret = room;
    return 0;
}

/* In hundredths of a percent; nothing of nothing is full. */
static uint64_t fill(uint64_t used, uint64_t total)
{
    return total == 0 || used > total ? WHOLE : used * WHOLE / total;
}

static int check_pool(const char *text, struct xb_error *err)
{
    struct xb_mapper_pool pool;
    int r = xb_mapper_pool_parse(text, &pool, err);
    if (r < 0) {
        return r;
    }
    if (pool.failed || !pool.writable) {
        return xb_error_set(err, XB_ERR_FULL, -ENOSPC, "its thin pool cannot be written: '%.100s'",
                            text);
    }
    uint64_t data = fill(pool.used_data, pool.total_data);
    uint64_t metadata = fill(pool.used_metadata, pool.total_metadata);
    return data < XB_LVM_POOL_LIVE_MAX && metadata < XB_LVM_POOL_LIVE_MAX
               ? 0
               : xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                              "its thin pool was full by %" PRIu64 " %% (its metadata by %" PRIu64
                              " %%) while it was read, of which %d %% may be",
                              data / 100, metadata / 100, XB_LVM_POOL_LIVE_MAX / 100);
}

static int check_snapshot(const char *text, struct xb_error *err)
{
    struct xb_mapper_snapshot snapshot;
    int r = xb_mapper_snapshot_parse(text, &snapshot, err);
    if (r < 0) {
        return r;
    }
    return !snapshot.lost &&
                   fill(snapshot.used_sectors, snapshot.total_sectors) < XB_LVM_THICK_LIVE_MAX
               ? 0
               : xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                              "more was overwritten while it was read than its snapshot has room "
                              "for ('%.60s')",
                              text);
}

int xb_lvm_room_check(const struct xb_lvm_room *room, struct xb_error *err)
{
    const struct xb_mapper_id id = {.major = room->device.major, .minor = room->device.minor};
    const char *type = room->thin ? "thin-pool" : "snapshot";
    struct xb_mapper_target target;
    int r = xb_mapper_status(room->fd, id, &target, err);
    if (r < 0) {
        return r;
    }
    if (strcmp(target.type, type) != 0) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ESTALE, "its device is a '%.20s', not a '%s'",
                            target.type, type);
    }
    return room->thin ? check_pool(target.text, err) : check_snapshot(target.text, err);
}
