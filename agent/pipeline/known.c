/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Folders of the parents that are held: each one if it is small, a large one while there is room.
 */
enum { SMALL_BYTES = 16 << 10, LARGE_BYTES = 1 << 20, HELD_BYTES_MAX = 4 << 20 };

/* Of files that wait for a reader; those beyond are read anew. */
enum { STASH_MAX = 4096 };

/* What a parent says of a file in a folder that is merged. */
struct stashed {
    struct stashed *next;
    size_t parent;
    struct xb_entry entry;
};

/* An entry lives until the file's reader has taken it out. */
static const struct xb_entry *find_stashed(const struct frame *frame, size_t parent,
                                           const char *name)
{
    const struct stashed *at = frame->stash;
    while (at && !(at->parent == parent && strcmp(at->entry.name, name) == 0)) {
        at = at->next;
    }
    return at ? &at->entry : NULL;
}

static const struct xb_entry *find(struct frame *frame, size_t parent, const char *name)
{
    const struct xb_directory *before = frame->before[parent];
    const struct xb_entry *entry = before ? xb_directory_find(before, name) : NULL;
    if (frame->merged) {
        pthread_mutex_lock(&frame->lock);
        entry = find_stashed(frame, parent, name);
        pthread_mutex_unlock(&frame->lock);
    }
    return entry && !entry->renamed ? entry : NULL; /* a name of our making is no file's */
}

/* Forgets what was stashed of a name. */
static void unstash(struct frame *frame, const char *name)
{
    if (!frame->merged) {
        return;
    }
    pthread_mutex_lock(&frame->lock);
    for (struct stashed **at = &frame->stash; *at;) {
        struct stashed *one = *at;
        if (strcmp(one->entry.name, name) != 0) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        frame->stash_count--;
        xb_entry_free(&one->entry);
        free(one);
    }
    pthread_mutex_unlock(&frame->lock);
}

static struct keep keep_of(const struct frame *frame, size_t parent, const struct xb_entry *before)
{
    const struct xb_directory *directory = frame->before[parent];
    return (struct keep){.entry = before,
                         .text = directory ? xb_directory_text(directory, before) : NULL,
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

bool xb_known_note(struct known_batch *batch, struct frame *frame, const char *name,
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

/* One entry, by whatever thread. */
static void keep_one(struct frame *frame, struct keep keep)
{
    struct kept kept = {.files = 0};
    keep.live = true;
    count_kept(&kept, keep.entry);
    xb_frame_count_kept(frame->backup, &kept);
    xb_frame_keep(frame, &keep, 1);
}

bool xb_known_keep(struct frame *frame, const char *name, const struct stat *st)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        const struct xb_entry *before = find(frame, i, name);
        if (before && identical(before, st) && holds(frame->backup, before)) {
            keep_one(frame, keep_of(frame, i, before));
            unstash(frame, name);
            return true;
        }
    }
    return false;
}

static bool reuse(struct frame *frame, const char *name, int fd, const struct stat *st,
                  struct xb_entry *ret)
{
    struct backup *backup = frame->backup;
    const struct xb_attribute_source source = {.fd = fd,
                                               .name = name,
                                               .recorded = xb_frame_recorded(frame, name),
                                               .st = st,
                                               .backup = backup};
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

bool xb_known_reuse(struct frame *frame, const char *name, int fd, const struct stat *st,
                    struct xb_entry *ret)
{
    bool reused = reuse(frame, name, fd, st, ret);
    unstash(frame, name);
    return reused;
}

/* ---- folders that are held ---- */

static void note_damage(struct frame *frame, const struct xb_error *err)
{
    /* The last backup is damaged there; this one reads everything and so mends it. */
    XB_CLEANUP(xb_freep) char *path = xb_frame_path(frame);
    xb_backup_note(frame->backup, path ? path : frame->name, err->text);
}

/* The first parent's folder is written again as it is if nothing in it has changed. */
static void tell_builder(struct frame *frame, const struct xb_directory_tally *tally,
                         const struct xb_summary *summary)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_mutex_lock(&frame->lock);
    int r = xb_directory_builder_parent(frame->builder, &frame->first_id, tally, summary, &err);
    pthread_mutex_unlock(&frame->lock);
    if (r < 0) {
        xb_backup_fail(frame->backup, &err);
    }
}

static void read_folder(struct frame *frame, size_t parent, const struct xb_object_id *id)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_directory_read(frame->backup->repository, id, &frame->before[parent], &err) < 0) {
        note_damage(frame, &err);
    } else if (parent == 0) {
        tell_builder(frame, &frame->before[0]->tally, &frame->before[0]->summary);
    }
}

/* Bytes of a folder's text. One of several chunks is larger than what is held. */
static size_t text_bytes(struct backup *backup, const struct xb_object_id *id)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct xb_content_id content;
    struct xb_content_info info;
    unsigned depth = 0;
    if (xb_object_id_content(id, &content, &depth, &ignored) < 0 ||
        xb_content_locate(backup->repository, &content, &info, &ignored) < 0) {
        return 0; /* who reads it will say so */
    }
    return depth ? LARGE_BYTES : info.plain_bytes;
}

