/* SPDX-License-Identifier: Apache-2.0
 *
 * velero.h - the names of Velero's contract: kinds, labels, keys in the store.
 *
 * What for:  one place for every word that Velero, its command line and its buckets know.
 * Ownership: caller's buffers.    Threads: any.    Blocking: never (pure).
 * Errors:    INVALID for a name that could not be a key's part.
 * Source:    velero-contract sections 1 and 2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/secret.h"
#include "shared/codec/json.h"
#include "shared/kube/client.h"

extern const struct xb_kube_resource xb_velero_backups, xb_velero_restores, xb_velero_schedules,
    xb_velero_locations, xb_velero_pvbs, xb_velero_pvrs, xb_velero_downloads,
    xb_velero_status_requests, xb_velero_repositories, xb_velero_deletions,
    xb_velero_snapshot_locations;
extern const struct xb_kube_resource xb_core_pods, xb_core_pvcs, xb_core_pvs, xb_core_secrets,
    xb_core_configmaps, xb_core_namespaces, xb_core_nodes, xb_coordination_leases,
    xb_storage_csidrivers;

/* What the command line compares its own version with. */
#define XB_VELERO_VERSION "v1.18.3"

enum { XB_VELERO_LABEL_BYTES = 64, XB_VELERO_KEY_BYTES = 1025, XB_VELERO_NAME_BYTES = 254 };

/* A label's value for any name: those over 63 bytes are shortened as Velero does. */
int xb_velero_label(const char *name, char out[XB_VELERO_LABEL_BYTES],
                    struct xb_error *err) XB_MUST_CHECK;

/* Whether it may name a Kubernetes object, and so be part of a key or a path. */
bool xb_velero_name_valid(const char *name);

/* An object's name made from parts, the same each time: "<prefix>-<12 hex of the parts>". */
int xb_velero_derived_name(const char *prefix, const char *const *parts,
                           char out[XB_VELERO_NAME_BYTES], struct xb_error *err) XB_MUST_CHECK;

/* "backups/<b>/<b><suffix>" */
int xb_velero_backup_key(const char *backup, const char *suffix, char out[XB_VELERO_KEY_BYTES],
                         struct xb_error *err) XB_MUST_CHECK;
/* "backups/<b>/velero-backup.json": the commit marker. */
int xb_velero_marker_key(const char *backup, char out[XB_VELERO_KEY_BYTES],
                         struct xb_error *err) XB_MUST_CHECK;
/* "restores/<r>/restore-<r><suffix>", or "restores/<r>/<r>-volumeinfo.json.gz". */
int xb_velero_restore_key(const char *restore, const char *suffix, char out[XB_VELERO_KEY_BYTES],
                          struct xb_error *err) XB_MUST_CHECK;

/* The key that a DownloadRequest's target means; INVALID for an unknown kind. */
int xb_velero_download_key(const char *kind, const char *name, char out[XB_VELERO_KEY_BYTES],
                           struct xb_error *err) XB_MUST_CHECK;

/* The value of a key of a Secret object ("repository-password"). `text`: white space at its end is
 * dropped, as Velero does with passwords; other values are taken as they are. INVALID: empty or not
 * there. */
int xb_velero_secret(xb_json *secret, const char *key, bool text, struct xb_secret **ret,
                     struct xb_error *err) XB_MUST_CHECK;

/* The snapshot of a PodVolumeBackup; "": none. Usually that is status.snapshotID. Velero's restore
 * makes a pod wait for each volume that has one, so that for a volume whose data no Velero could
 * write back it is in an annotation: to Velero, such a volume has nothing. */
#define XB_VELERO_SNAPSHOT_ANNOTATION "xebec.io/snapshot-id"
const char *xb_velero_snapshot_of(xb_json *order);

/* PVB and PVR phases that nothing follows. */
bool xb_velero_data_phase_final(const char *phase);
/* Of a backup; one that is Deleting does not run any more. */
bool xb_velero_backup_phase_final(const char *phase);

/* The present time as Kubernetes writes it, as a JSON string. */
xb_json *xb_velero_now(void);

/* Where a restore puts what was in a namespace: `mapping` is its spec.namespaceMapping, any JSON.
 * The namespace itself when nothing maps it, or nothing that can be a name. */
const char *xb_velero_mapped_namespace(xb_json *mapping, const char *namespace);

/* The owner of a kind in metadata.ownerReferences, or NULL. */
xb_json *xb_velero_owner(xb_json *object, const char *kind);
/* What an order's metadata.ownerReferences has; NULL: no memory. */
xb_json *xb_velero_owner_reference(xb_json *owner, const char *kind);
/* metadata for an order of a Backup or Restore: name, namespace, owner, labels; NULL: no memory. */
xb_json *xb_velero_order_metadata(xb_json *owner, const char *kind, const char *name);
