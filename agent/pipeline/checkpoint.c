/* SPDX-License-Identifier: Apache-2.0
 * What is done so far is kept: indexed every few minutes, and every three quarters of an hour named
 * by a checkpoint, a snapshot that says of itself that it is not complete (kopia-format sections
 * 11, 13 and 14). Both go by the clock and not by the walk: one file may take hours. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pipeline/frame.h"
#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { LOOK_MS = 250, UUID_BYTES = 16, SETTLE_MS = 20, SETTLE_TRIES_MAX = 500 };

/* The format allows 45 minutes between two checkpoints; writing one takes a while, too. */
#define CHECKPOINT_MS (40U * 60 * 1000)

/* A frame that is held still, and what stands in the checkpoint of it only. */
struct held {
    struct frame *frame;
    struct xb_directory_builder *more;
};

struct checkpoint {
    struct backup *backup;
    struct held *list; /* the deepest first */
    size_t count;
};

/* ---- the folders under way ---- */

static int compare_depths(const void *left, const void *right)
{
    const struct held *a = left;
    const struct held *b = right;
    return (a->frame->depth < b->frame->depth) - (a->frame->depth > b->frame->depth);
}

/* Holds every frame; false if one is just being written, and so neither here nor in its parent. */
static bool try_hold(struct checkpoint *checkpoint)
{
    size_t count = 0;
    for (struct frame *frame = checkpoint->backup->frames; frame; frame = frame->next) {
        if (frame->waiting == 0) {
            return false;
        }
        count++;
    }
    checkpoint->list = count ? calloc(count, sizeof *checkpoint->list) : NULL;
    if (!checkpoint->list) {
        return true;
    }
    for (struct frame *frame = checkpoint->backup->frames; frame; frame = frame->next) {
        frame->waiting++;
        checkpoint->list[checkpoint->count++].frame = frame;
    }
    return true;
}

static int hold(struct checkpoint *checkpoint, struct xb_error *err)
{
    struct backup *backup = checkpoint->backup;
    int r = 0;
    pthread_mutex_lock(&backup->lock);
    bool held = try_hold(checkpoint);
    for (int try = 0; !held && !backup->done && try < SETTLE_TRIES_MAX; try++) {
        xb_backup_wait(backup, SETTLE_MS);
        held = try_hold(checkpoint);
    }
    pthread_mutex_unlock(&backup->lock);
    for (size_t i = 0; r == 0 && i < checkpoint->count; i++) {
        r = xb_directory_builder_new(&checkpoint->list[i].more, err);
    }
    if (checkpoint->count > 1) {
        qsort(checkpoint->list, checkpoint->count, sizeof *checkpoint->list, compare_depths);
    }
    return r;
}

static void let_go(struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->count; i++) {
        xb_directory_builder_free(checkpoint->list[i].more);
        xb_frame_release(checkpoint->list[i].frame);
    }
    free(checkpoint->list);
}

static struct xb_directory_builder *more_of(struct checkpoint *checkpoint,
                                            const struct frame *frame)
{
    for (size_t i = 0; i < checkpoint->count; i++) {
        if (checkpoint->list[i].frame == frame) {
            return checkpoint->list[i].more;
        }
    }
    return NULL; /* began after the frames were held: in the next checkpoint */
}

/* ---- the files under way ---- */

/* Nobody's name: ".checkpointed.<name>.<uuid>". */
static char *part_name(const char *name)
{
    unsigned char random[UUID_BYTES];
    char hex[2 * UUID_BYTES + 1];
    char *made = NULL;
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    return asprintf(&made, ".checkpointed.%s.%.8s-%.4s-%.4s-%.4s-%s", name, hex, hex + 8, hex + 12,
                    hex + 16, hex + 20) < 0
               ? NULL
               : made;
}

/* What has been stored of the lane's file; its lock is held, so that the file cannot end. */
static int add_part(struct checkpoint *checkpoint, struct lane *lane,
                    struct xb_object_writer *writer, struct xb_error *err)
{
    struct xb_directory_builder *more = more_of(checkpoint, lane->frame);
    struct xb_entry part = {.type = XB_ENTRY_FILE,
                            .mode = lane->st.st_mode & 07777U,
                            .uid = lane->st.st_uid,
                            .gid = lane->st.st_gid,
                            .mtime_ns = xb_timespec_ns(&lane->st.st_mtim)};
    int r = more ? xb_object_writer_checkpoint(writer, &part.object, &part.size, err) : 0;
    if (r < 0 || !more || !part.object.text[0]) {
        return r;
    }
    part.name = part_name(lane->name);
    return part.name ? xb_directory_builder_add(more, &part, err)
                     : xb_error_no_memory(err, "a checkpoint");
}

