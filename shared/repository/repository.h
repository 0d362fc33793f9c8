/* SPDX-License-Identifier: Apache-2.0
 *
 * repository.h - a repository in kopia's format 3: create, open, and its contents (deduplicated,
 * sealed chunks).
 *
 * What for:  the base of everything that is stored for a volume. Objects (object.h), directories
 *            (directory.h), manifests (manifest.h) and snapshots (snapshot.h) are built from
 *            contents.
 * Ownership: the caller frees the repository. It owns the store given to create/open, also on
 *            failure.
 * Threads:   every function may be called from any thread at the same time, except open, create and
 *            free.
 * Blocking:  yes (store, scrypt: 0.2 s and 64 MiB once per open or create). Durability: contents
 *            written are durable and visible to others only after xb_repository_flush returns 0. A
 *            content written and not yet flushed can be read back only once its pack is closed: do
 *            not rely on reading before flush.
 * Errors:    DENIED (wrong password; read-only), NOT_FOUND (no repository here), CORRUPT (names
 *            blob or content), INVALID (unsupported format, hash or encryption, named), CONFLICT
 *            (create where one exists), FULL.
 * Limits:    content <= XB_CONTENT_BYTES_MAX.
 * Source:    kopia-format sections 2 to 8, 13, 14.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/clock.h"
#include "shared/base/error.h"
#include "shared/base/secret.h"
#include "shared/store/store.h"

enum {
    XB_CONTENT_HASH_BYTES_MAX = 32,
    XB_CONTENT_ID_TEXT_BYTES = 2 * XB_CONTENT_HASH_BYTES_MAX + 2, /* with prefix and NUL */
    XB_CONTENT_BYTES_MAX = 128 * 1024 * 1024
};

/* An id: optional prefix letter g..z (0: none) and the keyed hash of the plain bytes. */
struct xb_content_id {
    char prefix;
    uint8_t len;
    uint8_t hash[XB_CONTENT_HASH_BYTES_MAX];
};

