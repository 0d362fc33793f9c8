/* SPDX-License-Identifier: Apache-2.0
 * The daemon made and ended; who leads. */
#include "coordinator/act/coordinator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "coordinator/act/internal.h"
#include "coordinator/bring/bring.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/workers.h"
#include "shared/kube/config.h"

enum {
    WORKERS = 6,
    QUEUE_MAX = 256,
    TICK_MS = 15 * 1000,
    CONNECTIONS_MAX = 16,
    BULK_AT_A_TIME_MAX = XB_BRING_THREADS
};

static void on_tick(void *context)
{
    xb_watched_tick(context);
}

/* ---- leading ---- */

static void on_started(void *context)
{
    struct xb_coordinator *coordinator = context;
    xb_log_info("leading");
    xb_watched_pause(coordinator, false);
    xb_watched_tick(coordinator);
}

static void on_lost(void *context)
{
    struct xb_coordinator *coordinator = context;
    struct xb_run *const lists[] = {coordinator->backup_runs, coordinator->restore_runs,
                                    coordinator->location_runs, coordinator->schedule_runs};
    xb_log_warning("not leading any more: what is under way is given up");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (struct xb_run *run = lists[i]; run; run = run->next) {
            run->stale = true;
        }
    }
    xb_watched_pause(coordinator, true);
}

static void on_lease_stopped(void *context)
{
    struct xb_coordinator *coordinator = context;
    xb_loop_stop(coordinator->loop);
}

static void on_signal(void *context, int signal_number)
{
    struct xb_coordinator *coordinator = context;
    (void)signal_number;
    xb_log_info("ending: what is under way is taken up by the next start");
    xb_watched_stop(coordinator);
    xb_kube_lease_stop(coordinator->lease, on_lease_stopped);
}

/* ---- wiring ---- */

static int make_lease(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const char *pod = coordinator->options->pod_name;
    const struct xb_identity_place place = {.scratch = coordinator->options->scratch,
                                            .pod = pod ? pod : "xebec"};
    xb_identity_open(&place, &coordinator->identity);
    const struct xb_kube_lease_options options = {.loop = coordinator->loop,
                                                  .client = coordinator->client,
                                                  .namespace = coordinator->options->namespace,
                                                  .name = "xebec-coordinator",
                                                  .identity = coordinator->identity.name,
                                                  .on_started = on_started,
                                                  .on_lost = on_lost,
                                                  .context = coordinator};
    return xb_kube_lease_new(&options, &coordinator->lease, err);
}

/* Takes over what the pod says, where nobody has said it before. */
static int take(const char **said, xb_json *object, const char *path, char **ret_own,
                struct xb_error *err)
{
    const char *text = xb_json_str(object, path, "");
    if (*said || !text[0]) {
        return 0;
    }
    *ret_own = strdup(text);
    *said = *ret_own;
    return *said ? 0 : xb_error_no_memory(err, "what the pod says");
}

/* What manifests of ours say in flags and environment, and Velero's own do not, is in the pod: the
 * image, in which restored pods wait because it is on the nodes already; the node; the address. */
static int find_self(struct xb_coordinator *coordinator, struct xb_error *err)
{
    struct xb_coordinator_options *own = &coordinator->own_options;
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    if (own->helper_image && own->node && own->pod_ip) {
        return 0;
    }
    const struct xb_kube_ref ref = {
        .resource = &xb_core_pods, .namespace = own->namespace, .name = own->pod_name};
    int r = own->pod_name ? xb_kube_get(coordinator->client, &ref, &pod, err) : 0;
    if (r < 0 && !own->helper_image) {
        return r;
    }
    xb_json *containers = xb_json_get(pod, "spec.containers");
    xb_json *first = json_object_is_type(containers, json_type_array)
                         ? json_object_array_get_idx(containers, 0)
                         : NULL;
    if ((r = take(&own->helper_image, first, "image", &coordinator->own_image, err)) < 0 ||
        (r = take(&own->node, pod, "spec.nodeName", &coordinator->own_node, err)) < 0 ||
        (r = take(&own->pod_ip, pod, "status.podIP", &coordinator->own_ip, err)) < 0) {
        return r;
    }
    return own->helper_image
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                              "which image do restored pods wait in? use --helper-image");
}

