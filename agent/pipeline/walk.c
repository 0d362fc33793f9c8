/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/known.h"
#include "agent/pipeline/read_job.h"

/* ---- entries that are small: done by the walking thread ---- */

static int write_small(struct backup *backup, const void *data, size_t len,
                       struct xb_object_id *ret, struct xb_error *err)
{
    struct xb_content_write_result result;
    int r = xb_content_write(backup->repository, 0, data, len, XB_COMPRESSION_NONE, &result, err);
    if (r == 0) {
        xb_content_id_format(&result.id, ret->text);
    }
    return r;
}

static int read_link(struct frame *frame, const char *name, char target[PATH_MAX + 1],
                     size_t *ret_len, struct xb_error *err)
{
    ssize_t len = readlinkat(frame->fd, name, target, PATH_MAX + 1);
    if (len < 0 || len > PATH_MAX) {
        return xb_error_errno(err, len < 0 ? errno : ENAMETOOLONG, "reading the link");
    }
    *ret_len = (size_t)len;
    return 0;
}

/* A link or a special file. */
static void add_small(struct frame *frame, const char *name, const struct stat *st)
{
    struct backup *backup = frame->backup;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_attribute_source source = {.fd = -1,
                                               .folder_fd = frame->fd,
                                               .name = name,
                                               .st = st,
                                               .root_device = backup->root_device};
    struct xb_entry entry = {.name = NULL};
    char target[PATH_MAX + 1];
    size_t len = 0;
    int r = xb_entry_from_file(&source, &entry, &err);
    if (r == 0 && S_ISLNK(st->st_mode)) {
        r = read_link(frame, name, target, &len, &err);
        entry.size = len;
    }
    if (r < 0) {
        xb_entry_free(&entry);
        if (err.kind == XB_ERR_NOT_FOUND) {
            xb_frame_add_vanished(frame, name);
        } else {
            xb_frame_add_failure(frame, name, err.text);
        }
        return;
    }
    r = entry.node ? 0 : write_small(backup, target, len, &entry.object, &err);
    if (r < 0) {
        xb_entry_free(&entry);
        xb_backup_fail(backup, &err);
        return;
    }
    pthread_mutex_lock(&backup->lock);
    backup->result.symlinks += S_ISLNK(st->st_mode);
    backup->result.special_files += !S_ISLNK(st->st_mode);
    pthread_mutex_unlock(&backup->lock);
    xb_frame_add(frame, &entry);
}

/* ---- the walk ---- */

static void walk_folder(struct frame *frame);

static void enter_folder(struct frame *frame, const char *name)
{
    if (frame->depth >= XB_BACKUP_DEPTH_MAX) {
        xb_frame_add_failure(frame, name, "lies too deep (more than 900 folders)");
        return;
    }
    int fd = openat(frame->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
            xb_frame_add_vanished(frame, name);
        } else {
            xb_frame_add_failure(frame, name, strerror(errno));
        }
        return;
    }
    struct frame *child = xb_frame_new(frame->backup, frame, name, fd);
    if (child) {
        walk_folder(child);
    }
}

static void visit(struct frame *frame, const char *name)
{
    struct stat st;
    if (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) {
            xb_frame_add_vanished(frame, name);
        } else {
            xb_frame_add_failure(frame, name, strerror(errno));
        }
    } else if (S_ISDIR(st.st_mode)) {
        enter_folder(frame, name);
    } else if (xb_known_keep(frame, name, &st, false)) {
        return;
    } else if (S_ISREG(st.st_mode)) {
        xb_read_job_submit(frame, name, &st);
    } else {
        add_small(frame, name, &st);
    }
}

static int list_folder(struct frame *frame)
{
    /* A descriptor of its own, because closedir closes it and the frame's is needed longer. */
    int fd = openat(frame->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return -error;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            return -errno;
        }
        if (xb_backup_stopped(frame->backup)) {
            return 0;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            visit(frame, entry->d_name);
        }
    }
}

static void walk_folder(struct frame *frame)
{
    xb_known_enter(frame);
    int r = list_folder(frame);
    if (r < 0 && !frame->parent) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_errno(&err, -r, "reading the folder");
        xb_backup_fail(frame->backup, &err);
    } else if (r == -ENOENT) {
        xb_frame_add_vanished(frame, "."); /* removed after it was opened */
    } else if (r < 0) {
        /* What was listed stays; the folder says that it is not whole. */
        xb_frame_add_failure(frame, ".", strerror(-r));
    }
    xb_frame_release(frame);
}

void xb_backup_walk(struct backup *backup, int root_fd)
{
    struct frame *root = xb_frame_new(backup, NULL, backup->options->root_name, root_fd);
    if (!root) {
        return; /* it has failed */
    }
    backup->result.dirs = 1;
    backup->root_device = root->st.st_dev;
    walk_folder(root);
    pthread_mutex_lock(&backup->lock);
    while (!backup->done) {
        pthread_cond_wait(&backup->changed, &backup->lock);
    }
    pthread_mutex_unlock(&backup->lock);
}
