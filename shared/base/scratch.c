/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/file.h"

struct xb_scratch {
    const char *what, *folder; /* folder: of the file */
    struct xb_buf memory;      /* what is not in the file yet */
    size_t memory_max;
    int fd; /* -1: all is in memory */
    uint64_t in_file;
};

static int open_in(const char *folder)
{
    char path[PATH_MAX];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) {
        return fd;
    }
    if (snprintf(path, sizeof path, "%s/xebec-scratch.XXXXXX", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        (void)unlink(path);
    }
    return fd;
}

int xb_scratch_file(const char *what, const char **ret_folder, struct xb_error *err)
{
    const char *tmp = getenv("TMPDIR");
    const char *const folders[] = {tmp && tmp[0] ? tmp : NULL, "/var/tmp", "/tmp"};
    int first_errno = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int fd = folders[i] ? open_in(folders[i]) : -1;
        if (fd >= 0) {
            *ret_folder = folders[i];
            return fd;
        }
        first_errno = folders[i] && !first_errno ? errno : first_errno;
    }
    return xb_error_errno(err, first_errno, "cannot keep %s in %s%s/var/tmp or /tmp (set TMPDIR)",
                          what, folders[0] ? folders[0] : "", folders[0] ? ", " : "");
}

int xb_scratch_file_in(const char *folder, const char *what, struct xb_error *err)
{
    int fd = open_in(folder);
    return fd >= 0 ? fd : xb_error_errno(err, errno, "cannot keep %s in %s", what, folder);
}

int xb_scratch_new(const char *what, size_t memory_max, struct xb_scratch **ret,
                   struct xb_error *err)
{
    struct xb_scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch) {
        return xb_error_no_memory(err, what);
    }
    *scratch = (struct xb_scratch){
        .what = what, .memory = XB_BUF_INIT(memory_max), .memory_max = memory_max, .fd = -1};
    *ret = scratch;
    return 0;
}

static int write_file(struct xb_scratch *scratch, const void *data, size_t len,
                      struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r =
        scratch->fd < 0 ? scratch->fd = xb_scratch_file(scratch->what, &scratch->folder, err) : 0;
    if (r < 0) {
        return r;
    }
    r = xb_file_write_all(scratch->fd, data, len, scratch->what, &why);
    if (r < 0 && why.kind == XB_ERR_FULL) {
        return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                            "no space left in %.200s for %s: make room there, or set TMPDIR to a "
                            "larger folder",
                            scratch->folder, scratch->what);
    }
    if (r < 0) {
        *err = why;
        return xb_error_wrap(err, "in %.200s", scratch->folder);
    }
    scratch->in_file += len;
    return 0;
}

int xb_scratch_append(struct xb_scratch *scratch, const void *data, size_t len,
                      struct xb_error *err)
{
    if (len <= scratch->memory_max - scratch->memory.len) {
        return xb_buf_append(&scratch->memory, data, len, err);
    }
    int r = write_file(scratch, scratch->memory.data ? scratch->memory.data : "",
                       scratch->memory.len, err);
    if (r < 0) {
        return r;
    }
    xb_buf_clear(&scratch->memory);
    return len <= scratch->memory_max ? xb_buf_append(&scratch->memory, data, len, err)
                                      : write_file(scratch, data, len, err);
}

uint64_t xb_scratch_length(const struct xb_scratch *scratch)
{
    return scratch->in_file + scratch->memory.len;
}

int xb_scratch_read(const struct xb_scratch *scratch, uint64_t offset, void *to, size_t len,
                    struct xb_error *err)
{
    uint64_t length = xb_scratch_length(scratch);
    if (offset > length || len > length - offset) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "%s: read beyond the end", scratch->what);
    }
    size_t head = 0;
    if (offset < scratch->in_file) {
        uint64_t left = scratch->in_file - offset;
        head = len < left ? len : (size_t)left;
        int r = xb_file_pread_all(scratch->fd, to, head, (off_t)offset, scratch->what, err);
        if (r < 0) {
            return r;
        }
    }
    if (head < len) {
        memcpy((char *)to + head, scratch->memory.data + (offset + head - scratch->in_file),
               len - head);
    }
    return 0;
}

void xb_scratch_clear(struct xb_scratch *scratch)
{
    xb_buf_clear(&scratch->memory);
    xb_closep(&scratch->fd);
    scratch->fd = -1;
    scratch->in_file = 0;
}

void xb_scratch_free(struct xb_scratch *scratch)
{
    if (scratch) {
        xb_buf_free(&scratch->memory);
        xb_closep(&scratch->fd);
        free(scratch);
    }
}
