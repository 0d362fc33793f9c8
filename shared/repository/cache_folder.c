/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/cache_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/cleanup.h"
#include "shared/repository/repository.h"

int xb_cache_folder_make(const char *path, struct xb_error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "the cache folder's path");
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST) {
            return xb_error_errno(err, errno, "cannot make the cache folder %s", part);
        }
    }
    return 0;
}

int xb_cache_folder_open(int at, const char *path, mode_t forbidden, struct xb_error *err)
{
    struct stat st;
    XB_CLEANUP(xb_closep)
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return xb_error_errno(err, errno, "cannot open the cache folder %s", path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & forbidden) != 0) {
        return xb_error_set(
            err, XB_ERR_DENIED, -EPERM,
            "the cache folder %s is not used: it must belong to user %u, and others "
            "must not be able to write to it (its owner is %u, its mode %04o)",
            path, geteuid(), st.st_uid, st.st_mode & 07777);
    }
    return XB_TAKE_FD(fd);
}

void xb_cache_folder_each(int folder, xb_cache_entry_fn *fn, void *context)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        xb_closep(&fd);
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && fn(context, folder, entry->d_name) < 0) {
            break;
        }
    }
    (void)closedir(dir);
}

bool xb_repository_cache_folder_default(char out[XB_CACHE_PATH_BYTES], bool *ret_wanted)
{
    const char *wanted = getenv("XEBEC_CACHE_DIR");
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    *ret_wanted = wanted && wanted[0];
    if (wanted) {
        len = snprintf(out, XB_CACHE_PATH_BYTES, "%s", wanted);
    } else if (xdg && xdg[0] == '/') {
        len = snprintf(out, XB_CACHE_PATH_BYTES, "%s/xebec", xdg);
    } else if (geteuid() == 0) {
        len = snprintf(out, XB_CACHE_PATH_BYTES, "/var/cache/xebec");
    } else if (home && home[0] == '/') {
        len = snprintf(out, XB_CACHE_PATH_BYTES, "%s/.cache/xebec", home);
    }
    return len > 0 && len < XB_CACHE_PATH_BYTES;
}
