/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/freeze/freeze.h"
#include "agent/pipeline/known.h"
#include "agent/pipeline/read_job.h"
#include "shared/base/workers.h"

enum {
    LISTING_BYTES = 32 * 1024, /* of names per call */
    MERGED_AT_ONCE = 128,
    RECORDED_AT_ONCE = 1024,
    FRAMES_MIN = 256,   /* what every process has descriptors for */
    OTHER_FDS_MAX = 128 /* files that are read, packs, the store's connections */
};

/* A name of a folder, and what it is: DT_DIR, ... */
struct name {
    const char *text;
    unsigned char type;
};

/* One worker's way through a part of the tree. */
struct walk {
    struct backup *backup;
    bool deep; /* it holds backup->deep */
    struct known_batch known;
    _Alignas(struct dirent64) char names[LISTING_BYTES];
};

/* ---- listing ---- */

bool xb_walk_takes(const char *name, unsigned char type)
{
    if (name[0] != '.') {
        return true;
    }
    bool folder = type == DT_DIR || type == DT_UNKNOWN;
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           !(folder && strcmp(name, XB_FREEZE_FOLDER) == 0);
}

static void add_folder_name(struct frame *frame, const char *name)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_buf_append(&frame->folders, name, strlen(name) + 1, &err) < 0) {
        xb_backup_fail(frame->backup, &err);
    }
}

/* What the name is now, by a plain call: through the ring (io_uring's statx always goes to a thread
 * of the kernel's) the same takes twice the time, 2.7 against 1.3 microseconds of CPU in tmpfs, 3.3
 * against 1.5 in ext4; statx with only what is needed is no faster than fstatat. */
static bool look(struct frame *frame, const char *name, struct stat *ret)
{
    if (frame->recorded.self) {
        const struct xb_listing_entry *recorded = xb_frame_recorded(frame, name);
        *ret = recorded ? recorded->st : (struct stat){.st_mode = 0};
        return recorded != NULL;
    }
    if (fstatat(frame->fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno == ENOENT) {
        xb_frame_add_vanished(frame, name);
    } else {
        xb_frame_add_failure(frame, name, strerror(errno));
    }
    return false;
}

/* Looks at a name by itself: what was a folder a moment ago, or has lost its data. */
static void look_again(struct frame *frame, const char *name)
{
    struct stat st;
    if (!look(frame, name, &st)) {
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        xb_frame_add_vanished(frame, name); /* it changes all the time */
    } else if (S_ISREG(st.st_mode)) {
        xb_read_job_submit(frame, name, &st);
    } else if (!xb_known_keep(frame, name, &st)) {
        xb_walk_add_small(frame, name, &st);
    }
}

static void keep_known(struct walk *walk, struct frame *frame)
{
    struct known_batch *known = &walk->known;
    if (known->count == 0) {
        return;
    }
    xb_known_keep_batch(known, frame);
    for (size_t i = 0; i < known->count; i++) {
        look_again(frame, known->names[i]);
    }
    known->count = 0;
}

static void visit(struct walk *walk, struct frame *frame, const char *name)
{
    struct stat st;
    if (!look(frame, name, &st)) {
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        add_folder_name(frame, name);
    } else if (xb_known_note(&walk->known, frame, name, &st)) {
        if (walk->known.count == XB_KNOWN_BATCH_MAX) {
            keep_known(walk, frame);
        }
    } else if (S_ISREG(st.st_mode)) {
        xb_read_job_submit(frame, name, &st);
    } else if (!xb_known_keep(frame, name, &st)) {
        xb_walk_add_small(frame, name, &st);
    }
}

static void end_listing(struct frame *frame, int error)
{
    frame->listed = true;
    if (error && !frame->parent) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_errno(&err, error, "reading the folder");
        xb_backup_fail(frame->backup, &err);
    } else if (error == ENOENT) {
        xb_frame_add_vanished(frame, "."); /* removed after it was opened */
    } else if (error) {
        /* What was listed stays; the folder says that it is not whole. */
        xb_frame_add_failure(frame, ".", strerror(error));
    }
}

