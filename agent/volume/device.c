/* SPDX-License-Identifier: Apache-2.0
 * A raw block device of a pod: the kubelet has a link to it, "volumeDevices/<plugin>/<volume>",
 * whose target is a name in the node's /dev. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/volume/internal.h"
#include "shared/base/file.h"

#define NODE_DEVICES "/dev/"

/* The one link of that name below the plugins' folders. */
struct search {
    size_t found;
    char target[PATH_MAX];
};

static int read_links(int folder_fd, const char *name, struct search *search, struct xb_error *err)
{
    int fd = dup(folder_fd);
    XB_CLEANUP(xb_closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry = NULL;
    if (!dir) {
        int error = errno;
        xb_closep(&fd);
        return xb_error_errno(err, error, "listing the pod's devices");
    }
    while ((entry = readdir(dir))) {
        char path[2 * NAME_MAX + 2];
        char target[PATH_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", entry->d_name, name);
        ssize_t len = readlinkat(folder_fd, path, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            memcpy(search->target, target, (size_t)len + 1);
            search->found++;
        }
    }
    return 0;
}

static int search_root(const struct xb_volume_place *place, const char *root, struct search *search,
                       struct xb_error *err)
{
    char path[PATH_MAX];
    struct xb_error why = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        return errno == ENOENT ? 0 : xb_error_errno(err, errno, "%s", root);
    }
    snprintf(path, sizeof path, "%s/volumeDevices", place->pod_uid);
    XB_CLEANUP(xb_closep)
    int folder_fd = xb_file_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, &why);
    if (folder_fd < 0) {
        if (why.kind == XB_ERR_NOT_FOUND) {
            return 0;
        }
        *err = why;
        return xb_error_wrap(err, "the pod's devices on this node");
    }
    return read_links(folder_fd, place->folder, search, err);
}

static int find_link(const struct xb_volume_place *place, struct search *search,
                     struct xb_error *err)
{
    for (const char *at = place->pods_root; *at;) {
        char root[PATH_MAX];
        size_t len = strcspn(at, ":");
        if (len >= sizeof root) {
            return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a pods folder's name");
        }
        snprintf(root, sizeof root, "%.*s", (int)len, at);
        int r = len > 0 ? search_root(place, root, search, err) : 0;
        if (r < 0) {
            return r;
        }
        at += len + (at[len] == ':');
    }
    if (search->found == 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the pod has no device '%.200s' below %s on this node", place->folder,
                            place->pods_root);
    }
    if (search->found > 1) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                            "the pod has more than one device '%.200s'", place->folder);
    }
    if (strncmp(search->target, NODE_DEVICES, strlen(NODE_DEVICES)) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                            "the device is the node's %.300s, and only those in " NODE_DEVICES
                            " are backed up",
                            search->target);
    }
    return 0;
}

/* Names in /dev are links (mapper, disk/by-id): those within it are followed. */
static int open_within(const char *devices, const char *name, struct xb_error *err)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    XB_CLEANUP(xb_closep) int dir_fd = open(devices, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return xb_error_errno(err, errno,
                              "%s (the node's /dev must be mounted there in the agent's DaemonSet)",
                              devices);
    }
    int fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    return fd < 0 ? xb_error_errno(err, errno, "%s of the node's /dev", name) : fd;
}

int xb_volume_open_device(const struct xb_volume_place *place, struct xb_volume *ret,
                          struct xb_error *err)
{
    struct xb_volume volume = {.fd = -1};
    struct search search = {.found = 0};
    int r = find_link(place, &search, err);
    if (r < 0) {
        return r;
    }
    volume.fd = open_within(place->devices, search.target + strlen(NODE_DEVICES), err);
    if (volume.fd < 0) {
        return volume.fd;
    }
    if (fstat(volume.fd, &volume.st) < 0) {
        r = xb_error_errno(err, errno, "%s of the node", search.target);
    } else if (!S_ISBLK(volume.st.st_mode)) {
        r = xb_error_set(err, XB_ERR_INVALID, -ENOTBLK, "%s of the node is no block device",
                         search.target);
    } else if (!(volume.path = strdup(search.target))) {
        r = xb_error_no_memory(err, "a volume");
    }
    if (r < 0) {
        xb_volume_close(&volume);
        return r;
    }
    *ret = volume;
    return 0;
}
