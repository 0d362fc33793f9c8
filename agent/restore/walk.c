/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/file.h"
#include "shared/base/workers.h"

enum { FOLDER_MODE = 0700 };

struct job {
    struct frame *frame;
    struct xb_entry entry;
};

static void free_frame(struct frame *frame)
{
    if (frame->fd >= 0) {
        close(frame->fd);
    }
    free(frame->path);
    xb_entry_free(&frame->entry);
    free(frame);
}

static char *child_path(const struct frame *frame, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s%s%s", frame->path, frame->path[0] ? "/" : "", name) < 0 ? NULL
                                                                                       : path;
}

/* Takes fd and the entry's content over, also on failure. */
static struct frame *new_frame(struct restore *restore, struct frame *parent, int fd,
                               struct xb_entry *entry)
{
    struct frame *frame = calloc(1, sizeof *frame);
    if (!frame) {
        close(fd);
        xb_entry_free(entry);
        return NULL;
    }
    *frame = (struct frame){
        .restore = restore, .parent = parent, .fd = fd, .entry = *entry, .waiting = 1};
    *entry = (struct xb_entry){.name = NULL};
    frame->path = parent ? child_path(parent, frame->entry.name) : strdup("");
    if (!frame->path) {
        free_frame(frame);
        return NULL;
    }
    return frame;
}

static void fail_memory(struct restore *restore)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)!xb_error_no_memory(&err, "the restore");
    xb_restore_fail(restore, &err);
}

static void release(struct frame *frame)
{
    while (frame) {
        struct restore *restore = frame->restore;
        struct frame *parent = frame->parent;
        pthread_mutex_lock(&restore->lock);
        bool last = --frame->waiting == 0;
        pthread_mutex_unlock(&restore->lock);
        if (!last) {
            return;
        }
        if (frame->entry.name && !xb_restore_stopped(restore)) {
            const struct xb_restore_place place = {.fd = frame->fd,
                                                   .frame = parent ? parent : frame};
            xb_restore_attributes(restore, &place, &frame->entry);
        }
        free_frame(frame);
        if (!parent) {
            pthread_mutex_lock(&restore->lock);
            atomic_store(&restore->done, true);
            pthread_cond_broadcast(&restore->changed);
            pthread_mutex_unlock(&restore->lock);
        }
        frame = parent;
    }
}

/* The target's own troubles end the restore; an entry's only concern the entry. */
static void entry_failed(struct frame *frame, const struct xb_entry *entry, struct xb_error *err)
{
    struct restore *restore = frame->restore;
    if (err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_FULL || err->code == -EROFS ||
        err->code == -EDQUOT) {
        (void)!xb_error_wrap(err, "'%.300s%s%.200s'", frame->path, frame->path[0] ? "/" : "",
                             entry->name);
        xb_restore_fail(restore, err);
    } else {
        xb_restore_note_failure(restore, frame, entry->name, err);
    }
}

static void count(struct restore *restore, uint64_t *counter, uint64_t amount)
{
    pthread_mutex_lock(&restore->lock);
    *counter += amount;
    pthread_mutex_unlock(&restore->lock);
}

static bool write_file(struct frame *frame, const struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_restore_write_file(restore, frame, entry, &err) < 0) {
        entry_failed(frame, entry, &err);
        return false;
    }
    atomic_fetch_add(&restore->files_done, 1);
    count(restore, &restore->result.files, 1);
    count(restore, &restore->result.bytes, entry->size);
    return true;
}

static void run_job(void *context)
{
    struct job *job = context;
    struct frame *frame = job->frame;
    if (!xb_restore_stopped(frame->restore)) {
        (void)write_file(frame, &job->entry);
    }
    xb_entry_free(&job->entry);
    free(job);
    release(frame);
}

static void submit(struct frame *frame, struct xb_entry *entry)
{
    struct job *job = malloc(sizeof *job);
    if (!job) {
        fail_memory(frame->restore);
        return;
    }
    *job = (struct job){.frame = frame, .entry = *entry};
    *entry = (struct xb_entry){.name = NULL};
    pthread_mutex_lock(&frame->restore->lock);
    frame->waiting++;
    pthread_mutex_unlock(&frame->restore->lock);
    xb_workers_submit(frame->restore->workers, run_job, job);
}

/* ---- hard links ---- */

/* Makes this name a link to the first one. */
static int link_to_first(struct frame *frame, const struct xb_entry *entry, const char *first,
                         struct xb_error *err)
{
    struct restore *restore = frame->restore;
    XB_CLEANUP(xb_closep)
    int fd = xb_file_open_beneath(restore->options->target_fd, first, O_PATH | O_NOFOLLOW, 0, err);
    char path[64];
    int r = fd < 0 ? fd : xb_restore_clear(frame, entry->name, err);
    if (r < 0) {
        return r;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, frame->fd, entry->name, AT_SYMLINK_FOLLOW) < 0) {
        return xb_error_errno(err, errno, "making a hard link to '%.200s'", first);
    }
    atomic_fetch_add(&restore->files_done, 1);
    atomic_fetch_add(&restore->bytes_done, entry->size);
    count(restore, &restore->result.hard_links, 1);
    return 0;
}

