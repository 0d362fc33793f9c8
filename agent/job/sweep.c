/* SPDX-License-Identifier: Apache-2.0
 * Copies that an agent before this one has left over in volumes of this node. Only file systems of
 * a node's own disks can have any: nothing else is touched, least of all a share that hangs. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/freeze/freeze.h"
#include "agent/job/internal.h"
#include "agent/job/standstill.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mounts.h"

enum { DEPTH = 4, VOLUMES_MAX = 4096 }; /* uid/volumes/plugin/volume */
enum { GUARD_TRIES_MAX = 20, GUARD_AGAIN_MS = 500 };

struct sweep {
    unsigned methods;
    xb_json *mounts; /* point: type of the file system */
    bool clones;     /* the folder of pods itself lies where there can be copies */
    size_t volumes;
    int removed;
    const atomic_bool *stop;
};

static bool has_copies(const struct sweep *sweep, const char *type)
{
    return strcmp(type, "btrfs") == 0 || strcmp(type, "xfs") == 0 ||
           (strcmp(type, "zfs") == 0 && sweep->methods & 1U << XB_FREEZE_ZFS);
}

/* Of two mounts at one place the later is the one that is seen. */
static int read_mounts(struct sweep *sweep, struct xb_error *err)
{
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    int r = xb_mounts_read(XB_MOUNTS_PATH, &mounts, err);
    for (size_t i = 0; r == 0 && i < mounts.count; i++) {
        json_object_object_add(sweep->mounts, mounts.items[i].point,
                               json_object_new_string(mounts.items[i].type));
    }
    return r;
}

static void sweep_volume(struct sweep *sweep, int fd, const char *path)
{
    const struct xb_freeze_request request = {.root_fd = fd,
                                              .path = path,
                                              .name = "",
                                              .methods = sweep->methods & ~(1U << XB_FREEZE_LVM)};
    struct xb_error err = XB_ERROR_INIT;
    int removed = xb_freeze_sweep(&request, &err);
    if (removed < 0) {
        xb_log_warning("copies that were left over cannot be removed", "volume", path, "error",
                       err.text);
        return;
    }
    sweep->removed += removed;
}

/* Whether it may be opened: what is mounted there is known before it is touched. */
static bool may_open(const struct sweep *sweep, const char *path, int depth)
{
    xb_json *type = NULL;
    if (json_object_object_get_ex(sweep->mounts, path, &type)) {
        return has_copies(sweep, json_object_get_string(type));
    }
    return depth < DEPTH || sweep->clones;
}

static void go_into(struct sweep *sweep, int parent, const char *parent_path, int depth);

static void visit(struct sweep *sweep, int parent, const char *path, int depth)
{
    const char *name = strrchr(path, '/') + 1;
    if (name[0] == '.' || (depth == 2 && strcmp(name, "volumes") != 0) ||
        !may_open(sweep, path, depth)) {
        return;
    }
    XB_CLEANUP(xb_closep)
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (depth < DEPTH) {
        go_into(sweep, fd, path, depth + 1);
    } else if (sweep->volumes++ < VOLUMES_MAX) {
        sweep_volume(sweep, fd, path);
    }
}

static void go_into(struct sweep *sweep, int parent, const char *parent_path, int depth)
{
    int again = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closedirp) DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    const struct dirent *entry = NULL;
    if (!dir) {
        xb_closep(&again);
        return;
    }
    while (!atomic_load(sweep->stop) && (entry = readdir(dir))) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof path, "%s/%s", parent_path, entry->d_name);
        if (len > 0 && (size_t)len < sizeof path) {
            visit(sweep, parent, path, depth);
        }
    }
}

/* Snapshots of logical volumes are left over in their groups, whosever volume they were of. The
 * guard, without which none is removed, may only be about to start. */
static void sweep_groups(struct sweep *sweep, const struct xb_agent *agent)
{
    static const struct timespec pause = {.tv_nsec = GUARD_AGAIN_MS * XB_NS_PER_MS};
    static const struct xb_standstill_volume none = {.pods_roots = "", .path = ""};
    struct xb_standstill still;
    struct xb_error err = XB_ERROR_INIT;
    int removed = -1;
    if (!(sweep->methods & 1U << XB_FREEZE_LVM) || !agent->guard) {
        return;
    }
    xb_standstill_init(&still, agent->guard, &none);
    const struct xb_freeze_request request = {.root_fd = -1,
                                              .path = "this node's logical volumes",
                                              .name = "",
                                              .methods = 1U << XB_FREEZE_LVM,
                                              .holder = &still.holder};
    for (int try = 0; try < GUARD_TRIES_MAX && removed < 0 && !atomic_load(sweep->stop); try++) {
        if (try > 0) {
            (void)nanosleep(&pause, NULL);
        }
        removed = xb_freeze_sweep(&request, &err);
    }
    if (removed < 0) {
        xb_log_warning("snapshots that were left over cannot be removed", "error", err.text);
        return;
    }
    sweep->removed += removed;
}

int xb_agent_sweep(void *work, const atomic_bool *stop, struct xb_error *err)
{
    const struct xb_agent *agent = work;
    XB_CLEANUP(xb_json_putp) xb_json *mounts = json_object_new_object();
    XB_CLEANUP(xb_freep) char *roots = strdup(agent->options->pods_root);
    struct sweep sweep = {
        .methods = xb_freeze_methods_left(agent->methods), .mounts = mounts, .stop = stop};
    char *rest = NULL;
    if (!roots || !mounts) {
        return xb_error_no_memory(err, "looking for copies");
    }
    int r = read_mounts(&sweep, err);
    if (r < 0) {
        return r; /* nothing is touched that may be a share */
    }
    sweep_groups(&sweep, agent);
    for (const char *root = strtok_r(roots, ":", &rest); root; root = strtok_r(NULL, ":", &rest)) {
        struct statfs found;
        XB_CLEANUP(xb_closep) int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            sweep.clones = fstatfs(fd, &found) == 0 &&
                           (found.f_type == BTRFS_SUPER_MAGIC || found.f_type == XFS_SUPER_MAGIC);
            go_into(&sweep, fd, root, 1);
        }
    }
    if (sweep.removed > 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", sweep.removed);
        xb_log_info("copies that an agent before this one had left over are removed", "number",
                    number);
    }
    return 0;
}
