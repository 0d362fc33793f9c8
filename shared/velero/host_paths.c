/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/host_paths.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* Absolute, not the root, and no part of it is empty, "." or "..". */
static bool is_plain(const char *path, size_t len)
{
    if (len < 2 || len >= PATH_MAX || path[0] != '/') {
        return false;
    }
    for (size_t at = 1, part = 0; at <= len; at += part + 1) {
        part = 0;
        while (at + part < len && path[at + part] != '/') {
            part++;
        }
        const char *name = path + at;
        if (part == 0 || (part == 1 && name[0] == '.') ||
            (part == 2 && name[0] == '.' && name[1] == '.')) {
            return false;
        }
    }
    return true;
}

int xb_host_paths_check(const char *list, struct xb_error *err)
{
    if (strlen(list) >= XB_HOST_PATHS_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG,
                            "the list of host paths is longer than %d bytes", XB_HOST_PATHS_BYTES);
    }
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ":");
        if (!is_plain(at, len)) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.*s' is no folder for the list of host paths: want absolute "
                                "paths below / without '.', '..' and a slash at the end, with "
                                "colons between them",
                                (int)(len < 200 ? len : 200), at);
        }
        at += len + (at[len] == ':');
    }
    return 0;
}

size_t xb_host_paths_find(const char *list, const char *path)
{
    size_t best = 0;
    size_t path_len = strlen(path);
    while (path_len > 1 && path[path_len - 1] == '/') {
        path_len--;
    }
    if (!list || !is_plain(path, path_len)) {
        return 0;
    }
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ":");
        if (len > best && len <= path_len && is_plain(at, len) && memcmp(at, path, len) == 0 &&
            (len == path_len || path[len] == '/')) {
            best = len;
        }
        at += len + (at[len] == ':');
    }
    return best;
}
