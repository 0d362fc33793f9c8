/* SPDX-License-Identifier: Apache-2.0
 *
 * due.h - when a backup is collected, when a location is synced and validated, and which one is the
 *         default.
 *
 * What for:  decisions by the clock and by what stands in objects, without any I/O.
 * Ownership: facts lend.    Threads: any.    Blocking: never (pure).
 * Source:    velero-contract section 3 (GC, Sync), section 1 (BackupStorageLocation).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is due: never (XB_DUE_NEVER), now (a time that is over), or later. */
#define XB_DUE_NEVER INT64_MAX

/* When an expired backup is asked to be deleted: at its expiration, and as long as it is there
 * again after each `every_ns`. `expiration` is status.expiration; `last_ns` when this process asked
 * last, 0: never. */
int64_t xb_due_collect(const char *expiration, int64_t last_ns, int64_t every_ns);

/* When a location is synced next. `period` is spec.backupSyncPeriod (NULL: `period_ns` counts; 0 is
 * off; what is no time counts as unsaid), `synced` is status.lastSyncedTime; `last_ns` when this
 * process began last. A last time that lies in the future counts as none. */
struct xb_due_sync {
    const char *period, *synced;
    int64_t period_ns, last_ns, now_ns;
};
int64_t xb_due_sync(const struct xb_due_sync *facts);

/* When a location that has not changed is validated next. `frequency` is spec.validationFrequency
 * (NULL: `frequency_ns` counts; 0 is off; what is no time, or less than a second, counts as
 * unsaid), `validated` is status.lastValidationTime: without one it is due whatever they say, and
 * with one that lies in the future by more than the frequency. */
struct xb_due_validation {
    const char *frequency, *validated;
    int64_t frequency_ns, now_ns;
};
int64_t xb_due_validation(const struct xb_due_validation *facts);

/* What is to be done about a location's spec.default. */
enum xb_due_default { XB_DUE_DEFAULT_KEEP, XB_DUE_DEFAULT_SET, XB_DUE_DEFAULT_UNSET };
struct xb_due_default_facts {
    bool is_default;
    bool named;     /* by --default-backup-storage-location */
    size_t others;  /* other locations that say they are */
    size_t younger; /* of them, those that are younger (or as old, and later by name) */
};
/* Of several the youngest stays: somebody has wanted it last. With none it is the named one. */
enum xb_due_default xb_due_default(const struct xb_due_default_facts *facts);
