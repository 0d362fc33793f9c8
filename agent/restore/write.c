/* SPDX-License-Identifier: Apache-2.0
 * What is no regular file: symbolic links, special files; and what stands in their place. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/restore/internal.h"

enum { FILE_MODE = 0600 };

int xb_restore_look(const struct frame *frame, const char *name, bool *ret_exists, struct stat *ret,
                    struct xb_error *err)
{
    if (frame->made || frame->fd < 0) {
        *ret_exists = false;
        return 0;
    }
    int r = fstatat(frame->fd, name, ret, AT_SYMLINK_NOFOLLOW);
    if (r < 0 && errno != ENOENT) {
        return xb_error_errno(err, errno, "looking at what is there");
    }
    *ret_exists = r == 0;
    if (r == 0 && S_ISDIR(ret->st_mode)) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EISDIR,
                            "a folder stands in its place; remove it and restore again");
    }
    return 0;
}

static int look_for(const struct frame *frame, const char *name, enum xb_restore_action *ret_action,
                    struct stat *ret, struct xb_error *err)
{
    bool exists = false;
    int r = xb_restore_look(frame, name, &exists, ret, err);
    if (r == 0 && exists) {
        *ret_action = XB_RESTORE_REPLACE;
    }
    return r;
}

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

/* What a link's object says it points to. */
static int read_target(struct restore *restore, const struct xb_entry *entry, struct xb_buf *target,
                       struct xb_error *err)
{
    int r = xb_object_read_all(restore->repository, &entry->object, target, err);
    if (r == 0 && (target->len == 0 || memchr(target->data, '\0', target->len))) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "its target is empty or holds NUL");
    }
    return r;
}

static bool points_there(const struct frame *frame, const char *name, const struct xb_buf *target)
{
    char now[PATH_MAX];
    ssize_t len = readlinkat(frame->fd, name, now, sizeof now);
    return len >= 0 && (size_t)len == target->len && memcmp(now, target->data, target->len) == 0;
}

static int make_link(const struct frame *frame, const char *name, const struct xb_buf *target,
                     struct xb_error *err)
{
    int r = xb_restore_clear(frame, name, err);
    if (r == 0 && symlinkat(target->data, frame->fd, name) < 0) {
        r = xb_error_errno(err, errno, "creating the link");
    }
    return r;
}

int xb_restore_write_link(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, enum xb_restore_action *ret_action,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf target = XB_BUF_INIT(PATH_MAX);
    enum xb_restore_action action = XB_RESTORE_CREATE;
    struct stat st;
    int r = look_for(frame, entry->name, &action, &st, err);
    bool link_there = action == XB_RESTORE_REPLACE && S_ISLNK(st.st_mode);
    if (r == 0 && (!restore->options->dry_run || link_there)) {
        r = read_target(restore, entry, &target, err);
    }
    if (r < 0) {
        return r;
    }
    if (link_there && points_there(frame, entry->name, &target)) {
        action = XB_RESTORE_KEEP;
    } else if (!restore->options->dry_run) {
        r = make_link(frame, entry->name, &target, err);
    }
    if (r == 0 && !restore->options->dry_run) {
        struct xb_restore_place place = {.fd = -1, .frame = frame};
        if (action == XB_RESTORE_CREATE) {
            place.birth = frame->birth;
        }
        xb_restore_attributes(restore, &place, entry);
    }
    if (r == 0) {
        *ret_action = action;
    }
    return r;
}

int xb_restore_write_node(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, enum xb_restore_action *ret_action,
                          struct xb_error *err)
{
    mode_t type = entry->node == 'p'   ? S_IFIFO
                  : entry->node == 's' ? S_IFSOCK
                  : entry->node == 'b' ? S_IFBLK
                                       : S_IFCHR;
    dev_t device = makedev(entry->node_major, entry->node_minor);
    enum xb_restore_action action = XB_RESTORE_CREATE;
    struct stat st;
    int r = look_for(frame, entry->name, &action, &st, err);
    if (r < 0) {
        return r;
    }
    if (!restore->options->dry_run) {
        r = xb_restore_clear(frame, entry->name, err);
        if (r < 0) {
            return r;
        }
        if (mknodat(frame->fd, entry->name, type | FILE_MODE, device) < 0) {
            return xb_error_errno(err, errno, "creating the special file");
        }
        const struct xb_restore_place place = {.fd = -1, .frame = frame};
        xb_restore_attributes(restore, &place, entry);
    }
    *ret_action = action;
    return 0;
}
