/* SPDX-License-Identifier: Apache-2.0
 *
 * location.h - from a BackupStorageLocation to its store, and the proof that all see the same one.
 *
 * What for:  the coordinator and every agent open locations through here. A file-system store
 *            (provider "fs", config.fspath) is one shared file system: its identity blob, made once
 *            by the coordinator, is read by everyone before anything is written.
 * Ownership: the caller frees the store.
 * Threads:   any.    Blocking: yes.
 * Errors:    INVALID: provider or config that is not supported, named; NOT_FOUND: the folder is
 *            missing, or it has no identity (yet); the store's.
 * Source:    velero-contract section 1 (BackupStorageLocation), design decision 8.
 */
#pragma once

#include "shared/codec/json.h"
#include "shared/store/store.h"

enum { XB_STORE_IDENTITY_BYTES = 33 };

#define XB_STORE_IDENTITY_KEY "metadata/xebec-store-identity.json"
#define XB_STORE_IDENTITY_ANNOTATION "xebec.io/store-identity"
/* On an agent's Lease: what it sees of each location, as JSON. */
#define XB_STORES_SEEN_ANNOTATION "xebec.io/stores"
#define XB_NODE_LEASE_LABEL "xebec.io/node-agent"

int xb_location_open(xb_json *location, bool read_only, struct xb_store **ret,
                     struct xb_error *err) XB_MUST_CHECK;

int xb_location_identity(struct xb_store *store, char out[XB_STORE_IDENTITY_BYTES],
                         struct xb_error *err) XB_MUST_CHECK;
/* The same, made if there is none. */
int xb_location_make_identity(struct xb_store *store, char out[XB_STORE_IDENTITY_BYTES],
                              struct xb_error *err) XB_MUST_CHECK;

/* Folders at the top of a location must be Velero's: the first other one is named in the error. */
int xb_location_check_folders(struct xb_store *store, struct xb_error *err) XB_MUST_CHECK;

/* The store of the repository of a namespace's volumes ("kopia/<namespace>/"). */
int xb_location_repository_store(struct xb_store *store, const char *namespace, bool create,
                                 struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;
