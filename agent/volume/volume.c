/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/volume/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/file.h"

enum { UID_BYTES = 36 };

/* Sources that are no data of the application, or not the node's to read. */
static const char *refusal(xb_json *volume)
{
    static const struct {
        const char *field, *why;
    } refused[] = {{"hostPath", "hostPath volumes are not backed up"},
                   {"secret", "it is a Secret, which is backed up as such"},
                   {"configMap", "it is a ConfigMap, which is backed up as such"},
                   {"projected", "projected volumes are made anew with the pod"},
                   {"downwardAPI", "downwardAPI volumes are made anew with the pod"}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (xb_json_get(volume, refused[i].field)) {
            return refused[i].why;
        }
    }
    return NULL;
}

int xb_volume_source(xb_json *pod, const char *volume, struct xb_volume_source *ret,
                     struct xb_error *err)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(volumes, i);
        if (strcmp(xb_json_str(one, "name", ""), volume) != 0) {
            continue;
        }
        const char *claim = xb_json_str(one, "persistentVolumeClaim.claimName", NULL);
        *ret = (struct xb_volume_source){
            .claim = claim, .csi = xb_json_get(one, "csi") != NULL, .refused = refusal(one)};
        return 0;
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the pod has no volume '%.100s'", volume);
}

bool xb_volume_is_csi(xb_json *persistent_volume)
{
    return xb_json_get(persistent_volume, "spec.csi") != NULL;
}

static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) <= NAME_MAX && !strchr(name, '/');
}

static bool uid_valid(const char *uid)
{
    return strlen(uid) == UID_BYTES && strspn(uid, "0123456789abcdef-") == UID_BYTES;
}

/* Looks for <plugin>/<folder> in the pod's volumes; the name of the one plugin that has it. */
static int find_plugin(int volumes_fd, const char *folder, char plugin[NAME_MAX + 1],
                       struct xb_error *err)
{
    size_t found = 0;
    int fd = dup(volumes_fd);
    XB_CLEANUP(xb_closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return xb_error_errno(err, error, "listing the pod's volumes");
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        char path[2 * NAME_MAX + 2];
        struct stat st;
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", entry->d_name, folder);
        if (fstatat(volumes_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            snprintf(plugin, NAME_MAX + 1, "%s", entry->d_name);
            found++;
        }
    }
    if (found == 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the pod has no folder of volume '%.200s' on this node", folder);
    }
    return found == 1 ? 0
                      : xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                                     "the pod has more than one folder of volume '%.200s'", folder);
}

static int open_folder(const struct xb_volume_place *place, int root_fd, struct xb_volume *volume,
                       struct xb_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY;
    char plugin[NAME_MAX + 1];
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/volumes", place->pod_uid);
    XB_CLEANUP(xb_closep) int volumes_fd = xb_file_open_beneath(root_fd, path, flags, 0, err);
    if (volumes_fd < 0) {
        return xb_error_wrap(err, "the pod's volumes on this node");
    }
    int r = find_plugin(volumes_fd, place->folder, plugin, err);
    if (r < 0) {
        return r;
    }
    snprintf(path, sizeof path, "%s/%s%s", plugin, place->folder, place->csi ? "/mount" : "");
    volume->fd = xb_file_open_beneath(volumes_fd, path, flags, 0, err);
    if (volume->fd < 0) {
        return xb_error_wrap(err, "the volume's folder");
    }
    if (fstat(volume->fd, &volume->st) < 0) {
        return xb_error_errno(err, errno, "the volume's folder");
    }
    if (asprintf(&volume->path, "%s/%s/volumes/%s", place->pods_root, place->pod_uid, path) < 0) {
        volume->path = NULL;
        return xb_error_no_memory(err, "a volume");
    }
    return 0;
}

int xb_volume_open(const struct xb_volume_place *place, struct xb_volume *ret, struct xb_error *err)
{
    struct xb_volume volume = {.fd = -1};
    if (!uid_valid(place->pod_uid) || !plain_name(place->folder)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a pod's uid or a volume's name");
    }
    XB_CLEANUP(xb_closep) int root = open(place->pods_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return xb_error_errno(err, errno, "%s (the kubelet's pods folder must be mounted there)",
                              place->pods_root);
    }
    int r = open_folder(place, root, &volume, err);
    if (r < 0) {
        xb_volume_close(&volume);
        return r;
    }
    *ret = volume;
    return 0;
}

void xb_volume_close(struct xb_volume *volume)
{
    if (volume->fd >= 0) {
        close(volume->fd);
    }
    free(volume->path);
    *volume = (struct xb_volume){.fd = -1};
}

int xb_volume_still_there(const struct xb_volume_place *place, const struct xb_volume *volume,
                          struct xb_error *err)
{
    struct xb_volume again = {.fd = -1};
    int r = xb_volume_open(place, &again, err);
    if (r == 0 && (again.st.st_dev != volume->st.st_dev || again.st.st_ino != volume->st.st_ino)) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -ESTALE, "another folder is in its place");
    }
    xb_volume_close(&again);
    return r < 0 ? xb_error_wrap(err, "the volume vanished while it was in use") : 0;
}
