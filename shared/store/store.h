/* SPDX-License-Identifier: Apache-2.0
 *
 * store.h - whole objects under names: the one interface to every place where backups are kept.
 *
 * What for:  a bucket or a folder, seen as immutable objects that appear whole or not at all.
 * Drivers:   fs/ (a folder), s3/ (a bucket), mem/ (tests); decorators: prefix (a folder within),
 *            sharded (kopia's file layout), fault/ (tests).
 * Ownership: the caller owns a store and frees it; a decorator owns its inner store.
 * Threads:   every call may be made from any thread at the same time.
 * Blocking:  yes; run it on a worker.
 * Shapes:    a name is 1 to XB_STORE_NAME_BYTES_MAX bytes, at most XB_STORE_NAME_PARTS_MAX parts
 *            separated by '/', no empty part, no "." or "..", no NUL, and is checked by every
 *            driver; sizes in bytes; times in ns since 1970.
 * Errors:    NOT_FOUND (get, stat; delete of a missing object succeeds), CONFLICT (exclusive put of
 *            an existing name), FULL (no space), DENIED (read-only, permission), RETRY (passing),
 *            CORRUPT (a short object). The text names the store and the object.
 * Retries:   live in the drivers, which alone know what may be sent again and have the bytes for
 *            it: s3/ repeats requests with growing pauses, fs/ repeats calls that a signal
 *            interrupted, and a full disk is final. A RETRY that comes out of here has been tried
 *            as often as makes sense; who can do the whole again, may, and nobody repeats single
 *            calls on top.
 * Durability: when put or commit returns 0 the object survives a power cut (fs: file and folders
 *            are fsynced).
 * Source:    kopia-format section 1 (required operations); listing and read-after-write are
 *            strongly consistent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_STORE_NAME_BYTES_MAX = 1024,
    XB_STORE_NAME_PARTS_MAX = 32,
    /* The largest object that xb_store_get loads whole; larger ones are read in ranges. */
    XB_STORE_GET_BYTES_MAX = 512 * 1024 * 1024
};

#define XB_STORE_TO_END UINT64_MAX

struct xb_store;
struct xb_store_upload;

struct xb_store_item {
    const char *name; /* relative to this store, valid during the callback */
    uint64_t size;
    int64_t mtime_ns; /* the storage's own clock */
};

/* A negative return ends the listing with that error. */
typedef int xb_store_item_fn(void *context, const struct xb_store_item *item, struct xb_error *err);

struct xb_store_put_options {
    bool exclusive; /* CONFLICT if the name exists */
    /* Who reads it will notice every change by a key of his own: the driver need not protect it
     * against others, only against accidents. */
    bool sealed;
};

/* Writes a whole object; replaces an existing one unless options say otherwise. options may be
 * NULL. */
int xb_store_put(struct xb_store *store, const char *name, const void *data, size_t len,
                 const struct xb_store_put_options *options, struct xb_error *err) XB_MUST_CHECK;

/* An object written piece by piece (a pack, a tarball) without holding it in memory. Nothing is
 * visible before commit; free without commit leaves nothing behind. One thread at a time per
 * upload. */
int xb_store_upload_begin(struct xb_store *store, const char *name,
                          const struct xb_store_put_options *options, struct xb_store_upload **ret,
                          struct xb_error *err) XB_MUST_CHECK;
int xb_store_upload_write(struct xb_store_upload *upload, const void *data, size_t len,
                          struct xb_error *err) XB_MUST_CHECK;
/* All parts one after the other; for many, in as few calls of the system as the driver can do. */
int xb_store_upload_writev(struct xb_store_upload *upload, const struct iovec *parts, size_t count,
                           struct xb_error *err) XB_MUST_CHECK;
int xb_store_upload_commit(struct xb_store_upload *upload, struct xb_error *err) XB_MUST_CHECK;
void xb_store_upload_free(struct xb_store_upload *upload);

/* Appends bytes [offset, offset+len) of the object to `out` (its ceiling holds). len
 * XB_STORE_TO_END reads to the end. A range that goes past the end is CORRUPT: the object is
 * shorter than its user was told. */
int xb_store_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                 struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* ret->name is not set. */
int xb_store_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                  struct xb_error *err) XB_MUST_CHECK;

int xb_store_delete(struct xb_store *store, const char *name, struct xb_error *err) XB_MUST_CHECK;

/* All objects whose name starts with `prefix` (bytes, not parts), in no promised order. */
int xb_store_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
                  struct xb_error *err) XB_MUST_CHECK;

/* The distinct first parts ("folders") of names below `prefix`, which is "" or ends in '/';
 * item->name is the bare part. Objects directly at this level are not listed. (ListObjectsV2 with a
 * delimiter.) */
int xb_store_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                          void *context, struct xb_error *err) XB_MUST_CHECK;

/* Appends a link with which anybody can read the object for `lifetime_s` seconds. `public_url`: the
 * scheme, host and port that the reader sees ("https://s3.example.org"); NULL: the store's own.
 * Whether the object exists is not asked. INVALID: this kind of store has no links. */
int xb_store_presign_get(struct xb_store *store, const char *name, const char *public_url,
                         int64_t lifetime_s, struct xb_buf *out,
                         struct xb_error *err) XB_MUST_CHECK;

/* Whether it is, or is a part of, an object server's bucket: kopia keeps blobs there under their
 * own names, and a list costs as much as a get. */
bool xb_store_is_bucket(const struct xb_store *store);

/* A name for messages, e.g. "file:///backup". */
const char *xb_store_describe(const struct xb_store *store);

void xb_store_free(struct xb_store *store);
XB_DEFINE_CLEANUP(xb_store_freep, struct xb_store, xb_store_free);
XB_DEFINE_CLEANUP(xb_store_upload_freep, struct xb_store_upload, xb_store_upload_free);

struct xb_http_limits;

struct xb_store_open_options {
    bool create;    /* make the folder if it is missing (its parent must exist); buckets are never
                       made */
    bool read_only; /* every write is refused with DENIED before it is tried */
    struct xb_http_limits *limits; /* bytes per second over the network, shared by all stores that
                                      are given them; borrowed while the store lives; may be NULL */
};

/* Opens "file:///PATH" (or a plain absolute path), or "s3://BUCKET/PREFIX?endpoint=URL&region=...
 * &profile=&pathStyle=true|false&caFile=&insecure=true&clientCert=&clientKey=&checksum=" with
 * credentials as s3/s3.h says. Other schemes: INVALID, with the list of those known. */
int xb_store_open(const char *url, const struct xb_store_open_options *options,
                  struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;

/* Everything below `prefix` ("kopia/ns/") of `inner`, under shorter names. Owns inner, also on
 * failure. */
int xb_store_prefix_open(struct xb_store *inner, const char *prefix, struct xb_store **ret,
                         struct xb_error *err) XB_MUST_CHECK;

/* A second handle on the same store; both must be freed. */
struct xb_store *xb_store_ref(struct xb_store *store);

/* kopia's file layout (kopia-format section 1, "Filesystem"): names <-> sharded paths ending in
 * ".f", rules read from `.shards` (written as {"default":[1,3],"maxNonShardedLength":20} when the
 * store is empty and `create`; [3,3] assumed when absent). Owns inner, also on failure. */
int xb_store_sharded_open(struct xb_store *inner, bool create, struct xb_store **ret,
                          struct xb_error *err) XB_MUST_CHECK;

/* An empty store in memory, for tests. */
int xb_store_mem_open(struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;
