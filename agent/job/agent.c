/* SPDX-License-Identifier: Apache-2.0
 * Wiring and planning: what is watched, and which order is next. */
#include "agent/job/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/base/budget.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/workers.h"
#include "shared/codec/text.h"
#include "shared/kube/config.h"
#include "shared/kube/informer.h"
#include "shared/runtime/control.h"
#include "shared/runtime/loop.h"
#include "shared/velero/in_place.h"
#include "shared/velero/velero.h"

enum { STORES_EVERY_MS = 10 * 1000, SIGN_AGAIN_S = 30, STORES_WORKERS = 1 };

#define STORES_KEY "stores"

struct daemon {
    struct xb_agent agent;
    struct xb_workers *workers;
    struct xb_kube_informer *pvbs, *pvrs, *pods, *locations;
    struct xb_control *backups, *restores, *stores;
    struct xb_timer *timer;
    int64_t stores_reported_ns; /* wall; 0: never */
    xb_json *queued;            /* keys of backups' orders that were counted */
    struct xb_order *running[2 * XB_AGENT_JOBS_MAX];
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

/* The object changed: a cancel that came meanwhile must reach the engine. */
static void tell_running(struct daemon *daemon, const char *key, xb_json *object)
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
        count += daemon->running[i] != NULL;
    }
    return count;
}

