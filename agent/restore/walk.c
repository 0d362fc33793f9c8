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

enum { FIRST_LATER = 16 };

/* ---- what is no folder ---- */

/* Symbolic links and special files are made here and now. False if it is not there afterwards. */
static bool add_symlink(struct frame *frame, const struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_action action = XB_RESTORE_CREATE;
    if (xb_restore_write_link(restore, frame, entry, &action, &err) < 0) {
        xb_restore_entry_failed(frame, entry->name, &err);
        return false;
    }
    xb_restore_count(restore, &restore->result.symlinks, 1);
    xb_restore_note_done(frame, entry->name, action);
    return true;
}

static bool add_node(struct frame *frame, const struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_action action = XB_RESTORE_CREATE;
    if ((entry->node == 'b' || entry->node == 'c') && !restore->options->devices) {
        xb_restore_note_skip(restore, frame, entry->name,
                             "is a device; devices are restored only when that is switched on");
        return false;
    }
    if (xb_restore_write_node(restore, frame, entry, &action, &err) < 0) {
        xb_restore_entry_failed(frame, entry->name, &err);
        return false;
    }
    atomic_fetch_add(&restore->files_done, 1);
    xb_restore_count(restore, &restore->result.special_files, 1);
    xb_restore_note_done(frame, entry->name, action);
    return true;
}

/* Returns in which window it will be there; false: never. */
static bool add_alone(struct frame *frame, struct xb_entry *entry, uint64_t *ret_window)
{
    if (entry->type == XB_ENTRY_SYMLINK) {
        return add_symlink(frame, entry);
    }
    if (entry->node) {
        return add_node(frame, entry);
    }
    *ret_window = xb_restore_file_plan(frame, entry);
    return true;
}

/* ---- hard links ---- */

/* Whether it has ended. Its place in the ring is taken again only then. */
static bool has_ended(const struct restore *restore, uint64_t window)
{
    return window == 0 || (restore->sequence >= XB_RESTORE_WINDOWS &&
                           window <= restore->sequence - XB_RESTORE_WINDOWS);
}

