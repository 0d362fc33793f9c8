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

/* The folders in which a mount is nobody else's. */
struct own {
    char pod[PATH_MAX];
    const char *home; /* or NULL */
};

static bool is_own(const struct own *own, const char *point)
{
    return xb_mount_is_in(own->pod, point) || (own->home && strcmp(own->home, point) == 0);
}

/* A container that sees the runtime's folder sees its own root in there once more, or that of the
 * agent before it, with the volumes that it was given: as what they are called in that container.
 */
static const char *in_container(const char *point)
{
    static const char root[] = "/rootfs";
    const char *found = NULL;
    for (const char *at = point; (at = strstr(at, root)); at++) {
        found = at[sizeof root - 1] == '/' ? at + sizeof root - 1 : found;
    }
    return found;
}

/* Another mount of the same file system, which is not the pod's. */
static const struct xb_mount *find_other(const struct xb_mounts *mounts,
                                         const struct xb_mount *mount, const struct own *own)
{
    for (size_t i = 0; i < mounts->count; i++) {
        const struct xb_mount *item = &mounts->items[i];
        const char *inner = in_container(item->point);
        bool same = item->major == mount->major && item->minor == mount->minor;
        if (same && !is_own(own, item->point) && !(inner && is_own(own, inner))) {
            return item;
        }
    }
    return NULL;
}

int xb_guard_mounts_judge(const struct xb_mounts *mounts,
                          const struct xb_guard_mount_question *question, struct xb_error *err)
{
    struct own own = {.home = question->home};
    int len = snprintf(own.pod, sizeof own.pod, "%s/%s", question->pods_root, question->pod_uid);
    if (len < 0 || (size_t)len >= sizeof own.pod || !question->pod_uid[0] ||
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
    const struct xb_mount *other = find_other(mounts, mount, &own);
    return other ? deny(err, "it is in use elsewhere on the node, too", other) : 0;
}
