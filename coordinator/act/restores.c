/* SPDX-License-Identifier: Apache-2.0
 * Restores: the facts for the plan, and what its steps need. */
#include <stdio.h>
#include <string.h>

#include "coordinator/act/orders.h"
#include "coordinator/act/restore_hooks.h"
#include "coordinator/plan/queue.h"
#include "shared/base/clock.h"

/* ---- beside one another ---- */

/* The queue as a restore sees it: those that have not begun wait in the order in which they were
 * made. The entries' specs tell the namespaces that are written to, and live in `specs`. */
struct restore_queue {
    const struct xb_coordinator *coordinator;
    struct xb_queue queue;
    xb_json *specs;
};

/* What a restore touches, as the queue reads a backup's spec. Without namespaces of its own it is
 * the backup's. */
static struct xb_queue_entry entry_of(struct restore_queue *view, const char *key, xb_json *restore)
{
    char backup_key[2 * XB_VELERO_NAME_BYTES];
    snprintf(backup_key, sizeof backup_key, "%s/%s", xb_json_str(restore, "metadata.namespace", ""),
             xb_json_str(restore, "spec.backupName", ""));
    xb_json *backup =
        xb_kube_informer_get(view->coordinator->watched[XB_WATCH_BACKUPS], backup_key);
    xb_json *spec =
        xb_queue_restore_spec(xb_json_get(restore, "spec"), xb_json_get(backup, "spec"));
    json_object_array_add(view->specs, spec);
    return (struct xb_queue_entry){.key = key,
                                   .spec = spec,
                                   .created =
                                       xb_json_str(restore, "metadata.creationTimestamp", "")};
}

static bool look_at_queue(void *context, const char *key, xb_json *restore)
{
    struct restore_queue *view = context;
    const char *phase = xb_plan_restore_queued(xb_json_str(restore, "status.phase", ""));
    if (phase && strcmp(key, view->queue.own.key) != 0 &&
        !xb_json_get(restore, "metadata.deletionTimestamp")) {
        const struct xb_queue_entry entry = entry_of(view, key, restore);
        xb_queue_add(&view->queue, phase, &entry);
    }
    return true;
}

static void add_queue(const struct xb_coordinator *coordinator, const char *key, xb_json *restore,
                      struct xb_step_facts *facts)
{
    struct restore_queue view = {.coordinator = coordinator, .specs = json_object_new_array()};
    view.queue.own = entry_of(&view, key, restore);
    facts->running_max = coordinator->options->restores_max;
    xb_kube_informer_each(coordinator->watched[XB_WATCH_RESTORES], look_at_queue, &view);
    xb_queue_facts(&view.queue, facts);
    json_object_put(view.specs);
}

/* ---- hooks ---- */

static void add_hooks(struct xb_run *run, int64_t now_ns, struct xb_step_facts *facts)
{
    const int64_t mono_ns = xb_clock_mono_ns();
    int64_t left_ns = xb_restore_hooks_look_ns(run) - mono_ns;
    facts->hooks_open = xb_restore_hooks_open(run);
    if (facts->hooks_open == 0) {
        return;
    }
    facts->hooks_due = left_ns <= 0 ? facts->hooks_open : 0;
    if (now_ns + left_ns < facts->look_ns) {
        facts->look_ns = now_ns + left_ns;
    }
    if (facts->volumes_open == 0 && run->hooks_since_ns == 0) {
        run->hooks_since_ns = mono_ns;
    }
}

/* ---- the plan ---- */

enum xb_plan xb_plan_restores(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *restore = xb_kube_informer_get(coordinator->watched[XB_WATCH_RESTORES], key);
    if (!restore || !xb_kube_informer_synced(coordinator->watched[XB_WATCH_PVRS])) {
        xb_run_drop(&coordinator->restore_runs, key);
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->restore_runs, key, restore);
    if (!run) {
        return xb_plan_no_run(now_ns, ret);
    }
    if (xb_plan_is_old(run, restore)) {
        return XB_PLAN_NONE;
    }
    if (xb_orders_wait(run, now_ns, &ret->at_ns)) {
        return XB_PLAN_AT;
    }
    struct xb_kube_informer *pvrs = coordinator->watched[XB_WATCH_PVRS];
    const struct xb_orders_view orders =
        xb_orders_look(run, pvrs, coordinator->options->namespace, now_ns);
    struct xb_step_facts facts = {.phase = xb_json_str(restore, "status.phase", ""),
                                  .deleting =
                                      xb_json_get(restore, "metadata.deletionTimestamp") != NULL,
                                  .worked = run->worked,
                                  .volumes_open = orders.open,
                                  .volumes_late = orders.late,
                                  .volumes_idle = orders.idle,
                                  .look_ns = orders.look_ns};
    add_hooks(run, now_ns, &facts);
    if (!run->worked) {
        add_queue(coordinator, key, restore, &facts);
    }
    const struct xb_step_result step = xb_plan_restore(&facts);
    if (step.step == XB_STEP_NONE) {
        xb_run_drop(&coordinator->restore_runs, key);
        return XB_PLAN_NONE;
    }
    if (step.step == XB_STEP_WAIT) {
        ret->at_ns = step.at_ns;
        return XB_PLAN_AT;
    }
    struct xb_step_work *work = xb_plan_work(coordinator, restore, run, &step);
    if (work) {
        work->restores = true;
    }
    if (step.step == XB_STEP_CANCEL || step.step == XB_STEP_SEEK) {
        return xb_plan_orders(work, pvrs, &xb_velero_pvrs, ret);
    }
    if (work && step.step == XB_STEP_PUBLISH) {
        work->timed_out = orders.given_up > 0;
        xb_plan_add_orders(work, coordinator->watched[XB_WATCH_PVRS]);
    }
    return xb_plan_act(work, xb_act_restore, ret);
}