/* Takes a name of a folder that is not merged. */
static void take_name(struct walk *walk, struct frame *frame, const struct name *name)
{
    if (name->type == DT_DIR) {
        add_folder_name(frame, name->text);
    } else {
        visit(walk, frame, name->text);
    }
}

typedef void take_fn(struct walk *walk, struct frame *frame, const struct name *name);

static void list_recorded(struct walk *walk, struct frame *frame, take_fn *take)
{
    size_t end = frame->listed_at + RECORDED_AT_ONCE;
    for (; frame->listed_at < frame->recorded.count && frame->listed_at < end; frame->listed_at++) {
        const struct xb_listing_entry *entry = xb_listing_entry(&frame->recorded, frame->listed_at);
        const struct name name = {xb_listing_name(entry),
                                  S_ISDIR(entry->st.st_mode) ? DT_DIR : DT_REG};
        take(walk, frame, &name);
    }
    if (frame->listed_at == frame->recorded.count || xb_backup_stopped(walk->backup)) {
        frame->listed = true;
    }
}

/* Takes the next names of the folder. Files and links are done with, or handed to who reads them;
 * folders are only noted, so that what waits is small and the one buffer of the worker serves all
 * levels. */
static void list_names(struct walk *walk, struct frame *frame, take_fn *take)
{
    ssize_t got = getdents64(frame->fd, walk->names, sizeof walk->names);
    if (got <= 0) {
        end_listing(frame, got < 0 ? errno : 0);
    }
    const struct dirent64 *entry = NULL;
    for (ssize_t at = 0; at < got; at += entry->d_reclen) {
        entry = (const struct dirent64 *)(const void *)(walk->names + at);
        if (xb_backup_stopped(walk->backup)) {
            frame->listed = true;
            break;
        }
        if (xb_walk_takes(entry->d_name, entry->d_type)) {
            const struct name name = {entry->d_name, entry->d_type};
            take(walk, frame, &name);
        }
    }
}

static void list_some(struct walk *walk, struct frame *frame, take_fn *take)
{
    if (frame->recorded.self) {
        list_recorded(walk, frame, take);
    } else {
        list_names(walk, frame, take);
    }
    keep_known(walk, frame);
    xb_frame_count_kept(walk->backup, &frame->kept);
}

/* ---- folders that are merged ---- */

static void sort_name(struct walk *walk, struct frame *frame, const struct name *name)
{
    struct xb_error err = XB_ERROR_INIT;
    struct stat st;
    bool folder =
        name->type == DT_DIR ||
        (name->type == DT_UNKNOWN &&
         fstatat(frame->fd, name->text, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode));
    if (xb_merge_add(frame->merge, name->text, folder, &err) < 0) {
        xb_backup_fail(walk->backup, &err);
    }
}

static void add_merged_folder(struct frame *frame, const char *name, const struct match *matches)
{
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_buf_append(&frame->folders, name, strlen(name) + 1, &err);
    for (size_t i = 0; r == 0 && i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        const struct xb_entry *entry = matches[i].entry;
        const char *id = entry && entry->type == XB_ENTRY_DIRECTORY ? entry->object.text : "";
        r = xb_buf_append(&frame->folders, id, strlen(id) + 1, &err);
    }
    if (r < 0) {
        xb_backup_fail(frame->backup, &err);
    }
}

static void visit_merged(struct frame *frame, const char *name, struct match *matches)
{
    struct stat st;
    if (!look(frame, name, &st)) {
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        add_merged_folder(frame, name, matches);
    } else if (xb_known_take(frame, matches, &st)) {
        return;
    } else if (S_ISREG(st.st_mode)) {
        xb_known_stash(frame, matches, &st);
        xb_read_job_submit(frame, name, &st);
    } else {
        xb_walk_add_small(frame, name, &st);
    }
}

