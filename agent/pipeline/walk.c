/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/read_job.h"
#include "shared/base/workers.h"

static void free_frame(struct frame *frame)
{
    if (frame->fd >= 0) {
        close(frame->fd);
    }
    free(frame->name);
    free(frame->path);
    xb_directory_free(frame->before);
    xb_directory_builder_free(frame->builder);
    free(frame);
}

char *xb_frame_child_path(const struct frame *frame, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", frame->path, frame->path[0] ? "/" : "", name) < 0) {
        return NULL;
    }
    return path;
}

/* Takes fd over, and `before`, also on failure. */
static struct frame *new_frame(struct backup *backup, struct frame *parent, const char *name,
                               int fd, struct xb_directory *before)
{
    struct xb_error err = XB_ERROR_INIT;
    struct frame *frame = calloc(1, sizeof *frame);
    if (!frame) {
        close(fd);
        xb_directory_free(before);
        return NULL;
    }
    frame->backup = backup;
    frame->parent = parent;
    frame->fd = fd;
    frame->before = before;
    frame->waiting = 1; /* the listing itself */
    frame->name = strdup(name);
    frame->path = parent ? xb_frame_child_path(parent, name) : strdup("");
    if (!frame->name || !frame->path || xb_directory_builder_new(&frame->builder, &err) < 0) {
        free_frame(frame);
        return NULL;
    }
    return frame;
}

static void fail_memory(struct backup *backup)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)!xb_error_no_memory(&err, "the walk");
    xb_backup_fail(backup, &err);
}

/* ---- ends ---- */

static int write_frame(struct frame *frame, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_attribute_source source = {.fd = frame->fd, .name = frame->name, .st = &frame->st};
    struct xb_summary *summary = NULL;
    struct xb_entry entry;
    int r = xb_entry_from_file(&source, &entry, err);
    if (r < 0) {
        return xb_error_wrap(err, "folder '%.300s'", frame->path);
    }
    r = xb_directory_builder_write(frame->builder, frame->backup->repository, entry.mtime_ns,
                                   &entry.object, &summary, err);
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    entry.summary = summary;
    if (frame->parent) {
        /* kopia restores a folder's time from here; the object's own summary keeps the true one. */
        summary->max_time_ns = entry.mtime_ns;
    }
    *ret = entry;
    return 0;
}

static void end_root(struct backup *backup, struct xb_entry *entry)
{
    pthread_mutex_lock(&backup->lock);
    if (entry) {
        backup->result.root = *entry;
    }
    atomic_store(&backup->done, true);
    pthread_cond_broadcast(&backup->changed);
    pthread_mutex_unlock(&backup->lock);
}

/* One thing that the frame waited for has come. The last one writes the folder, which is one thing
 * less for its parent, and so on up. */
void xb_frame_release(struct frame *frame)
{
    while (frame) {
        struct backup *backup = frame->backup;
        pthread_mutex_lock(&backup->lock);
        bool last = --frame->waiting == 0;
        pthread_mutex_unlock(&backup->lock);
        if (!last) {
            return;
        }
        struct xb_error err = XB_ERROR_INIT;
        struct xb_entry entry = {.name = NULL};
        struct frame *parent = frame->parent;
        bool stopped = xb_backup_stopped(backup);
        int r = stopped ? 0 : write_frame(frame, &entry, &err);
        if (r < 0) {
            xb_backup_fail(backup, &err);
        }
        bool written = !stopped && r == 0;
        if (parent && written) {
            xb_frame_add(parent, &entry);
        } else if (!parent) {
            end_root(backup, written ? &entry : NULL);
        }
        free_frame(frame);
        frame = parent;
    }
}

void xb_frame_add(struct frame *frame, struct xb_entry *entry)
{
    struct backup *backup = frame->backup;
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&backup->lock);
    int r = xb_directory_builder_add(frame->builder, entry, &err);
    pthread_mutex_unlock(&backup->lock);
    if (r < 0) {
        xb_backup_fail(backup, &err);
    }
}

