/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_spec.h - what the server fills in of a Backup's spec before it begins.
 *
 * What for:  a Backup leaves fields open that the server's flags decide. They are written into it
 *            as Velero does, so that `describe` shows what counted, and a Velero that takes over
 *            reads what it would have written itself: also fields that mean nothing here.
 * Ownership: returned JSON is the caller's; the rest is lent.
 * Threads:   any.    Blocking: never (pure).
 * Limits:    XB_SNAPSHOT_LOCATIONS_MAX.
 * Source:    velero-contract sections 1 and 3 ("Preparation"); Velero 1.18's own defaults.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/codec/json.h"

enum { XB_SNAPSHOT_LOCATIONS_MAX = 256 };

/* What the flags say. */
struct xb_backup_defaults {
    int64_t item_operation_ns;
    const char *group_label; /* --volume-group-snapshot-label-key */
    bool fs_backup, snapshot_move_data;
};

/* The members of the spec that it leaves open: a time that is missing, empty or 0 is open. */
xb_json *xb_backup_spec_defaults(xb_json *spec, const struct xb_backup_defaults *defaults);

/* Whether the data of CSI snapshots is to be moved, by the spec or else by the flag. */
bool xb_backup_moves_data(xb_json *spec, const struct xb_backup_defaults *defaults);

/* spec.volumeSnapshotLocations: one for each provider, as Velero chooses them, although no snapshot
 * is made here. */
struct xb_snapshot_locations {
    xb_json *named;       /* spec.volumeSnapshotLocations; NULL: none */
    xb_json *there;       /* array of the VolumeSnapshotLocations of the namespace */
    const char *defaults; /* "provider:name,...", the flag; NULL: none */
};
/* Returns the names, in the order of `named`, then of `there`. What is wrong is added to the array
 * `problems`, by field. */
xb_json *xb_backup_snapshot_locations(const struct xb_snapshot_locations *facts, xb_json *problems);
