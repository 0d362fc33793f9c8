/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.h - everything of one store into another, of the same kind or not, proved on arrival.
 *
 * What for:  moving to another disk, into a bucket or out of one, so that Velero, kopia and Xebec
 *            go on there. A source is a Velero location (backups/, kopia/<namespace>/, ...) or one
 *            repository; how a repository's blobs lie (kopia's folders, or a bucket's flat names)
 *            is translated.
 * Order:     what is named by others comes before what names it, and what makes a repository or a
 *            backup one at all comes last. What names others is listed before what it names. So a
 *            copy that was interrupted, or taken while backups ran, is a whole older state, or is
 *            not taken for one. A repository that is not whole yet holds XB_COPY_MARK.
 * Again:     objects that are there already are left alone, so that a second run goes on, and a
 *            later one brings what is new. Nothing is ever deleted at the target.
 * Left out:  the store's identity (the coordinator gives each store its own), kopia.maintenance
 *            (the history of the source's maintenance; the copy's begins anew), .shards.
 * Ownership: the caller keeps both stores; xb_copy_result_free frees the result.
 * Threads:   one call per thread; it uses threads of its own.    Blocking: yes, for long.
 * Memory:    XB_COPY_PIECE_BYTES per thread, and the names of one repository's blobs on both sides.
 * Errors:    CONFLICT: the target's repository is another one; INVALID: the source is no location
 *            or repository; RETRY: the source changed too fast; IO: an object did not arrive as it
 *            was sent (it has been taken away again). That the target has other bytes under some
 *            names is no error: result.conflicts names them, and nothing has been copied.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/store/store.h"

enum {
    XB_COPY_PIECE_BYTES = 4 * 1024 * 1024,
    XB_COPY_OBJECTS_MAX = 8 * 1000 * 1000, /* of one repository; and of all records */
    XB_COPY_NAMES_MAX = 100,               /* conflicts and warnings that are listed */
    XB_COPY_THREADS_MAX = 64
};

/* Says in a target's repository that it is not whole yet, and what it is to become: JSON with the
 * uniqueID. kopia ignores blobs that begin with this letter. */
#define XB_COPY_MARK "unfinished-copy.json"

struct xb_copy_progress {
    uint64_t objects_done, objects_total, bytes_done, bytes_total;
};
typedef void xb_copy_progress_fn(void *context, const struct xb_copy_progress *progress);

struct xb_copy_options {
    bool overwrite; /* replace what is there and differs */
    bool compare;   /* also read what is there already and has a name that says what it is */
    bool flat;      /* new repositories get a bucket's flat names, also in a folder */
    bool dry_run;
    unsigned threads; /* 1 to XB_COPY_THREADS_MAX */
    const atomic_bool *cancel;
    xb_copy_progress_fn *progress; /* from any thread, one at a time, about four times a second */
    void *progress_context;
};

/* The first XB_COPY_NAMES_MAX, and how many there are. */
struct xb_copy_names {
    char **texts;
    size_t count;
    uint64_t total;
};

struct xb_copy_result {
    bool location; /* not a single repository */
    uint64_t repositories, backups;
    uint64_t objects, bytes;               /* of the source, without what is left out */
    uint64_t objects_there;                /* at the target already, and equal */
    uint64_t objects_copied, bytes_copied; /* or to be copied, with dry_run */
    struct xb_copy_names conflicts;        /* names that the target has with other bytes */
    struct xb_copy_names warnings;
};

/* Whether it is a location, or a single repository; INVALID if neither. */
int xb_copy_check_source(struct xb_store *source, bool *ret_location,
                         struct xb_error *err) XB_MUST_CHECK;

/* target NULL: an empty one that does not exist yet (only with dry_run). */
int xb_copy_run(struct xb_store *source, struct xb_store *target,
                const struct xb_copy_options *options, struct xb_copy_result *ret,
                struct xb_error *err) XB_MUST_CHECK;
void xb_copy_result_free(struct xb_copy_result *result); /* what it owns */

/* INVALID if one of the two URLs lies within the other, or they are the same place. The target
 * need not exist. */
int xb_copy_check_apart(const char *source_url, const char *target_url,
                        struct xb_error *err) XB_MUST_CHECK;
