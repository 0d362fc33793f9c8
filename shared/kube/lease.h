/* SPDX-License-Identifier: Apache-2.0
 *
 * lease.h - one leader at a time, by a Lease object.
 *
 * What for:  several coordinators may run, one acts. The object's fields are those that client-go
 *            writes, so either side can take over from the other.
 * Ownership: the caller owns the lease and frees it before client and loop.
 * Threads:   loop thread, except xb_kube_lease_held (any). Requests run on a thread of the lease's
 *            own, so that busy workers never delay a renewal.
 * Blocking:  xb_kube_lease_free waits for a request under way (about a second: it is cancelled).
 * Errors:    failed attempts are logged and repeated. Losing is told by on_lost.
 * Rules:     trust in no clock but one's own: another's lease has run out when nothing changed in
 *            it for its whole duration as seen from here; one's own ends for this process renew_ms
 *            after the last renewal that worked was *sent*, which is before anybody else may take
 *            it.
 * Source:    coordination.k8s.io/v1, the leader election of client-go.
 */
#pragma once

#include "shared/kube/client.h"
#include "shared/runtime/loop.h"

enum {
    XB_KUBE_LEASE_DURATION_S = 15,
    XB_KUBE_LEASE_RENEW_MS = 10 * 1000,
    XB_KUBE_LEASE_RETRY_MS = 2 * 1000,
    XB_KUBE_LEASE_DURATION_MAX_S = 3600
};

struct xb_kube_lease;

struct xb_kube_lease_options {
    struct xb_loop *loop;
    struct xb_kube_client *client;
    const char *namespace, *name;
    const char
        *identity;  /* of one living process: whoever holds it under this name leads at once */
    int duration_s; /* 0: XB_KUBE_LEASE_DURATION_S */
    int renew_ms;   /* 0: XB_KUBE_LEASE_RENEW_MS; must be less than the duration */
    int retry_ms;   /* 0: XB_KUBE_LEASE_RETRY_MS; must be less than renew_ms */
    void (*on_started)(void *context); /* leading from now on */
    void (*on_lost)(void *context);    /* stop acting at once */
    void *context;
};

/* Starts to try at once (the loop must run for anything to happen). */
int xb_kube_lease_new(const struct xb_kube_lease_options *options, struct xb_kube_lease **ret,
                      struct xb_error *err) XB_MUST_CHECK;
void xb_kube_lease_free(struct xb_kube_lease *lease);
XB_DEFINE_CLEANUP(xb_kube_lease_freep, struct xb_kube_lease, xb_kube_lease_free);

/* Whether this process leads right now: to be asked just before something that only a leader may
 * do. */
bool xb_kube_lease_held(const struct xb_kube_lease *lease);

/* Who held it when last seen; "" for nobody. Lent until the loop turns. */
const char *xb_kube_lease_holder(const struct xb_kube_lease *lease);

/* Ends trying and gives the lease back, so that the next one need not wait: call it when the
 * leader's work has stopped. on_lost comes at once if leading; on_stopped (may be NULL) when the
 * lease is given back, or could not be. */
void xb_kube_lease_stop(struct xb_kube_lease *lease, void (*on_stopped)(void *context));