static int add_parts(struct checkpoint *checkpoint, struct xb_error *err)
{
    struct backup *backup = checkpoint->backup;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < backup->lane_count; i++) {
        struct lane *lane = &backup->lanes[i];
        pthread_mutex_lock(&lane->lock);
        if (lane->frame) {
            r = add_part(checkpoint, lane, lane->writer, err);
            r = r < 0 ? r : add_part(checkpoint, lane, lane->part_writer, err);
        }
        pthread_mutex_unlock(&lane->lock);
    }
    return r;
}

/* ---- the tree as far as it is ---- */

static int write_held(const struct held *held, struct xb_entry *ret, struct xb_error *err)
{
    struct frame *frame = held->frame;
    struct xb_entry entry;
    int r = xb_frame_entry(frame, &entry, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&frame->lock);
    r = xb_directory_builder_checkpoint(frame->builder, held->more, frame->backup->repository,
                                        &entry.object, &entry.summary, err);
    pthread_mutex_unlock(&frame->lock);
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    if (frame->parent) {
        entry.summary->max_time_ns = entry.mtime_ns; /* as in a finished one */
    }
    *ret = entry;
    return 0;
}

/* Every folder comes before the one that it lies in: the root is the last. */
static int write_tree(struct checkpoint *checkpoint, struct xb_entry *ret_root,
                      struct xb_error *err)
{
    for (size_t i = 0; i < checkpoint->count; i++) {
        const struct held *held = &checkpoint->list[i];
        struct xb_entry entry;
        int r = write_held(held, &entry, err);
        if (r < 0) {
            return r;
        }
        if (!held->frame->parent) {
            *ret_root = entry;
            return 0;
        }
        struct xb_directory_builder *above = more_of(checkpoint, held->frame->parent);
        if (!above) {
            xb_entry_free(&entry);
            return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a folder without its parent");
        }
        r = xb_directory_builder_add(above, &entry, err);
        if (r < 0) {
            return r;
        }
    }
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the walk has ended");
}

static int publish(struct backup *backup, struct xb_entry *root, struct xb_error *err)
{
    static char incomplete[] = XB_INCOMPLETE_CHECKPOINT;
    struct xb_snapshot snapshot = *backup->options->source; /* borrows its texts */
    snapshot.incomplete = incomplete;
    snapshot.end_ns = xb_clock_wall_ns();
    snapshot.root = *root;
    pthread_mutex_lock(&backup->lock);
    xb_backup_fill_stats(&backup->result, &snapshot);
    pthread_mutex_unlock(&backup->lock);
    return xb_snapshot_publish(backup->repository, &snapshot, err);
}

static int write_checkpoint(struct backup *backup, struct xb_error *err)
{
    struct checkpoint checkpoint = {.backup = backup};
    struct xb_entry root = {.name = NULL};
    int r = hold(&checkpoint, err);
    if (r == 0) {
        r = add_parts(&checkpoint, err);
    }
    if (r == 0) {
        r = write_tree(&checkpoint, &root, err);
    }
    let_go(&checkpoint);
    if (r == 0 && xb_backup_stopped(backup)) {
        /* Files under way may have been given up before they were looked at: the checkpoint before
         * this one may hold more. */
        r = xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (r == 0) {
        r = publish(backup, &root, err);
    }
    xb_entry_free(&root);
    return r;
}

/* ---- by the clock ---- */

static void keep_work(struct backup *backup, int64_t *checkpoint_ns)
{
    const struct xb_backup_options *options = backup->options;
    struct xb_error err = XB_ERROR_INIT;
    int64_t flush_ns =
        options->index_every_ms ? options->index_every_ms * XB_NS_PER_MS : XB_FLUSH_AGE_NS_MAX;
    int64_t every_ns =
        (options->checkpoint_every_ms ? options->checkpoint_every_ms : CHECKPOINT_MS) *
        XB_NS_PER_MS;
    int64_t now_ns = xb_clock_mono_ns();
    if (options->source && now_ns - *checkpoint_ns >= every_ns) {
        *checkpoint_ns = now_ns;
        if (write_checkpoint(backup, &err) < 0 && err.kind != XB_ERR_CANCELLED) {
            (void)!xb_error_wrap(&err, "writing a checkpoint");
            xb_backup_fail(backup, &err);
        }
    } else if (xb_repository_flush_if_due(backup->repository, flush_ns, &err) < 0) {
        xb_backup_fail(backup, &err);
    }
}

void *xb_backup_keeper(void *context)
{
    struct backup *backup = context;
    int64_t checkpoint_ns = xb_clock_mono_ns();
    pthread_mutex_lock(&backup->lock);
    while (!backup->done) {
        xb_backup_wait(backup, LOOK_MS);
        bool ended = backup->done;
        pthread_mutex_unlock(&backup->lock);
        if (!ended && !xb_backup_stopped(backup)) {
            keep_work(backup, &checkpoint_ns);
        }
        pthread_mutex_lock(&backup->lock);
    }
    pthread_mutex_unlock(&backup->lock);
    return NULL;
}
