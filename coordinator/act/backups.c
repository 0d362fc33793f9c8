/* SPDX-License-Identifier: Apache-2.0
 * Backups: the facts for the plan, and what its steps need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/orders.h"
#include "coordinator/plan/queue.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/velero/bracket.h"

/* ---- the queue ---- */

/* So long is an older backup waited for that should be in the queue first, and is not. */
enum { QUEUE_PATIENCE_S = 10 };

static struct xb_queue_entry entry_of(const char *key, xb_json *backup)
{
    return (struct xb_queue_entry){.key = key,
                                   .spec = xb_json_get(backup, "spec"),
                                   .position = xb_json_int(backup, "status.queuePosition", 0),
                                   .created =
                                       xb_json_str(backup, "metadata.creationTimestamp", "")};
}

static bool look_at_queue(void *context, const char *key, xb_json *backup)
{
    struct xb_queue *queue = context;
    const char *phase = xb_json_str(backup, "status.phase", "");
    bool leaves = xb_plan_backup_comes(phase) && xb_json_get(backup, "metadata.deletionTimestamp");
    if (strcmp(key, queue->own.key) != 0 && !leaves) {
        const struct xb_queue_entry entry = entry_of(key, backup);
        xb_queue_add(queue, phase, &entry);
    }
    return true;
}

static void add_queue(const struct xb_coordinator *coordinator, const struct xb_run *run,
                      xb_json *backup, int64_t now_ns, struct xb_step_facts *facts)
{
    const int64_t left_ns = run->came_ns + QUEUE_PATIENCE_S * XB_NS_PER_S - xb_clock_mono_ns();
    struct xb_queue queue = {.own = entry_of(run->key, backup)};
    facts->running_max = coordinator->options->backups_max;
    xb_kube_informer_each(coordinator->watched[XB_WATCH_BACKUPS], look_at_queue, &queue);
    xb_queue_facts(&queue, facts);
    facts->unqueued_until_ns = now_ns + left_ns;
    if (left_ns <= 0) {
        facts->unqueued_ahead = 0;
    }
}

/* ---- hooks ---- */

enum { AGENT_ANSWERS_S = 60 /* an agent begins the post hooks so soon after the last copy */ };

struct hooks_view {
    struct xb_coordinator *coordinator;
    struct xb_run *run;
    bool copies_over; /* no order is waited for any more */
    xb_json *due;     /* those that are due; NULL: they are only counted */
};

static xb_json *find_order(const struct hooks_view *view, const char *name)
{
    char key[2 * XB_VELERO_NAME_BYTES];
    snprintf(key, sizeof key, "%s/%s", view->coordinator->options->namespace, name);
    return xb_kube_informer_get(view->coordinator->watched[XB_WATCH_PVBS], key);
}

/* Nothing stays frozen because an agent is gone: its hooks become the coordinator's. */
static bool agent_is_gone(struct hooks_view *view, enum xb_bracket_state state)
{
    struct xb_run *run = view->run;
    if (!view->copies_over) {
        run->hooks_since_ns = 0;
        return false;
    }
    if (run->hooks_since_ns == 0) {
        run->hooks_since_ns = xb_clock_mono_ns();
    }
    const int64_t patience_ns = state == XB_BRACKET_POST_BEGUN && run->timeout_ns
                                    ? run->timeout_ns
                                    : AGENT_ANSWERS_S * XB_NS_PER_S;
    return xb_clock_mono_ns() - run->hooks_since_ns >= patience_ns;
}

static void count_hooks(struct hooks_view *view, struct xb_step_facts *facts)
{
    xb_json *orders = view->run->orders;
    size_t count = view->run->worked && orders ? json_object_array_length(orders) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *order =
            find_order(view, json_object_get_string(json_object_array_get_idx(orders, i)));
        enum xb_bracket_state state = order ? xb_bracket_look(order) : XB_BRACKET_UNBEGUN;
        if (state == XB_BRACKET_UNBEGUN || state == XB_BRACKET_DONE) {
            continue;
        }
        bool due = agent_is_gone(view, state);
        facts->hooks_open++;
        facts->hooks_due += due;
        if (due && view->due) {
            json_object_array_add(view->due, json_object_get(order));
        }
    }
}

/* ---- what a step needs ---- */

static bool add_lease(void *context, const char *key, xb_json *lease)
{
    struct xb_step_work *work = context;
    int64_t renewed_ns = 0;
    struct xb_error err = XB_ERROR_INIT;
    (void)key;
    if (xb_time_parse(xb_json_str(lease, "spec.renewTime", ""), &renewed_ns, &err) == 0 &&
        xb_clock_wall_ns() - renewed_ns < XB_AGENT_REPORT_S * XB_NS_PER_S) {
        json_object_array_add(work->extra, json_object_get(lease));
    }
    return true;
}

enum xb_plan xb_plan_backups(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *backup = xb_kube_informer_get(coordinator->watched[XB_WATCH_BACKUPS], key);
    if (!backup || xb_json_get(backup, "metadata.deletionTimestamp")) {
        xb_run_drop(&coordinator->backup_runs, key);
        return XB_PLAN_NONE;
    }
    const char *phase = xb_json_str(backup, "status.phase", "");
    if (xb_velero_backup_phase_final(phase) ||
        !xb_kube_informer_synced(coordinator->watched[XB_WATCH_PVBS])) {
        xb_run_drop(&coordinator->backup_runs, key);
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->backup_runs, key, backup);
    if (!run) {
        return xb_plan_no_run(now_ns, ret);
    }
    if (xb_plan_is_old(run, backup)) {
        return XB_PLAN_NONE;
    }
    if (xb_orders_wait(run, now_ns, &ret->at_ns)) {
        return XB_PLAN_AT;
    }
    struct xb_kube_informer *pvbs = coordinator->watched[XB_WATCH_PVBS];
    const struct xb_orders_view orders =
        xb_orders_look(run, pvbs, coordinator->options->namespace, now_ns);
    struct xb_step_facts facts = {.phase = phase,
                                  .worked = run->worked,
                                  .volumes_open = orders.open,
                                  .volumes_late = orders.late,
                                  .look_ns = orders.look_ns};
    struct hooks_view hooks = {coordinator, run, orders.open == 0, NULL};
    count_hooks(&hooks, &facts);
    if (!run->worked) {
        add_queue(coordinator, run, backup, now_ns, &facts);
    }
    const struct xb_step_result step = xb_plan_backup(&facts);
    if (step.step == XB_STEP_NONE) {
        return XB_PLAN_NONE;
    }
    if (step.step == XB_STEP_WAIT) {
        ret->at_ns = step.at_ns;
        return XB_PLAN_AT;
    }
    struct xb_step_work *work = xb_plan_work(coordinator, backup, run, &step);
    if (step.step == XB_STEP_CANCEL) {
        return xb_plan_orders(work, pvbs, &xb_velero_pvbs, ret);
    }
    if (work && (step.step == XB_STEP_FINALIZE || step.step == XB_STEP_PUBLISH)) {
        work->timed_out = orders.given_up > 0;
        xb_plan_add_orders(work, coordinator->watched[XB_WATCH_PVBS]);
    } else if (work && step.step == XB_STEP_HOOKS) {
        hooks.due = work->extra;
        count_hooks(&hooks, &facts);
    } else if (work && step.step == XB_STEP_WORK) {
        xb_kube_informer_each(coordinator->watched[XB_WATCH_NODES], add_lease, work);
    }
    return xb_plan_act(work, xb_act_backup, ret);
}
