/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h - an open repository from within; for the files of this folder only.
 *
 * What for:  repository.c opens, content_read.c finds and reads contents, content_write.c
 *            writes them, flush.c makes them durable with index_put.c, reuse.c watches over what
 *            was reused, listing.c loads the index. What they share stands here.
 * Threads:   `lock` guards every field below it, and the format's numbers. `turn` lets writers in
 *            while no flush runs: a flush waits until none is inside and keeps new ones out, so
 *            that what it indexes is whole. A table, once loaded, is used through a reference and
 *            never changes.
 * Locks:     flush_lock, then a slot's lock, then session_lock, then lock. No request goes to the
 *            store under `lock`.
 */
#pragma once

#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/repository/epoch.h"
#include "shared/repository/format.h"
#include "shared/repository/index_cache.h"
#include "shared/repository/index_table.h"
#include "shared/repository/pack.h"
#include "shared/repository/pending.h"
#include "shared/repository/readahead.h"
#include "shared/repository/seal.h"
#include "shared/repository/session.h"

enum { XB_PACK_KINDS = 2 }; /* 'p' and 'q' */

/* Ages after which things are looked at again (kopia-format sections 2, 13, 14). */
#define XB_FORMAT_AGE_NS_MAX (INT64_C(900) * 1000000000)
#define XB_TABLE_AGE_NS_MAX (INT64_C(900) * 1000000000)
#define XB_TABLE_AGE_NS_MIN (INT64_C(1) * 1000000000)

/* The open packs of a kind. A writer takes one out, and nobody else gets at it until it is back:
 * so no lock is held while bytes are written. The last that came back goes out first: as many are
 * open as there have been writers at the same time. */
enum { XB_PACKS_OPEN_MAX = 4 };
struct xb_pack_slot {
    pthread_mutex_t lock;
    pthread_cond_t back;
    struct xb_pack *idle[XB_PACKS_OPEN_MAX];
    unsigned idle_count, out;
};
void xb_pack_slot_init(struct xb_pack_slot *slot);
void xb_pack_slot_free(struct xb_pack_slot *slot); /* what is open leaves nothing in the store */

/* Where a content lies. */
struct xb_content_place {
    struct xb_index_entry entry;
    char pack[XB_PACK_NAME_BYTES];
};

/* Contents that were reused, and that the index does not know any more. */
struct xb_lost {
    struct xb_content_place *places;
    size_t count, cap;
};

/* What could not be read (recovery.h). */
struct xb_losses {
    char **names, **whys;
    size_t kept;
    uint64_t count;
};
void xb_losses_free(struct xb_losses *losses);

struct xb_repository {
    struct xb_store *store;
    const struct xb_clock *clock;
    struct xb_sealer *sealer;
    struct xb_index_cache *cache; /* NULL: none */
    struct xb_format format; /* version, index_version, pack_bytes_max, epoch_refresh_ns: lock */
    struct xb_format_keys keys;
    unsigned char unique_id[XB_FORMAT_UNIQUE_ID_BYTES_MAX];
    size_t unique_id_len;
    bool read_only, tolerate_damage;
    char *username, *hostname;
    struct xb_readahead *readahead;
    uint32_t shard_entries_max; /* XB_INDEX_SHARD_ENTRIES_MAX, but for tests */

    pthread_mutex_t flush_lock; /* one flush, refresh or format check at a time */
    struct xb_pack_slot packs[XB_PACK_KINDS];
    pthread_mutex_t session_lock; /* also while the marker is put */
    struct xb_session session;

    pthread_mutex_t lock;
    pthread_cond_t turn;
    unsigned writers; /* inside xb_content_write or _delete */
    bool flushing;
    int64_t format_checked_ns; /* as the clock's elapsed_ns; so are all below */
    struct xb_index_table *table;
    int64_t table_listed_ns; /* before the listing began */
    int64_t write_epoch, watermark_s;
    struct xb_losses losses;
    uint64_t index_blobs, index_names_hash;
    struct xb_lost lost;
    struct xb_pending pending;
    uint32_t deletions[XB_PACK_KINDS]; /* pending, and in the end of no pack yet */
    int64_t first_pending_ns;          /* 0: nothing pending */
    struct xb_error failed; /* a pack could not be written: nothing more may be committed */
};

static inline int64_t xb_repository_elapsed_ns(const struct xb_repository *repository)
{
    return repository->clock->elapsed_ns(repository->clock->context);
}

static inline int64_t xb_repository_wall_ns(const struct xb_repository *repository)
{
    return repository->clock->wall_ns(repository->clock->context);
}

/* Seconds for an entry that takes the place of one of time `old_s` (0: of none). Later, too, than
 * any deletion that is in force: one that the watermark hides would still win over an older entry.
 * A watermark of the far future is nobody's deletion. `lock` must be held. */
static inline uint64_t xb_repository_timestamp(const struct xb_repository *repository,
                                               uint64_t old_s)
{
    int64_t now_s = xb_repository_wall_ns(repository) / XB_NS_PER_S;
    int64_t mark_s = repository->watermark_s;
    uint64_t after_s = mark_s > 0 && mark_s < now_s + 3600 ? (uint64_t)mark_s : 0;
    after_s = old_s > after_s ? old_s : after_s;
    return now_s > 0 && (uint64_t)now_s > after_s ? (uint64_t)now_s : after_s + 1;
}

/* xb_repository_open with the keys that the password would give; they stay the caller's. Deriving
 * them takes longer than all the rest: tests open by the thousand. */
