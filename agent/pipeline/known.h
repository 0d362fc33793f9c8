/* SPDX-License-Identifier: Apache-2.0
 *
 * known.h - what earlier snapshots know of a file; for the files of this folder only.
 *
 * What for:  an unchanged file is taken over without being read, and if possible without being
 *            opened.
 * Rules:     by its inode, its times and its size a file is known again with all its attributes:
 *            each change of one moves the inode's own time (ctime). The number of the device does
 *            not count, because it may be another one after every mount. An entry that has no
 *            inode and no ctime is kopia's, and then kopia's rule holds: size, mtime, mode, owner;
 *            attributes are read again.
 */
#pragma once

#include "agent/pipeline/frame.h"
#include "agent/pipeline/merge.h"

/* Names of one folder that are taken over as they are if their data is still there, which is asked
 * for all of them at once. Belongs to the thread that lists the folder. */
enum { XB_KNOWN_BATCH_MAX = 256 };

struct known_batch {
    size_t count;
    struct keep keeps[XB_KNOWN_BATCH_MAX];
    const char *names[XB_KNOWN_BATCH_MAX]; /* lent until the batch is kept */
    struct xb_content_id ids[XB_KNOWN_BATCH_MAX];
};

/* Whether the name is one for the batch, which has room: nothing has changed by what fstatat says,
 * and nothing has to be fetched from the store to find out whether its data is there. */
bool xb_known_note(struct known_batch *batch, struct frame *frame, const char *name,
                   const struct stat *st);
/* Keeps what can be kept. What cannot is left in batch->names, and batch->count says how many. */
void xb_known_keep_batch(struct known_batch *batch, struct frame *frame);

/* Takes the name over as it is, by what fstatat says alone. False: it must be looked at. */
bool xb_known_keep(struct frame *frame, const char *name, const struct stat *st);

/* Takes the bytes of the open file over, and nothing else: the entry is filled with what it has
 * now. False: it must be read. */
bool xb_known_reuse(struct frame *frame, const char *name, int fd, const struct stat *st,
                    struct xb_entry *ret);

/* What the parents know of a folder: xb_known_leave gives it back. `ids`: as in frame->folders of
 * the folder above, where that is merged. */
void xb_known_enter(struct frame *frame, const char *ids);
void xb_known_leave(struct frame *frame);

/* ---- folders that are merged (merge.h) ---- */

/* xb_known_keep and xb_known_note in one, for what the parents say of the name. */
bool xb_known_take(struct frame *frame, const struct match matches[XB_SNAPSHOT_PARENTS_MAX],
                   const struct stat *st);
/* Remembers a file that may still be known when somebody looks closer: xb_known_keep and
 * xb_known_reuse will ask. */
void xb_known_stash(struct frame *frame, struct match matches[XB_SNAPSHOT_PARENTS_MAX],
                    const struct stat *st);
/* All names are through. */
void xb_known_end_merge(struct frame *frame);
