/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.h - a folder whose entries are being collected; for the files of this folder only.
 *
 * What for:  walk.c and the workers add entries; the last one writes the folder, which is an entry
 *            of its parent's. checkpoint.c writes folders as far as they are.
 * Ownership: a frame ends with the last xb_frame_release; until then its parent stands, too.
 * Threads:   any; `lock` guards the builder, the backup's lock `waiting` and the list of frames.
 *            What is marked so belongs to the one thread that lists the folder.
 */
#pragma once

#include "agent/pipeline/internal.h"
#include "shared/base/buf.h"

/* What was taken over while a folder was listed: counted without a lock per entry. */
struct kept {
    uint64_t files, bytes, symlinks, special_files;
};

enum { XB_FRAME_FOLDERS_BYTES_MAX = 256 * 1024 }; /* more than one listing step brings */

struct merge;
struct stashed;

struct frame {
    struct backup *backup;
    struct frame *parent;
    struct frame *previous, *next; /* in backup->frames */
    unsigned depth;
    int fd;                            /* -1: it is a recorded one */
    struct xb_listing_folder recorded; /* where the tree's names are kept apart (listing.h) */
    char *name;
    struct stat st;
    struct xb_directory *before[XB_SNAPSHOT_PARENTS_MAX]; /* the parents' views of it, if any */
    const struct xb_entry_text *text; /* its own entry in the first parent, if it is known */
    struct xb_object_id first_id;     /* the folder in the first parent; "": none */
    size_t before_bytes;              /* of them, about */
    bool merged;                      /* they are too large to be held, or were (merge.h) */
    struct stashed *stash;            /* merged: what files on their way were before; `lock` */
    size_t stash_count;
    pthread_mutex_t lock;
    struct xb_directory_builder *builder;
    size_t waiting; /* entries on their way, the listing itself, a checkpoint */

    /* The listing's own: */
    bool listed;         /* to its end */
    size_t listed_at;    /* the next recorded entry */
    struct merge *merge; /* NULL: not merged, or over */
    bool merge_filled;   /* all names are in it */
    /* Folders in it that are still to be gone into: each name with its NUL. Merged: behind it the
     * object ids that the parents have for it, each with its NUL, too. */
    struct xb_buf folders;
    size_t folders_at; /* the next of them */
    struct kept kept;  /* not yet in the backup's result */
};

/* Takes fd over, also on failure, which ends the backup. The parent waits for it. With `recorded`
 * there is no descriptor. */
struct frame *xb_frame_new(struct backup *backup, struct frame *parent, const char *name, int fd,
                           const struct xb_listing_folder *recorded);

/* What is recorded of a name in the folder; NULL: nothing, or nothing is recorded at all. */
const struct xb_listing_entry *xb_frame_recorded(const struct frame *frame, const char *name);

void xb_frame_add(struct frame *frame, struct xb_entry *entry); /* takes the entry's content over */

/* An entry of a parent's that is to be taken over, unless it is not. */
struct keep {
    const struct xb_entry *entry;
    const struct xb_entry_text *text; /* as decoded, or NULL */
    bool first;                       /* of the first of the parents */
    bool live;                        /* its data is still there */
};
void xb_frame_keep(struct frame *frame, const struct keep *keeps, size_t count);
void xb_frame_add_failure(struct frame *frame, const char *name, const char *text);
void xb_frame_add_vanished(struct frame *frame, const char *name);

/* The folder's path from the root, or that of a name in it, for messages; NULL: no memory. */
char *xb_frame_path(const struct frame *frame);
char *xb_frame_child_path(const struct frame *frame, const char *name);

/* Adds what was kept to the backup's result, and forgets it. */
void xb_frame_count_kept(struct backup *backup, struct kept *kept);

/* One more thing that the frame waits for. */
void xb_frame_hold(struct frame *frame);
/* One thing that the frame waited for has come. The last one writes the folder. */
void xb_frame_release(struct frame *frame);

/* The folder's own attributes as an entry without object and summary. */
int xb_frame_entry(const struct frame *frame, struct xb_entry *ret,
                   struct xb_error *err) XB_MUST_CHECK;
