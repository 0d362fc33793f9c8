/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.h - proof that snapshots can come back.
 *
 * What for:  every folder of the snapshots is read, every object's contents must be in the index,
 *            and their packs must be in the store and long enough. With data, contents are read
 *            pack by pack, opened and their hashes recomputed, each once.
 * Ownership: the caller owns what it passes; xb_verify_result_free frees the result.
 * Threads:   one call per thread; it uses threads of its own.    Blocking: yes.
 * Errors:    only what keeps it from going on. Damage is no error: it is counted and listed, with
 *            every snapshot and path that it hits. What maintenance has moved meanwhile is looked
 *            up again, and is no damage.
 * Limits:    a repository opened with tolerate_damage is looked at as far as its index goes, and
 *            each blob that could not be read is damage.
 * Memory:    one byte per content of the repository, 16 per content that is read, each pack's name
 *            once, and per thread what one read brings (XB_VERIFY_READ_BYTES or one content, opened
 *            where it lies) and one content that was compressed.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shared/repository/snapshot.h"

enum {
    XB_VERIFY_MESSAGES_MAX = 1000,
    XB_VERIFY_WARNINGS_MAX = 1000,
    XB_VERIFY_THREADS_MAX = 64,
    XB_VERIFY_READ_BYTES = 4 * 1024 * 1024
};

struct xb_verify_progress {
    uint64_t files_done, files_total;
    uint64_t bytes_done, bytes_total; /* of contents to be read; total 0: not known yet */
};
typedef void xb_verify_progress_fn(void *context, const struct xb_verify_progress *progress);

struct xb_verify_options {
    unsigned data_percent; /* how many of the contents are read: 0 to 100 */
    uint64_t turn;    /* which ones: with 10 percent, ten turns that follow one another read all */
    unsigned threads; /* 0: four */
    const atomic_bool *cancel;
    xb_verify_progress_fn *progress; /* from any thread, one at a time, about four times a second */
    void *progress_context;
};

/* An entry that cannot come back whole. What is not known is "". */
struct xb_verify_message {
    char *snapshot, *path;
    char *object, *content, *pack; /* the first content that is damaged, and where it should be */
    char *index;                   /* an index blob, or a content of manifests: then no path */
    char *text;
};

struct xb_verify_warning {
    char *blob, *text;
};

struct xb_verify_result {
    uint64_t snapshots;
    uint64_t files, dirs; /* looked at; of a folder that several snapshots share, once */
    uint64_t contents, contents_read, bytes_read, packs;
    uint64_t damaged;                   /* entries that cannot come back whole */
    struct xb_verify_message *messages; /* at most XB_VERIFY_MESSAGES_MAX */
    size_t message_count;
    uint64_t warned;
    struct xb_verify_warning *warnings; /* at most XB_VERIFY_WARNINGS_MAX */
    size_t warning_count;
};

/* snapshot NULL: all of them; those that cannot be parsed count as damage, and packs that no index
 * names are looked at. */
int xb_verify_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                  const struct xb_verify_options *options, struct xb_verify_result *ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_verify_result_free(struct xb_verify_result *result); /* what it owns */
