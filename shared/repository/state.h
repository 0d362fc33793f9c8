/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h - an open repository from within; for the files of this folder only.
 *
 * What for:  repository.c opens, content_read.c finds and reads contents, contents.c writes them,
 *            flush.c makes them durable. What they share stands here.
 * Threads:   `lock` guards every field below it. `turn` lets writers in while no flush runs: a
 *            flush waits until none is inside and keeps new ones out, so that what it indexes is
 *            whole. A table, once loaded, is used through a reference and never changes.
 * Locks:     flush_lock, then a slot's lock, then lock.
 */
#pragma once

#include <pthread.h>

#include "shared/repository/epoch.h"
#include "shared/repository/format.h"
#include "shared/repository/index_table.h"
#include "shared/repository/pack.h"
#include "shared/repository/pending.h"
#include "shared/repository/seal.h"
#include "shared/repository/session.h"

enum { XB_PACK_KINDS = 2 }; /* 'p' and 'q' */

/* Ages after which things are looked at again (kopia-format sections 2, 13, 14). */
#define XB_FORMAT_AGE_NS_MAX (INT64_C(900) * 1000000000)
#define XB_TABLE_AGE_NS_MAX (INT64_C(900) * 1000000000)
#define XB_TABLE_AGE_NS_MIN (INT64_C(1) * 1000000000)
#define XB_FLUSH_AGE_NS_MAX (INT64_C(600) * 1000000000)

struct xb_pack_slot {
    pthread_mutex_t lock;
    struct xb_pack *pack; /* NULL: none open */
};

struct xb_repository {
    struct xb_store *store;
    struct xb_sealer *sealer;
    struct xb_format format;
    struct xb_format_keys keys;
    unsigned char unique_id[XB_FORMAT_UNIQUE_ID_BYTES_MAX];
    size_t unique_id_len;
    bool read_only;
    char *username, *hostname;

    pthread_mutex_t flush_lock; /* one flush, refresh or format check at a time */
    int64_t format_checked_ns;  /* monotonic; under flush_lock */
    struct xb_pack_slot packs[XB_PACK_KINDS];

    pthread_mutex_t lock;
    pthread_cond_t turn;
    unsigned writers; /* inside xb_content_write or _delete */
    bool flushing;
    struct xb_index_table *table;
    int64_t table_listed_ns; /* monotonic, before the listing began */
    int64_t write_epoch;
    uint64_t index_blobs, index_names_hash;
    struct xb_pending pending;
    struct xb_session session;
    int64_t first_pending_ns; /* monotonic; 0: nothing pending */
    struct xb_error failed;   /* a pack could not be written: nothing more may be committed */
};

/* The blobs that make up the index right now. */
struct xb_index_listing {
    char **names;
    size_t count, cap;
    struct xb_epoch_set set; /* borrows names */
    int64_t listed_ns;       /* monotonic, when it began */
    uint64_t names_hash;     /* of the active set and the watermark */
};
int xb_index_listing_load(struct xb_repository *repository, struct xb_index_listing *ret,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_index_listing_free(struct xb_index_listing *listing);

/* Loads a listing's table, keeping the marks of the present one. flush_lock must be held. */
int xb_repository_load_table(struct xb_repository *repository,
                             const struct xb_index_listing *listing,
                             struct xb_error *err) XB_MUST_CHECK;
/* Lists, and loads if something changed. flush_lock must be held. */
int xb_repository_refresh_locked(struct xb_repository *repository,
                                 struct xb_error *err) XB_MUST_CHECK;
/* Reads the format blob again when that is due, and judges it. flush_lock must be held. */
int xb_repository_check_format(struct xb_repository *repository,
                               struct xb_error *err) XB_MUST_CHECK;

struct xb_index_table *xb_repository_table(struct xb_repository *repository); /* a reference */

/* Says which content an error is about. */
int xb_content_wrap(struct xb_error *err, const struct xb_content_id *id);

/* Where a content lies. */
struct xb_content_place {
    struct xb_index_entry entry;
    char pack[XB_PACK_NAME_BYTES];
};

/* Reads and opens the content at that place, a second time if the bytes are not right. */
int xb_content_read_at(struct xb_repository *repository, const struct xb_content_place *place,
                       bool verify, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Seals and stores a content whose pending entry will be `entry` (id, plain length, timestamp are
 * set); used by writers and by a flush that re-writes. After a failure nothing more is committed.
 */
int xb_content_store(struct xb_repository *repository, struct xb_index_entry *entry,
                     const void *data, enum xb_compression compression,
                     struct xb_error *err) XB_MUST_CHECK;

/* Closes the open pack of a kind, if there is one. */
int xb_pack_slot_close(struct xb_repository *repository, struct xb_pack_slot *slot,
                       struct xb_error *err) XB_MUST_CHECK;

static inline struct xb_pack_slot *xb_pack_slot_of(struct xb_repository *repository, char prefix)
{
    return &repository->packs[prefix ? 1 : 0];
}
