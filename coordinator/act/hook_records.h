/* SPDX-License-Identifier: Apache-2.0
 *
 * hook_records.h - what the coordinator has run in pods, written down in the cluster; for the files
 * of this folder only.
 *
 * What for:  a coordinator that takes a backup up must know which pods are frozen, and run no hook
 *            twice. A pod whose hooks an agent runs has its record on its first order; one whose
 *            hooks the coordinator runs has a ConfigMap, as it may have no order.
 * Ownership: the caller frees what it gets.
 * Threads:   any.
 * Blocking:  yes (API).
 * Shapes:    a ConfigMap in Velero's namespace, owned by the Backup and labelled as its orders are,
 *            under a name that is made from Backup and pod; data: namespace, pod, podUID; the
 * record is the annotation that brackets have (shared/velero/bracket.h). It is removed when the
 *            backup's record is published. Nothing is believed of it that could run another command
 *            or reach another pod: hooks come from the pod and the Backup alone.
 * Errors:    as the API's.
 */
#pragma once

#include "coordinator/act/internal.h"
#include "shared/velero/bracket.h"

struct xb_hook_pod {
    const char *namespace, *name, *uid;
};
/* Lent by the pod's object. */
struct xb_hook_pod xb_hook_pod_of(xb_json *pod);

/* *ret: an empty one where there is none; *ret_found may be NULL. */
int xb_hook_record_get(struct xb_step_work *work, const struct xb_hook_pod *pod,
                       struct xb_bracket_record *ret, bool *ret_found,
                       struct xb_error *err) XB_MUST_CHECK;
/* The first one that says that pre hooks begin makes it. One that was deleted meanwhile, with its
 * Backup say, is not made again: 0. */
int xb_hook_record_tell(struct xb_step_work *work, const struct xb_hook_pod *pod,
                        const struct xb_bracket_record *record, struct xb_error *err) XB_MUST_CHECK;

/* All of a backup. */
typedef void xb_hook_record_fn(void *context, const struct xb_hook_pod *pod,
                               const struct xb_bracket_record *record);
int xb_hook_records_each(struct xb_step_work *work, xb_hook_record_fn *fn, void *context,
                         struct xb_error *err) XB_MUST_CHECK;
/* Removes them; what cannot be removed goes with the Backup. */
void xb_hook_records_remove(struct xb_step_work *work);
