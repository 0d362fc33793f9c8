/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.h - going through the folders of a backup; for the files of this folder only.
 *
 * What for:  backup.c starts the walk at the root and waits for its end.
 * Threads:   the workers walk: each goes depth first through the folders below the one it was given
 *            and offers some of them to the others while they have nothing to do.
 * Limits:    no queue grows with the tree: what finds no room in the workers' queue is done by who
 *            has it. Descriptors: one per folder under way; near the process's limit only one
 *            worker goes deeper, and the others wait for it.
 */
#pragma once

#include "agent/pipeline/frame.h"

/* Whether the name is a part of the volume: not the folder itself, its parent, or the place of
 * copies (freeze.h). `type`: DT_DIR, ... */
bool xb_walk_takes(const char *name, unsigned char type);

/* Walks the tree below root_fd (taken over; or the recorded one) and returns when every folder is
 * written, or the backup has failed. */
void xb_backup_walk(struct backup *backup, int root_fd);

/* Adds a link or a special file (walk_small.c). */
void xb_walk_add_small(struct frame *frame, const char *name, const struct stat *st);
