/* SPDX-License-Identifier: Apache-2.0
 * Planning: which order is next, and what is to be done with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/daemon.h"
#include "shared/base/budget.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/in_place.h"
#include "shared/velero/point_in_time.h"
#include "shared/velero/velero.h"

enum {
    SIGN_AGAIN_S = 30,
    /* Preparing takes long: it leaves places for what thaws and what is held now. */
    PREPARED_AT_ONCE = XB_DAEMON_HOLDS / 2,
    PREPARE_AGAIN_MS = 200
};

/* ---- orders under way ---- */

static void remember(struct daemon *daemon, struct xb_order *order, bool running)
{
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        if (daemon->running[i] == (running ? NULL : order)) {
            daemon->running[i] = running ? order : NULL;
            return;
        }
    }
}

void xb_daemon_tell_running(struct daemon *daemon, const char *key, xb_json *object)
{
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        struct xb_order *order = daemon->running[i];
        if (order && strcmp(order->key, key) == 0 &&
            (!object || xb_json_bool(object, "spec.cancel", false))) {
            atomic_store(&order->cancel, true);
        }
    }
}

static void free_order(void *work)
{
    struct xb_order *order = work;
    if (order) {
        json_object_put(order->object);
        json_object_put(order->bracketed);
        free(order->key);
        free(order);
    }
}

static unsigned running_count(const struct daemon *daemon)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        count += daemon->running[i] && !daemon->running[i]->beside;
    }
    return count;
}

static void order_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct daemon *daemon = context;
    const struct xb_order *order = work;
    (void)err; /* logged by the frame */
    remember(daemon, work, false);
    if (order->resource == &xb_velero_pvbs) {
        /* It may have left copies to orders that have ended meanwhile, or made one for itself. */
        xb_control_dirty(order->beside ? daemon->backups : daemon->holds, key);
        xb_order_bracket_mark(daemon->holds, order->object);
    }
    xb_agent_count_ended(&daemon->agent, work);
    unsigned left = running_count(daemon);
    xb_agent_count_running(&daemon->agent, left);
    if (left == 0) { /* an agent mostly waits: it does so without the memory of the last volume */
        xb_budget_trim(xb_budget_process());
    }
}

static enum xb_plan act_on(struct daemon *daemon, const struct xb_kube_resource *resource,
                           const char *key, xb_json *object, struct xb_action *ret)
{
    struct xb_order *order = calloc(1, sizeof *order);
    if (!order || !(order->key = strdup(key)) ||
        (object && json_object_deep_copy(object, &order->object, NULL) < 0)) {
        free_order(order);
        return XB_PLAN_NONE; /* planned again when the object changes or the timer marks it */
    }
    order->agent = &daemon->agent;
    order->resource = resource;
    order->began_ns = xb_clock_mono_ns();
    remember(daemon, order, true);
    xb_agent_count_running(&daemon->agent, running_count(daemon));
    *ret = (struct xb_action){.work = order, .done = order_done, .free = free_order};
    return XB_PLAN_ACT;
}

/* Whether its turn has come and is not over. */
static bool is_running(const struct daemon *daemon, const char *key)
{
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        const struct xb_order *order = daemon->running[i];
        if (order && !order->beside && order->resource == &xb_velero_pvbs &&
            strcmp(order->key, key) == 0) {
            return true;
        }
    }
    return false;
}

/* The pod of an order, if it is on this node and the one that is meant. */
static xb_json *pod_of(struct daemon *daemon, xb_json *object)
{
    char key[2 * XB_VELERO_NAME_BYTES];
    snprintf(key, sizeof key, "%s/%s", xb_json_str(object, "spec.pod.namespace", ""),
             xb_json_str(object, "spec.pod.name", ""));
    xb_json *pod = xb_kube_informer_get(daemon->pods, key);
    return pod && strcmp(xb_json_str(pod, "metadata.uid", ""),
                         xb_json_str(object, "spec.pod.uid", "?")) == 0
               ? pod
               : NULL;
}

/* ---- backups ---- */

static bool is_ours(const struct daemon *daemon, xb_json *object)
{
    return object && strcmp(xb_json_str(object, "spec.node", ""), daemon->agent.options->node) == 0;
}

static bool is_final(xb_json *object)
{
    return xb_velero_data_phase_final(xb_json_str(object, "status.phase", ""));
}

static bool is_open(xb_json *object)
{
    return !is_final(object) && !xb_json_bool(object, "spec.cancel", false);
}

/* The coordinator holds the application, and there is neither a copy nor a word that there is none:
 * that cannot wait until it is the volume's turn. */
