/* SPDX-License-Identifier: Apache-2.0
 * The folders of the target that a restore is at work in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/restore/internal.h"

enum { FOLDER_MODE = 0700, ALL_BITS = 07777 };

static void free_frame(struct frame *frame)
{
    if (frame->fd >= 0) {
        close(frame->fd);
    }
    free(frame->path);
    xb_entry_free(&frame->entry);
    free(frame);
}

struct frame *xb_restore_frame_new(struct restore *restore, struct frame *parent, int fd,
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
    frame->path = parent ? xb_restore_path(parent, frame->entry.name) : strdup("");
    if (!frame->path) {
        free_frame(frame);
        return NULL;
    }
    return frame;
}

void xb_restore_frame_hold(struct frame *frame)
{
    pthread_mutex_lock(&frame->restore->lock);
    frame->waiting++;
    pthread_mutex_unlock(&frame->restore->lock);
}

void xb_restore_frame_release(struct frame *frame)
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
        if (frame->entry.name && frame->fd >= 0 && !restore->options->dry_run &&
            !xb_restore_stopped(restore)) {
            const struct xb_restore_place place = {.fd = frame->fd,
                                                   .frame = parent ? parent : frame,
                                                   .existed = !frame->made,
                                                   .birth = frame->birth};
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

int xb_restore_folder_open(const struct frame *frame, const char *name)
{
    return openat(frame->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int xb_restore_folder_make(const struct frame *frame, const char *name, int *ret_fd,
                           enum xb_restore_action *ret_action, struct xb_error *err)
{
    bool dry_run = frame->restore->options->dry_run;
    bool none = frame->fd < 0 || frame->made;
    int fd = none ? -1 : xb_restore_folder_open(frame, name);
    int why = none ? ENOENT : errno;
    *ret_action = XB_RESTORE_KEEP;
    if (fd < 0 && (why == ENOTDIR || why == ELOOP)) {
        int r = dry_run ? 0 : xb_restore_clear(frame, name, err);
        if (r < 0) {
            return r;
        }
        *ret_action = XB_RESTORE_REPLACE;
    } else if (fd < 0 && why == ENOENT) {
        *ret_action = XB_RESTORE_CREATE;
    }
    if (*ret_action != XB_RESTORE_KEEP && !dry_run) {
        bool there = mkdirat(frame->fd, name, FOLDER_MODE) < 0;
        why = errno;
        if (!there || why == EEXIST) {
            fd = xb_restore_folder_open(frame, name);
            why = errno;
        }
        /* In a folder that takes some of its names for the same one. */
        *ret_action = there ? XB_RESTORE_KEEP : *ret_action;
    }
    if (fd < 0 && (!dry_run || *ret_action == XB_RESTORE_KEEP)) {
        return xb_error_errno(err, why, "creating the folder");
    }
    *ret_fd = fd;
    return 0;
}

/* ---- what is born in them ---- */

mode_t xb_restore_umask(void)
{
    unsigned mask = ALL_BITS;
    char *line = NULL;
    size_t cap = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && getline(&line, &cap, file) > 0) {
        char *end = NULL;
        unsigned long bits = strncmp(line, "Umask:", 6) == 0 ? strtoul(line + 6, &end, 8) : 0;
        if (end && end > line + 6 && bits <= ALL_BITS) {
            mask = (unsigned)bits;
            break;
        }
    }
    free(line);
    if (file) {
        fclose(file);
    }
    return mask & ALL_BITS;
}

/* Who owns what is made in a folder that we have just made: who owns the folder, by the same rules
 * of the file system. Modes are as asked for, less the umask, unless the folder has inherited a
 * default ACL, which decides instead. All that holds in the folders that are made in it, too. */
static struct birth look_at_birth(const struct frame *frame)
{
    struct birth birth = {.mask = ALL_BITS};
    struct stat st;
    if (fstat(frame->fd, &st) < 0) {
        return birth;
    }
    birth.known = true;
    birth.uid = st.st_uid;
    birth.gid = st.st_gid;
    if (fgetxattr(frame->fd, "system.posix_acl_default", NULL, 0) < 0 &&
        (errno == ENODATA || errno == ENOTSUP)) {
        birth.mask = frame->restore->umask;
    }
    return birth;
}

void xb_restore_frame_born(struct frame *frame, enum xb_restore_action action)
{
    const struct frame *parent = frame->parent;
    frame->made = action != XB_RESTORE_KEEP;
    if (frame->made && frame->fd >= 0) {
        frame->birth = parent->birth.known ? parent->birth : look_at_birth(frame);
    }
}
