/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct xb_entry *find(const struct frame *frame, size_t parent, const char *name)
{
    const struct xb_directory *before = frame->before[parent];
    const struct xb_entry *entry = before ? xb_directory_find(before, name) : NULL;
    return entry && !entry->renamed ? entry : NULL; /* a name of our making is no file's */
}

static struct keep keep_of(const struct frame *frame, size_t parent, const struct xb_entry *before)
{
    return (struct keep){.entry = before,
                         .text = xb_directory_text(frame->before[parent], before),
                         .first = parent == 0};
}

/* ---- the same file? ---- */

static enum xb_entry_type type_of(const struct stat *st)
{
    return S_ISDIR(st->st_mode)   ? XB_ENTRY_DIRECTORY
           : S_ISLNK(st->st_mode) ? XB_ENTRY_SYMLINK
                                  : XB_ENTRY_FILE;
}

/* The very same inode, and nothing about it has changed. */
static bool identical(const struct xb_entry *before, const struct stat *st)
{
    return before->inode && before->ctime_ns && before->inode == st->st_ino &&
           before->ctime_ns == xb_timespec_ns(&st->st_ctim) &&
           before->mtime_ns == xb_timespec_ns(&st->st_mtim) && before->type == type_of(st) &&
           (before->node == 0) == (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) &&
           (before->node || before->size == (uint64_t)st->st_size);
}

/* kopia's rule, for entries that say no more. */
static bool alike(const struct xb_entry *before, const struct stat *st)
{
    return !(before->inode && before->ctime_ns) && before->type == XB_ENTRY_FILE && !before->node &&
           S_ISREG(st->st_mode) && before->size == (uint64_t)st->st_size &&
           before->mtime_ns == xb_timespec_ns(&st->st_mtim) &&
           before->mode == (st->st_mode & 07777U) && before->uid == st->st_uid &&
           before->gid == st->st_gid;
}

/* ---- is its data still there? ---- */

static int reuse_content(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    struct xb_repository *repository = context;
    return xb_content_reuse(repository, id)
               ? 0
               : xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "a content is gone");
}

static bool holds(struct backup *backup, const struct xb_entry *before)
{
    struct xb_error ignored = XB_ERROR_INIT;
    return before->node || xb_object_verify(backup->repository, &before->object, false,
                                            reuse_content, backup->repository, &ignored) == 0;
}

/* ---- taking over ---- */

static void count_kept(struct kept *kept, const struct xb_entry *entry)
{
    bool file = entry->type == XB_ENTRY_FILE && !entry->node;
    kept->files += file;
    kept->bytes += file ? entry->size : 0;
    kept->symlinks += entry->type == XB_ENTRY_SYMLINK;
    kept->special_files += entry->node != 0;
}

/* The one content that the entry's data is. An object of several has an index, which lies in the
 * store; one that cannot be read is found out by who looks closer. */
static bool direct(const struct xb_entry *before, struct xb_content_id *ret)
{
    struct xb_error ignored = XB_ERROR_INIT;
    const char *text = before->object.text;
    return !before->node && xb_content_id_parse(text, strlen(text), ret, &ignored) == 0;
}

bool xb_known_note(struct known_batch *batch, const struct frame *frame, const char *name,
                   const struct stat *st)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        const struct xb_entry *before = find(frame, i, name);
        if (before && identical(before, st)) {
            if (!direct(before, &batch->ids[batch->count])) {
                return false;
            }
            batch->keeps[batch->count] = keep_of(frame, i, before);
            batch->names[batch->count++] = name;
            return true;
        }
    }
    return false;
}

void xb_known_keep_batch(struct known_batch *batch, struct frame *frame)
{
    bool live[XB_KNOWN_BATCH_MAX];
    size_t gone = 0;
    xb_content_reuse_many(frame->backup->repository, batch->ids, batch->count, live);
    for (size_t i = 0; i < batch->count; i++) {
        batch->keeps[i].live = live[i];
        if (live[i]) {
            count_kept(&frame->kept, batch->keeps[i].entry);
        }
    }
    xb_frame_keep(frame, batch->keeps, batch->count);
    for (size_t i = 0; i < batch->count; i++) {
        if (!live[i]) {
            batch->names[gone++] = batch->names[i];
        }
    }
    batch->count = gone;
}

bool xb_known_keep(struct frame *frame, const char *name, const struct stat *st)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        const struct xb_entry *before = find(frame, i, name);
        if (before && identical(before, st) && holds(frame->backup, before)) {
            struct kept kept = {.files = 0};
            struct keep keep = keep_of(frame, i, before);
            keep.live = true;
            count_kept(&kept, before);
            xb_frame_count_kept(frame->backup, &kept);
            xb_frame_keep(frame, &keep, 1);
            return true;
        }
    }
    return false;
}

bool xb_known_reuse(struct frame *frame, const char *name, int fd, const struct stat *st,
                    struct xb_entry *ret)
{
    struct backup *backup = frame->backup;
    const struct xb_attribute_source source = {
        .fd = fd, .name = name, .st = st, .root_device = backup->root_device};
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_entry *before = NULL;
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX && !before; i++) {
        const struct xb_entry *entry = find(frame, i, name);
        before = entry && alike(entry, st) && holds(backup, entry) ? entry : NULL;
    }
    if (!before || xb_entry_from_file(&source, ret, &err) < 0) {
        return false;
    }
    ret->object = before->object;
    ret->size = before->size;
    /* kopia's entry does not know them. */
    if (xb_backup_find_holes(fd, st, ret, &err) < 0) {
        xb_entry_free(ret);
        return false;
    }
    atomic_fetch_add(&backup->bytes_done, ret->size);
    pthread_mutex_lock(&backup->lock);
    backup->result.cached_files++;
    pthread_mutex_unlock(&backup->lock);
    return true;
}

/* The first parent's folder is written again as it is if nothing in it has changed. */
static int tell_builder(struct frame *frame, const struct xb_entry *entry, struct xb_error *err)
{
    const struct xb_directory *before = frame->before[0];
    return xb_directory_builder_parent(frame->builder, &entry->object, &before->tally,
                                       &before->summary, err);
}

static void read_folder(struct frame *frame, size_t parent, const struct xb_entry *entry)
{
    struct xb_error err = XB_ERROR_INIT;
    if (!entry || entry->type != XB_ENTRY_DIRECTORY) {
        return;
    }
    if (xb_directory_read(frame->backup->repository, &entry->object, &frame->before[parent], &err) <
        0) {
        /* The last backup is damaged there; this one reads everything and so mends it. */
        XB_CLEANUP(xb_freep) char *path = xb_frame_path(frame);
        xb_backup_note(frame->backup, path ? path : frame->name, err.text);
    } else if (parent == 0 && tell_builder(frame, entry, &err) < 0) {
        xb_backup_fail(frame->backup, &err);
    }
}

void xb_known_enter(struct frame *frame)
{
    const struct xb_snapshot_parents *parents = frame->backup->options->parents;
    const struct frame *above = frame->parent;
    for (size_t i = 0; parents && i < parents->count; i++) {
        const struct xb_entry *entry =
            above ? find(above, i, frame->name) : &parents->items[i]->root;
        if (above && entry && i == 0) {
            frame->text = xb_directory_text(above->before[0], entry);
        }
        read_folder(frame, i, entry);
    }
}