/* The next names in the parents' order. */
static void merge_some(struct walk *walk, struct frame *frame)
{
    struct xb_error err = XB_ERROR_INIT;
    struct match matches[XB_SNAPSHOT_PARENTS_MAX];
    for (int i = 0; i < MERGED_AT_ONCE && !xb_backup_stopped(walk->backup); i++) {
        const char *name = NULL;
        if (xb_merge_next(frame->merge, frame, &name, matches, &err) < 0) {
            xb_backup_fail(walk->backup, &err);
        } else if (name) {
            visit_merged(frame, name, matches);
        } else {
            xb_known_end_merge(frame);
            break;
        }
    }
    xb_frame_count_kept(walk->backup, &frame->kept);
    if (frame->merge && frame->folders.len > 0) {
        xb_merge_rest(frame->merge);
    }
}

/* Goes on with the folder; false: all its names are through. */
static bool go_on(struct walk *walk, struct frame *frame)
{
    if (!frame->listed) {
        list_some(walk, frame, frame->merge ? sort_name : take_name);
    } else if (frame->merge) {
        merge_some(walk, frame);
    } else {
        return false;
    }
    return true;
}

/* ---- going deeper ---- */

/* Each folder under way has a descriptor. Where they become scarce one worker goes on alone: it
 * needs no more than the depth of the tree, and none of those who wait has what it waits for. */
static void watch_descriptors(struct walk *walk)
{
    struct backup *backup = walk->backup;
    if (!walk->deep && atomic_load(&backup->frame_count) >= backup->frame_limit) {
        pthread_mutex_lock(&backup->deep);
        walk->deep = true;
    }
}

static struct frame *enter_recorded(struct frame *frame, const char *name)
{
    const struct xb_listing_entry *entry = xb_frame_recorded(frame, name);
    struct xb_listing_folder folder;
    if (!entry || !xb_listing_folder(frame->backup->recorded, entry->child, &folder)) {
        xb_frame_add_vanished(frame, name);
        return NULL;
    }
    struct frame *child = xb_frame_new(frame->backup, frame, name, -1, &folder);
    if (child) {
        xb_known_enter(child, name + strlen(name) + 1);
    }
    return child;
}

/* `name`: as in frame->folders. */
static struct frame *enter(struct walk *walk, struct frame *frame, const char *name)
{
    if (frame->depth >= XB_BACKUP_DEPTH_MAX) {
        xb_frame_add_failure(frame, name, "lies too deep (more than 900 folders)");
        return NULL;
    }
    if (frame->recorded.self) {
        return enter_recorded(frame, name);
    }
    watch_descriptors(walk);
    int fd = openat(frame->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT) {
            xb_frame_add_vanished(frame, name);
        } else if (errno == ENOTDIR || errno == ELOOP) {
            look_again(frame, name); /* it has become something else */
        } else {
            xb_frame_add_failure(frame, name, strerror(errno));
        }
        return NULL;
    }
    struct frame *child = xb_frame_new(frame->backup, frame, name, fd, NULL);
    if (child) {
        xb_known_enter(child, name + strlen(name) + 1);
    }
    return child;
}

struct offer {
    struct frame *frame; /* the folder that it lies in */
    char name[];         /* as in its list */
};

/* Bytes of a name in frame->folders with what stands behind it. */
static size_t folder_bytes(const struct frame *frame, const char *name)
{
    const char *end = name + strlen(name) + 1;
    for (size_t i = 0; frame->merged && i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        end += strlen(end) + 1;
    }
    return (size_t)(end - name);
}

static void take_offer(void *context);

/* Another worker may have the folder if there is one with nothing better to do. */
static bool offer(struct walk *walk, struct frame *frame, const char *name)
{
    struct backup *backup = walk->backup;
    if (backup->lane_count == 1 || atomic_load(&backup->folders_offered) >= backup->lane_count ||
        atomic_load(&backup->frame_count) >= backup->frame_limit) {
        return false;
    }
    size_t bytes = folder_bytes(frame, name);
    struct offer *made = malloc(sizeof *made + bytes);
    if (!made) {
        return false;
    }
    made->frame = frame;
    memcpy(made->name, name, bytes);
    xb_frame_hold(frame);
    atomic_fetch_add(&backup->folders_offered, 1);
    if (xb_workers_try_submit(backup->workers, take_offer, made)) {
        return true;
    }
    atomic_fetch_sub(&backup->folders_offered, 1);
    xb_frame_release(frame);
    free(made);
    return false;
}

