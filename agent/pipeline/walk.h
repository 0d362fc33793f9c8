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

#include "agent/pipeline/internal.h"

/* Walks the tree below root_fd (taken over) and returns when every folder is written, or the
 * backup has failed. */
void xb_backup_walk(struct backup *backup, int root_fd);