int xb_repository_open_with(struct xb_store *store, const struct xb_format_keys *keys,
                            const struct xb_repository_open_options *options,
                            struct xb_repository **ret, struct xb_error *err) XB_MUST_CHECK;

/* A name of a listing, with what is known of the blob. */
struct xb_index_item {
    uint64_t size;
    char name[];
};
static inline struct xb_index_item *xb_index_item_of(const char *name)
{
    return (struct xb_index_item *)(uintptr_t)(name - offsetof(struct xb_index_item, name));
}

/* The blobs that make up the index right now. */
struct xb_index_listing {
    char **names; /* each in a struct xb_index_item */
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
/* Takes the table to the state of a listing that was made already. flush_lock must be held. */
int xb_repository_follow(struct xb_repository *repository, const struct xb_index_listing *listing,
                         struct xb_error *err) XB_MUST_CHECK;
/* Reads the format blob again when that is due, and judges it. flush_lock must be held. */
int xb_repository_check_format(struct xb_repository *repository,
                               struct xb_error *err) XB_MUST_CHECK;
/* Format and index as fresh as decisions need them (15 min). No lock may be held. */
int xb_repository_renew(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;

/* A loss that this repository was opened to put up with is kept, and 0 returned; else the failure
 * is handed on. */
int xb_repository_tolerate(struct xb_repository *repository, const char *name,
                           const struct xb_error *why, struct xb_error *err) XB_MUST_CHECK;

/* Gives a content that lies in a pack already an entry in the next index blob, unless it has one.
 */
int xb_content_adopt(struct xb_repository *repository, const struct xb_content_info *info,
                     bool *ret_new, struct xb_error *err) XB_MUST_CHECK;

void xb_content_info_fill(const struct xb_index_entry *entry, const char *pack,
                          struct xb_content_info *ret);

struct xb_index_table *xb_repository_table(struct xb_repository *repository); /* a reference */

/* Where merged indexes are built; -1: anywhere. */
static inline int xb_repository_cache_folder(const struct xb_repository *repository)
{
    return repository->cache ? xb_index_cache_folder(repository->cache) : -1;
}

/* Says which content an error is about. */
int xb_content_wrap(struct xb_error *err, const struct xb_content_id *id);

/* Reads and opens the content at that place, a second time if the bytes are not right. */
int xb_content_read_at(struct xb_repository *repository, const struct xb_content_place *place,
                       bool verify, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* A content on its way into a pack. */
struct xb_packing {
    struct xb_index_entry entry; /* id, plain length and timestamp are set; the rest is filled */
    const struct iovec *parts;   /* plain bytes */
    size_t part_count;
    bool in_place; /* the sealed ones may take their place */
    enum xb_compression compression;

    struct xb_aead_ends ends;
    struct xb_buf own; /* sealed bytes that are not in place */
    struct iovec own_part;
    size_t sealed_bytes; /* without the ends */
};

/* Compresses and seals contents and puts them into packs; used by writers and by a flush that
 * re-writes. Their pending entries then say where. After a failure nothing more is committed. */
int xb_content_store(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                     struct xb_error *err) XB_MUST_CHECK;

/* Puts sealed contents, all of one kind, into packs and tells everyone where they lie. */
int xb_pack_slot_put(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                     struct xb_error *err) XB_MUST_CHECK;

/* Remembers that this handle may commit nothing more, and why. */
void xb_repository_fail(struct xb_repository *repository, const struct xb_error *err);

/* The first cause why nothing more may be committed, if there is one. */
int xb_repository_check_failed(struct xb_repository *repository,
                               struct xb_error *err) XB_MUST_CHECK;

/* Closes the open packs of a kind. No writer may be inside. */
int xb_pack_slot_close(struct xb_repository *repository, struct xb_pack_slot *slot,
                       struct xb_error *err) XB_MUST_CHECK;

/* Starts a session unless one is open; its id. What is open and too old is refused. */
int xb_repository_session(struct xb_repository *repository, char ret_id[XB_SESSION_ID_BYTES],
                          struct xb_error *err) XB_MUST_CHECK;

/* The blobs that were put. */
struct xb_index_put {
    uint64_t names_hash; /* the sum of the hashes of their names, as in a listing */
    struct xb_index_blob_hash *blobs;
    size_t count;
};

/* Writes the index of everything pending under the present write epoch, in one or more shards.
 * *ret_moved: the epoch moved on meanwhile, nothing of the index is left in the store, and the
 * whole commit is to be done again. Else *ret_after is the listing made after the last put, and
 * *ret what was put (the caller frees its blobs). flush_lock must be held, no writer inside. */
int xb_index_put(struct xb_repository *repository, struct xb_index_listing *ret_after,
                 struct xb_index_put *ret, bool *ret_moved, struct xb_error *err) XB_MUST_CHECK;

/* Takes over into `to` what is marked as reused in `from`; what `to` does not know is lost. `lock`
 * must be held. */
int xb_reuse_carry(struct xb_repository *repository, const struct xb_index_table *from,
                   struct xb_index_table *to, struct xb_error *err) XB_MUST_CHECK;
/* Writes again what was reused and is deleted or absent now: afterwards it is pending. flush_lock
 * must be held, no writer inside. */
int xb_reuse_check(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;

static inline struct xb_pack_slot *xb_pack_slot_of(struct xb_repository *repository, char prefix)
{
    return &repository->packs[prefix ? 1 : 0];
}
