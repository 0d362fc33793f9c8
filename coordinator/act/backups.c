/* SPDX-License-Identifier: Apache-2.0
 * Backups: the facts for the plan, and what its steps need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { ORDER_LOST_S = 60 };

struct queue_view {
    const char *key;
    int64_t own_position;
    struct xb_step_facts *facts;
};

static bool look_at_queue(void *context, const char *key, xb_json *backup)
{
    struct queue_view *view = context;
    const char *phase = xb_json_str(backup, "status.phase", "");
    int64_t position = xb_json_int(backup, "status.queuePosition", 0);
    if (strcmp(key, view->key) == 0) {
        return true;
    }
    view->facts->running += xb_plan_backup_runs(phase);
    if (strcmp(phase, "Queued") == 0) {
        view->facts->last_position =
            position > view->facts->last_position ? position : view->facts->last_position;
        view->facts->ahead += position < view->own_position ||
                              (position == view->own_position && strcmp(key, view->key) < 0);
    }
    return true;
}

/* Orders of the run that have not ended. One that is nowhere to be seen long after it was made has
 * been deleted by somebody: it will not end any more. */
static size_t count_open(const struct xb_coordinator *coordinator, const struct xb_run *run,
                         struct xb_kube_informer *informer, int64_t now_ns)
{
    size_t open = 0;
    size_t count = run->orders ? json_object_array_length(run->orders) : 0;
    for (size_t i = 0; i < count; i++) {
        char key[2 * XB_VELERO_NAME_BYTES];
        snprintf(key, sizeof key, "%s/%s", coordinator->options->namespace,
                 json_object_get_string(json_object_array_get_idx(run->orders, i)));
        xb_json *order = xb_kube_informer_get(informer, key);
        if (order) {
            open += !xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""));
        } else {
            open += now_ns - run->made_ns < ORDER_LOST_S * XB_NS_PER_S;
        }
    }
    return open;
}

static bool add_order(void *context, const char *key, xb_json *order)
{
    struct xb_step_work *work = context;
    size_t count = json_object_array_length(work->run->orders);
    (void)key;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(work->run->orders, i));
        if (strcmp(name, xb_json_str(order, "metadata.name", "")) == 0) {
            json_object_array_add(work->extra, json_object_get(order));
            break;
        }
    }
    return true;
}

static bool add_lease(void *context, const char *key, xb_json *lease)
{
    struct xb_step_work *work = context;
    int64_t renewed_ns = 0;
    struct xb_error err = XB_ERROR_INIT;
    (void)key;
    if (xb_time_parse(xb_json_str(lease, "spec.renewTime", ""), &renewed_ns, &err) == 0 &&
        xb_clock_wall_ns() - renewed_ns < XB_NODE_REPORT_S * XB_NS_PER_S) {
        json_object_array_add(work->extra, json_object_get(lease));
    }
    return true;
}

/* What the step needs of the loop's world, copied. */
static struct xb_step_work *make_work(struct xb_coordinator *coordinator, xb_json *object,
                                      struct xb_run *run, const struct xb_step_result *step)
{
    struct xb_step_work *work = xb_step_work_new(coordinator, object);
    if (!work) {
        return NULL;
    }
    work->run = run;
    work->step = step->step;
    work->position = step->position;
    work->extra = json_object_new_array();
    return work;
}