static bool waits_for_copy(struct daemon *daemon, const char *key, xb_json *object)
{
    return xb_point_in_time_held(object) && !xb_point_in_time_fixed(object) && is_open(object) &&
           !xb_agent_kept(&daemon->agent, key, xb_json_str(object, "metadata.uid", "")).copy;
}

/* It will hold it: nothing is read before. One whose pod is gone, so that nobody will come back to
 * it, ends as any other. */
static bool waits_to_be_held(struct daemon *daemon, xb_json *object)
{
    return xb_point_in_time_held_soon(object) && is_open(object) &&
           (pod_of(daemon, object) || !xb_kube_informer_synced(daemon->pods));
}

enum xb_plan xb_daemon_plan_backup(void *context, const char *key, int64_t now_ns,
                                   struct xb_action *ret)
{
    struct daemon *daemon = context;
    xb_json *object = xb_kube_informer_get(daemon->pvbs, key);
    (void)now_ns;
    if (!is_ours(daemon, object) || waits_for_copy(daemon, key, object) ||
        waits_to_be_held(daemon, object)) {
        return XB_PLAN_NONE;
    }
    enum xb_bracket_step step = xb_order_bracket_step(daemon->pvbs, object);
    if (step == XB_BRACKET_WAIT || step == XB_BRACKET_OVER) {
        return XB_PLAN_NONE;
    }
    enum xb_plan plan = act_on(daemon, &xb_velero_pvbs, key, object, ret);
    ret->run = xb_order_backup;
    return plan;
}

static enum xb_plan act_beside(struct daemon *daemon, const char *key, xb_json *object,
                               struct xb_action *ret)
{
    enum xb_plan plan = act_on(daemon, &xb_velero_pvbs, key, object, ret);
    if (plan == XB_PLAN_ACT) {
        ((struct xb_order *)ret->work)->beside = true;
        xb_agent_count_running(&daemon->agent, running_count(daemon));
    }
    return plan;
}

/* Pre hooks that were begun, by an order whose turn it is, are being run. */
static bool is_being_opened(const struct daemon *daemon, const char *key, xb_json *object)
{
    return xb_bracket_look(object) == XB_BRACKET_PRE_BEGUN && is_running(daemon, key);
}

static enum xb_plan plan_prepare(struct daemon *daemon, const char *key, xb_json *object,
                                 int64_t now_ns, struct xb_action *ret)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        count += daemon->running[i] && daemon->running[i]->preparing;
    }
    if (count >= PREPARED_AT_ONCE) {
        ret->at_ns = now_ns + PREPARE_AGAIN_MS * XB_NS_PER_MS;
        return XB_PLAN_AT;
    }
    enum xb_plan plan = act_beside(daemon, key, object, ret);
    if (plan == XB_PLAN_ACT) {
        ((struct xb_order *)ret->work)->preparing = true;
        ret->run = xb_order_prepare;
    }
    return plan;
}

/* Once, at the start. */
static enum xb_plan plan_sweep(struct daemon *daemon, struct xb_action *ret)
{
    if (daemon->swept) {
        return XB_PLAN_NONE;
    }
    daemon->swept = true;
    *ret = (struct xb_action){.work = &daemon->agent, .run = xb_agent_sweep};
    return XB_PLAN_ACT;
}

enum xb_plan xb_daemon_plan_hold(void *context, const char *key, int64_t now_ns,
                                 struct xb_action *ret)
{
    struct daemon *daemon = context;
    if (strcmp(key, XB_DAEMON_SWEEP_KEY) == 0) {
        return plan_sweep(daemon, ret);
    }
    xb_json *object = xb_kube_informer_get(daemon->pvbs, key);
    bool wanted = object && !is_final(object);
    const char *uid = wanted ? xb_json_str(object, "metadata.uid", "") : NULL;
    enum xb_plan plan = XB_PLAN_NONE;
    const struct xb_kept kept = xb_agent_kept(&daemon->agent, key, uid);
    const int64_t prepared_until_ns = kept.prepared_ns + XB_COPY_PREPARED_S * XB_NS_PER_S;
    if (kept.other || (kept.prepared && now_ns >= prepared_until_ns)) {
        plan = act_beside(daemon, key, object, ret);
        ret->run = xb_order_drop_copy;
    } else if (!is_ours(daemon, object)) {
        plan = XB_PLAN_NONE;
    } else if (xb_order_bracket_due(daemon->pvbs, object) &&
               !is_being_opened(daemon, key, object)) {
        plan = act_beside(daemon, key, object, ret);
        ret->run = xb_order_close_bracket;
    } else if (waits_for_copy(daemon, key, object) && !is_running(daemon, key)) {
        plan = act_beside(daemon, key, object, ret);
        ret->run = xb_order_hold;
    } else if (waits_to_be_held(daemon, object) && !xb_point_in_time_prepared(object)) {
        plan = plan_prepare(daemon, key, object, now_ns, ret);
    } else if (kept.prepared) {
        ret->at_ns = prepared_until_ns;
        plan = XB_PLAN_AT;
    }
    return plan;
}

