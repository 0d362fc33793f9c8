/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running restore from within; for the files of this folder only.
 *
 * What for:  walk.c goes through the snapshot's folders, write.c makes one file, attributes.c sets
 *            owners, modes, times and extended attributes, links.c remembers hard links.
 * Threads:   `lock` guards the result, the first failure and the frames' counts.
 */
#pragma once

#include <pthread.h>

#include "agent/restore/restore.h"

struct xb_links;

/* A folder of the target. Its attributes are set when its last entry is in place. */
struct frame {
    struct restore *restore;
    struct frame *parent;
    int fd;
    char *path;            /* from the root, for messages and links */
    struct xb_entry entry; /* its own; name NULL: attributes are not set */
    size_t waiting;
};

struct restore {
    struct xb_repository *repository;
    const struct xb_restore_options *options;
    struct xb_workers *workers;
    struct xb_links *links;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct xb_restore_result result;
    struct xb_error failure;
    atomic_bool stop, done;
    atomic_uint_least64_t bytes_done, files_done;
    uint64_t bytes_total, files_total;
};

void xb_restore_fail(struct restore *restore, const struct xb_error *err);
bool xb_restore_stopped(const struct restore *restore);

/* Lists what is wrong with an entry. `damaged`: the repository's fault. */
void xb_restore_note(struct restore *restore, const struct frame *frame, const char *name,
                     const char *text);
void xb_restore_note_failure(struct restore *restore, const struct frame *frame, const char *name,
                             const struct xb_error *why);
void xb_restore_note_skip(struct restore *restore, const struct frame *frame, const char *name,
                          const char *text);

/* Makes the regular file, whole with its attributes, in place of what was there. */
int xb_restore_write_file(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err) XB_MUST_CHECK;
/* The same for links and special files. */
int xb_restore_write_link(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err) XB_MUST_CHECK;
int xb_restore_write_node(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, struct xb_error *err) XB_MUST_CHECK;

/* Removes what stands at the name, unless it is a folder (CONFLICT). */
int xb_restore_clear(const struct frame *frame, const char *name,
                     struct xb_error *err) XB_MUST_CHECK;

/* Owner, attributes, mode, times. fd: the open file or folder, or -1: then a link or node that is
 * named by folder and name. What cannot be set is noted; only the first failure counts. */
struct xb_restore_place {
    int fd;
    const struct frame *frame; /* the folder it is in */
};
void xb_restore_attributes(struct restore *restore, const struct xb_restore_place *place,
                           const struct xb_entry *entry);

/* Hard links: where the first name of each was restored. */
int xb_links_new(struct xb_links **ret, struct xb_error *err) XB_MUST_CHECK;
const char *xb_links_find(const struct xb_links *links, const char *id);
void xb_links_add(struct xb_links *links, const char *id, const char *path);
void xb_links_free(struct xb_links *links);
