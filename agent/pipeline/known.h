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

/* Takes the name over as it is, by what fstatat says alone. Without `fetch`, only if nothing has
 * to be fetched from the store for it. False: it must be looked at. */
bool xb_known_keep(struct frame *frame, const char *name, const struct stat *st, bool fetch);

/* Takes the bytes of the open file over, and nothing else: the entry is filled with what it has
 * now. False: it must be read. */
bool xb_known_reuse(struct frame *frame, const char *name, int fd, const struct stat *st,
                    struct xb_entry *ret);

/* The parents' views of a folder. */
void xb_known_enter(struct frame *frame);
