/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/meters.h"

#include <string.h>

enum { FREEZE_BUCKETS = 9 };

static const double freeze_buckets[FREEZE_BUCKETS] = {0.5, 1, 2, 5, 10, 30, 60, 300, 1800};

#define BY_SCHEDULE(kind_, name_, help_)                                                           \
    {                                                                                              \
        .name = "velero_" name_, .help = (help_), .kind = (kind_), .labels = { "schedule" }        \
    }

static const struct xb_meter table[XB_COORDINATOR_METERS] = {
    [XB_METER_BACKUP_TARBALL_BYTES] =
        BY_SCHEDULE(XB_METER_GAUGE, "backup_tarball_size_bytes", "Size, in bytes, of a backup"),
    [XB_METER_BACKUP_LAST_SUCCESS] =
        BY_SCHEDULE(XB_METER_GAUGE, "backup_last_successful_timestamp",
                    "Last time a backup ran successfully, Unix timestamp in seconds"),
    [XB_METER_BACKUPS] = {.name = "velero_backup_total",
                          .help = "Current number of existent backups",
                          .kind = XB_METER_GAUGE},
    [XB_METER_BACKUP_ATTEMPTS] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_attempt_total", "Total number of attempted backups"),
    [XB_METER_BACKUP_SUCCESSES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_success_total", "Total number of successful backups"),
    [XB_METER_BACKUP_PARTIAL_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_partial_failure_total",
                    "Total number of partially failed backups"),
    [XB_METER_BACKUP_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_failure_total", "Total number of failed backups"),
    [XB_METER_BACKUP_VALIDATION_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_validation_failure_total",
                    "Total number of validation failed backups"),
    [XB_METER_BACKUP_DELETION_ATTEMPTS] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_deletion_attempt_total",
                    "Total number of attempted backup deletions"),
    [XB_METER_BACKUP_DELETION_SUCCESSES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_deletion_success_total",
                    "Total number of successful backup deletions"),
    [XB_METER_BACKUP_DELETION_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_deletion_failure_total",
                    "Total number of failed backup deletions"),
    [XB_METER_BACKUP_SECONDS] = {.name = "velero_backup_duration_seconds",
                                 .help = "Time taken to complete backup, in seconds",
                                 .kind = XB_METER_HISTOGRAM,
                                 .labels = {"schedule"},
                                 .buckets = xb_meter_long_buckets,
                                 .bucket_count = XB_METER_LONG_BUCKETS},
    [XB_METER_BACKUP_ITEMS] =
        BY_SCHEDULE(XB_METER_GAUGE, "backup_items_total", "Total number of items backed up"),
    [XB_METER_BACKUP_ERRORS] = BY_SCHEDULE(XB_METER_GAUGE, "backup_items_errors",
                                           "Total number of errors encountered during backup"),
    [XB_METER_BACKUP_WARNINGS] =
        BY_SCHEDULE(XB_METER_COUNTER, "backup_warning_total", "Total number of warned backups"),
    [XB_METER_BACKUP_LAST_STATUS] =
        BY_SCHEDULE(XB_METER_GAUGE, "backup_last_status",
                    "Last status of the backup. A value of 1 is success, 0 is failure"),
    [XB_METER_LOCATION_STATUS] = {.name = "velero_backup_location_status_gauge",
                                  .help = "The status of backup location. A value of 1 is "
                                          "available, 0 is unavailable",
                                  .kind = XB_METER_GAUGE,
                                  .labels = {"backup_location_name"}},
    [XB_METER_SCHEDULE_INTERVAL] =
        BY_SCHEDULE(XB_METER_GAUGE, "schedule_expected_interval_seconds",
                    "Expected interval between two backups of a schedule, in seconds"),
    [XB_METER_RESTORES] = {.name = "velero_restore_total",
                           .help = "Current number of existent restores",
                           .kind = XB_METER_GAUGE},
    [XB_METER_RESTORE_ATTEMPTS] = BY_SCHEDULE(XB_METER_COUNTER, "restore_attempt_total",
                                              "Total number of attempted restores"),
    [XB_METER_RESTORE_SUCCESSES] = BY_SCHEDULE(XB_METER_COUNTER, "restore_success_total",
                                               "Total number of successful restores"),
    [XB_METER_RESTORE_PARTIAL_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "restore_partial_failure_total",
                    "Total number of partially failed restores"),
    [XB_METER_RESTORE_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "restore_failed_total", "Total number of failed restores"),
    [XB_METER_RESTORE_VALIDATION_FAILURES] =
        BY_SCHEDULE(XB_METER_COUNTER, "restore_validation_failed_total",
                    "Total number of failed restores failing validations"),
    [XB_METER_SNAPSHOT_ATTEMPTS] = BY_SCHEDULE(XB_METER_COUNTER, "volume_snapshot_attempt_total",
                                               "Total number of attempted volume snapshots"),
    [XB_METER_SNAPSHOT_SUCCESSES] = BY_SCHEDULE(XB_METER_COUNTER, "volume_snapshot_success_total",
                                                "Total number of successful volume snapshots"),
    [XB_METER_SNAPSHOT_FAILURES] = BY_SCHEDULE(XB_METER_COUNTER, "volume_snapshot_failure_total",
                                               "Total number of failed volume snapshots"),
    [XB_METER_VOLUMES] = {.name = "xebec_volume_backups_total",
                          .help = "Pod volume backups that have ended",
                          .kind = XB_METER_COUNTER,
                          .labels = {"phase"}},
    [XB_METER_BYTES_READ] = {.name = "xebec_volume_bytes_total",
                             .help = "Bytes of file data in the volumes of completed backups",
                             .kind = XB_METER_COUNTER},
    [XB_METER_BYTES_NEW] = {.name = "xebec_volume_bytes_new_total",
                            .help = "Bytes of them that the repository did not have before",
                            .kind = XB_METER_COUNTER},
    [XB_METER_FREEZE_SECONDS] = {.name = "xebec_freeze_seconds",
                                 .help = "Time between a pod's pre hooks and its post hooks",
                                 .kind = XB_METER_HISTOGRAM,
                                 .buckets = freeze_buckets,
                                 .bucket_count = FREEZE_BUCKETS},
};

static const unsigned from_zero[] = {XB_METER_BACKUP_ATTEMPTS,
                                     XB_METER_BACKUP_SUCCESSES,
                                     XB_METER_BACKUP_PARTIAL_FAILURES,
                                     XB_METER_BACKUP_FAILURES,
                                     XB_METER_BACKUP_VALIDATION_FAILURES,
                                     XB_METER_BACKUP_DELETION_ATTEMPTS,
                                     XB_METER_BACKUP_DELETION_SUCCESSES,
                                     XB_METER_BACKUP_DELETION_FAILURES,
                                     XB_METER_BACKUP_WARNINGS,
                                     XB_METER_RESTORE_ATTEMPTS,
                                     XB_METER_RESTORE_SUCCESSES,
                                     XB_METER_RESTORE_PARTIAL_FAILURES,
                                     XB_METER_RESTORE_FAILURES,
                                     XB_METER_RESTORE_VALIDATION_FAILURES,
                                     XB_METER_SNAPSHOT_ATTEMPTS,
                                     XB_METER_SNAPSHOT_SUCCESSES,
                                     XB_METER_SNAPSHOT_FAILURES};

void xb_coordinator_meters_schedule(struct xb_meters *meters, const char *schedule)
{
    for (size_t i = 0; i < sizeof from_zero / sizeof from_zero[0]; i++) {
        xb_meters_add(meters, from_zero[i], &schedule, 0);
    }
}

void xb_coordinator_meters_schedule_gone(struct xb_meters *meters, const char *schedule)
{
    for (unsigned i = 0; i < XB_COORDINATOR_METERS; i++) {
        const char *label = table[i].labels[0];
        if (label && strcmp(label, "schedule") == 0) {
            xb_meters_drop(meters, i, &schedule);
        }
    }
}

int xb_coordinator_meters_new(struct xb_meters **ret, struct xb_error *err)
{
    struct xb_meters *meters = NULL;
    int r = xb_meters_new(table, XB_COORDINATOR_METERS, &meters, err);
    if (r < 0) {
        return r;
    }
    xb_coordinator_meters_schedule(meters, "");
    *ret = meters;
    return 0;
}
