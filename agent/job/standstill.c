/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job/standstill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shared/base/log.h"

static int freeze(struct xb_standstill *still, int fd, struct xb_error *err)
{
    const struct xb_guard_volume volume = {
        .fd = fd, .pods_root = still->pods_root, .pod_uid = still->pod_uid, .home = still->home};
    return still->pods_root[0]
               ? xb_guard_freeze(still->guard, &volume, XB_GUARD_LIMIT_MS_MAX, &still->frozen, err)
               : xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                              "it is in no folder of a pod's volumes");
}

static int hold(void *context, int fd, struct xb_error *err)
{
    struct xb_standstill *still = context;
    int r = freeze(still, fd, err);
    if (r < 0) { /* which the record only says where it makes a difference */
        xb_log_info("a file system is not frozen while it is copied", "volume", still->path, "why",
                    err->text);
    }
    return r;
}

static int release(void *context, uint64_t *ret_us, struct xb_error *err)
{
    struct xb_standstill *still = context;
    int r = xb_guard_thaw(&still->frozen, ret_us, err);
    if (r < 0) {
        xb_log_warning("a file system was not frozen for as long as it was copied", "volume",
                       still->path, "why", err->text);
    }
    return r;
}

/* What LVM suspends stands still as if it were frozen. */
static int may_suspend(const struct xb_standstill *still, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = open(still->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct xb_guard_volume volume = {
        .fd = fd, .pods_root = still->pods_root, .pod_uid = still->pod_uid, .home = still->home};
    if (fd < 0) {
        return xb_error_errno(err, errno, "%.200s", still->path);
    }
    return still->pods_root[0] ? xb_guard_may_freeze(&volume, err)
                               : xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                                              "it is in no folder of a pod's volumes");
}

static int watch(void *context, unsigned major, unsigned minor, unsigned limit_ms,
                 struct xb_error *err)
{
    struct xb_standstill *still = context;
    const struct xb_mapper_id device = {.major = major, .minor = minor};
    int r =
        still->path[0] ? may_suspend(still, err) : 0; /* nobody's: what is left over is removed */
    return r ? r : xb_guard_watch(still->guard, device, limit_ms, &still->watched, err);
}

static int unwatch(void *context, uint64_t *ret_us, struct xb_error *err)
{
    struct xb_standstill *still = context;
    int r = xb_guard_unwatch(&still->watched, ret_us, err);
    if (r < 0) {
        xb_log_warning("a volume group was not watched until the end", "volume", still->path, "why",
                       err->text);
    }
    return r;
}

/* Of several folders of pods, the one in which the path lies. */
static void find_root(const char *roots, const char *path, char ret[PATH_MAX])
{
    ret[0] = '\0';
    for (const char *at = roots; *at;) {
        size_t len = strcspn(at, ":");
        if (len > 0 && len < PATH_MAX && strncmp(path, at, len) == 0 && path[len] == '/') {
            memcpy(ret, at, len);
            ret[len] = '\0';
            return;
        }
        at += len + (at[len] == ':');
    }
}

void xb_standstill_init(struct xb_standstill *standstill, struct xb_guard *guard,
                        const struct xb_standstill_volume *volume)
{
    *standstill = (struct xb_standstill){.guard = guard,
                                         .pod_uid = volume->pod_uid,
                                         .path = volume->path,
                                         .home = volume->home,
                                         .frozen = {.fd = -1, .volume_fd = -1},
                                         .watched = {.fd = -1},
                                         .holder = {.hold = hold,
                                                    .release = release,
                                                    .watch = watch,
                                                    .unwatch = unwatch,
                                                    .context = standstill}};
    find_root(volume->pods_roots, volume->path, standstill->pods_root);
}
