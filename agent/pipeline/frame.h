/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.h - a folder whose entries are being collected; for the files of this folder only.
 *
 * What for:  walk.c and the workers add entries; the last one writes the folder, which is an entry
 *            of its parent's. checkpoint.c writes folders as far as they are.
 * Ownership: a frame ends with the last xb_frame_release; until then its parent stands, too.
 * Threads:   any; `lock` guards the builder, the backup's lock the rest.
 */
#pragma once

#include "agent/pipeline/internal.h"

struct frame {
    struct backup *backup;
    struct frame *parent;
    struct frame *previous, *next; /* in backup->frames */
    unsigned depth;
    int fd;
    char *name, *path; /* path from the root, for messages */
    struct stat st;
    struct xb_directory *before[XB_SNAPSHOT_PARENTS_MAX]; /* the parents' views of it, if any */
    pthread_mutex_t lock;
    struct xb_directory_builder *builder;
    size_t waiting; /* entries on their way, the listing itself, a checkpoint */
};

/* Takes fd over, also on failure, which ends the backup. The parent waits for it. */
struct frame *xb_frame_new(struct backup *backup, struct frame *parent, const char *name, int fd);

void xb_frame_add(struct frame *frame, struct xb_entry *entry); /* takes the entry's content over */
void xb_frame_keep(struct frame *frame, const struct xb_entry *entry); /* a parent's entry */
void xb_frame_add_failure(struct frame *frame, const char *name, const char *text);
void xb_frame_add_vanished(struct frame *frame, const char *name);
char *xb_frame_child_path(const struct frame *frame, const char *name); /* NULL: no memory */

/* One more thing that the frame waits for. */
void xb_frame_hold(struct frame *frame);
/* One thing that the frame waited for has come. The last one writes the folder. */
void xb_frame_release(struct frame *frame);

/* The folder's own attributes as an entry without object and summary. */
int xb_frame_entry(const struct frame *frame, struct xb_entry *ret,
                   struct xb_error *err) XB_MUST_CHECK;
