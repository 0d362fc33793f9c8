/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.h - proof that snapshots can come back.
 *
 * What for:  every folder of the snapshots is read, every object's contents must be in the index,
 *            and their packs must be in the store and long enough. With data, contents are read,
 *            opened and their hashes recomputed, each once.
 * Ownership: the caller owns what it passes; xb_verify_result_free frees the result.
 * Threads:   one call per thread.    Blocking: yes.
 * Errors:    only what keeps it from going on. Damage is no error: it is counted and listed, with
 *            the snapshot and the path that it hits.
 * Memory:    16 bytes per content looked at, and each pack's name once.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/repository/snapshot.h"

enum { XB_VERIFY_MESSAGES_MAX = 1000 };

struct xb_verify_progress {
    uint64_t files_done, files_total, bytes_done;
};
typedef void xb_verify_progress_fn(void *context, const struct xb_verify_progress *progress);

struct xb_verify_options {
    unsigned data_percent; /* how many of the contents are read: 0 to 100 */
    const atomic_bool *cancel;
    xb_verify_progress_fn *progress; /* called from the same thread, about four times a second */
    void *progress_context;
};

struct xb_verify_message {
    char *snapshot, *path, *text;
};

struct xb_verify_result {
    uint64_t snapshots, files, dirs, contents, contents_read, bytes_read;
    uint64_t damaged;                   /* entries that cannot come back whole */
    struct xb_verify_message *messages; /* at most XB_VERIFY_MESSAGES_MAX */
    size_t message_count;
};

/* snapshot NULL: all of them, and those that cannot be parsed count as damage. */
int xb_verify_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                  const struct xb_verify_options *options, struct xb_verify_result *ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_verify_result_free(struct xb_verify_result *result); /* what it owns */