/* Makes this name a link to the first one. */
static int link_to_first(struct frame *frame, const struct xb_entry *entry, const char *first,
                         enum xb_restore_action *ret_action, struct xb_error *err)
{
    struct restore *restore = frame->restore;
    struct stat want;
    struct stat have;
    bool exists = false;
    char path[64];
    XB_CLEANUP(xb_closep)
    int fd = xb_file_open_beneath(restore->options->target_fd, first, O_PATH | O_NOFOLLOW, 0, err);
    int r = fd < 0 ? fd : xb_restore_look(frame, entry->name, &exists, &have, err);
    if (r < 0) {
        return r;
    }
    *ret_action = exists ? XB_RESTORE_REPLACE : XB_RESTORE_CREATE;
    if (exists && fstat(fd, &want) == 0 && want.st_dev == have.st_dev &&
        want.st_ino == have.st_ino) {
        *ret_action = XB_RESTORE_KEEP;
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    r = xb_restore_clear(frame, entry->name, err);
    if (r == 0 && linkat(AT_FDCWD, path, frame->fd, entry->name, AT_SYMLINK_FOLLOW) < 0) {
        r = xb_error_errno(err, errno, "making a hard link to '%.200s'", first);
    }
    return r;
}

static void count_link(struct frame *frame, const struct xb_entry *entry,
                       enum xb_restore_action action)
{
    struct restore *restore = frame->restore;
    atomic_fetch_add(&restore->files_done, 1);
    atomic_fetch_add(&restore->bytes_done, entry->size);
    xb_restore_count(restore, &restore->result.hard_links, 1);
    xb_restore_note_done(frame, entry->name, action);
}

/* In a dry run the first name may not be there; whether this one is tells enough. */
static void tell_link(struct frame *frame, const struct xb_entry *entry)
{
    struct xb_error err = XB_ERROR_INIT;
    struct stat st;
    bool exists = false;
    if (xb_restore_look(frame, entry->name, &exists, &st, &err) < 0) {
        xb_restore_entry_failed(frame, entry->name, &err);
    } else {
        count_link(frame, entry, exists ? XB_RESTORE_REPLACE : XB_RESTORE_CREATE);
    }
}

/* The first name of its file, or one that takes its place because the first could not be made. */
static void add_first(struct frame *frame, struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    XB_CLEANUP(xb_freep) char *path = xb_restore_path(frame, entry->name);
    XB_CLEANUP(xb_freep) char *id = strdup(entry->link);
    uint64_t window = 0;
    if (!path || !id) {
        xb_restore_fail_memory(restore);
        return;
    }
    xb_links_begin(restore->links, id, path);
    if (add_alone(frame, entry, &window)) {
        xb_links_planned(restore->links, id, window);
    } else {
        xb_links_failed(restore->links, id);
    }
}

/* Keeps the name until its window has ended, which is no later than the first name's. */
static void keep_for_later(struct frame *frame, struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct window *window = xb_restore_window_planned(restore);
    if (window->later_count == window->later_cap) {
        size_t cap = window->later_cap ? 2 * window->later_cap : FIRST_LATER;
        struct later *later = reallocarray(window->later, cap, sizeof *later);
        if (!later) {
            xb_restore_fail_memory(restore);
            return;
        }
        window->later = later;
        window->later_cap = cap;
    }
    xb_restore_frame_hold(frame);
    window->later[window->later_count++] = (struct later){frame, *entry};
    *entry = (struct xb_entry){.name = NULL};
    if (window->later_count >= XB_PLAN_ROWS_MAX) {
        xb_restore_window_launch(restore);
    }
}

static void add_linked(struct frame *frame, struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_link_first first;
    enum xb_restore_action action = XB_RESTORE_CREATE;
    if (!xb_links_find(restore->links, entry->link, &first)) {
        add_first(frame, entry);
    } else if (restore->options->dry_run) {
        tell_link(frame, entry);
    } else if (!has_ended(restore, first.window)) {
        keep_for_later(frame, entry);
    } else if (link_to_first(frame, entry, first.path, &action, &err) == 0) {
        count_link(frame, entry, action);
    } else if (err.kind == XB_ERR_CONFLICT) {
        xb_restore_entry_failed(frame, entry->name, &err);
    } else {
        /* It is made for itself, which is not as it was. */
        uint64_t window = 0;
        xb_restore_note_failure(restore, frame, entry->name, &err);
        (void)add_alone(frame, entry, &window);
    }
}

void xb_restore_walk_ready(struct restore *restore, struct later *later, size_t count)
{
    XB_CLEANUP(xb_freep) struct later *batch = later;
    if (count == 0) {
        return;
    }
    struct later *ready = reallocarray(restore->ready, restore->ready_count + count, sizeof *ready);
    if (!ready) {
        xb_restore_fail_memory(restore);
        for (size_t i = 0; i < count; i++) {
            xb_entry_free(&batch[i].entry);
            xb_restore_frame_release(batch[i].frame);
        }
        return;
    }
    memcpy(ready + restore->ready_count, batch, count * sizeof *batch);
    restore->ready = ready;
    restore->ready_count += count;
}

/* Names that waited for their first. More may become ready meanwhile. */
static void add_ready(struct restore *restore)
{
    while (restore->ready_count > 0) {
        XB_CLEANUP(xb_freep) struct later *batch = XB_TAKE(restore->ready);
        size_t count = restore->ready_count;
        restore->ready_count = 0;
        for (size_t i = 0; i < count; i++) {
            if (!xb_restore_stopped(restore)) {
                add_linked(batch[i].frame, &batch[i].entry);
            }
            xb_entry_free(&batch[i].entry);
            xb_restore_frame_release(batch[i].frame);
        }
    }
}

/* ---- the walk ---- */

static void walk_folder(struct frame *frame, unsigned depth);

static void add_folder(struct frame *frame, struct xb_entry *entry, unsigned depth)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_action action = XB_RESTORE_CREATE;
    int fd = -1;
    int r = depth >= XB_RESTORE_DEPTH_MAX
                ? xb_error_set(&err, XB_ERR_INVALID, -ELOOP, "more than %d folders deep",
                               XB_RESTORE_DEPTH_MAX)
                : xb_restore_folder_make(frame, entry->name, &fd, &action, &err);
    if (r < 0) {
        xb_restore_entry_failed(frame, entry->name, &err);
        return;
    }
    struct frame *child = xb_restore_frame_new(restore, frame, fd, entry);
    if (!child) {
        xb_restore_fail_memory(restore);
        return;
    }
    xb_restore_frame_born(child, action);
    child->held = frame->cursor ? xb_directory_cursor_wait(frame->cursor, frame->held) : 0;
    xb_restore_note_done(frame, child->entry.name, action);
    pthread_mutex_lock(&restore->lock);
    frame->waiting++;
    restore->result.dirs++;
    pthread_mutex_unlock(&restore->lock);
    walk_folder(child, depth + 1);
}

