/* SPDX-License-Identifier: Apache-2.0
 *
 * restore.h - a snapshot's tree back into a folder.
 *
 * What for:  restores for pods and for people. Existing files of the same name are replaced, unless
 *            they hold the right bytes already; others stay.
 * Ownership: the caller owns everything it passes; xb_restore_result_free frees the result.
 * Threads:   one call per thread; it uses workers of its own. Progress and events come from
 *            other threads, events one at a time.
 * Blocking:  yes; returns when the data is on disk (syncfs).
 * Errors:    CANCELLED; NOT_FOUND: no such path in the snapshot; CORRUPT: the root cannot be read;
 *            CONFLICT: another restore is at work in the target; IO and FULL of the target's file
 *            system. A file that cannot be read or written is counted and listed in the result, and
 *            no half of it is left.
 * Rules:     everything is created through descriptors of folders that were opened or made without
 *            following a link: no name in a repository leads out of the target. Attributes come
 *            last, a folder's after its content.
 *            A file gets its name when it is whole: a name tells of the old file or the new one,
 *            never of a mixture or a part, whenever a restore is killed. Until then it has no name
 *            (O_TMPFILE); or, where the file system cannot do that and where another file is to be
 *            replaced, one of its own beside its place (XB_RESTORE_TEMPORARY and some digits). What
 *            a killed restore leaves under such names is removed by the next one of that folder. If
 *            the file system has no room for both, the old file goes first.
 *            A file that is there already with the right size is compared chunk by chunk with what
 *            the snapshot's index says of its bytes (not by times): if all are right it stays, else
 *            only what differs is fetched.
 * Memory:    two windows of at most 2 * XB_PLAN_ROWS_MAX chunks and a third that is being planned
 *            (plan.h), the folders that are open, and data as far as the process's budget
 *            (shared/base/budget.h) allows, of which XB_RESTORE_FLOOR_BYTES are its own: it begins
 *            when they are free.
 *            First names of hard links take 16 bytes each and a file without a name (scratch.h).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/repository/snapshot.h"

#define XB_RESTORE_TEMPORARY ".xebec-restore-"

enum {
    XB_RESTORE_MESSAGES_MAX = 1000,
    XB_RESTORE_EXTRA_NAMES_MAX = 10,
    XB_RESTORE_DEPTH_MAX = 900,
    XB_RESTORE_LINKS_MAX = 262144,
    XB_RESTORE_FLOOR_BYTES = 8 * 1024 * 1024 /* more if one chunk, or two of it, are larger */
};

struct xb_restore_progress {
    uint64_t bytes_done, bytes_total, files_done, files_total;
};
typedef void xb_restore_progress_fn(void *context, const struct xb_restore_progress *progress);

/* What becomes of one path; in a dry run what would become of it. */
enum xb_restore_action {
    XB_RESTORE_CREATE,
    XB_RESTORE_REPLACE,
    XB_RESTORE_KEEP, /* its bytes are right already; attributes are set all the same */
    XB_RESTORE_SKIP, /* left out by rule */
    XB_RESTORE_FAIL,
    XB_RESTORE_EXTRA /* in the target, not in the snapshot; stays */
};
struct xb_restore_event {
    enum xb_restore_action action;
    const char *path, *text; /* text: why, or NULL */
};
typedef void xb_restore_event_fn(void *context, const struct xb_restore_event *event);

struct xb_restore_options {
    int target_fd;             /* the folder to restore into; dry run: -1 if there is none yet */
    const char *path;          /* only this part of the snapshot; NULL or "": all */
    bool devices;              /* make device nodes too */
    bool privileged;           /* set trusted.* and security.* attributes too */
    bool sparse;               /* leave blocks of zeros out, also where no hole was recorded */
    bool full;                 /* compare nothing, write every file anew */
    bool dry_run;              /* only tell; data of the repository is not read */
    unsigned threads;          /* 0: 2 */
    const atomic_bool *cancel; /* may be NULL */
    xb_restore_progress_fn *progress;
    void *progress_context;
    xb_restore_event_fn *event; /* may be NULL */
    void *event_context;
};

struct xb_restore_message {
    char *path, *text;
};

struct xb_restore_result {
    uint64_t files, dirs, symlinks, special_files, hard_links, bytes;
    uint64_t files_unchanged;         /* of `files`: were right already */
    uint64_t bytes_kept;              /* of `bytes`: were in the target already */
    uint64_t created, replaced, kept; /* entries of all kinds */
    uint64_t reads, bytes_read;       /* requests to the store for data, and what came */
    uint64_t failed;                  /* entries that are not back, or not as they were */
    uint64_t skipped; /* left out by rule: devices and attributes that are not switched on */
    uint64_t extra;   /* names in the target's folders that are not in the snapshot's */
    char *extra_names[XB_RESTORE_EXTRA_NAMES_MAX];
    size_t extra_name_count;
    struct xb_restore_message *messages; /* at most XB_RESTORE_MESSAGES_MAX: failed and skipped */
    size_t message_count;
    bool damaged; /* some failure was the repository's */
};

int xb_restore_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                   const struct xb_restore_options *options, struct xb_restore_result *ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_restore_result_free(struct xb_restore_result *result); /* what it owns */

/* The entry at `path` of a snapshot ("a/b"; "" is the root), copied. */
int xb_snapshot_find_path(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                          const char *path, struct xb_entry *ret,
                          struct xb_error *err) XB_MUST_CHECK;
