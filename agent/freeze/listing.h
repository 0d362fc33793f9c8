/* SPDX-License-Identifier: Apache-2.0
 *
 * listing.h - what a tree was at one moment: names and attributes, kept apart from the files'
 * bytes.
 *
 * What for:  clones of files have bytes, and nothing else of the originals: no inode, no time, no
 *            owner. The pipeline takes all of that from here, and only the bytes from the clone.
 * Ownership: the copy's (freeze.h); entries and names live as long as it does.
 * Threads:   any number may read.    Blocking: as memory that is mapped from a scratch file.
 * Shapes:    folders have numbers, the root is 0. Entries of a folder are sorted by name, bytewise.
 * Limits:    about 200 bytes and the name per entry, in scratch files without a name; 16 bytes of
 *            memory per folder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct xb_listing;

struct xb_listing_entry {
    struct stat st;
    uint64_t child;  /* a folder's number; where a regular file's bytes are, 0: it has none */
    int64_t seen_ns; /* wall time when its attributes were read */
    uint32_t name_bytes, target_bytes, xattr_bytes;
    char bytes[]; /* name and target, each with a NUL, and the extended attributes */
};

struct xb_listing_folder {
    const struct xb_listing_entry *self;
    size_t count;
    const uint64_t *offsets;
    const char *base;
};

/* False: there is no such folder; it vanished in the very moment. */
bool xb_listing_folder(const struct xb_listing *listing, uint64_t number,
                       struct xb_listing_folder *ret);
const struct xb_listing_entry *xb_listing_entry(const struct xb_listing_folder *folder, size_t i);
/* NULL: there is none of that name. */
const struct xb_listing_entry *xb_listing_find(const struct xb_listing_folder *folder,
                                               const char *name);

const char *xb_listing_name(const struct xb_listing_entry *entry);
const char *xb_listing_target(const struct xb_listing_entry *entry); /* of a symbolic link */

struct xb_listing_xattr {
    const char *name;
    const void *value;
    size_t len;
};
/* The attribute at *at, which is moved on; false: there are no more. Begin with 0. */
bool xb_listing_next_xattr(const struct xb_listing_entry *entry, size_t *at,
                           struct xb_listing_xattr *ret);

/* Opens a regular file's bytes for reading; the caller's. -1 and errno: gone. */
int xb_listing_open(const struct xb_listing *listing, const struct xb_listing_entry *entry);

/* Regular files, and their bytes. */
void xb_listing_totals(const struct xb_listing *listing, uint64_t *ret_files, uint64_t *ret_bytes);