/* ---- what is no folder; false if it is not there afterwards ---- */

static bool add_symlink(struct frame *frame, const struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_restore_write_link(restore, frame, entry, &err) < 0) {
        entry_failed(frame, entry, &err);
        return false;
    }
    count(restore, &restore->result.symlinks, 1);
    return true;
}

static bool add_node(struct frame *frame, const struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    if ((entry->node == 'b' || entry->node == 'c') && !restore->options->devices) {
        xb_restore_note_skip(restore, frame, entry->name,
                             "is a device; devices are restored only when that is switched on");
        return false;
    }
    if (xb_restore_write_node(restore, frame, entry, &err) < 0) {
        entry_failed(frame, entry, &err);
        return false;
    }
    atomic_fetch_add(&restore->files_done, 1);
    count(restore, &restore->result.special_files, 1);
    return true;
}

/* The first of several names is made at once, so that the others can be linked to it. One that
 * cannot be linked is made for itself, which is not as it was. */
static void add_linked(struct frame *frame, struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    const char *first = xb_links_find(restore->links, entry->link);
    if (first && link_to_first(frame, entry, first, &err) == 0) {
        return;
    }
    bool made = entry->type == XB_ENTRY_SYMLINK ? add_symlink(frame, entry)
                : entry->node                   ? add_node(frame, entry)
                                                : write_file(frame, entry);
    XB_CLEANUP(xb_freep) char *path = child_path(frame, entry->name);
    if (!first && path && made) {
        xb_links_add(restore->links, entry->link, path);
    } else if (first && made) {
        xb_restore_note_failure(restore, frame, entry->name, &err);
    }
}

/* ---- the walk ---- */

static int open_folder(const struct frame *frame, const char *name)
{
    return openat(frame->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The folder below `frame`, made if it is not there. What is no folder gives way. */
static int make_folder(const struct frame *frame, const char *name, struct xb_error *err)
{
    int fd = open_folder(frame, name);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        int r = xb_restore_clear(frame, name, err);
        if (r < 0) {
            return r;
        }
        errno = ENOENT;
    }
    if (fd < 0 && errno == ENOENT && mkdirat(frame->fd, name, FOLDER_MODE) == 0) {
        fd = open_folder(frame, name);
    }
    return fd < 0 ? xb_error_errno(err, errno, "creating the folder") : fd;
}

static void walk_folder(struct frame *frame, unsigned depth);

static void add_folder(struct frame *frame, struct xb_entry *entry, unsigned depth)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    int fd = depth >= XB_RESTORE_DEPTH_MAX
                 ? xb_error_set(&err, XB_ERR_INVALID, -ELOOP, "more than %d folders deep",
                                XB_RESTORE_DEPTH_MAX)
                 : make_folder(frame, entry->name, &err);
    if (fd < 0) {
        entry_failed(frame, entry, &err);
        return;
    }
    struct frame *child = new_frame(restore, frame, fd, entry);
    if (!child) {
        fail_memory(restore);
        return;
    }
    pthread_mutex_lock(&restore->lock);
    frame->waiting++;
    restore->result.dirs++;
    pthread_mutex_unlock(&restore->lock);
    walk_folder(child, depth + 1);
}

static void add_entry(struct frame *frame, struct xb_entry *entry, unsigned depth)
{
    if (entry->type == XB_ENTRY_DIRECTORY) {
        add_folder(frame, entry, depth);
    } else if (entry->link) {
        add_linked(frame, entry);
    } else if (entry->type == XB_ENTRY_SYMLINK) {
        (void)add_symlink(frame, entry);
    } else if (entry->node) {
        (void)add_node(frame, entry);
    } else {
        submit(frame, entry);
    }
}

static void walk_folder(struct frame *frame, unsigned depth)
{
    struct restore *restore = frame->restore;
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_directory_read(restore->repository, &frame->entry.object, &directory, &err);
    if (r < 0 && !frame->parent) {
        xb_restore_fail(restore, &err);
    } else if (r < 0) {
        xb_restore_note_failure(restore, frame->parent, frame->entry.name, &err);
    }
    for (size_t i = 0; r == 0 && i < directory->count && !xb_restore_stopped(restore); i++) {
        add_entry(frame, &directory->entries[i], depth);
    }
    release(frame);
}

void xb_restore_walk(struct restore *restore, int target_fd, struct xb_entry *entry)
{
    bool folder = entry->type == XB_ENTRY_DIRECTORY;
    struct xb_entry none = {.name = NULL};
    struct frame *root = new_frame(restore, NULL, target_fd, folder ? entry : &none);
    if (!root) {
        xb_entry_free(entry);
        fail_memory(restore);
        return;
    }
    if (folder) {
        restore->result.dirs = 1;
        walk_folder(root, 0);
    } else {
        add_entry(root, entry, 0);
        xb_entry_free(entry);
        release(root);
    }
    pthread_mutex_lock(&restore->lock);
    while (!restore->done) {
        pthread_cond_wait(&restore->changed, &restore->lock);
    }
    pthread_mutex_unlock(&restore->lock);
}
