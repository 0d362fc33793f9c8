/* SPDX-License-Identifier: Apache-2.0
 * One regular file. It is written under a name of its own and renamed when it is whole. */
#include "agent/restore/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    FILE_MODE = 0600,
    SPECIAL_BITS = 07000,
    NAME_BYTES = 64,
    ROOM_BYTES = 16 * 1024 * 1024,
    OPEN_FILES_MAX = 128,
    FOLDERS_MAX = 256
};

static const char *temporary_name(const struct file *file, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, XB_RESTORE_TEMPORARY "%s-%" PRIu64, file->frame->restore->token,
             file->number);
    return out;
}

/* ---- making it ---- */

/* Where there is no room for the old file and the new one, the old one goes first: then the name
 * is missing until the new one is whole. */
static int make_room(struct file *file, struct xb_error *err)
{
    struct statvfs fs;
    uint64_t need = file->entry.size;
    for (size_t i = 0; i < file->entry.hole_count; i++) {
        need -= file->entry.holes[i].len < need ? file->entry.holes[i].len : need;
    }
    if (!file->existed || fstatvfs(file->frame->fd, &fs) < 0 ||
        (uint64_t)fs.f_bavail * fs.f_frsize >= need + ROOM_BYTES) {
        return 0;
    }
    xb_restore_file_close_existing(file);
    return xb_restore_clear(file->frame, file->entry.name, err);
}

/* Its own mode, if it can be born with it; else 0. */
static mode_t birth_mode(const struct file *file)
{
    const struct birth *birth = &file->frame->birth;
    const struct xb_entry *entry = &file->entry;
    bool final = birth->known && entry->uid == birth->uid && entry->gid == birth->gid &&
                 (entry->mode & (birth->mask | SPECIAL_BITS)) == 0;
    return final ? entry->mode : 0;
}