/* The next folder in this one that this worker goes into; NULL: there is none (yet). */
static struct frame *next_folder(struct walk *walk, struct frame *frame)
{
    struct frame *child = NULL;
    struct xb_buf *names = &frame->folders;
    while (!child && frame->folders_at < names->len && !xb_backup_stopped(walk->backup)) {
        const char *name = names->data + frame->folders_at;
        frame->folders_at += folder_bytes(frame, name);
        /* The last one is its own: it would only change hands. */
        if (frame->folders_at == names->len || !offer(walk, frame, name)) {
            child = enter(walk, frame, name);
        }
    }
    if (frame->folders_at == names->len) {
        xb_buf_free(names); /* it may be one of hundreds of levels */
        frame->folders_at = 0;
    }
    return child;
}

/* From this folder on down, without recursion: the way back is in the frames. */
static void walk_from(struct walk *walk, struct frame *frame)
{
    const struct frame *end = frame->parent;
    while (frame != end) {
        struct frame *child = next_folder(walk, frame);
        if (child) {
            frame = child;
        } else if (xb_backup_stopped(walk->backup) || !go_on(walk, frame)) {
            struct frame *parent = frame->parent;
            xb_frame_release(frame);
            frame = parent;
        }
    }
    if (walk->deep) {
        pthread_mutex_unlock(&walk->backup->deep);
    }
}

static struct walk *new_walk(struct backup *backup)
{
    struct walk *walk = malloc(sizeof *walk);
    if (!walk) {
        struct xb_error err = XB_ERROR_INIT;
        (void)!xb_error_no_memory(&err, "the walk");
        xb_backup_fail(backup, &err);
        return NULL;
    }
    walk->backup = backup;
    walk->deep = false;
    walk->known.count = 0;
    return walk;
}

static void take_offer(void *context)
{
    XB_CLEANUP(xb_freep) struct offer *taken = context;
    struct frame *frame = taken->frame;
    struct backup *backup = frame->backup;
    atomic_fetch_sub(&backup->folders_offered, 1);
    XB_CLEANUP(xb_freep) struct walk *walk = xb_backup_stopped(backup) ? NULL : new_walk(backup);
    struct frame *child = walk ? enter(walk, frame, taken->name) : NULL;
    if (child) {
        walk_from(walk, child);
    }
    xb_frame_release(frame);
}

static void walk_root(void *context)
{
    struct frame *root = context;
    XB_CLEANUP(xb_freep) struct walk *walk = new_walk(root->backup);
    if (walk) {
        xb_known_enter(root, NULL);
        walk_from(walk, root);
    } else {
        xb_frame_release(root);
    }
}

static size_t frame_limit(void)
{
    struct rlimit files;
    size_t reserved = XB_BACKUP_DEPTH_MAX + OTHER_FDS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < reserved + FRAMES_MIN) {
        return FRAMES_MIN;
    }
    return files.rlim_cur - reserved;
}

void xb_backup_walk(struct backup *backup, int root_fd)
{
    struct xb_listing_folder recorded = {.self = NULL};
    if (backup->recorded && xb_listing_folder(backup->recorded, 0, &recorded)) {
        xb_closep(&root_fd);
        root_fd = -1;
    }
    struct frame *root = xb_frame_new(backup, NULL, backup->options->root_name, root_fd,
                                      recorded.self ? &recorded : NULL);
    if (!root) {
        return; /* it has failed */
    }
    backup->result.dirs = 1;
    backup->root_device = root->st.st_dev;
    backup->frame_limit = frame_limit();
    xb_workers_submit(backup->workers, walk_root, root);
    pthread_mutex_lock(&backup->lock);
    while (!backup->done) {
        pthread_cond_wait(&backup->changed, &backup->lock);
    }
    pthread_mutex_unlock(&backup->lock);
}
