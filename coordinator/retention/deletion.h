/* SPDX-License-Identifier: Apache-2.0
 *
 * deletion.h - what a DeleteBackupRequest needs next, and which snapshots go with its backup.
 *
 * What for:  deleting is a machine in the request's status: asked again and again it gives one next
 *            step, so that a restart in the middle goes on. The order is such that a record which
 *            is half deleted never looks whole: its commit marker goes first, then the snapshots,
 *            then the files, and the object last. What has to be done is known without the marker:
 *            the file of the orders is the last one of the record.
 * Ownership: facts lend; a list of snapshots is the caller's.    Threads: any.
 * Blocking:  never (pure).
 * Errors:    INVALID: why the request cannot be done, for its status.
 * Limits:    XB_DELETION_*.
 * Source:    velero-contract sections 1 (DeleteBackupRequest) and 3 (Deletion).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/velero/velero.h"

enum {
    XB_DELETION_LEFTOVER_S = 24 * 3600, /* an answered request is dropped then */
    XB_DELETION_RESTORES_S = 60,        /* restores are waited for so long */
    XB_DELETION_RETRY_S = 600,          /* a failure that may pass becomes an answer then */
    XB_DELETION_SKEW_S = 300,           /* how far clocks may be apart */
    XB_DELETION_SNAPSHOTS_MAX = 1000000,
    XB_DELETION_SNAPSHOT_ID_BYTES = 33
};

/* On a request that was made because the backup had expired: it is asked once more, by the clock of
 * the API server, which writes the request's creationTimestamp. One clock that has jumped must not
 * delete every backup. */
#define XB_DELETION_EXPIRED_ANNOTATION "xebec.io/expired"

enum xb_deletion_step {
    XB_DELETION_NONE,
    XB_DELETION_WAIT,     /* until at_ns */
    XB_DELETION_BEGIN,    /* check; then InProgress, or Processed with errors */
    XB_DELETION_RESTORES, /* the backup's restores are deleted */
    XB_DELETION_REMOVE,   /* the record and the object, then Processed */
    XB_DELETION_DROP      /* the request itself */
};

struct xb_deletion_facts {
    const char *phase;   /* of the request, "" if there is none */
    int64_t now_ns;      /* wall */
    int64_t created_ns;  /* the request */
    bool first;          /* no other request for this backup comes before this one */
    size_t restores;     /* of the backup, that are there */
    int64_t restores_ns; /* when they were deleted; 0: not yet, by this process */
};

struct xb_deletion_result {
    enum xb_deletion_step step;
    int64_t at_ns; /* WAIT */
};

struct xb_deletion_result xb_deletion_plan(const struct xb_deletion_facts *facts);

/* Whether request `a` is done before request `b`, which asks for the same backup: one that has
 * begun, else the older one, else by name. */
bool xb_deletion_before(xb_json *a, xb_json *b);

/* Whether the backup may be deleted now. `backup` and `location` are NULL where there is none.
 * *ret_recorded: it has a record in the location; one that never began has none, and needs none. */
int xb_deletion_check(xb_json *request, xb_json *backup, xb_json *location, bool *ret_recorded,
                      struct xb_error *err) XB_MUST_CHECK;

/* Whether a marker of the backup's name is the backup's own: by its uid, or, where the object came
 * from the store and has another one, by the time when the backup began. */
bool xb_deletion_own_marker(xb_json *marker, xb_json *backup);

struct xb_deletion_snapshot {
    char namespace[XB_VELERO_NAME_BYTES]; /* of the volume: names the repository */
    char id[XB_DELETION_SNAPSHOT_ID_BYTES];
};
struct xb_deletion_snapshots {
    struct xb_deletion_snapshot *items;
    size_t count, cap;
};

/* Adds the snapshot that an order (PodVolumeBackup) has made, if any. INVALID: what it names is no
 * snapshot of ours. */
int xb_deletion_add(struct xb_deletion_snapshots *list, xb_json *order,
                    struct xb_error *err) XB_MUST_CHECK;
/* By namespace, each once. */
void xb_deletion_sort(struct xb_deletion_snapshots *list);
/* Takes those out that an order of another backup names, too. */
void xb_deletion_spare(struct xb_deletion_snapshots *list, xb_json *order);
void xb_deletion_free(struct xb_deletion_snapshots *list);
