/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/file.h"

/* A pipe or a terminal in an object's place must not hold us up. */
enum { OPEN_TO_READ = O_RDONLY | O_NONBLOCK | O_NOCTTY };

int xb_fs_open_folder(const struct xb_fs *self, const char *path, struct xb_error *err)
{
    return xb_file_open_beneath(self->root_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY, 0,
                                err);
}

int xb_fs_told_link(int r, const char *name, struct xb_error *err)
{
    return r != -ELOOP ? r
                       : xb_error_set(err, XB_ERR_DENIED, -ELOOP,
                                      "%s is, or lies behind, a symbolic link: links in a store "
                                      "are not followed",
                                      name);
}

/* Whatever else lies under an object's name is not an object; a symbolic link is said to be one,
 * since somebody has put it there. */
static int open_object(const struct xb_fs *self, const char *name, int flags, struct stat *ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_closep)
    int fd = xb_fs_told_link(xb_file_open_beneath(self->root_fd, name, flags, 0, err), name, err);
    if (fd == -ENAMETOOLONG) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "%s has a name longer than any file's, so it does not exist", name);
    }
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, ret) < 0) {
        return xb_error_errno(err, errno, "cannot stat %s", name);
    }
    if (!S_ISREG(ret->st_mode)) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "%s is not a regular file", name);
    }
    return XB_TAKE_FD(fd);
}

static int fs_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                  struct xb_buf *out, struct xb_error *err)
{
    struct stat st;
    XB_CLEANUP(xb_closep) int fd = open_object((struct xb_fs *)store, name, OPEN_TO_READ, &st, err);
    if (fd < 0) {
        return fd;
    }
    size_t want;
    int r = xb_store_range(name, (uint64_t)st.st_size, offset, len, &want, err);
    if (r == 0 && (r = xb_buf_reserve(out, want, err)) < 0) {
        return xb_error_wrap(err, "reading %s", name);
    }
    if (r == 0) {
        r = xb_file_pread_all(fd, out->data + out->len, want, (off_t)offset, name, err);
    }
    if (r == 0) {
        out->len += want;
    }
    out->data ? (void)(out->data[out->len] = '\0') : (void)0;
    return r;
}

static int fs_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                   struct xb_error *err)
{
    struct stat st;
    XB_CLEANUP(xb_closep) int fd = open_object((struct xb_fs *)store, name, O_PATH, &st, err);
    if (fd < 0) {
        return fd;
    }
    ret->size = (uint64_t)st.st_size;
    ret->mtime_ns = xb_fs_mtime_ns(&st);
    return 0;
}

void xb_fs_remove_empty_folders(const struct xb_fs *self, const char *name)
{
    struct xb_error ignored = XB_ERROR_INIT;
    char folder[XB_STORE_NAME_BYTES_MAX + 1];
    snprintf(folder, sizeof folder, "%s", name);
    for (char *slash; (slash = strrchr(folder, '/')) != NULL;) {
        *slash = '\0';
        char *above = strrchr(folder, '/');
        const char *last = above ? above + 1 : folder;
        char parent[XB_STORE_NAME_BYTES_MAX + 1];
        snprintf(parent, sizeof parent, "%.*s", above ? (int)(above - folder) : 0, folder);
        XB_CLEANUP(xb_closep) int fd = xb_fs_open_folder(self, parent, &ignored);
        if (fd < 0 || unlinkat(fd, last, AT_REMOVEDIR) < 0) {
            return;
        }
    }
}

static int fs_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    const struct xb_fs *self = (struct xb_fs *)store;
    struct xb_error local = XB_ERROR_INIT;
    const char *slash = strrchr(name, '/');
    char folder[XB_STORE_NAME_BYTES_MAX + 1];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - name) : 0, name);
    XB_CLEANUP(xb_closep) int fd = xb_fs_open_folder(self, folder, &local);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENAMETOOLONG) {
        return 0;
    }
    if (fd < 0) {
        *err = local;
        return xb_fs_told_link(fd, name, err);
    }
    if (unlinkat(fd, slash ? slash + 1 : name, 0) < 0) {
        return errno == ENOENT || errno == EISDIR || errno == ENAMETOOLONG
                   ? 0
                   : xb_error_errno(err, errno, "cannot delete %s", name);
    }
    if (fsync(fd) < 0) {
        return xb_error_errno(err, errno, "cannot sync the folder of %s", name);
    }
    xb_fs_remove_empty_folders(self, name);
    return 0;
}

static void fs_close(struct xb_store *store)
{
    struct xb_fs *self = (struct xb_fs *)store;
    if (self->root_fd >= 0) {
        close(self->root_fd);
    }
    free(self);
}

static const struct xb_store_driver fs_driver = {
    .begin = xb_fs_begin,
    .write = xb_fs_write,
    .writev = xb_fs_writev,
    .commit = xb_fs_commit,
    .upload_free = xb_fs_upload_free,
    .get = fs_get,
    .stat = fs_stat,
    .remove = fs_remove,
    .list = xb_fs_list,
    .list_folders = xb_fs_list_folders,
    .close = fs_close,
};

/* Makes the root itself, and only it: making its parent too would fill the wrong disk where a mount
 * is missing. */
static int create_root(const char *path, struct xb_error *err)
{
    if (mkdir(path, 0700) == 0) {
        const char *slash = strrchr(path, '/');
        char parent[PATH_MAX];
        snprintf(parent, sizeof parent, "%.*s", slash > path ? (int)(slash - path) : 1, path);
        XB_CLEANUP(xb_closep) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0) {
            return xb_error_errno(err, errno, "cannot sync folder %s", parent);
        }
        return 0;
    }
    if (errno == EEXIST) {
        return 0;
    }
    if (errno == ENOENT) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "cannot create %s: the folder above it does not exist; create it, or "
                            "mount the file system that holds it",
                            path);
    }
    return xb_error_errno(err, errno, "cannot create the store's folder %s", path);
}

static int open_root(const char *path, bool create, struct xb_error *err)
{
    int r = create ? create_root(path, err) : 0;
    if (r < 0) {
        return r;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the store's folder %s does not exist: create it, or mount the file "
                            "system that holds it",
                            path);
    }
    if (fd < 0 && errno == ENOTDIR) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTDIR, "the store's path %s is not a folder",
                            path);
    }
    return fd >= 0 ? fd : xb_error_errno(err, errno, "cannot open the store's folder %s", path);
}

int xb_store_fs_open(const char *path, const struct xb_store_open_options *options,
                     struct xb_store **ret, struct xb_error *err)
{
    char root[PATH_MAX], description[PATH_MAX + 8];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len >= sizeof root) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "the store's path is too long");
    }
    memcpy(root, path, len);
    root[len] = '\0';
    snprintf(description, sizeof description, "file://%s", root);
    XB_CLEANUP(xb_closep) int fd = open_root(root, options->create && !options->read_only, err);
    if (fd < 0) {
        return fd;
    }
    XB_CLEANUP(xb_freep) struct xb_fs *self = calloc(1, sizeof *self);
    if (!self) {
        return xb_error_no_memory(err, "a store");
    }
    int r = xb_store_setup(&self->base, &fs_driver, options->read_only, description, err);
    if (r < 0) {
        return r;
    }
    self->root_fd = XB_TAKE_FD(fd);
    if (!options->read_only) {
        xb_fs_remove_stale(self);
    }
    struct xb_fs *made = XB_TAKE(self);
    *ret = &made->base;
    return 0;
}
