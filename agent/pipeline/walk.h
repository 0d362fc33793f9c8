/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.h - going through the folders of a backup; for the files of this folder only.
 *
 * What for:  backup.c starts the walk at the root and waits for its end.
 */
#pragma once

#include "agent/pipeline/internal.h"

/* Walks the tree below root_fd (taken over) and returns when every folder is written, or the
 * backup has failed. */
void xb_backup_walk(struct backup *backup, int root_fd);