static void order_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct daemon *daemon = context;
    (void)key;
    (void)err; /* logged by the frame */
    remember(daemon, work, false);
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
        json_object_deep_copy(object, &order->object, NULL) < 0) {
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

/* ---- plans ---- */

static enum xb_plan plan_backup(void *context, const char *key, int64_t now_ns,
                                struct xb_action *ret)
{
    struct daemon *daemon = context;
    xb_json *object = xb_kube_informer_get(daemon->pvbs, key);
    (void)now_ns;
    if (!object || strcmp(xb_json_str(object, "spec.node", ""), daemon->agent.options->node) != 0) {
        return XB_PLAN_NONE;
    }
    enum xb_bracket_step step = xb_order_bracket_step(daemon->pvbs, object);
    if (step == XB_BRACKET_WAIT || step == XB_BRACKET_OVER) {
        return XB_PLAN_NONE;
    }
    enum xb_plan plan = act_on(daemon, &xb_velero_pvbs, key, object, ret);
    ret->run = step == XB_BRACKET_POST ? xb_order_close_bracket : xb_order_backup;
    return plan;
}

/* The pod of a restore, if it is on this node and the one that is meant. */
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

static bool waits_for_restore(xb_json *pod)
{
    xb_json *statuses = xb_json_get(pod, "status.initContainerStatuses");
    return xb_json_get(xb_json_find(statuses, "name", "restore-wait"), "state.running") != NULL;
}

/* Whether there is something to be done for the order now: its pod waits for it, or runs and it
 * goes in place; or nobody waits for it any more, whatever keeps the pod from coming up. */
static bool is_ready(xb_json *order, xb_json *pod)
{
    if (xb_json_bool(order, "spec.cancel", false) &&
        !xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""))) {
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

static enum xb_plan plan_restore(void *context, const char *key, int64_t now_ns,
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

static enum xb_plan plan_stores(void *context, const char *key, int64_t now_ns,
                                struct xb_action *ret)
{
    struct daemon *daemon = context;
    (void)key;
    int64_t due_ns = daemon->stores_reported_ns + STORES_EVERY_MS * XB_NS_PER_MS;
    if (!xb_kube_informer_synced(daemon->locations)) {
        return XB_PLAN_NONE;
    }
    if (now_ns < due_ns && due_ns - now_ns <= STORES_EVERY_MS * XB_NS_PER_MS) {
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

/* ---- changes ---- */

/* An order for this node that has not begun counts once. */
static void count_queued(struct daemon *daemon, const char *key, xb_json *object)
{
    const char *phase = object ? xb_json_str(object, "status.phase", "") : "gone";
    bool waits = !phase[0] || strcmp(phase, "New") == 0;
    if (!waits) {
        json_object_object_del(daemon->queued, key);
    } else if (strcmp(xb_json_str(object, "spec.node", ""), daemon->agent.options->node) == 0 &&
               !json_object_object_get_ex(daemon->queued, key, NULL)) {
        json_object_object_add(daemon->queued, key, json_object_new_boolean(true));
        xb_agent_count_new(&daemon->agent);
    }
}

static void on_backup(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    count_queued(daemon, key, object);
    tell_running(daemon, key, object);
    xb_control_dirty(daemon->backups, key);
    xb_order_bracket_mark(daemon->backups, object);
}

static void on_restore(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    tell_running(daemon, key, object);
    xb_control_dirty(daemon->restores, key);
}

static bool mark_restore(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    (void)object;
    xb_control_dirty(daemon->restores, key);
    return true;
}

/* A pod changed: a restore may wait for just that. There are few restores at a time. */
static void on_pod(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    (void)key;
    (void)object;
    xb_kube_informer_each(daemon->pvrs, mark_restore, daemon);
}

static void on_location(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    (void)key;
    (void)object;
    daemon->stores_reported_ns = 0;
    xb_control_dirty(daemon->stores, STORES_KEY);
}

static bool mark_backup(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    (void)object;
    xb_control_dirty(daemon->backups, key);
    return true;
}

/* Nothing may be forgotten because one event was lost or one plan found no memory. */
static void on_timer(void *context)
{
    struct daemon *daemon = context;
    xb_kube_informer_each(daemon->pvbs, mark_backup, daemon);
    xb_kube_informer_each(daemon->pvrs, mark_restore, daemon);
    xb_control_dirty(daemon->stores, STORES_KEY);
}

static void on_signal(void *context, int signal_number)
{
    struct daemon *daemon = context;
    (void)signal_number;
    xb_log_info("ending: orders under way are left for the next start");
    xb_control_stop(daemon->backups);
    xb_control_stop(daemon->restores);
    for (size_t i = 0; i < sizeof daemon->running / sizeof daemon->running[0]; i++) {
        if (daemon->running[i]) {
            atomic_store(&daemon->running[i]->cancel, true);
        }
    }
    xb_loop_stop(daemon->agent.loop);
}

static void on_synced(void *context)
{
    struct daemon *daemon = context;
    atomic_fetch_add(&daemon->agent.synced, 1);
}

/* A pod's spec is large, and only a few fields of it are looked at. */
static void trim_pod(void *context, xb_json *object)
{
    xb_kube_trim_managed_fields(context, object);
    json_object_object_del(object, "spec");
}

/* ---- wiring ---- */

static int make_controls(struct daemon *daemon, struct xb_error *err)
{
    struct xb_control_options options = {.loop = daemon->agent.loop,
                                         .workers = daemon->workers,
                                         .context = daemon,
                                         .actions_max = daemon->agent.at_once};
    options.name = "pod-volume-backup";
    options.plan = plan_backup;
    int r = xb_control_new(&options, &daemon->backups, err);
    if (r < 0) {
        return r;
    }
    options.name = "pod-volume-restore";
    options.plan = plan_restore;
    r = xb_control_new(&options, &daemon->restores, err);
    if (r < 0) {
        return r;
    }
    options.name = "stores";
    options.plan = plan_stores;
    options.actions_max = 1;
    return xb_control_new(&options, &daemon->stores, err);
}

static int make_informers(struct daemon *daemon, struct xb_error *err)
{
    char on_node[XB_VELERO_NAME_BYTES + 32];
    struct xb_kube_informer_options options = {.loop = daemon->agent.loop,
                                               .client = daemon->agent.client,
                                               .namespace = daemon->agent.options->namespace,
                                               .trim = xb_kube_trim_managed_fields,
                                               .on_synced = on_synced,
                                               .context = daemon};
    options.resource = &xb_velero_locations;
    options.on_change = on_location;
    int r = xb_kube_informer_new(&options, &daemon->locations, err);
    if (r < 0) {
        return r;
    }
    options.resource = &xb_velero_pvbs;
    options.on_change = on_backup;
    r = xb_kube_informer_new(&options, &daemon->pvbs, err);
    if (r < 0) {
        return r;
    }
    options.resource = &xb_velero_pvrs;
    options.on_change = on_restore;
    r = xb_kube_informer_new(&options, &daemon->pvrs, err);
    if (r < 0) {
        return r;
    }
    snprintf(on_node, sizeof on_node, "spec.nodeName=%s", daemon->agent.options->node);
    options.resource = &xb_core_pods;
    options.namespace = NULL;
    options.field_selector = on_node;
    options.trim = trim_pod;
    options.on_change = on_pod;
    return xb_kube_informer_new(&options, &daemon->pods, err);
}

static int start(struct daemon *daemon, struct xb_error *err)
{
    struct xb_kube_config *config = NULL;
    int r = xb_kube_config_detect(daemon->agent.options->kubeconfig, NULL, &config, err);
    if (r < 0) {
        return r;
    }
    r = xb_kube_client_new(config, NULL, &daemon->agent.client, err);
    xb_kube_config_free(config);
    daemon->queued = json_object_new_object();
    if (r < 0 || (r = xb_agent_choose_at_once(&daemon->agent, err)) < 0 ||
        (r = xb_agent_metrics_prepare(&daemon->agent, err)) < 0 ||
        (r = xb_loop_new(&daemon->agent.loop, err)) < 0 ||
        (r = xb_workers_new(2 * daemon->agent.at_once + STORES_WORKERS, 256, &daemon->workers,
                            err)) < 0 ||
        (r = make_controls(daemon, err)) < 0 || (r = make_informers(daemon, err)) < 0 ||
        (r = xb_timer_new(daemon->agent.loop, on_timer, daemon, &daemon->timer, err)) < 0) {
        return r;
    }
    xb_timer_start(daemon->timer, STORES_EVERY_MS, STORES_EVERY_MS);
    return xb_loop_signals(daemon->agent.loop, on_signal, daemon, err);
}

static void stop(struct daemon *daemon)
{
    xb_agent_metrics_end(&daemon->agent);
    xb_control_free(daemon->backups);
    xb_control_free(daemon->restores);
    xb_control_free(daemon->stores);
    xb_kube_informer_free(daemon->pvbs);
    xb_kube_informer_free(daemon->pvrs);
    xb_kube_informer_free(daemon->pods);
    xb_kube_informer_free(daemon->locations);
    xb_timer_free(daemon->timer);
    xb_workers_free(daemon->workers);
    xb_loop_free(daemon->agent.loop);
    xb_kube_client_free(daemon->agent.client);
    xb_meters_free(daemon->agent.meters);
    json_object_put(daemon->queued);
}

int xb_agent_run(const struct xb_agent_options *options, struct xb_error *err)
{
    struct daemon daemon = {.agent = {.options = options}};
    if (options->jobs_max > XB_AGENT_JOBS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "at most %d volumes at once",
                            XB_AGENT_JOBS_MAX);
    }
    int r = start(&daemon, err);
    if (r == 0) {
        xb_agent_metrics_begin(&daemon.agent);
        xb_log_info("agent started", "node", options->node, "version", XB_VERSION);
        r = xb_loop_run(daemon.agent.loop, err);
    }
    stop(&daemon);
    return r;
}
