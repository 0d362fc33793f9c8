/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.h - going through the folders of a restore; for the files of this folder only.
 */
#pragma once

#include "agent/restore/internal.h"

/* Restores `entry`'s content into target_fd (taken over); a file goes below it. Returns when
 * everything is in place, or the restore has failed. Takes the entry over. */
void xb_restore_walk(struct restore *restore, int target_fd, struct xb_entry *entry);

/* Links whose window has ended; takes the array over. */
void xb_restore_walk_ready(struct restore *restore, struct later *later, size_t count);
