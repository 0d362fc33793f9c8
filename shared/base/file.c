/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/base/cleanup.h"
#include "shared/base/random.h"

enum { READ_STEP_BYTES = 64 * 1024 };

int xb_file_read(const char *path, struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot open %s", path);
    }
    char step[READ_STEP_BYTES];
    for (;;) {
        ssize_t got = read(fd, step, sizeof step);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return xb_error_errno(err, errno, "cannot read %s", path);
        }
        if (got == 0) {
            return xb_buf_reserve(out, 0, err) < 0 ? err->code : 0;
        }
        if (xb_buf_append(out, step, (size_t)got, err) < 0) {
            return xb_error_wrap(err, "reading %s", path);
        }
    }
}

int xb_file_write_all(int fd, const void *data, size_t len, const char *what, struct xb_error *err)
{
    const char *next = data;
    while (len > 0) {
        ssize_t put = write(fd, next, len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return xb_error_errno(err, errno, "cannot write %s", what);
        }
        next += put;
        len -= (size_t)put;
    }
    return 0;
}

int xb_file_writev_all(int fd, const struct iovec *parts, size_t count, const char *what,
                       struct xb_error *err)
{
    size_t skip = 0; /* of parts[0], written already */
    while (count > 0) {
        if (skip > 0 || count == 1) {
            int r = xb_file_write_all(fd, (const char *)parts[0].iov_base + skip,
                                      parts[0].iov_len - skip, what, err);
            if (r < 0) {
                return r;
            }
            skip = 0;
            parts++;
            count--;
            continue;
        }
        ssize_t put = writev(fd, parts, count < IOV_MAX ? (int)count : IOV_MAX);
        if (put < 0 && errno != EINTR) {
            return xb_error_errno(err, errno, "cannot write %s", what);
        }
        for (skip = put > 0 ? (size_t)put : 0; count > 0 && skip >= parts[0].iov_len; count--) {
            skip -= parts[0].iov_len;
            parts++;
        }
    }
    return 0;
}

int xb_file_pread_all(int fd, void *data, size_t len, off_t offset, const char *what,
                      struct xb_error *err)
{
    char *next = data;
    while (len > 0) {
        ssize_t got = pread(fd, next, len, offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return xb_error_errno(err, errno, "cannot read %s", what);
        }
        if (got == 0) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "%s is cut short: %zu bytes missing at offset %lld", what, len,
                                (long long)offset);
        }
        next += got;
        len -= (size_t)got;
        offset += got;
    }
    return 0;
}

/* The folder's own entry must be on disk before the new name can be relied on. */
static int sync_folder_of(const char *path, struct xb_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash) {
        snprintf(folder, sizeof folder, ".");
    } else {
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
    XB_CLEANUP(xb_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return xb_error_errno(err, errno, "cannot sync folder %s", folder);
    }
    return 0;
}

int xb_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct xb_error *err)
{
    char temporary[PATH_MAX];
    unsigned long long tag;
    xb_random_bytes(&tag, sizeof tag);
    if (snprintf(temporary, sizeof temporary, "%s.tmp.%016llx", path, tag) >=
        (int)sizeof temporary) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "path too long: %s", path);
    }
    XB_CLEANUP(xb_closep)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot create %s", temporary);
    }
    int r = xb_file_write_all(fd, data, len, temporary, err);
    if (r == 0 && fsync(fd) < 0) {
        r = xb_error_errno(err, errno, "cannot sync %s", temporary);
    }
    if (r == 0 && rename(temporary, path) < 0) {
        r = xb_error_errno(err, errno, "cannot rename %s to %s", temporary, path);
    }
    if (r < 0) {
        unlink(temporary);
        return r;
    }
    return sync_folder_of(path, err);
}

int xb_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct xb_error *err)
{
    struct open_how how = {
        .flags = (unsigned long long)(unsigned)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | __O_TMPFILE)) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    /* EAGAIN: a rename raced with the walk. A few tries, then the caller may decide. */
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0) {
            return (int)fd;
        }
        if ((errno == EAGAIN || errno == EINTR) && tries < 16) {
            continue;
        }
        return xb_error_errno(err, errno, "cannot open %s", path);
    }
}
