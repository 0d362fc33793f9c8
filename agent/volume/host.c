/* SPDX-License-Identifier: Apache-2.0
 * A folder of the node itself, which the kubelet mounts for no pod: found where an administrator
 * has mounted what is above it into the agent. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/volume/internal.h"
#include "shared/base/file.h"

/* The kubelet makes a folder for every pod that it has taken, whatever the API says of a pod. */
static int check_pod(const struct xb_volume_place *place, struct xb_error *err)
{
    for (const char *at = place->pods_root; *at;) {
        char path[PATH_MAX];
        struct stat st;
        size_t len = strcspn(at, ":");
        int used = snprintf(path, sizeof path, "%.*s/%s", (int)len, at, place->pod_uid);
        if (len > 0 && used > 0 && (size_t)used < sizeof path && lstat(path, &st) == 0 &&
            S_ISDIR(st.st_mode)) {
            return 0;
        }
        at += len + (at[len] == ':');
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                        "the pod is not below %s on this node (is the kubelet's root folder "
                        "another one?)",
                        place->pods_root);
}

/* What is mounted for the administrator's folder. The way there is his, links and all. */
static int open_allowed(const struct xb_volume_host *host, struct xb_error *err)
{
    char path[PATH_MAX];
    int used = snprintf(path, sizeof path, "%s%.*s", host->root, (int)host->allowed, host->path);
    if (used < 0 || (size_t)used >= sizeof path) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a folder of the node");
    }
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "%s is not there: the node's %.*s must be mounted there in the "
                            "agent's DaemonSet",
                            path, (int)host->allowed, host->path);
    }
    return fd < 0 ? xb_error_errno(err, errno, "%s", path) : fd;
}

static int open_beneath(const struct xb_volume_host *host, int allowed_fd, struct xb_error *err)
{
    const char *rest = host->path + host->allowed;
    rest += strspn(rest, "/");
    int fd = xb_file_open_beneath(allowed_fd, rest[0] ? rest : ".", O_RDONLY | O_DIRECTORY, 0, err);
    if (fd == -ENOTDIR) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTDIR,
                            "%s of this node is no folder, and only folders are backed up",
                            host->path);
    }
    if (fd == -ELOOP) {
        return xb_error_set(err, XB_ERR_INVALID, -ELOOP,
                            "%s of this node has a link on the way, and links are not followed",
                            host->path);
    }
    return fd < 0 ? xb_error_wrap(err, "%s of this node", host->path) : fd;
}

int xb_volume_open_host(const struct xb_volume_place *place, struct xb_volume *ret,
                        struct xb_error *err)
{
    struct xb_volume volume = {.fd = -1};
    int r = place->pod_uid ? check_pod(place, err) : 0;
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep) int allowed_fd = open_allowed(&place->host, err);
    if (allowed_fd < 0) {
        return allowed_fd;
    }
    volume.fd = open_beneath(&place->host, allowed_fd, err);
    if (volume.fd < 0) {
        return volume.fd;
    }
    if (fstat(volume.fd, &volume.st) < 0) {
        r = xb_error_errno(err, errno, "%s of this node", place->host.path);
    } else if (!(volume.path = strdup(place->host.path))) {
        r = xb_error_no_memory(err, "a volume");
    }
    if (r < 0) {
        xb_volume_close(&volume);
        return r;
    }
    *ret = volume;
    return 0;
}
