/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/known.h"

static void free_frame(struct frame *frame)
{
    struct backup *backup = frame->backup;
    pthread_mutex_lock(&backup->lock);
    if (frame->previous) {
        frame->previous->next = frame->next;
    } else if (backup->frames == frame) {
        backup->frames = frame->next;
    }
    if (frame->next) {
        frame->next->previous = frame->previous;
    }
    atomic_fetch_sub(&backup->frame_count, 1);
    pthread_mutex_unlock(&backup->lock);
    if (frame->fd >= 0) {
        close(frame->fd);
    }
    free(frame->name);
    xb_buf_free(&frame->folders);
    xb_known_leave(frame);
    xb_directory_builder_free(frame->builder);
    pthread_mutex_destroy(&frame->lock);
    free(frame);
}

/* Made when somebody asks: most folders never are in a message. */
char *xb_frame_child_path(const struct frame *frame, const char *name)
{
    size_t len = strlen(name) + 1;
    for (const struct frame *at = frame; at->parent; at = at->parent) {
        len += strlen(at->name) + 1;
    }
    char *path = malloc(len);
    if (!path) {
        return NULL;
    }
    char *start = path + len - strlen(name) - 1;
    memcpy(start, name, strlen(name) + 1);
    for (const struct frame *at = frame; at->parent; at = at->parent) {
        *--start = '/';
        start -= strlen(at->name);
        memcpy(start, at->name, strlen(at->name));
    }
    return path;
}

char *xb_frame_path(const struct frame *frame)
{
    return frame->parent ? xb_frame_child_path(frame->parent, frame->name) : strdup("");
}

static int wrap(struct xb_error *err, const struct frame *frame)
{
    XB_CLEANUP(xb_freep) char *path = xb_frame_path(frame);
    return xb_error_wrap(err, "folder '%.300s'", path ? path : frame->name);
}

/* An entry could not be kept: the scratch folder is full, or the memory. */
static void fail_entry(struct frame *frame, struct xb_error *err)
{
    (void)!wrap(err, frame);
    xb_backup_fail(frame->backup, err);
}

static void enlist(struct backup *backup, struct frame *frame)
{
    pthread_mutex_lock(&backup->lock);
    frame->next = backup->frames;
    if (frame->next) {
        frame->next->previous = frame;
    }
    backup->frames = frame;
    if (frame->parent) {
        frame->parent->waiting++;
        backup->result.dirs++;
    }
    pthread_mutex_unlock(&backup->lock);
}

const struct xb_listing_entry *xb_frame_recorded(const struct frame *frame, const char *name)
{
    return frame->recorded.self ? xb_listing_find(&frame->recorded, name) : NULL;
}

static int read_state(struct frame *frame, struct xb_error *err)
{
    if (frame->recorded.self) {
        frame->st = frame->recorded.self->st;
    } else if (fstat(frame->fd, &frame->st) < 0) {
        (void)!xb_error_errno(err, errno, "reading its attributes");
        return wrap(err, frame);
    }
    return 0;
}

struct frame *xb_frame_new(struct backup *backup, struct frame *parent, const char *name, int fd,
                           const struct xb_listing_folder *recorded)
{
    struct xb_error err = XB_ERROR_INIT;
    struct frame *frame = calloc(1, sizeof *frame);
    if (!frame) {
        xb_closep(&fd);
        (void)!xb_error_no_memory(&err, "the walk");
        xb_backup_fail(backup, &err);
        return NULL;
    }
    pthread_mutex_init(&frame->lock, NULL);
    frame->backup = backup;
    frame->parent = parent;
    frame->depth = parent ? parent->depth + 1 : 0;
    frame->fd = fd;
    if (recorded) {
        frame->recorded = *recorded;
    }
    frame->waiting = 1; /* the listing itself */
    frame->folders.max = XB_FRAME_FOLDERS_BYTES_MAX;
    atomic_fetch_add(&backup->frame_count, 1);
    frame->name = strdup(name);
    int r = frame->name ? xb_directory_builder_new(&frame->builder, &err)
                        : xb_error_no_memory(&err, "the walk");
    if (r < 0 || read_state(frame, &err) < 0) {
        xb_backup_fail(backup, &err);
        free_frame(frame);
        return NULL;
    }
    enlist(backup, frame);
    return frame;
}

