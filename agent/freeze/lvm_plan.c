/* SPDX-License-Identifier: Apache-2.0
 * Of which logical volumes there may be a copy, of which size, and which copies are left over. What
 * is not known to be sound is refused. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/freeze/lvm.h"

/* Where in lvs' lv_attr and vg_attr it says what. */
enum { KIND = 0, PERMISSION = 1, STATE = 4, OPEN = 5, HEALTH = 8 };
enum { GROUP_PERMISSION = 0, GROUP_EXPORTED = 2, GROUP_PARTIAL = 3, GROUP_SHARED = 5 };

/* A thick copy gets a fifth of its origin, at least 64 MiB, and never more than the origin, if that
 * leaves a tenth of the group free. Less than a quarter of that would soon be full. */
enum { WANTED_PART = 5, GROUP_FREE_PART = 10, USEFUL_PART = 4 };
#define WANTED_MIN (UINT64_C(64) << 20)
#define MIB (UINT64_C(1) << 20)

/* Not open, though its maker lives: whoever makes one opens it at once. */
enum { OPENED_WITHIN_S = 60 };

static int refuse(struct xb_error *err, const char *why, const struct xb_lvm_volume *volume)
{
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "its logical volume %s/%s %s (lvs: %s, %s)",
                        volume->group, volume->name, why, volume->attributes,
                        volume->group_attributes);
}

static int check_group(const struct xb_lvm_volume *volume, struct xb_error *err)
{
    const char *says = volume->group_attributes;
    return volume->shared || says[GROUP_SHARED] != '-'
               ? refuse(err, "is in a group that several nodes share", volume)
           : says[GROUP_PERMISSION] != 'w' ? refuse(err, "is in a group that is read-only", volume)
           : says[GROUP_EXPORTED] != '-' || says[GROUP_PARTIAL] != '-'
               ? refuse(err, "is in a group of which something is missing", volume)
               : 0;
}

static int check_origin(const struct xb_lvm_volume *volume, struct xb_error *err)
{
    const char *says = volume->attributes;
    return says[STATE] != 'a'        ? refuse(err, "is not simply active", volume)
           : says[PERMISSION] != 'w' ? refuse(err, "is read-only", volume)
           : says[HEALTH] != '-'     ? refuse(err, "is not whole", volume)
           : !strchr("-oV", says[KIND])
               ? refuse(err,
                        says[KIND] == 's' || says[KIND] == 'S'
                            ? "is a snapshot itself"
                            : "is of a kind of which snapshots have not been tried",
                        volume)
           : (says[KIND] == 'V') != (volume->pool_id[0] != '\0')
               ? refuse(err, "is thin and is not", volume)
               : 0;
}

static int check_pool(const struct xb_lvm_volume *pool, struct xb_error *err)
{
    if (pool->attributes[KIND] != 't' || pool->attributes[STATE] != 'a' ||
        pool->attributes[HEALTH] != '-' || pool->data_percent < 0 || pool->metadata_percent < 0) {
        return refuse(err, "is a pool that is not well", pool);
    }
    if (pool->data_percent > XB_LVM_POOL_BEGIN_MAX ||
        pool->metadata_percent > XB_LVM_POOL_BEGIN_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                            "its thin pool %s/%s is full by %d %% (its metadata by %d %%), and a "
                            "copy is only begun up to %d %%",
                            pool->group, pool->name, pool->data_percent / 100,
                            pool->metadata_percent / 100, XB_LVM_POOL_BEGIN_MAX / 100);
    }
    return 0;
}

static int plan_thick(const struct xb_lvm_volume *origin, uint64_t *ret, struct xb_error *err)
{
    const uint64_t extent = origin->extent_bytes;
    uint64_t keep = origin->group_bytes / GROUP_FREE_PART;
    uint64_t room = origin->group_free_bytes > keep ? origin->group_free_bytes - keep : 0;
    uint64_t wanted = origin->bytes / WANTED_PART;
    wanted = wanted < WANTED_MIN ? WANTED_MIN : wanted;
    wanted = wanted > origin->bytes ? origin->bytes : wanted;
    if (extent == 0 || extent > origin->bytes) {
        return refuse(err, "has extents of no size", origin);
    }
    uint64_t bytes = wanted < room ? wanted : room;
    if (bytes < wanted / USEFUL_PART || bytes < extent) {
        return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                            "its group %s has %" PRIu64
                            " MiB free, and a snapshot of %s that would "
                            "last needs %" PRIu64 " MiB with a tenth of the group left",
                            origin->group, origin->group_free_bytes / MIB, origin->name,
                            wanted / USEFUL_PART / MIB);
    }
    *ret = bytes / extent;
    return 0;
}

int xb_lvm_plan(const struct xb_lvm_report *report, const struct xb_lvm_ids *ids,
                struct xb_lvm_plan *ret, struct xb_error *err)
{
    struct xb_lvm_plan plan = {.origin = xb_lvm_find(report, ids->volume)};
    if (!plan.origin || strcmp(plan.origin->ids.group, ids->group) != 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the node's LVM does not know its logical volume");
    }
    int r = check_group(plan.origin, err);
    r = r ? r : check_origin(plan.origin, err);
    if (r < 0) {
        return r;
    }
    if (!plan.origin->pool_id[0]) {
        r = plan_thick(plan.origin, &plan.extents, err);
    } else if ((plan.pool = xb_lvm_find(report, plan.origin->pool_id))) {
        r = check_pool(plan.pool, err);
    } else {
        r = refuse(err, "has a pool that LVM does not know", plan.origin);
    }
    if (r == 0) {
        *ret = plan;
    }
    return r;
}

bool xb_lvm_is_left_over(const struct xb_lvm_volume *volume, bool alive, uint64_t now_s)
{
    const struct xb_lvm_maker *maker = &volume->maker;
    return volume->ours && maker->boot != 0 && volume->attributes[OPEN] != 'o' &&
           (!alive || now_s > maker->made_s + OPENED_WITHIN_S);
}
