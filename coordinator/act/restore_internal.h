/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_internal.h - a restore's steps; for the files of this folder only.
 *
 * What for:  restore_act.c begins and ends, restore_apply.c brings the items, restore_item.c one of
 *            them, restore_volumes.c the orders for volumes.
 */
#pragma once

#include "coordinator/act/internal.h"
#include "coordinator/record/spool.h"
#include "coordinator/restore/pod_volumes.h"

struct restoring {
    struct xb_step_work *work;
    struct xb_run *run;
    xb_json *backup;     /* the Backup object */
    xb_json *data;       /* array of the backup's PodVolumeBackups */
    xb_json *infos;      /* array of volume infos, may be empty */
    xb_json *namespaces; /* name: its object in the backup */
    xb_json *made;       /* name: true, for namespaces that are known to exist */
    xb_json *left_out;   /* name: true, for volumes of the backup that are not made again */
    struct xb_filter *filter;
    struct xb_kube_discovery *discovery;
    struct xb_spool *spool;
    struct xb_restore_context context;
    char backup_label[XB_VELERO_LABEL_BYTES], restore_label[XB_VELERO_LABEL_BYTES];
    char identity[XB_STORE_IDENTITY_BYTES];
    const atomic_bool *cancel;
    int64_t patched_ns;
};

/* Downloads the record and brings every item. */
int xb_restore_apply(struct xb_step_work *work, const atomic_bool *cancel,
                     struct xb_error *err) XB_MUST_CHECK;
/* One item of the kind that `api` serves. Its own troubles are logged. */
int xb_restore_item(struct restoring *restoring, const struct xb_kube_api *api,
                    const struct xb_tarball_item *item, xb_json *object,
                    struct xb_error *err) XB_MUST_CHECK;
int xb_restore_ensure_namespace(struct restoring *restoring, const char *source,
                                struct xb_error *err) XB_MUST_CHECK;

/* The PodVolumeBackup with data of a pod's volume, or NULL. */
xb_json *xb_restore_data_of(const struct restoring *restoring, const char *namespace,
                            const char *pod, const char *volume);
/* Whether data of a claim is in the backup. */
bool xb_restore_claim_has_data(const struct restoring *restoring, xb_json *claim);
bool xb_restore_pv_has_data(const struct restoring *restoring, xb_json *volume);
/* Makes the pod wait, if some volume of it has data. */
int xb_restore_prepare_pod(struct restoring *restoring, const char *namespace, xb_json *pod,
                           struct xb_error *err) XB_MUST_CHECK;
/* Orders the volumes of a pod that was made. */
int xb_restore_order_pod(struct restoring *restoring, const char *namespace, xb_json *pod,
                         struct xb_error *err) XB_MUST_CHECK;

void xb_restore_progress(struct restoring *restoring);

/* Takes our finalizer off a restore, if it has it; its record stays. */
int xb_restore_release(struct xb_coordinator *coordinator, xb_json *restore,
                       struct xb_error *err) XB_MUST_CHECK;
