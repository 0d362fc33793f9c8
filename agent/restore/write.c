/* SPDX-License-Identifier: Apache-2.0
 * Making one file. A file appears under its own name from the start, and is removed again if it
 * cannot be finished. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/restore/internal.h"

enum { BLOCK_BYTES = 4096, FILE_MODE = 0600 };

struct sink {
    struct restore *restore;
    const struct xb_entry *entry;
    int fd;
    uint64_t at;
    size_t hole; /* the first that may still concern us */
};

int xb_restore_clear(const struct frame *frame, const char *name, struct xb_error *err)
{
    if (unlinkat(frame->fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno == EISDIR || errno == EPERM) {
        struct stat st;
        if (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            return xb_error_set(err, XB_ERR_CONFLICT, -EISDIR,
                                "a folder stands in its place; remove it and restore again");
        }
        errno = EPERM;
    }
    return xb_error_errno(err, errno, "removing what was there");
}

static int write_all(struct sink *sink, const char *data, size_t len, struct xb_error *err)
{
    while (len > 0) {
        ssize_t done = pwrite(sink->fd, data, len, (off_t)sink->at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return xb_error_errno(err, errno, "writing");
        }
        data += done;
        len -= (size_t)done;
        sink->at += (size_t)done;
    }
    return 0;
}

static bool all_zero(const char *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* How many of the next bytes lie in a recorded hole (*ret_hole true) or outside of all. */
static size_t next_stretch(struct sink *sink, size_t len, bool *ret_hole)
{
    const struct xb_entry *entry = sink->entry;
    while (sink->hole < entry->hole_count &&
           entry->holes[sink->hole].offset + entry->holes[sink->hole].len <= sink->at) {
        sink->hole++;
    }
    *ret_hole = false;
    if (sink->hole == entry->hole_count) {
        return len;
    }
    const struct xb_hole *hole = &entry->holes[sink->hole];
    uint64_t end = hole->offset;
    if (hole->offset <= sink->at) {
        *ret_hole = true;
        end = hole->offset + hole->len;
    }
    return end - sink->at < len ? (size_t)(end - sink->at) : len;
}

/* Writes data, leaving out aligned blocks of zeros if that is wanted. */
static int write_stretch(struct sink *sink, const char *data, size_t len, struct xb_error *err)
{
    int r = 0;
    if (!sink->restore->options->sparse) {
        return write_all(sink, data, len, err);
    }
    while (r == 0 && len > 0) {
        size_t take = BLOCK_BYTES - sink->at % BLOCK_BYTES;
        take = take < len ? take : len;
        if (take == BLOCK_BYTES && all_zero(data, take)) {
            sink->at += take;
        } else {
            r = write_all(sink, data, take, err);
        }
        data += take;
        len -= take;
    }
    return r;
}

static int write_piece(struct sink *sink, const char *data, size_t len, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && len > 0) {
        bool hole = false;
        size_t take = next_stretch(sink, len, &hole);
        /* What is called a hole must be zeros; if it is not, the data counts. */
        if (hole && all_zero(data, take)) {
            sink->at += take;
        } else {
            r = write_stretch(sink, data, take, err);
        }
        data += take;
        len -= take;
        atomic_fetch_add(&sink->restore->bytes_done, take);
    }
    return r;
}

static int copy_object(struct sink *sink, struct xb_error *err)
{
    struct restore *restore = sink->restore;
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    int r = xb_object_reader_open(restore->repository, &sink->entry->object, &reader, err);
    if (r < 0) {
        return r;
    }
    if (xb_object_reader_length(reader) != sink->entry->size) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "its data has %llu bytes where the folder says %llu",
                            (unsigned long long)xb_object_reader_length(reader),
                            (unsigned long long)sink->entry->size);
    }
    const void *data = NULL;
    size_t len = 1;
    while (r == 0 && len > 0) {
        if (xb_restore_stopped(restore)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        r = xb_object_reader_next(reader, &data, &len, err);
        if (r == 0 && len > 0) {
            r = write_piece(sink, data, len, err);
        }
    }
    /* A hole at the end, too, has a length. */
    if (r == 0 && ftruncate(sink->fd, (off_t)sink->at) < 0) {
        r = xb_error_errno(err, errno, "setting its length");
    }
    return r;
}

int xb_restore_write_file(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err)
{
    int r = xb_restore_clear(frame, entry->name, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep)
    int fd = openat(frame->fd, entry->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    FILE_MODE);
    if (fd < 0) {
        return xb_error_errno(err, errno, "creating it");
    }
    struct sink sink = {.restore = restore, .entry = entry, .fd = fd};
    r = copy_object(&sink, err);
    if (r < 0) {
        (void)unlinkat(frame->fd, entry->name, 0);
        return r;
    }
    const struct xb_restore_place place = {.fd = fd, .frame = frame};
    xb_restore_attributes(restore, &place, entry);
    return 0;
}

int xb_restore_write_link(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf target = XB_BUF_INIT(PATH_MAX);
    int r = xb_object_read_all(restore->repository, &entry->object, &target, err);
    if (r < 0) {
        return r;
    }
    if (target.len == 0 || memchr(target.data, '\0', target.len)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "its target is empty or holds NUL");
    }
    r = xb_restore_clear(frame, entry->name, err);
    if (r < 0) {
        return r;
    }
    if (symlinkat(target.data, frame->fd, entry->name) < 0) {
        return xb_error_errno(err, errno, "creating the link");
    }
    const struct xb_restore_place place = {.fd = -1, .frame = frame};
    xb_restore_attributes(restore, &place, entry);
    return 0;
}

int xb_restore_write_node(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err)
{
    mode_t type = entry->node == 'p'   ? S_IFIFO
                  : entry->node == 's' ? S_IFSOCK
                  : entry->node == 'b' ? S_IFBLK
                                       : S_IFCHR;
    dev_t device = makedev(entry->node_major, entry->node_minor);
    int r = xb_restore_clear(frame, entry->name, err);
    if (r < 0) {
        return r;
    }
    if (mknodat(frame->fd, entry->name, type | FILE_MODE, device) < 0) {
        return xb_error_errno(err, errno, "creating the special file");
    }
    const struct xb_restore_place place = {.fd = -1, .frame = frame};
    xb_restore_attributes(restore, &place, entry);
    return 0;
}
