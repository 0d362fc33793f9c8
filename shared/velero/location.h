/* SPDX-License-Identifier: Apache-2.0
 *
 * location.h - from a BackupStorageLocation to its store, and the proof that all see the same one.
 *
 * What for:  the coordinator and every agent open locations through here. A file-system store
 *            (provider "fs", config.fspath) is one shared file system, an S3 store (provider "aws",
 *            or another one with config.s3Url) a bucket: the identity blob in it, made once by the
 *            coordinator, is read by everyone before anything is written.
 * Ownership: the caller frees the store.
 * Threads:   any.    Blocking: yes.
 * Errors:    INVALID: provider or config that is not supported, named; NOT_FOUND: the folder or a
 *            Secret is missing, or there is no identity (yet); DENIED; the store's.
 * Source:    velero-contract section 1 (BackupStorageLocation), design decision 8.
 */
#pragma once

#include "shared/codec/json.h"
#include "shared/kube/client.h"
#include "shared/store/store.h"

enum { XB_STORE_IDENTITY_BYTES = 33 };

#define XB_STORE_IDENTITY_KEY "metadata/xebec-store-identity.json"
#define XB_STORE_IDENTITY_ANNOTATION "xebec.io/store-identity"
/* On an agent's Lease: what it sees of each location, as JSON. */
#define XB_STORES_SEEN_ANNOTATION "xebec.io/stores"
#define XB_NODE_LEASE_LABEL "xebec.io/node-agent"

/* Who opens a location, and what for. */
struct xb_location_access {
    struct xb_kube_client *client; /* for the Secrets that it names; NULL: there is no cluster */
    const char *namespace;         /* theirs */
    bool read_only;
    struct xb_http_limits *limits; /* the process's; borrowed while the store lives; may be NULL */
    bool look; /* only to see whether it is there: no long waiting for a server that is not */
};

int xb_location_open(xb_json *location, const struct xb_location_access *access,
                     struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;

/* What stands for the identity of a bucket that is only read and that only Velero has written:
 * nothing may be put there, and nothing needs to be kept from the wrong place. */
#define XB_STORE_IDENTITY_NONE "00000000000000000000000000000000"

int xb_location_identity(xb_json *location, struct xb_store *store,
                         char out[XB_STORE_IDENTITY_BYTES], struct xb_error *err) XB_MUST_CHECK;
/* The same, made if there is none. */
int xb_location_make_identity(struct xb_store *store, char out[XB_STORE_IDENTITY_BYTES],
                              struct xb_error *err) XB_MUST_CHECK;

/* An URL under which anybody may read an object of a location in S3 for a while: presigned, at
 * config.publicUrl where that is set. */
int xb_location_presign(xb_json *location, struct xb_store *store, const char *key, int lifetime_s,
                        struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* Whether a location is in S3 (its objects have URLs of their own). */
bool xb_location_is_s3(xb_json *location);

/* Folders at the top of a location must be Velero's: the first other one is named in the error. */
int xb_location_check_folders(struct xb_store *store, struct xb_error *err) XB_MUST_CHECK;

/* The store of the repository of a namespace's volumes ("kopia/<namespace>/"): plain names in a
 * bucket, kopia's folders in a file system. */
int xb_location_repository_store(struct xb_store *store, const char *namespace, bool create,
                                 struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;
