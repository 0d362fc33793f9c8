/* SPDX-License-Identifier: Apache-2.0
 *
 * meters.h - what the coordinator counts, under Velero's names where it has one.
 *
 * What for:  a number for each meter; the table is in meters.c. What can be seen from an object's
 *            change is counted in observe.c, and needs no call anywhere else.
 * Threads:   any (shared/metrics/meters.h).
 * Blocking:  never.
 * Source:    velero-contract section 5, "Metrics"; Velero 1.18's texts, kinds and buckets.
 */
#pragma once

#include "shared/metrics/meters.h"

enum xb_coordinator_meter {
    /* By schedule, "" for backups of hand. */
    XB_METER_BACKUP_TARBALL_BYTES,
    XB_METER_BACKUP_LAST_SUCCESS,
    XB_METER_BACKUPS, /* no label */
    XB_METER_BACKUP_ATTEMPTS,
    XB_METER_BACKUP_SUCCESSES,
    XB_METER_BACKUP_PARTIAL_FAILURES,
    XB_METER_BACKUP_FAILURES,
    XB_METER_BACKUP_VALIDATION_FAILURES,
    XB_METER_BACKUP_DELETION_ATTEMPTS,
    XB_METER_BACKUP_DELETION_SUCCESSES,
    XB_METER_BACKUP_DELETION_FAILURES,
    XB_METER_BACKUP_SECONDS,
    XB_METER_BACKUP_ITEMS,
    XB_METER_BACKUP_ERRORS,
    XB_METER_BACKUP_WARNINGS,
    XB_METER_BACKUP_LAST_STATUS,
    XB_METER_LOCATION_STATUS,   /* by backup_location_name */
    XB_METER_SCHEDULE_INTERVAL, /* seconds between two runs */
    XB_METER_RESTORES,          /* no label */
    XB_METER_RESTORE_ATTEMPTS,
    XB_METER_RESTORE_SUCCESSES,
    XB_METER_RESTORE_PARTIAL_FAILURES,
    XB_METER_RESTORE_FAILURES,
    XB_METER_RESTORE_VALIDATION_FAILURES,
    XB_METER_SNAPSHOT_ATTEMPTS, /* of native volume snapshots: 0, there are none */
    XB_METER_SNAPSHOT_SUCCESSES,
    XB_METER_SNAPSHOT_FAILURES,
    /* Ours. */
    XB_METER_VOLUMES,        /* ended pod volume backups, by phase */
    XB_METER_BYTES_READ,     /* of volumes: what they held */
    XB_METER_BYTES_NEW,      /* of volumes: what was not in the repository before */
    XB_METER_FREEZE_SECONDS, /* between pre hooks and post hooks of a pod */
    XB_COORDINATOR_METERS
};

/* Makes the meters, with every counter of hand-made backups at 0. */
int xb_coordinator_meters_new(struct xb_meters **ret, struct xb_error *err) XB_MUST_CHECK;
/* A schedule's counters begin at 0 as soon as it exists: a rate needs a first value. */
void xb_coordinator_meters_schedule(struct xb_meters *meters, const char *schedule);
void xb_coordinator_meters_schedule_gone(struct xb_meters *meters, const char *schedule);
