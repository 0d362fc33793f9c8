/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.h - which backups, or which restores, may run beside one another.
 *
 * What for:  two backups may run at once if no namespace is in both: then no pod's hooks run twice
 *            at a time, and no volume is read twice. Decided from the filters alone, without asking
 *            which namespaces there are; where that cannot be told, they wait for one another.
 *            So do two restores that may write into one namespace.
 * Ownership: lends.    Threads: any.    Blocking: never (pure).
 * Limits:    XB_QUEUE_*.
 * Source:    velero-contract section 1, the machine of Backup.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/plan/plan.h"
#include "shared/codec/json.h"

enum {
    /* Only so many of the queue are looked at for one that may start. */
    XB_QUEUE_LOOK_MAX = 64,
    XB_QUEUE_PAIRS_MAX = 65536,
    XB_QUEUE_PATTERN_BYTES_MAX = 256
};

/* Whether the specs of two backups may have a namespace in common. */
bool xb_queue_meet(xb_json *spec_a, xb_json *spec_b);

/* What a restore writes to, as the spec of a backup says what it reads; the caller puts it. A
 * restore that names no namespaces of its own takes those of the backup. Mapped names are those
 * that it maps to. `backup`: a BackupSpec, or NULL when it is not known. */
xb_json *xb_queue_restore_spec(xb_json *restore, xb_json *backup);

/* One backup (or restore) that runs or is queued. */
struct xb_queue_entry {
    const char *key;
    xb_json *spec;
    int64_t position;
    const char *created; /* metadata.creationTimestamp: of two with one position the older is first,
                            of two of one second that whose key is less */
};

/* The queue as one backup sees it. */
struct xb_queue {
    struct xb_queue_entry own;
    struct xb_queue_entry running[XB_QUEUE_LOOK_MAX], ahead[XB_QUEUE_LOOK_MAX];
    size_t running_count, ahead_count; /* may be more than the arrays hold */
    int64_t last_position;             /* the highest one */
    int64_t before_position;           /* the highest one ahead of this backup */
    int64_t after_position;            /* the lowest one behind it, if there is any */
    bool behind;
    size_t unqueued_ahead; /* older ones that are in no queue yet */
};

/* Adds another backup by its phase; one that has ended counts nothing. */
void xb_queue_add(struct xb_queue *queue, const char *phase, const struct xb_queue_entry *entry);

/* What the plan must know of it. */
void xb_queue_facts(const struct xb_queue *queue, struct xb_step_facts *facts);