int xb_frame_entry(const struct frame *frame, struct xb_entry *ret, struct xb_error *err)
{
    const struct xb_attribute_source source = {.fd = frame->fd,
                                               .recorded = frame->recorded.self,
                                               .name = frame->name,
                                               .st = &frame->st,
                                               .backup = frame->backup};
    int r = xb_entry_from_file(&source, ret, err);
    return r < 0 ? wrap(err, frame) : 0;
}

static int write_frame(struct frame *frame, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_summary *summary = NULL;
    struct xb_entry entry;
    int r = xb_frame_entry(frame, &entry, err);
    if (r < 0) {
        return r;
    }
    r = xb_directory_builder_write(frame->builder, frame->backup->repository, entry.mtime_ns,
                                   &entry.object, &summary, err);
    if (r < 0) {
        xb_entry_free(&entry);
        return wrap(err, frame);
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

void xb_frame_hold(struct frame *frame)
{
    pthread_mutex_lock(&frame->backup->lock);
    frame->waiting++;
    pthread_mutex_unlock(&frame->backup->lock);
}

/* A subfolder; `before` is what the first parent says of it. */
static void add_folder(struct frame *frame, struct xb_entry *entry,
                       const struct xb_entry_text *before)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&frame->lock);
    int r = xb_directory_builder_add_over(frame->builder, entry, before, &err);
    pthread_mutex_unlock(&frame->lock);
    if (r < 0) {
        fail_entry(frame, &err);
    }
}

/* The last release writes the folder, which is one thing less for its parent, and so on up. */
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
            add_folder(parent, &entry, frame->text);
        }
        free_frame(frame);
        if (!parent) {
            end_root(backup, written ? &entry : NULL);
        }
        frame = parent;
    }
}

void xb_frame_add(struct frame *frame, struct xb_entry *entry)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&frame->lock);
    int r = xb_directory_builder_add(frame->builder, entry, &err);
    pthread_mutex_unlock(&frame->lock);
    if (r < 0) {
        fail_entry(frame, &err);
    }
}

void xb_frame_keep(struct frame *frame, const struct keep *keeps, size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    pthread_mutex_lock(&frame->lock);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct keep *keep = &keeps[i];
        r = keep->live ? xb_directory_builder_keep_text(frame->builder, keep->entry, keep->text,
                                                        keep->first, &err)
                       : 0;
    }
    pthread_mutex_unlock(&frame->lock);
    if (r < 0) {
        fail_entry(frame, &err);
    }
}

void xb_frame_count_kept(struct backup *backup, struct kept *kept)
{
    if (kept->files) {
        atomic_fetch_add(&backup->bytes_done, kept->bytes);
        atomic_fetch_add(&backup->files_done, kept->files);
    }
    if (kept->files || kept->symlinks || kept->special_files) {
        pthread_mutex_lock(&backup->lock);
        backup->result.files += kept->files;
        backup->result.cached_files += kept->files;
        backup->result.bytes += kept->bytes;
        backup->result.symlinks += kept->symlinks;
        backup->result.special_files += kept->special_files;
        pthread_mutex_unlock(&backup->lock);
    }
    *kept = (struct kept){.files = 0};
}

void xb_frame_add_failure(struct frame *frame, const char *name, const char *text)
{
    struct backup *backup = frame->backup;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) char *path = xb_frame_child_path(frame, name);
    xb_backup_note(backup, path ? path : name, text);
    pthread_mutex_lock(&frame->lock);
    int r = xb_directory_builder_add_error(frame->builder, path ? path : name, text, false, &err);
    pthread_mutex_unlock(&frame->lock);
    pthread_mutex_lock(&backup->lock);
    backup->result.failed++;
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