/* ---- restores, and the stores ---- */

static bool waits_for_restore(xb_json *pod)
{
    xb_json *statuses = xb_json_get(pod, "status.initContainerStatuses");
    return xb_json_get(xb_json_find(statuses, "name", "restore-wait"), "state.running") != NULL;
}

/* Whether there is something to be done for the order now: its pod waits for it, or runs and it
 * goes in place; or nobody waits for it any more, whatever keeps the pod from coming up. */
static bool is_ready(xb_json *order, xb_json *pod)
{
    if (xb_json_bool(order, "spec.cancel", false) && !is_final(order)) {
        return true;
    }
    return xb_in_place_order(order) ? strcmp(xb_json_str(pod, "status.phase", ""), "Running") == 0
                                    : waits_for_restore(pod);
}

/* An order that has ended, while its pod still waits: the agent died between the two. */
static enum xb_plan plan_sign(struct daemon *daemon, const char *key, xb_json *object,
                              int64_t now_ns, struct xb_action *ret)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t ended_ns = 0;
    if (strcmp(xb_json_str(object, "status.phase", ""), "Completed") != 0 ||
        xb_time_parse(xb_json_str(object, "status.completionTimestamp", ""), &ended_ns, &err) < 0) {
        return XB_PLAN_NONE;
    }
    int64_t due_ns = ended_ns + SIGN_AGAIN_S * XB_NS_PER_S;
    if (now_ns < due_ns) {
        ret->at_ns = due_ns;
        return XB_PLAN_AT;
    }
    enum xb_plan plan = act_on(daemon, &xb_velero_pvrs, key, object, ret);
    ret->run = xb_order_sign;
    return plan;
}

enum xb_plan xb_daemon_plan_restore(void *context, const char *key, int64_t now_ns,
                                    struct xb_action *ret)
{
    struct daemon *daemon = context;
    xb_json *object = xb_kube_informer_get(daemon->pvrs, key);
    xb_json *pod = object ? pod_of(daemon, object) : NULL;
    if (!pod || !is_ready(object, pod)) {
        return XB_PLAN_NONE;
    }
    if (xb_velero_data_phase_final(xb_json_str(object, "status.phase", ""))) {
        return xb_in_place_order(object) ? XB_PLAN_NONE
                                         : plan_sign(daemon, key, object, now_ns, ret);
    }
    enum xb_plan plan = act_on(daemon, &xb_velero_pvrs, key, object, ret);
    ret->run = xb_order_restore;
    return plan;
}

static bool add_location(void *context, const char *key, xb_json *object)
{
    (void)key;
    json_object_array_add(context, json_object_get(object));
    return true;
}

static void free_stores(void *work)
{
    struct xb_stores_work *stores = work;
    if (stores) {
        json_object_put(stores->locations);
        free(stores);
    }
}

static void stores_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct daemon *daemon = context;
    (void)key;
    (void)work;
    if (!err) {
        daemon->stores_reported_ns = xb_clock_wall_ns();
    }
}

enum xb_plan xb_daemon_plan_stores(void *context, const char *key, int64_t now_ns,
                                   struct xb_action *ret)
{
    struct daemon *daemon = context;
    (void)key;
    int64_t due_ns = daemon->stores_reported_ns + XB_DAEMON_STORES_EVERY_MS * XB_NS_PER_MS;
    if (!xb_kube_informer_synced(daemon->locations)) {
        return XB_PLAN_NONE;
    }
    if (now_ns < due_ns && due_ns - now_ns <= XB_DAEMON_STORES_EVERY_MS * XB_NS_PER_MS) {
        ret->at_ns = due_ns;
        return XB_PLAN_AT;
    }
    struct xb_stores_work *work = calloc(1, sizeof *work);
    if (!work) {
        return XB_PLAN_NONE;
    }
    *work = (struct xb_stores_work){&daemon->agent, json_object_new_array()};
    xb_kube_informer_each(daemon->locations, add_location, work->locations);
    *ret = (struct xb_action){
        .work = work, .run = xb_stores_report, .done = stores_done, .free = free_stores};
    return XB_PLAN_ACT;
}