void xb_frame_add_failure(struct frame *frame, const char *name, const char *text)
{
    struct backup *backup = frame->backup;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) char *path = xb_frame_child_path(frame, name);
    xb_backup_note(backup, path ? path : name, text);
    pthread_mutex_lock(&backup->lock);
    backup->result.failed++;
    int r = xb_directory_builder_add_error(frame->builder, path ? path : name, text, false, &err);
    pthread_mutex_unlock(&backup->lock);
    if (r < 0) {
        xb_backup_fail(backup, &err);
    }
}

void xb_frame_add_vanished(struct frame *frame, const char *name)
{
    struct backup *backup = frame->backup;
    XB_CLEANUP(xb_freep) char *path = xb_frame_child_path(frame, name);
    xb_backup_note(backup, path ? path : name, "was removed while the folder was read");
    pthread_mutex_lock(&backup->lock);
    backup->result.vanished++;
    pthread_mutex_unlock(&backup->lock);
}

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
    struct xb_attribute_source source = {.fd = -1, .folder_fd = frame->fd, .name = name, .st = st};
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
    r = write_small(backup, target, len, &entry.object, &err);
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

static struct xb_directory *read_before(struct frame *frame, const char *name)
{
    const struct xb_entry *entry = frame->before ? xb_directory_find(frame->before, name) : NULL;
    struct xb_directory *directory = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (!entry || entry->type != XB_ENTRY_DIRECTORY) {
        return NULL;
    }
    if (xb_directory_read(frame->backup->repository, &entry->object, &directory, &err) < 0) {
        /* The last backup is damaged there; this one reads everything and so mends it. */
        xb_backup_note(frame->backup, frame->path, err.text);
        return NULL;
    }
    return directory;
}

static void walk_folder(struct frame *frame, unsigned depth);

static void enter_folder(struct frame *frame, const char *name, unsigned depth)
{
    struct backup *backup = frame->backup;
    if (depth >= XB_BACKUP_DEPTH_MAX) {
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
    struct frame *child = new_frame(backup, frame, name, fd, read_before(frame, name));
    if (!child || fstat(fd, &child->st) < 0) {
        if (child) {
            free_frame(child);
        }
        fail_memory(backup);
        return;
    }
    pthread_mutex_lock(&backup->lock);
    frame->waiting++;
    backup->result.dirs++;
    pthread_mutex_unlock(&backup->lock);
    walk_folder(child, depth + 1);
}

static void visit(struct frame *frame, const char *name, unsigned depth)
{
    struct stat st;
    if (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) {
            xb_frame_add_vanished(frame, name);
        } else {
            xb_frame_add_failure(frame, name, strerror(errno));
        }
    } else if (S_ISDIR(st.st_mode)) {
        enter_folder(frame, name, depth);
    } else if (S_ISREG(st.st_mode)) {
        xb_read_job_submit(frame, name);
    } else {
        add_small(frame, name, &st);
    }
}

static int list_folder(struct frame *frame, unsigned depth)
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
            visit(frame, entry->d_name, depth);
        }
    }
}

static void flush_if_due(struct backup *backup)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_repository_flush_due(backup->repository) &&
        xb_repository_flush(backup->repository, &err) < 0) {
        xb_backup_fail(backup, &err);
    }
}

static void walk_folder(struct frame *frame, unsigned depth)
{
    struct backup *backup = frame->backup;
    int r = list_folder(frame, depth);
    if (r < 0 && !frame->parent) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_errno(&err, -r, "reading the folder");
        xb_backup_fail(backup, &err);
    } else if (r < 0) {
        /* What was listed stays; the folder says that it is not whole. */
        xb_frame_add_failure(frame, ".", strerror(-r));
    }
    flush_if_due(backup);
    xb_frame_release(frame);
}

void xb_backup_walk(struct backup *backup, int root_fd, const struct stat *st,
                    struct xb_directory *before)
{
    struct frame *root = new_frame(backup, NULL, backup->options->root_name, root_fd, before);
    if (!root) {
        fail_memory(backup);
        end_root(backup, NULL);
        return;
    }
    root->st = *st;
    backup->result.dirs = 1;
    walk_folder(root, 0);
    pthread_mutex_lock(&backup->lock);
    while (!backup->done) {
        pthread_cond_wait(&backup->changed, &backup->lock);
    }
    pthread_mutex_unlock(&backup->lock);
}