static int make_clients(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    const struct xb_kube_client_options client = {.connections_max = CONNECTIONS_MAX,
                                                  .requests_per_s =
                                                      coordinator->options->client_qps,
                                                  .burst = coordinator->options->client_burst};
    int r = xb_kube_config_detect(coordinator->options->kubeconfig, NULL, &config, err);
    r = r ? r : xb_kube_client_new(config, &client, &coordinator->client, err);
    r = r ? r : xb_kube_pace_new(BULK_AT_A_TIME_MAX, &coordinator->pace, err);
    if (r < 0) {
        return r;
    }
    struct xb_kube_client_options bulk = {.connections_max = BULK_AT_A_TIME_MAX,
                                          .turns_of = coordinator->client,
                                          .multiplexed = true,
                                          .pace = coordinator->pace};
    r = xb_kube_client_new(config, &bulk, &coordinator->bulk, err);
    bulk.dry_run = true;
    return r ? r : xb_kube_client_new(config, &bulk, &coordinator->dry, err);
}

static int start(struct xb_coordinator *coordinator, struct xb_error *err)
{
    if (mkdir(coordinator->options->scratch, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "scratch folder %s", coordinator->options->scratch);
    }
    int r = make_clients(coordinator, err);
    coordinator->nodes_seen = json_object_new_object();
    coordinator->collected_ns = json_object_new_object();
    if (r < 0 || (r = find_self(coordinator, err)) < 0 ||
        (r = xb_downloads_start(coordinator, err)) < 0 ||
        (r = xb_loop_new(&coordinator->loop, err)) < 0 ||
        (r = xb_workers_new(WORKERS + coordinator->options->backups_max +
                                coordinator->options->restores_max,
                            QUEUE_MAX, &coordinator->workers, err)) < 0 ||
        (r = xb_metrics_prepare(coordinator, err)) < 0 ||
        (r = xb_watched_start(coordinator, err)) < 0 || (r = make_lease(coordinator, err)) < 0 ||
        (r = xb_timer_new(coordinator->loop, on_tick, coordinator, &coordinator->timer, err)) < 0) {
        return r;
    }
    xb_timer_start(coordinator->timer, TICK_MS, TICK_MS);
    return xb_loop_signals(coordinator->loop, on_signal, coordinator, err);
}

static void free_runs(struct xb_run **list)
{
    while (*list) {
        char key[sizeof(*list)->key];
        snprintf(key, sizeof key, "%s", (*list)->key);
        xb_run_drop(list, key);
    }
}

static void stop(struct xb_coordinator *c)
{
    xb_metrics_server_free(c->metrics);
    xb_watched_free(c);
    free_runs(&c->backup_runs);
    free_runs(&c->restore_runs);
    free_runs(&c->location_runs);
    free_runs(&c->schedule_runs);
    free_runs(&c->deletion_runs);
    free_runs(&c->sync_runs);
    xb_kube_lease_free(c->lease);
    xb_timer_free(c->timer);
    xb_workers_free(c->workers);
    xb_loop_free(c->loop);
    xb_downloads_stop(c);
    xb_metrics_end(c);
    xb_kube_client_free(c->bulk);
    xb_kube_client_free(c->dry);
    xb_kube_pace_free(c->pace);
    xb_kube_client_free(c->client);
    free(c->own_image);
    free(c->own_node);
    free(c->own_ip);
    json_object_put(c->nodes_seen);
    json_object_put(c->collected_ns);
    xb_identity_close(&c->identity); /* last: nothing acts under it any more */
}

int xb_coordinator_run(const struct xb_coordinator_options *options, struct xb_error *err)
{
    struct xb_coordinator coordinator = {.own_options = *options, .identity = {.fd = -1}};
    coordinator.options = &coordinator.own_options;
    int r = start(&coordinator, err);
    if (r == 0) {
        xb_metrics_begin(&coordinator);
        xb_log_info("coordinator started", "namespace", options->namespace, "version", XB_VERSION);
        r = xb_loop_run(coordinator.loop, err);
        xb_coordinator_leave(&coordinator);
    }
    stop(&coordinator);
    return r;
}
