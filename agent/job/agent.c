/* SPDX-License-Identifier: Apache-2.0
 * Wiring: what is watched, and what becomes of what is seen. */
#include "agent/job/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/guard/guard.h"
#include "agent/job/daemon.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/workers.h"
#include "shared/kube/config.h"
#include "shared/runtime/loop.h"
#include "shared/velero/velero.h"

enum { STORES_WORKERS = 1, PROGRESS_TIMEOUT_MS = 1000 };

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
    xb_daemon_tell_running(daemon, key, object);
    xb_control_dirty(daemon->backups, key);
    xb_control_dirty(daemon->holds, key);
    xb_order_bracket_mark(daemon->backups, object);
    xb_order_bracket_mark(daemon->holds, object);
}

static void on_restore(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    xb_daemon_tell_running(daemon, key, object);
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
    xb_control_dirty(daemon->stores, XB_DAEMON_STORES_KEY);
}

static bool mark_backup(void *context, const char *key, xb_json *object)
{
    struct daemon *daemon = context;
    (void)object;
    xb_control_dirty(daemon->backups, key);
    xb_control_dirty(daemon->holds, key);
    return true;
}

/* Nothing may be forgotten because one event was lost or one plan found no memory. */
static void on_timer(void *context)
{
    struct daemon *daemon = context;
    xb_kube_informer_each(daemon->pvbs, mark_backup, daemon);
    xb_kube_informer_each(daemon->pvrs, mark_restore, daemon);
    xb_control_dirty(daemon->stores, XB_DAEMON_STORES_KEY);
}

static void on_signal(void *context, int signal_number)
{
    struct daemon *daemon = context;
    (void)signal_number;
    xb_log_info("ending: orders under way are left for the next start");
    xb_control_stop(daemon->backups);
    xb_control_stop(daemon->restores);
    xb_control_stop(daemon->holds);
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
    options.plan = xb_daemon_plan_backup;
    int r = xb_control_new(&options, &daemon->backups, err);
    if (r < 0) {
        return r;
    }
    options.name = "pod-volume-restore";
    options.plan = xb_daemon_plan_restore;
    r = xb_control_new(&options, &daemon->restores, err);
    if (r < 0) {
        return r;
    }
    options.name = "point-in-time";
    options.plan = xb_daemon_plan_hold;
    options.actions_max = XB_DAEMON_HOLDS;
    r = xb_control_new(&options, &daemon->holds, err);
    if (r < 0) {
        return r;
    }
    options.name = "stores";
    options.plan = xb_daemon_plan_stores;
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

static int find_guard(struct xb_agent *agent, struct xb_error *err)
{
    int r = xb_guard_new(agent->options->guard_socket, &agent->guard, err);
    if (r == 0 && !agent->guard) {
        xb_log_info("there is no bracket guard: if the agent ends between a pod's hooks, the post "
                    "hooks are run when it is started again, and no file system is ever frozen",
                    "hint", "--guard-socket, and a container that runs xebec guard");
    }
    return r;
}

static int start(struct daemon *daemon, struct xb_error *err)
{
    struct xb_kube_config *config = NULL;
    int r = xb_kube_config_detect(daemon->agent.options->kubeconfig, NULL, &config, err);
    if (r < 0) {
        return r;
    }
    r = xb_kube_client_new(config, NULL, &daemon->agent.client, err);
    const struct xb_kube_client_options hasty = {.timeout_ms = PROGRESS_TIMEOUT_MS,
                                                 .turns_of = daemon->agent.client};
    r = r ? r : xb_kube_client_new(config, &hasty, &daemon->agent.hasty, err);
    xb_kube_config_free(config);
    r = r ? r : find_guard(&daemon->agent, err);
    daemon->queued = json_object_new_object();
    if (r < 0 || (r = xb_agent_settle(&daemon->agent, err)) < 0 ||
        (r = xb_agent_metrics_prepare(&daemon->agent, err)) < 0 ||
        (r = xb_loop_new(&daemon->agent.loop, err)) < 0 ||
        (r = xb_workers_new(2 * daemon->agent.at_once + XB_DAEMON_HOLDS + STORES_WORKERS, 256,
                            &daemon->workers, err)) < 0 ||
        (r = make_controls(daemon, err)) < 0 || (r = make_informers(daemon, err)) < 0 ||
        (r = xb_timer_new(daemon->agent.loop, on_timer, daemon, &daemon->timer, err)) < 0) {
        return r;
    }
    xb_control_dirty(daemon->holds, XB_DAEMON_SWEEP_KEY);
    xb_timer_start(daemon->timer, XB_DAEMON_STORES_EVERY_MS, XB_DAEMON_STORES_EVERY_MS);
    return xb_loop_signals(daemon->agent.loop, on_signal, daemon, err);
}

static void stop(struct daemon *daemon)
{
    xb_agent_metrics_end(&daemon->agent);
    xb_control_free(daemon->backups);
    xb_control_free(daemon->restores);
    xb_control_free(daemon->holds);
    xb_control_free(daemon->stores);
    xb_kube_informer_free(daemon->pvbs);
    xb_kube_informer_free(daemon->pvrs);
    xb_kube_informer_free(daemon->pods);
    xb_kube_informer_free(daemon->locations);
    xb_timer_free(daemon->timer);
    xb_workers_free(daemon->workers);
    xb_guard_free(daemon->agent.guard); /* upon which it thaws what is left */
    xb_loop_free(daemon->agent.loop);
    xb_kube_client_free(daemon->agent.hasty);
    xb_kube_client_free(daemon->agent.client);
    xb_meters_free(daemon->agent.meters);
    json_object_put(daemon->queued);
    xb_agent_free_copies(&daemon->agent);
    (void)pthread_cond_destroy(&daemon->agent.copies_told);
    (void)pthread_mutex_destroy(&daemon->agent.copies_lock);
    (void)pthread_mutex_destroy(&daemon->agent.guarded.lock);
}

int xb_agent_run(const struct xb_agent_options *options, struct xb_error *err)
{
    struct daemon daemon = {.agent = {.options = options,
                                      .copies_lock = PTHREAD_MUTEX_INITIALIZER,
                                      .copies_told = PTHREAD_COND_INITIALIZER,
                                      .guarded = {.lock = PTHREAD_MUTEX_INITIALIZER}}};
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
