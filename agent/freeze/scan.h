/* SPDX-License-Identifier: Apache-2.0
 *
 * scan.h - going through a tree, cloning what is new or has changed; for the files of this folder
 * only.
 *
 * What for:  the first pass clones everything while the application works on. The second one, when
 *            it stands still, looks at every name, clones again what has changed since, and keeps
 *            the rest: a changed file is known by its inode, size and times, and by having been
 *            looked at too soon after its last change. So the stop lasts for one look per file. The
 *            clone of a large file is brought up to date instead of being made again (clone.c).
 *            Cloning a file waits until its changes are on the disk: in later passes the writing of
 *            all that have changed in a folder is begun before the first of them is cloned.
 * Order:     a file's attributes are read before its bytes are cloned: what changes in between has
 *            another time than was noted, and is cloned (or, by the next backup, read) again.
 * Threads:   as many as there are segments; each goes through whole folders.
 */
#pragma once

#include "agent/freeze/internal.h"
#include "agent/freeze/listing_writer.h"
#include "shared/base/workers.h"

struct xb_scan {
    struct xb_freeze *freeze;
    struct xb_workers *workers;
    unsigned threads;
    const struct xb_listing *from; /* the pass before; NULL: this is the first */
    struct xb_listing *to;
    uint64_t *clone_counts; /* of each thread; go on from pass to pass */
    int64_t until_ns;       /* monotonic; 0: as long as it takes */
};

/* Errors: FULL: too many files, or no space; INVALID: something cannot be cloned; RETRY: it takes
 * too long; CANCELLED. */
int xb_scan_run(const struct xb_scan *scan, struct xb_error *err) XB_MUST_CHECK;

/* Extended attributes, packed (scan_xattr.c). fd: the open file, or -1: then folder and name. */
enum { XB_SCAN_XATTR_BYTES_MAX = 256 * 1024 };
struct xb_scan_source {
    int fd, folder;
    const char *name;
};
int xb_scan_read_xattrs(const struct xb_scan_source *source, char *bytes, size_t *ret_used,
                        struct xb_error *err) XB_MUST_CHECK;
