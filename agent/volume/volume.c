/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/volume/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/file.h"

enum { UID_BYTES = 36, STATIC_UID_BYTES = 32 };

/* Sources that are no data of the application, or not the node's to read. */
static const char *refusal(xb_json *volume)
{
    static const struct {
        const char *field, *why;
    } refused[] = {{"secret", "it is a Secret, which is backed up as such"},
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
        *ret = (struct xb_volume_source){.csi = xb_json_get(one, "csi") != NULL,
                                         .ephemeral = xb_json_get(one, "ephemeral") != NULL,
                                         .refused = refusal(one)};
        if (xb_json_get(one, "hostPath")) {
            ret->host_path = xb_json_str(one, "hostPath.path", "");
        }
        if (ret->ephemeral) {
            snprintf(ret->claim, sizeof ret->claim, "%s-%s", xb_json_str(pod, "metadata.name", ""),
                     volume);
        } else {
            snprintf(ret->claim, sizeof ret->claim, "%s",
                     xb_json_str(one, "persistentVolumeClaim.claimName", ""));
        }
        return 0;
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the pod has no volume '%.100s'", volume);
}

static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) <= NAME_MAX && !strchr(name, '/');
}

/* Of the API, or of a static pod. */
static bool uid_valid(const char *uid)
{
    size_t len = strlen(uid);
    return (len == UID_BYTES || len == STATIC_UID_BYTES) && strspn(uid, "0123456789abcdef-") == len;
}

/* The one place that fits, over all roots. */
struct search {
    const struct xb_volume_place *place;
    size_t found, roots_there;
    int volumes_fd; /* of the place found */
    char root[PATH_MAX], plugin[NAME_MAX + 1];
};

/* Looks for <plugin>/<folder> in the pod's volumes; takes `volumes_fd` over if it is there. */
static int look_in(struct search *search, const char *root, int *volumes_fd, struct xb_error *err)
{
    int fd = dup(*volumes_fd);
    XB_CLEANUP(xb_closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return xb_error_errno(err, error, "listing the pod's volumes");
    }
    size_t before = search->found;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        char path[2 * NAME_MAX + 2];
        struct stat st;
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", entry->d_name, search->place->folder);
        if (fstatat(*volumes_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            snprintf(search->plugin, sizeof search->plugin, "%s", entry->d_name);
            snprintf(search->root, sizeof search->root, "%s", root);
            search->found++;
        }
    }
    if (search->found > before) {
        if (search->volumes_fd >= 0) {
            close(search->volumes_fd);
        }
        search->volumes_fd = *volumes_fd;
        *volumes_fd = -1;
    }
    return 0;
}

/* One kubelet's folder. That it is not there, or knows nothing of the pod, is no error yet. */
static int search_root(struct search *search, const char *root, struct xb_error *err)
{
    char path[PATH_MAX];
    struct xb_error why = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        return errno == ENOENT ? 0 : xb_error_errno(err, errno, "%s", root);
    }
    search->roots_there++;
    snprintf(path, sizeof path, "%s/volumes", search->place->pod_uid);
    XB_CLEANUP(xb_closep)
    int volumes_fd = xb_file_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, &why);
    if (volumes_fd < 0) {
        if (why.kind == XB_ERR_NOT_FOUND) {
            return 0;
        }
        *err = why;
        return xb_error_wrap(err, "the pod's volumes on this node");
    }
    return look_in(search, root, &volumes_fd, err);
}

static int search_roots(struct search *search, struct xb_error *err)
{
    const char *roots = search->place->pods_root;
    const char *folder = search->place->folder;
    for (const char *at = roots; *at;) {
        char root[PATH_MAX];
        size_t len = strcspn(at, ":");
        if (len >= sizeof root) {
            return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a pods folder's name");
        }
        snprintf(root, sizeof root, "%.*s", (int)len, at);
        int r = len > 0 ? search_root(search, root, err) : 0;
        if (r < 0) {
            return r;
        }
        at += len + (at[len] == ':');
    }
    if (search->roots_there == 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "%s is not there (the kubelet's pods folder must be mounted there)",
                            roots);
    }
    if (search->found == 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the pod has no folder of volume '%.200s' below %s on this node (is "
                            "the kubelet's root folder another one?)",
                            folder, roots);
    }
    return search->found == 1
               ? 0
               : xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                              "the pod has more than one folder of volume '%.200s'", folder);
}

static int open_found(const struct search *search, struct xb_volume *volume, struct xb_error *err)
{
    const struct xb_volume_place *place = search->place;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s%s", search->plugin, place->folder,
             place->csi ? "/mount" : "");
    volume->fd = xb_file_open_beneath(search->volumes_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
    if (volume->fd < 0) {
        return xb_error_wrap(err, "the volume's folder");
    }
    if (fstat(volume->fd, &volume->st) < 0) {
        return xb_error_errno(err, errno, "the volume's folder");
    }
    if (asprintf(&volume->path, "%s/%s/volumes/%s", search->root, place->pod_uid, path) < 0) {
        volume->path = NULL;
        return xb_error_no_memory(err, "a volume");
    }
    return 0;
}

int xb_volume_open(const struct xb_volume_place *place, struct xb_volume *ret, struct xb_error *err)
{
    struct xb_volume volume = {.fd = -1};
    bool host = place->host.path != NULL;
    bool valid = place->pod_uid ? uid_valid(place->pod_uid) : host;
    if (!valid || (!host && !plain_name(place->folder))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a pod's uid or a volume's name");
    }
    if (host) {
        return xb_volume_open_host(place, ret, err);
    }
    if (place->devices) {
        return xb_volume_open_device(place, ret, err);
    }
    struct search search = {.place = place, .volumes_fd = -1};
    int r = search_roots(&search, err);
    if (r == 0) {
        r = open_found(&search, &volume, err);
    }
    if (search.volumes_fd >= 0) {
        close(search.volumes_fd);
    }
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