/* Writes the text form ("k71ac...") and its NUL. */
void xb_content_id_format(const struct xb_content_id *id, char out[XB_CONTENT_ID_TEXT_BYTES]);
/* CORRUPT when `text` is not an id (hex must be lower case, 1 to 32 bytes of hash). */
int xb_content_id_parse(const char *text, size_t len, struct xb_content_id *ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* Order of index keys: prefix byte, then hash bytes. */
int xb_content_id_compare(const struct xb_content_id *a, const struct xb_content_id *b);

/* Header ids of kopia-format section 4. */
enum xb_compression {
    XB_COMPRESSION_NONE = 0,
    XB_COMPRESSION_ZSTD = 0x1100,
    XB_COMPRESSION_ZSTD_FASTEST = 0x1101
};

/* Finds out how blobs lie in a store: under their own names, as in every bucket, or in kopia's
 * folders (also when there is no repository yet). Owns store, also on failure; *ret takes its
 * place. */
int xb_repository_layout(struct xb_store *store, bool create, struct xb_store **ret,
                         struct xb_error *err) XB_MUST_CHECK;

struct xb_repository;

struct xb_repository_create_options {
    const char *hash, *encryption, *splitter; /* NULL: chosen by measuring (choice.h) */
    const char *owner;  /* maintenance owner "user@host"; NULL: default@default */
    bool compress;      /* also put a global policy that says so (policy.h) */
    bool velero_marker; /* also put udmrepo.Repository, as Velero 1.18 does */
};

/* Makes a repository in an empty store (CONFLICT if anything is there) with its maintenance
 * parameters. A repository whose making was cut off in the middle is made whole instead, with the
 * algorithms that it has; any other one is a CONFLICT. */
int xb_repository_create(struct xb_store *store, const struct xb_secret *password,
                         const struct xb_repository_create_options *options,
                         struct xb_error *err) XB_MUST_CHECK;

/* Puts what a repository lacks whose making was cut off after its format blob: maintenance
 * parameters (without an owner nobody may run maintenance), the policy, Velero's marker (Velero
 * before 1.18 made none). *ret_put: something was missing. */
int xb_repository_complete(struct xb_repository *repository,
                           const struct xb_repository_create_options *options, bool *ret_put,
                           struct xb_error *err) XB_MUST_CHECK;

struct xb_repository_open_options {
    bool read_only;
    /* Open, and go on, without index blobs and manifests that cannot be read; recovery.h tells
     * which they are. Only to look at what is left: also read_only. */
    bool tolerate_damage;
    const char *username; /* written into session markers; NULL: "default" */
    const char *hostname;
    const struct xb_clock *clock; /* NULL: the system's; must outlive the repository */
    /* Where merged indexes are kept for the next time (docs/repository-format.md); NULL: nowhere.
     * Not used with `tolerate_damage`, which is there to see what the store has. */
    const char *cache_folder;
    bool cache_wanted;        /* somebody asked for this folder: a warning if it cannot be used */
    uint64_t cache_bytes_max; /* of all repositories there; 0: XB_CACHE_BYTES_MAX */
};

/* Default of cache_bytes_max. */
#define XB_CACHE_BYTES_MAX (UINT64_C(4) << 30)

/* The cache folder of this user, unless told otherwise: XEBEC_CACHE_DIR (*ret_wanted), else below
 * XDG_CACHE_HOME, else /var/cache/xebec for root, else in the home. False: none, which an empty
 * XEBEC_CACHE_DIR asks for. */
enum { XB_CACHE_PATH_BYTES = 4096 };
bool xb_repository_cache_folder_default(char out[XB_CACHE_PATH_BYTES], bool *ret_wanted);

int xb_repository_open(struct xb_store *store, const struct xb_secret *password,
                       const struct xb_repository_open_options *options, struct xb_repository **ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* Uncommitted work is abandoned: its packs stay as garbage under their session marker, as the
 * format wants. */
void xb_repository_free(struct xb_repository *repository);
XB_DEFINE_CLEANUP(xb_repository_freep, struct xb_repository, xb_repository_free);

struct xb_repository_info {
    const char *hash, *encryption, *splitter, *description;
    char unique_id_hex[65];
    unsigned format_version, index_version;
    uint64_t pack_bytes_max;
    int write_epoch;
    uint64_t index_blobs, contents, deleted_contents, packs;
    uint64_t packed_bytes, plain_bytes;
};
int xb_repository_info(struct xb_repository *repository, struct xb_repository_info *ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* The splitter's name of this repository, e.g. "DYNAMIC-4M-BUZHASH". Lives as long as the
 * repository. */
const char *xb_repository_splitter(const struct xb_repository *repository);

/* Loads the index set anew (others' new contents). Reads do so by themselves when a content or pack
 * is missing; writers by age (15 min). */
int xb_repository_refresh(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;

struct xb_content_write_result {
    struct xb_content_id id;
    bool existed; /* deduplicated: nothing was stored */
    uint64_t plain_bytes;
    uint64_t packed_bytes; /* what was stored; 0 if it existed */
};

/* One of several contents that are written together. */
struct xb_content_job {
    const struct iovec *parts; /* the bytes, one part after the other */
    size_t part_count;
    char prefix;
    bool in_place; /* the bytes are the job's own: they may be overwritten, and mostly are */
    enum xb_compression compression;
    struct xb_content_write_result result;
};
enum { XB_CONTENT_JOBS_MAX = 1024 };

/* xb_content_write for up to XB_CONTENT_JOBS_MAX of them: hashed together, and put into packs with
 * few locks and few calls of the store. Bytes that occur twice are stored once. After a failure
 * none of the results counts. */
int xb_content_write_many(struct xb_repository *repository, struct xb_content_job *jobs,
                          size_t count, struct xb_error *err) XB_MUST_CHECK;

/* How many contents at once are hashed in about the time of one. */
size_t xb_repository_lanes(const struct xb_repository *repository);

/* Stores bytes under the hash of them, compressed by `compression` if that makes them smaller.
 * prefix 0 or 'g'..'z'. Flushes first when that is due, so that an index is written every ten
 * minutes whatever the caller does. */
int xb_content_write(struct xb_repository *repository, char prefix, const void *data, size_t len,
                     enum xb_compression compression, struct xb_content_write_result *ret,
                     struct xb_error *err) XB_MUST_CHECK;

/* Appends the plain bytes to `out`. `verify` recomputes the hash too (the seal already binds bytes
 * and id). */
int xb_content_read(struct xb_repository *repository, const struct xb_content_id *id, bool verify,
                    struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

struct xb_content_info {
    struct xb_content_id id;
    uint64_t timestamp_s;
    bool deleted;
    uint8_t key_id; /* other than 0: cannot be opened */
    uint32_t plain_bytes, packed_bytes, compression;
    uint64_t pack_offset;
    char pack[96]; /* blob name */
};
int xb_content_stat(struct xb_repository *repository, const struct xb_content_id *id,
                    struct xb_content_info *ret, struct xb_error *err) XB_MUST_CHECK;

/* Small contents are read with their neighbours, and those are kept for a while. This forgets them:
 * what is read from now on lies in the store now. For whoever proves that it does. */
void xb_repository_read_anew(struct xb_repository *repository);

/* ---- many contents with one read (a restore; see agent/restore/plan.h) ---- */

/* Where it lies, by an index that is read anew first if the content is not in it. CORRUPT if it is
 * in none: whoever names a content relies on it. */
int xb_content_locate(struct xb_repository *repository, const struct xb_content_id *id,
                      struct xb_content_info *ret, struct xb_error *err) XB_MUST_CHECK;
/* Appends a stretch of a pack as it is stored. NOT_FOUND: the pack is gone; maintenance may have
 * moved its contents, which xb_repository_refresh_old and xb_content_locate find again. */
int xb_content_fetch(struct xb_repository *repository, const char *pack, uint64_t offset,
                     uint64_t len, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* Opens the info->packed_bytes bytes at `sealed` and appends the plain ones. CORRUPT if they are
 * not right: xb_content_read tries once more before that is called damage. */
int xb_content_open(struct xb_repository *repository, const struct xb_content_info *info,
                    const void *sealed, bool verify, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;
/* The same without a copy: the bytes at `sealed` are opened where they lie, and are spoilt if that
 * fails. *ret_data, of info->plain_bytes, is there, or in `scratch` if it was compressed. */
int xb_content_open_here(struct xb_repository *repository, const struct xb_content_info *info,
                         char *sealed, bool verify, struct xb_buf *scratch, const char **ret_data,
                         struct xb_error *err) XB_MUST_CHECK;
/* The id that these bytes have, or would have, in this repository. */
int xb_content_identify(struct xb_repository *repository, char prefix, const void *data, size_t len,
                        struct xb_content_id *ret, struct xb_error *err) XB_MUST_CHECK;
/* Loads the index anew unless that was done within the last second: for what was not found. */
int xb_repository_refresh_old(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;

typedef int xb_content_fn(void *context, const struct xb_content_info *info, struct xb_error *err);

/* Every merged index entry whose prefix equals `prefix` (0: those without; -1: all), deleted ones
 * too, in id order. The callback must not write. */
int xb_content_list(struct xb_repository *repository, int prefix, xb_content_fn *fn, void *context,
                    struct xb_error *err) XB_MUST_CHECK;

/* Whether the content is there and not deleted; if so it counts as reused: a later flush makes sure
 * that it still is. For what an incremental backup takes over from its parent without reading it.
 */
bool xb_content_reuse(struct xb_repository *repository, const struct xb_content_id *id);
/* The same for many, each with an answer of its own; at most a few hundred, because writers wait
 * meanwhile. */
void xb_content_reuse_many(struct xb_repository *repository, const struct xb_content_id *ids,
                           size_t count, bool *ret_live);

/* Every pack in the store with its size, indexed or not. */
int xb_repository_list_packs(struct xb_repository *repository, xb_store_item_fn *fn, void *context,
                             struct xb_error *err) XB_MUST_CHECK;

/* Marks a content deleted (used for superseded manifests). */
int xb_content_delete(struct xb_repository *repository, const struct xb_content_id *id,
                      struct xb_error *err) XB_MUST_CHECK;

/* Closes packs, makes them durable, writes one index blob by the procedure of section 8, removes
 * the session marker. What was reused and has been deleted by others meanwhile is written again;
 * CONFLICT when its bytes are gone: then nothing more can be committed through this handle, and the
 * backup has to be started again. RETRY: nothing was committed, and the same call may succeed. */
int xb_repository_flush(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;

/* Whether something could not be written: nothing more will be committed through this handle. */
bool xb_repository_failed(struct xb_repository *repository);

/* Whether something has waited for xb_repository_flush longer than that, or too much waits. Section
 * 14 of the format wants no more than XB_FLUSH_AGE_NS_MAX. */
#define XB_FLUSH_AGE_NS_MAX (INT64_C(600) * 1000000000)
bool xb_repository_flush_due(struct xb_repository *repository, int64_t age_ns_max);

/* xb_repository_flush if that is due. Of several who see so at once one does it, and the others
 * wait until it is done. */
int xb_repository_flush_if_due(struct xb_repository *repository, int64_t age_ns_max,
                               struct xb_error *err) XB_MUST_CHECK;