/* Whether the folder of this size may be held; then it counts until xb_known_leave. */
static bool take_room(struct frame *frame, size_t bytes)
{
    atomic_size_t *held = &frame->backup->before_bytes;
    if (bytes > SMALL_BYTES &&
        (bytes >= LARGE_BYTES || atomic_load(held) + bytes > HELD_BYTES_MAX)) {
        return false;
    }
    frame->before_bytes = bytes;
    atomic_fetch_add(held, bytes);
    return true;
}

static void open_merge(struct frame *frame, const struct xb_object_id *ids)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_directory_cursor *cursors[XB_SNAPSHOT_PARENTS_MAX] = {NULL};
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        if (ids[i].text[0] &&
            xb_directory_open(frame->backup->repository, &ids[i], &cursors[i], &err) < 0) {
            note_damage(frame, &err);
        }
    }
    if (xb_merge_new(cursors, &frame->merge, &err) < 0) {
        xb_backup_fail(frame->backup, &err);
        return;
    }
    frame->merged = true;
}

/* Which objects the folder was in the parents; "": none. */
static void find_ids(struct frame *frame, const char *texts,
                     struct xb_object_id ids[XB_SNAPSHOT_PARENTS_MAX])
{
    const struct xb_snapshot_parents *parents = frame->backup->options->parents;
    struct frame *above = frame->parent;
    for (size_t i = 0; parents && i < parents->count; i++) {
        if (above && above->merged) {
            size_t size = strlen(texts) + 1;
            memcpy(ids[i].text, texts, size);
            texts += size;
            continue;
        }
        const struct xb_entry *entry =
            above ? find(above, i, frame->name) : &parents->items[i]->root;
        if (entry && entry->type == XB_ENTRY_DIRECTORY) {
            ids[i] = entry->object;
        }
        if (above && entry && i == 0) {
            frame->text = xb_directory_text(above->before[0], entry);
        }
    }
}

void xb_known_enter(struct frame *frame, const char *ids)
{
    struct xb_object_id found[XB_SNAPSHOT_PARENTS_MAX] = {{.text = ""}};
    size_t bytes = 0;
    find_ids(frame, ids, found);
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        bytes += found[i].text[0] ? text_bytes(frame->backup, &found[i]) : 0;
    }
    frame->first_id = found[0];
    if (!take_room(frame, bytes)) {
        open_merge(frame, found);
        return;
    }
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        if (found[i].text[0]) {
            read_folder(frame, i, &found[i]);
        }
    }
}

void xb_known_leave(struct frame *frame)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        xb_directory_free(frame->before[i]);
    }
    atomic_fetch_sub(&frame->backup->before_bytes, frame->before_bytes);
    xb_merge_free(frame->merge);
    while (frame->stash) {
        struct stashed *one = frame->stash;
        frame->stash = one->next;
        xb_entry_free(&one->entry);
        free(one);
    }
}

/* ---- folders that are merged ---- */

bool xb_known_take(struct frame *frame, const struct match matches[XB_SNAPSHOT_PARENTS_MAX],
                   const struct stat *st)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        const struct xb_entry *before = matches[i].entry;
        struct xb_content_id id;
        if (before && identical(before, st) && direct(before, &id) &&
            xb_content_reuse(frame->backup->repository, &id)) {
            const struct keep keep = {
                .entry = before, .text = matches[i].text, .first = i == 0, .live = true};
            count_kept(&frame->kept, before);
            xb_frame_keep(frame, &keep, 1);
            return true;
        }
    }
    return false;
}

void xb_known_stash(struct frame *frame, struct match matches[XB_SNAPSHOT_PARENTS_MAX],
                    const struct stat *st)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        struct xb_entry *before = matches[i].entry;
        if (!before || !(identical(before, st) || alike(before, st))) {
            continue;
        }
        struct stashed *one = calloc(1, sizeof *one);
        if (!one) {
            return; /* it is read */
        }
        one->parent = i;
        one->entry = *before;
        *before = (struct xb_entry){.name = NULL};
        pthread_mutex_lock(&frame->lock);
        bool room = frame->stash_count < STASH_MAX;
        if (room) {
            one->next = frame->stash;
            frame->stash = one;
            frame->stash_count++;
        }
        pthread_mutex_unlock(&frame->lock);
        if (!room) {
            xb_entry_free(&one->entry);
            free(one);
        }
    }
}

void xb_known_end_merge(struct frame *frame)
{
    const struct xb_directory_cursor *cursor = xb_merge_finish(frame->merge, frame);
    const struct xb_summary *summary = cursor ? xb_directory_cursor_summary(cursor) : NULL;
    if (summary) {
        tell_builder(frame, xb_directory_cursor_tally(cursor), summary);
    }
    xb_merge_free(frame->merge);
    frame->merge = NULL;
}
