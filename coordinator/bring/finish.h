/* SPDX-License-Identifier: Apache-2.0
 *
 * finish.h - what is left to do when all data is back: volumes get back what they were set to.
 *
 * What for:  a volume that is made anew for a claim has the reclaim policy of its class and no
 *            labels. It gets those of the volume that was backed up.
 * Ownership: lends for the call.
 * Threads:   one call per restore.
 * Blocking:  yes, until every claim is bound or the time is up: on a worker.
 * Errors:    CANCELLED, FULL. What is wrong with one volume is an error line in the log.
 * Source:    velero-contract section 4, "Finalizer".
 */
#pragma once

#include <stdatomic.h>

#include "coordinator/record/log.h"
#include "shared/kube/client.h"

struct xb_bring_finish {
    struct xb_kube_client *client;
    xb_json *volumes; /* struct xb_brought's */
    struct xb_record_log *log;
    int64_t timeout_ns; /* for all claims to be bound */
    const atomic_bool *cancel;
    bool (*may_write)(void *context);
    void *context;
};

int xb_bring_finish_volumes(const struct xb_bring_finish *finish,
                            struct xb_error *err) XB_MUST_CHECK;

/* The merge patch that makes a volume like that (pure). *ret: NULL when it is. */
int xb_bring_finish_patch(xb_json *pv, xb_json *wanted, xb_json **ret,
                          struct xb_error *err) XB_MUST_CHECK;
