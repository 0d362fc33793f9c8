/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guard/mounts.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool can_be_frozen(const char *type)
{
    static const char *const types[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i], type) == 0) {
            return true;
        }
    }
    return false;
}

static int deny(struct xb_error *err, const char *why, const struct xb_mount *mount)
{
    return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                        "the volume's file system is not frozen: %s (%.31s at %.200s)", why,
                        mount->type, mount->point);
}

static const struct xb_mount *find(const struct xb_mounts *mounts, uint64_t id)
{
    for (size_t i = 0; i < mounts->count; i++) {
        if (mounts->items[i].id == id) {
            return &mounts->items[i];
        }
    }
    return NULL;
}

/* Another mount of the same file system, which is neither in the folder nor at its home (or NULL).
 */
static const struct xb_mount *find_outside(const struct xb_mounts *mounts,
                                           const struct xb_mount *mount, const char *folder,
                                           const char *home)
{
    for (size_t i = 0; i < mounts->count; i++) {
        const struct xb_mount *item = &mounts->items[i];
        bool same = item->major == mount->major && item->minor == mount->minor;
        bool at_home = home && strcmp(item->point, home) == 0;
        if (same && !at_home && !xb_mount_is_in(folder, item->point)) {
            return item;
        }
    }
    return NULL;
}

int xb_guard_mounts_judge(const struct xb_mounts *mounts,
                          const struct xb_guard_mount_question *question, struct xb_error *err)
{
    char own[PATH_MAX]; /* the pod's folder */
    int len = snprintf(own, sizeof own, "%s/%s", question->pods_root, question->pod_uid);
    if (len < 0 || (size_t)len >= sizeof own || !question->pod_uid[0] ||
        strchr(question->pod_uid, '/')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no pod has the uid '%.100s'",
                            question->pod_uid);
    }
    const struct xb_mount *mount = find(mounts, question->mount_id);
    if (!mount) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                            "the volume's file system is not frozen: its mount %" PRIu64
                            " is not seen here",
                            question->mount_id);
    }
    if (!can_be_frozen(mount->type)) {
        return deny(err, "its kind cannot be", mount);
    }
    if (strcmp(mount->root, "/") != 0) {
        return deny(err, "the volume is a folder of a larger one", mount);
    }
    const struct xb_mount *other = find_outside(mounts, mount, own, question->home);
    return other ? deny(err, "it is in use elsewhere on the node, too", other) : 0;
}