static enum xb_plan wait_or_act(struct xb_step_work *work, const struct xb_step_result *step,
                                int (*run)(void *, const atomic_bool *, struct xb_error *),
                                struct xb_action *ret)
{
    (void)step;
    if (!work) {
        return XB_PLAN_NONE;
    }
    *ret = (struct xb_action){
        .work = work, .run = run, .done = xb_step_done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}

static enum xb_plan look_again(const struct xb_step_result *step, int64_t now_ns,
                               struct xb_action *ret)
{
    /* An order that was deleted gives no sign of life: look for it from time to time. */
    int64_t soon_ns = now_ns + ORDER_LOST_S * XB_NS_PER_S;
    ret->at_ns = step->at_ns < soon_ns ? step->at_ns : soon_ns;
    return XB_PLAN_AT;
}

static bool is_old(const struct xb_run *run, xb_json *object)
{
    return run->acted_on[0] &&
           strcmp(run->acted_on, xb_json_str(object, "metadata.resourceVersion", "")) == 0;
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
    if (!run || is_old(run, backup)) {
        return XB_PLAN_NONE;
    }
    struct xb_step_facts facts = {.phase = phase,
                                  .worked = run->worked,
                                  .now_ns = now_ns,
                                  .deadline_ns = run->deadline_ns,
                                  .running_max = coordinator->options->backups_max};
    struct queue_view view = {key, xb_json_int(backup, "status.queuePosition", 0), &facts};
    xb_kube_informer_each(coordinator->watched[XB_WATCH_BACKUPS], look_at_queue, &view);
    facts.volumes_open = count_open(coordinator, run, coordinator->watched[XB_WATCH_PVBS], now_ns);
    const struct xb_step_result step = xb_plan_backup(&facts);
    if (step.step == XB_STEP_NONE) {
        return XB_PLAN_NONE;
    }
    if (step.step == XB_STEP_WAIT) {
        return look_again(&step, now_ns, ret);
    }
    struct xb_step_work *work = make_work(coordinator, backup, run, &step);
    if (work && step.step == XB_STEP_PUBLISH) {
        work->timed_out = facts.volumes_open > 0;
        xb_kube_informer_each(coordinator->watched[XB_WATCH_PVBS], add_order, work);
    } else if (work && step.step == XB_STEP_WORK) {
        xb_kube_informer_each(coordinator->watched[XB_WATCH_NODES], add_lease, work);
    }
    return wait_or_act(work, &step, xb_act_backup, ret);
}

enum xb_plan xb_plan_restores(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *restore = xb_kube_informer_get(coordinator->watched[XB_WATCH_RESTORES], key);
    if (!restore || !xb_kube_informer_synced(coordinator->watched[XB_WATCH_PVRS])) {
        xb_run_drop(&coordinator->restore_runs, key);
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->restore_runs, key, restore);
    if (!run || is_old(run, restore)) {
        return XB_PLAN_NONE;
    }
    const struct xb_step_facts facts = {
        .phase = xb_json_str(restore, "status.phase", ""),
        .deleting = xb_json_get(restore, "metadata.deletionTimestamp") != NULL,
        .worked = run->worked,
        .volumes_open = count_open(coordinator, run, coordinator->watched[XB_WATCH_PVRS], now_ns),
        .now_ns = now_ns,
        .deadline_ns = run->deadline_ns};
    const struct xb_step_result step = xb_plan_restore(&facts);
    if (step.step == XB_STEP_NONE) {
        xb_run_drop(&coordinator->restore_runs, key);
        return XB_PLAN_NONE;
    }
    if (step.step == XB_STEP_WAIT) {
        return look_again(&step, now_ns, ret);
    }
    struct xb_step_work *work = make_work(coordinator, restore, run, &step);
    if (work && step.step == XB_STEP_PUBLISH) {
        work->timed_out = facts.volumes_open > 0;
        xb_kube_informer_each(coordinator->watched[XB_WATCH_PVRS], add_order, work);
    }
    return wait_or_act(work, &step, xb_act_restore, ret);
}

/* The answer comes back through the watch; only what this process knows changes here. */
void xb_step_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_step_work *step = work;
    (void)context;
    (void)key;
    if (err && step->step == XB_STEP_WORK) {
        xb_run_reset(step->run); /* done again from the start */
    }
    /* Every other step has changed the object: what the cache shows until then is old. */
    snprintf(step->run->acted_on, sizeof step->run->acted_on, "%.63s",
             err || step->step == XB_STEP_WORK
                 ? ""
                 : xb_json_str(step->object, "metadata.resourceVersion", ""));
}
