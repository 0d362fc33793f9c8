/* SPDX-License-Identifier: Apache-2.0
 *
 * retention.h - deleting, collecting and syncing backups; for the files of this folder only.
 *
 * What for:  deletion.c answers DeleteBackupRequests, deletion_store.c takes a backup's record and
 *            snapshots out of its location, gc.c asks for expired ones to be deleted, sync.c brings
 *            a location's records into the cluster and takes those out that are gone.
 * Threads:   plans on the loop thread, the rest on workers.
 */
#pragma once

#include "coordinator/act/internal.h"
#include "coordinator/retention/deletion.h"

enum xb_plan xb_plan_deletions(void *coordinator, const char *key, int64_t now_ns,
                               struct xb_action *ret);
/* Of backups. */
enum xb_plan xb_plan_collect(void *coordinator, const char *key, int64_t now_ns,
                             struct xb_action *ret);
/* Of locations. */
enum xb_plan xb_plan_sync(void *coordinator, const char *key, int64_t now_ns,
                          struct xb_action *ret);

/* What of a backup is in its location, found before anything of it is deleted. */
struct xb_removal {
    struct xb_coordinator *coordinator;
    xb_json *backup;
    const atomic_bool *cancel;
    struct xb_store *store;
    struct xb_deletion_snapshots snapshots;
    bool own_record; /* the folder of its name is its own, or nobody's */
    bool marked;     /* its marker is there */
};

/* Opens the location and, to know early that they open, all repositories with snapshots of the
 * backup. Without a record (`recorded`) there is nothing to be opened. */
int xb_removal_prepare(struct xb_removal *removal, bool recorded,
                       struct xb_error *err) XB_MUST_CHECK;
/* The marker, the snapshots, the other files, in this order. May be repeated. */
int xb_removal_carry_out(struct xb_removal *removal, struct xb_error *err) XB_MUST_CHECK;
void xb_removal_free(struct xb_removal *removal);
