/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing an object: a temporary file in the folder of the object, synced, then renamed into place,
 * then the folder synced, so that after a power cut the name is either absent or whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/file.h"
#include "shared/base/random.h"
#include "shared/store/fs/fs.h"

enum { MAKE_TRIES_MAX = 8 };

struct fs_upload {
    struct xb_store_upload base;
    int folder_fd;
    int fd;
    bool exclusive;
    bool made; /* the temporary file exists */
    char *name;
    const char *file; /* last part of name */
    char temporary[NAME_MAX + 1];
};

/* Opens `part` below folder_fd, making it if it is missing; a folder just made is only durable once
 * its parent has been synced. */
static int enter_folder(int folder_fd, const char *part, const char *name, struct xb_error *err)
{
    struct xb_error local = XB_ERROR_INIT;
    int fd = xb_file_open_beneath(folder_fd, part, O_RDONLY | O_DIRECTORY, 0, &local);
    if (fd != -ENOENT) {
        if (fd < 0) {
            *err = local;
        }
        return fd;
    }
    if (mkdirat(folder_fd, part, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "cannot make folder %s for %s", part, name);
    }
    if (TEMP_FAILURE_RETRY(fsync(folder_fd)) < 0) {
        return xb_error_errno(err, errno, "cannot sync the folder above %s of %s", part, name);
    }
    return xb_file_open_beneath(folder_fd, part, O_RDONLY | O_DIRECTORY, 0, err);
}

static int make_folders(const struct xb_fs *self, const char *name, struct xb_error *err)
{
    char part[XB_STORE_NAME_BYTES_MAX + 1];
    XB_CLEANUP(xb_closep) int at = xb_fs_open_folder(self, "", err);
    const char *rest = name;
    for (const char *slash; at >= 0 && (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
        memcpy(part, rest, (size_t)(slash - rest));
        part[slash - rest] = '\0';
        int next = enter_folder(at, part, name, err);
        close(at);
        at = next;
    }
    return at < 0 ? at : XB_TAKE_FD(at);
}

static int make_temporary(struct fs_upload *upload, struct xb_error *err)
{
    unsigned long long tag;
    xb_random_bytes(&tag, sizeof tag);
    int len =
        snprintf(upload->temporary, sizeof upload->temporary, "%s.tmp.%016llx", upload->file, tag);
    if (len >= (int)sizeof upload->temporary) {
        return xb_error_errno(err, ENAMETOOLONG, "cannot create %s", upload->name);
    }
    upload->fd =
        (int)TEMP_FAILURE_RETRY(openat(upload->folder_fd, upload->temporary,
                                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (upload->fd < 0) {
        return xb_error_errno(err, errno, "cannot create %s", upload->name);
    }
    upload->made = true;
    return 0;
}

int xb_fs_begin(struct xb_store *store, const char *name,
                const struct xb_store_put_options *options, struct xb_store_upload **ret,
                struct xb_error *err)
{
    struct xb_fs *self = (struct xb_fs *)store;
    const char *slash = strrchr(name, '/');
    if (xb_fs_is_temporary(slash ? slash + 1 : name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "%s: names that end in .tmp and 16 hex digits are kept for files "
                            "being written",
                            name);
    }
    struct fs_upload *upload = calloc(1, sizeof *upload);
    char *copy = strdup(name);
    if (!upload || !copy) {
        free(upload);
        free(copy);
        return xb_error_no_memory(err, "an upload");
    }
    upload->name = copy;
    upload->file = slash ? copy + (slash - name) + 1 : copy;
    upload->exclusive = options && options->exclusive;
    upload->fd = -1;
    /* Another writer's delete may remove a folder that is empty for a moment: make it again. */
    struct xb_error local = XB_ERROR_INIT;
    int r = -ENOENT;
    for (int tries = 0; r == -ENOENT && tries < MAKE_TRIES_MAX; tries++) {
        upload->folder_fd = make_folders(self, name, &local);
        r = upload->folder_fd < 0 ? upload->folder_fd : make_temporary(upload, &local);
        if (r < 0 && upload->folder_fd >= 0) {
            close(upload->folder_fd);
            upload->folder_fd = -1;
        }
    }
    if (r < 0) {
        xb_fs_remove_empty_folders(self, name);
        free(copy);
        free(upload);
        *err = local;
        return r == -ENAMETOOLONG ? xb_error_set(err, XB_ERR_INVALID, r,
                                                 "%s: a part of it is too long for a file", name)
                                  : xb_fs_told_link(r, name, err);
    }
    *ret = &upload->base;
    return 0;
}

int xb_fs_write(struct xb_store_upload *base, const void *data, size_t len, struct xb_error *err)
{
    struct fs_upload *upload = (struct fs_upload *)base;
    return xb_file_write_all(upload->fd, data, len, upload->name, err);
}

int xb_fs_writev(struct xb_store_upload *base, const struct iovec *parts, size_t count,
                 struct xb_error *err)
{
    struct fs_upload *upload = (struct fs_upload *)base;
    return xb_file_writev_all(upload->fd, parts, count, upload->name, err);
}

/* Where the file system knows no RENAME_NOREPLACE (NFS), a hard link does the same. */
static int publish_exclusive(const struct fs_upload *upload)
{
    if (renameat2(upload->folder_fd, upload->temporary, upload->folder_fd, upload->file,
                  RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    return linkat(upload->folder_fd, upload->temporary, upload->folder_fd, upload->file, 0) == 0
               ? unlinkat(upload->folder_fd, upload->temporary, 0)
               : -1;
}

int xb_fs_commit(struct xb_store_upload *base, struct xb_error *err)
{
    struct fs_upload *upload = (struct fs_upload *)base;
    if (TEMP_FAILURE_RETRY(fsync(upload->fd)) < 0) {
        return xb_error_errno(err, errno, "cannot sync %s", upload->name);
    }
    int fd = XB_TAKE_FD(upload->fd);
    if (close(fd) < 0) {
        return xb_error_errno(err, errno, "cannot close %s", upload->name);
    }
    int r = upload->exclusive
                ? publish_exclusive(upload)
                : renameat(upload->folder_fd, upload->temporary, upload->folder_fd, upload->file);
    if (r < 0 && errno == EEXIST) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST, "%s exists already", upload->name);
    }
    if (r < 0) {
        return xb_error_errno(err, errno, "cannot put %s into place", upload->name);
    }
    upload->made = false;
    if (TEMP_FAILURE_RETRY(fsync(upload->folder_fd)) < 0) {
        return xb_error_errno(err, errno, "cannot sync the folder of %s", upload->name);
    }
    return 0;
}

void xb_fs_upload_free(struct xb_store_upload *base)
{
    struct fs_upload *upload = (struct fs_upload *)base;
    if (upload->fd >= 0) {
        close(upload->fd);
    }
    if (upload->made) {
        unlinkat(upload->folder_fd, upload->temporary, 0);
        xb_fs_remove_empty_folders((struct xb_fs *)base->store, upload->name);
    }
    if (upload->folder_fd >= 0) {
        close(upload->folder_fd);
    }
    free(upload->name);
    free(upload);
}
