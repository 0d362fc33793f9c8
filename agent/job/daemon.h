/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon.h - the agent's loop thread from within; for agent.c and plans.c only.
 *
 * What for:  agent.c wires and listens, plans.c looks at the cached world and says what is next.
 * Threads:   the loop thread.    Blocking: never.
 */
#pragma once

#include "agent/job/internal.h"
#include "shared/kube/informer.h"
#include "shared/runtime/control.h"

/* So many brackets are closed and copies made side by side, whatever else is under way: somebody's
 * application stands still for each. */
enum { XB_DAEMON_HOLDS = 4, XB_DAEMON_STORES_EVERY_MS = 10 * 1000 };

#define XB_DAEMON_STORES_KEY "stores"
#define XB_DAEMON_SWEEP_KEY "sweep" /* no order's: those have a namespace */

struct daemon {
    struct xb_agent agent;
    struct xb_workers *workers;
    struct xb_kube_informer *pvbs, *pvrs, *pods, *locations;
    struct xb_control *backups, *restores, *holds, *stores;
    struct xb_timer *timer;
    bool swept;
    int64_t stores_reported_ns; /* wall; 0: never */
    xb_json *queued;            /* keys of backups' orders that were counted */
    struct xb_order *running[2 * XB_AGENT_JOBS_MAX + XB_DAEMON_HOLDS];
};

/* xb_control_options.plan; the context is the daemon. */
xb_control_plan_fn xb_daemon_plan_backup, xb_daemon_plan_restore, xb_daemon_plan_stores;
/* What must not wait for its turn among the volumes: post hooks that are due, copies for which the
 * coordinator holds an application, and copies that nobody wants any more. */
xb_control_plan_fn xb_daemon_plan_hold;

/* The object changed (NULL: it is gone): a cancel that came meanwhile must reach the engine. */
void xb_daemon_tell_running(struct daemon *daemon, const char *key, xb_json *object);