/* Without a name, if nothing is to be replaced: what is killed then leaves nothing behind. */
static int open_new(struct file *file)
{
    struct restore *restore = file->frame->restore;
    char name[NAME_BYTES];
    int fd = -1;
    file->born = birth_mode(file);
    const mode_t mode = file->born ? file->born : FILE_MODE;
    if (!file->existed && atomic_load(&restore->nameless)) {
        fd = openat(file->frame->fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
    }
    file->nameless = fd >= 0;
    return fd >= 0 ? fd
                   : openat(file->frame->fd, temporary_name(file, name),
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int xb_restore_file_make(struct file *file, struct xb_error *err)
{
    int r = make_room(file, err);
    if (r < 0) {
        return r;
    }
    file->fd = open_new(file);
    if (file->fd < 0) {
        return xb_error_errno(err, errno, "creating it");
    }
    /* What is never written is a hole, at the end, too. One chunk without any gives its length. */
    bool holes = file->entry.hole_count > 0 || file->frame->restore->options->sparse;
    if ((file->several || holes) && ftruncate(file->fd, (off_t)file->entry.size) < 0) {
        return xb_error_errno(err, errno, "setting its length");
    }
    return 0;
}

/* ---- its bytes ---- */

static int write_all(const struct file *file, uint64_t at, const char *data, size_t len,
                     struct xb_error *err)
{
    while (len > 0) {
        ssize_t done = pwrite(file->fd, data, len, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return xb_error_errno(err, errno, "writing");
        }
        data += done;
        len -= (size_t)done;
        at += (size_t)done;
    }
    return 0;
}

int xb_restore_file_write(struct file *file, uint64_t offset, const char *data, size_t len,
                          struct xb_error *err)
{
    const bool sparse = file->frame->restore->options->sparse;
    int r = file->fd < 0 ? xb_restore_file_make(file, err) : 0;
    while (r == 0 && len > 0) {
        const struct xb_holes_run run = xb_holes_next(&file->entry, sparse, offset, data, len);
        if (!run.hole) {
            r = write_all(file, offset, data, run.len, err);
        }
        data += run.len;
        offset += run.len;
        len -= run.len;
    }
    return r;
}

void xb_restore_file_punch(const struct file *file, uint64_t offset, const char *data, size_t len)
{
    const struct xb_restore_options *options = file->frame->restore->options;
    if ((!file->entry.hole_count && !options->sparse) || options->dry_run) {
        return;
    }
    while (len > 0) {
        const struct xb_holes_run run =
            xb_holes_next(&file->entry, options->sparse, offset, data, len);
        /* They are zeros already, so a file system that cannot do it loses only room. */
        if (run.hole) {
            (void)fallocate(file->existing, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            (off_t)offset, (off_t)run.len);
        }
        data += run.len;
        offset += run.len;
        len -= run.len;
    }
}

/* ---- its end ---- */

static void count_file(const struct file *file, enum xb_restore_action action)
{
    struct restore *restore = file->frame->restore;
    atomic_fetch_add(&restore->files_done, 1);
    pthread_mutex_lock(&restore->lock);
    struct xb_restore_result *result = &restore->result;
    result->files++;
    result->bytes += file->entry.size;
    result->files_unchanged += action == XB_RESTORE_KEEP;
    result->bytes_kept += action == XB_RESTORE_KEEP ? file->entry.size : file->kept;
    pthread_mutex_unlock(&restore->lock);
    xb_restore_note_done(file->frame, file->entry.name, action);
}

static void keep(struct file *file)
{
    const struct xb_restore_place place = {
        .fd = file->existing, .frame = file->frame, .existed = true};
    xb_restore_attributes(file->frame->restore, &place, &file->entry);
    count_file(file, XB_RESTORE_KEEP);
}

static int give_name(struct file *file, struct xb_error *err)
{
    const int folder = file->frame->fd;
    char name[NAME_BYTES];
    if (file->nameless) {
        if (linkat(file->fd, "", folder, file->entry.name, AT_EMPTY_PATH) == 0) {
            return 0;
        }
        /* What has come there meanwhile is replaced, as it is where it was seen in time. */
        if (errno != EEXIST ||
            linkat(file->fd, "", folder, temporary_name(file, name), AT_EMPTY_PATH) < 0) {
            return xb_error_errno(err, errno, "giving it its name");
        }
        file->nameless = false;
    }
    return renameat(folder, temporary_name(file, name), folder, file->entry.name) == 0
               ? 0
               : xb_error_errno(err, errno, "giving it its name");
}

static int publish(struct file *file, struct xb_error *err)
{
    int r = file->fd < 0 ? xb_restore_file_make(file, err) : 0;
    if (r < 0) {
        return r;
    }
    const struct xb_restore_place place = {
        .fd = file->fd, .frame = file->frame, .birth = file->frame->birth, .mode = file->born};
    xb_restore_attributes(file->frame->restore, &place, &file->entry);
    r = give_name(file, err);
    if (r < 0) {
        return r;
    }
    close(XB_TAKE_FD(file->fd));
    count_file(file, file->existed ? XB_RESTORE_REPLACE : XB_RESTORE_CREATE);
    return 0;
}

/* Nothing of a file that is not whole stays. */
static void discard(struct file *file)
{
    char name[NAME_BYTES];
    if (file->fd >= 0) {
        close(XB_TAKE_FD(file->fd));
        if (!file->nameless) {
            (void)unlinkat(file->frame->fd, temporary_name(file, name), 0);
        }
    }
}

/* The next name of it becomes the first. */
static void tell_failure(struct file *file, struct xb_error *err)
{
    if (file->entry.link) {
        xb_links_failed(file->frame->restore->links, file->entry.link);
    }
    xb_restore_entry_failed(file->frame, file->entry.name, err);
}

static void finish(struct file *file)
{
    struct restore *restore = file->frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    bool right = file->candidate && file->stays && !file->differs;
    if (xb_restore_stopped(restore)) {
        discard(file);
    } else if (atomic_load(&file->failed)) {
        discard(file);
        if (file->failure) {
            err = *file->failure;
        } else {
            (void)!xb_error_no_memory(&err, "a file of the restore");
        }
        tell_failure(file, &err);
    } else if (restore->options->dry_run) {
        count_file(file, right           ? XB_RESTORE_KEEP
                         : file->existed ? XB_RESTORE_REPLACE
                                         : XB_RESTORE_CREATE);
    } else if (right) {
        keep(file);
    } else if (publish(file, &err) < 0) {
        discard(file);
        tell_failure(file, &err);
    }
    xb_restore_file_close_existing(file);
    xb_restore_frame_release(file->frame);
    xb_entry_free(&file->entry);
    free(file->failure);
    free(file);
}

void xb_restore_file_fail(struct file *file, const struct xb_error *why)
{
    pthread_mutex_t *lock = &file->frame->restore->lock;
    pthread_mutex_lock(lock);
    if (!atomic_load(&file->failed)) {
        file->failure = malloc(sizeof *file->failure);
        if (file->failure) {
            *file->failure = *why;
        }
        atomic_store(&file->failed, true);
    }
    pthread_mutex_unlock(lock);
}

void xb_restore_file_row_done(struct file *file, uint64_t bytes, const struct xb_error *why)
{
    struct restore *restore = file->frame->restore;
    if (why) {
        xb_restore_file_fail(file, why);
    } else {
        atomic_fetch_add(&restore->bytes_done, bytes);
    }
    pthread_mutex_lock(&restore->lock);
    bool last = --file->waiting == 0;
    pthread_mutex_unlock(&restore->lock);
    if (last) {
        finish(file);
    }
}

/* ---- planning it ---- */

static int look_at_target(struct file *file, struct xb_error *err)
{
    const struct xb_restore_options *options = file->frame->restore->options;
    struct stat st;
    int r = xb_restore_look(file->frame, file->entry.name, &file->existed, &st, err);
    if (r == 0 && file->existed) {
        file->candidate = !options->full && S_ISREG(st.st_mode);
        file->stays = file->candidate && xb_restore_file_may_stay(file, &st);
    }
    return r;
}

int xb_restore_file_gather(struct file *file, struct xb_object_pieces *pieces, struct xb_plan *plan,
                           bool *ret_more, struct xb_error *err)
{
    struct xb_repository *repository = file->frame->restore->repository;
    struct xb_object_piece piece = {.len = 1};
    for (size_t rows = 0; rows < XB_PLAN_ROWS_MAX; rows++) {
        struct xb_content_info info;
        int r = xb_object_pieces_next(pieces, &piece, err);
        if (r < 0 || piece.len == 0) {
            *ret_more = false;
            return r;
        }
        if ((r = xb_content_locate(repository, &piece.content, &info, err)) < 0 ||
            (r = xb_object_piece_check(&piece, info.plain_bytes, err)) < 0 ||
            (r = xb_plan_add(plan, &info, file, piece.offset, err)) < 0) {
            return r;
        }
    }
    *ret_more = true;
    return 0;
}

/* Takes rows that were added from `first` on for the file, or forgets them. */
static void own_rows(struct file *file, struct window *window, size_t first)
{
    struct restore *restore = file->frame->restore;
    size_t rows = window->plan.count - first;
    pthread_mutex_lock(&restore->lock);
    file->waiting += rows;
    pthread_mutex_unlock(&restore->lock);
    if (rows > 0 && file->frame->window != restore->sequence) {
        file->frame->window = restore->sequence;
        window->folders++;
    }
    if (!file->several) { /* of a file with several, rows of an earlier window are written now */
        file->several = rows > 1;
        /* One chunk is fetched as fast as it is copied. */
        file->candidate = file->candidate && (file->several || file->stays);
    }
    window->open_files += file->several;
}

/* A file with more rows than a window holds. If it is there, it is compared first, as a whole. */
static int plan_long_file(struct file *file, struct xb_object_pieces *pieces, struct xb_error *err)
{
    struct restore *restore = file->frame->restore;
    bool more = true;
    file->several = true;
    if (file->candidate) {
        bool same = false;
        int r = xb_restore_compare_file(restore, file, &same, err);
        if (r < 0 || same) {
            return r;
        }
        file->candidate = file->existing >= 0;
    }
    file->differs = true;
    int r = xb_object_pieces_seek(pieces, 0, err);
    while (r == 0 && more && !xb_restore_stopped(restore) && !atomic_load(&file->failed)) {
        struct window *window = xb_restore_window_planned(restore);
        size_t first = window->plan.count;
        r = xb_restore_file_gather(file, pieces, &window->plan, &more, err);
        if (r < 0) {
            xb_plan_truncate(&window->plan, first);
        } else {
            own_rows(file, window, first);
            if (more) {
                xb_restore_window_launch(restore);
            }
        }
    }
    return r;
}

static int plan_rows(struct file *file, struct xb_error *err)
{
    struct restore *restore = file->frame->restore;
    XB_CLEANUP(xb_object_pieces_freep) struct xb_object_pieces *pieces = NULL;
    int r = xb_object_pieces_open(restore->repository, &file->entry.object, &pieces, err);
    if (r < 0) {
        return r;
    }
    if (xb_object_pieces_length(pieces) != file->entry.size) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "its data has %" PRIu64 " bytes where the folder says %" PRIu64,
                            xb_object_pieces_length(pieces), file->entry.size);
    }
    struct window *window = xb_restore_window_planned(restore);
    size_t first = window->plan.count;
    bool more = false;
    r = xb_restore_file_gather(file, pieces, &window->plan, &more, err);
    if (r < 0 || more) {
        xb_plan_truncate(&window->plan, first);
        return r < 0 ? r : plan_long_file(file, pieces, err);
    }
    own_rows(file, window, first);
    if (window->plan.count == first && file->candidate) {
        file->candidate = xb_restore_file_open_existing(file); /* both are empty */
    }
    return 0;
}

uint64_t xb_restore_file_plan(struct frame *frame, struct xb_entry *entry)
{
    struct restore *restore = frame->restore;
    struct xb_error err = XB_ERROR_INIT;
    struct file *file = calloc(1, sizeof *file);
    if (!file) {
        xb_restore_fail_memory(restore);
        return restore->sequence;
    }
    *file = (struct file){.frame = frame,
                          .entry = *entry,
                          .number = restore->file_number++,
                          .fd = -1,
                          .existing = -1,
                          .waiting = 1};
    *entry = (struct xb_entry){.name = NULL};
    xb_restore_frame_hold(frame);
    int r = look_at_target(file, &err);
    if (r == 0) {
        r = plan_rows(file, &err);
    }
    uint64_t sequence = restore->sequence;
    const struct window *window = xb_restore_window_planned(restore);
    xb_restore_file_row_done(file, 0, r < 0 ? &err : NULL);
    if (xb_plan_full(&window->plan) || window->folders >= FOLDERS_MAX ||
        window->open_files >= OPEN_FILES_MAX) {
        xb_restore_window_launch(restore);
    }
    return sequence;
}