/* It comes back, but not as it was. */
static void note_renamed(struct frame *frame, const struct xb_entry *entry)
{
    struct xb_error why = XB_ERROR_INIT;
    (void)!xb_error_set(&why, XB_ERR_INVALID, -EILSEQ,
                        "gets this name because kopia, which made the snapshot, stored several "
                        "names of the folder as the same one: those that are no UTF-8");
    xb_restore_note_failure(frame->restore, frame, entry->name, &why);
}

static void add_entry(struct frame *frame, struct xb_entry *entry, unsigned depth)
{
    uint64_t window = 0;
    if (entry->renamed) {
        note_renamed(frame, entry);
    }
    if (entry->type == XB_ENTRY_DIRECTORY) {
        add_folder(frame, entry, depth);
    } else if (entry->link) {
        add_linked(frame, entry);
    } else {
        (void)add_alone(frame, entry, &window);
    }
    add_ready(frame->restore);
}

static void walk_folder(struct frame *frame, unsigned depth)
{
    struct restore *restore = frame->restore;
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_entry *entry = NULL;
    xb_restore_look_for_extra(frame);
    int r = xb_directory_open(restore->repository, &frame->entry.object, &cursor, &err);
    frame->cursor = cursor;
    while (r == 0 && !xb_restore_stopped(restore) &&
           (r = xb_directory_next(cursor, &entry, &err)) == 0 && entry) {
        add_entry(frame, entry, depth);
    }
    if (r < 0 && !frame->parent) {
        xb_restore_fail(restore, &err);
    } else if (r < 0) {
        /* What stands before the damage has been restored. */
        xb_restore_note_failure(restore, frame->parent, frame->entry.name, &err);
    }
    frame->cursor = NULL;
    xb_restore_frame_release(frame);
}

/* Everything that was planned ends; links that waited may plan more. */
static void finish_walk(struct restore *restore)
{
    do {
        xb_restore_window_drain(restore);
        add_ready(restore);
    } while (xb_restore_window_planned(restore)->plan.count > 0 ||
             xb_restore_window_planned(restore)->later_count > 0 || restore->ready_count > 0);
}

void xb_restore_walk(struct restore *restore, int target_fd, struct xb_entry *entry)
{
    bool folder = entry->type == XB_ENTRY_DIRECTORY;
    struct xb_entry none = {.name = NULL};
    struct frame *root = xb_restore_frame_new(restore, NULL, target_fd, folder ? entry : &none);
    if (!root) {
        xb_entry_free(entry);
        xb_restore_fail_memory(restore);
        return;
    }
    xb_restore_window_begin(restore);
    if (folder) {
        restore->result.dirs = 1;
        xb_restore_note_done(root, "", target_fd < 0 ? XB_RESTORE_CREATE : XB_RESTORE_KEEP);
        walk_folder(root, 0);
    } else {
        add_entry(root, entry, 0);
        xb_entry_free(entry);
        xb_restore_frame_release(root);
    }
    finish_walk(restore);
    pthread_mutex_lock(&restore->lock);
    while (!restore->done) {
        pthread_cond_wait(&restore->changed, &restore->lock);
    }
    pthread_mutex_unlock(&restore->lock);
}
