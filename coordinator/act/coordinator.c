/* SPDX-License-Identifier: Apache-2.0
 * Wiring: what is watched, which keys a change makes dirty, who leads. */
#include "coordinator/act/coordinator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "coordinator/act/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/base/workers.h"
#include "shared/codec/text.h"
#include "shared/kube/config.h"

enum { WORKERS = 6, QUEUE_MAX = 256, TICK_MS = 15 * 1000 };

static bool mark_backup(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    if (!xb_velero_backup_phase_final(xb_json_str(object, "status.phase", ""))) {
        xb_control_dirty(coordinator->backup_control, key);
    }
    return true;
}

static bool mark_restore(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    if (!xb_velero_backup_phase_final(xb_json_str(object, "status.phase", "")) ||
        xb_json_get(object, "metadata.deletionTimestamp")) {
        xb_control_dirty(coordinator->restore_control, key);
    }
    return true;
}

static bool mark_location(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->location_control, key);
    return true;
}

/* A backup that ends makes room for those in the queue: all open ones are looked at. */
static void on_backup(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->backup_control, key);
    xb_kube_informer_each(coordinator->backups, mark_backup, coordinator);
}

static void on_restore(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->restore_control, key);
}

static void on_location(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->location_control, key);
}

static void on_download(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->download_control, key);
}

static void on_status_request(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)object;
    xb_control_dirty(coordinator->status_control, key);
}

/* An order changed: whoever waits for it looks again when it has ended, or is gone. */
static void on_backup_order(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)key;
    if (!object || xb_velero_data_phase_final(xb_json_str(object, "status.phase", ""))) {
        xb_kube_informer_each(coordinator->backups, mark_backup, coordinator);
    }
}

static void on_restore_order(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    (void)key;
    if (!object || xb_velero_data_phase_final(xb_json_str(object, "status.phase", ""))) {
        xb_kube_informer_each(coordinator->restores, mark_restore, coordinator);
    }
}

/* A node reports every few seconds; only another report than its last one is news. */
static void on_lease(void *context, const char *key, xb_json *object)
{
    struct xb_coordinator *coordinator = context;
    xb_json *annotations = object ? xb_json_get(object, "metadata.annotations") : NULL;
    xb_json *text = NULL;
    xb_json *last = NULL;
    if (annotations) {
        (void)json_object_object_get_ex(annotations, XB_STORES_SEEN_ANNOTATION, &text);
    }
    const char *now = text ? json_object_get_string(text) : "";
    if (json_object_object_get_ex(coordinator->nodes_seen, key, &last) &&
        strcmp(json_object_get_string(last), now) == 0) {
        return;
    }
    xb_json_put_text(coordinator->nodes_seen, key, now);
    coordinator->stores_generation++;
    xb_kube_informer_each(coordinator->locations, mark_location, coordinator);
}

static void on_tick(void *context)
{
    struct xb_coordinator *coordinator = context;
    xb_kube_informer_each(coordinator->backups, mark_backup, coordinator);
    xb_kube_informer_each(coordinator->restores, mark_restore, coordinator);
    xb_kube_informer_each(coordinator->locations, mark_location, coordinator);
}

/* ---- leading ---- */

static void pause_all(struct xb_coordinator *coordinator, bool paused)
{
    xb_control_pause(coordinator->backup_control, paused);
    xb_control_pause(coordinator->restore_control, paused);
    xb_control_pause(coordinator->location_control, paused);
    xb_control_pause(coordinator->download_control, paused);
    xb_control_pause(coordinator->status_control, paused);
}

static void on_started(void *context)
{
    struct xb_coordinator *coordinator = context;
    xb_log_info("leading");
    pause_all(coordinator, false);
    on_tick(coordinator);
}

static void on_lost(void *context)
{
    struct xb_coordinator *coordinator = context;
    xb_log_warning("not leading any more: what is under way is given up");
    pause_all(coordinator, true);
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
    xb_control_stop(coordinator->backup_control);
    xb_control_stop(coordinator->restore_control);
    xb_control_stop(coordinator->location_control);
    xb_kube_lease_stop(coordinator->lease, on_lease_stopped);
}

/* ---- wiring ---- */

static int make_control(struct xb_coordinator *coordinator, const char *name,
                        xb_control_plan_fn *plan, struct xb_control **ret, struct xb_error *err)
{
    const struct xb_control_options options = {.name = name,
                                               .loop = coordinator->loop,
                                               .workers = coordinator->workers,
                                               .plan = plan,
                                               .context = coordinator,
                                               .actions_max = 2};
    int r = xb_control_new(&options, ret, err);
    if (r == 0) {
        xb_control_pause(*ret, true);
    }
    return r;
}

static int make_controls(struct xb_coordinator *c, struct xb_error *err)
{
    int r = make_control(c, "backup", xb_plan_backups, &c->backup_control, err);
    if (r < 0 || (r = make_control(c, "restore", xb_plan_restores, &c->restore_control, err)) < 0 ||
        (r = make_control(c, "location", xb_plan_locations, &c->location_control, err)) < 0 ||
        (r = make_control(c, "download", xb_plan_downloads, &c->download_control, err)) < 0) {
        return r;
    }
    return make_control(c, "status-request", xb_plan_status_requests, &c->status_control, err);
}

static int make_informers(struct xb_coordinator *c, struct xb_error *err)
{
    const struct {
        const struct xb_kube_resource *resource;
        void (*on_change)(void *, const char *, xb_json *);
        struct xb_kube_informer **ret;
        const char *selector;
    } watched[] = {{&xb_velero_locations, on_location, &c->locations, NULL},
                   {&xb_coordination_leases, on_lease, &c->leases, XB_NODE_LEASE_LABEL},
                   {&xb_velero_pvbs, on_backup_order, &c->pvbs, NULL},
                   {&xb_velero_pvrs, on_restore_order, &c->pvrs, NULL},
                   {&xb_velero_backups, on_backup, &c->backups, NULL},
                   {&xb_velero_restores, on_restore, &c->restores, NULL},
                   {&xb_velero_downloads, on_download, &c->downloads, NULL},
                   {&xb_velero_status_requests, on_status_request, &c->status_requests, NULL}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof watched / sizeof watched[0]; i++) {
        const struct xb_kube_informer_options options = {.loop = c->loop,
                                                         .client = c->client,
                                                         .resource = watched[i].resource,
                                                         .namespace = c->options->namespace,
                                                         .label_selector = watched[i].selector,
                                                         .trim = xb_kube_trim_managed_fields,
                                                         .on_change = watched[i].on_change,
                                                         .context = c};
        r = xb_kube_informer_new(&options, watched[i].ret, err);
    }
    return r;
}

static int make_lease(struct xb_coordinator *coordinator, struct xb_error *err)
{
    unsigned char random[4];
    char hex[9];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    snprintf(coordinator->identity, sizeof coordinator->identity, "%.200s_%s",
             coordinator->options->pod_name ? coordinator->options->pod_name : "xebec", hex);
    const struct xb_kube_lease_options options = {.loop = coordinator->loop,
                                                  .client = coordinator->client,
                                                  .namespace = coordinator->options->namespace,
                                                  .name = "xebec-coordinator",
                                                  .identity = coordinator->identity,
                                                  .on_started = on_started,
                                                  .on_lost = on_lost,
                                                  .context = coordinator};
    return xb_kube_lease_new(&options, &coordinator->lease, err);
}

/* Restored pods wait in our own image: it is on the nodes already. */
static int find_image(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const struct xb_coordinator_options *options = coordinator->options;
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    if (options->helper_image) {
        coordinator->helper_image = strdup(options->helper_image);
        return coordinator->helper_image ? 0 : xb_error_no_memory(err, "an image's name");
    }
    const struct xb_kube_ref ref = {.resource = &xb_core_pods,
                                    .namespace = options->namespace,
                                    .name = options->pod_name ? options->pod_name : ""};
    int r = options->pod_name
                ? xb_kube_get(coordinator->client, &ref, &pod, err)
                : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                               "which image do restored pods wait in? use --helper-image");
    if (r < 0) {
        return r;
    }
    xb_json *containers = xb_json_get(pod, "spec.containers");
    xb_json *first = json_object_is_type(containers, json_type_array)
                         ? json_object_array_get_idx(containers, 0)
                         : NULL;
    coordinator->helper_image = strdup(xb_json_str(first, "image", ""));
    return coordinator->helper_image ? 0 : xb_error_no_memory(err, "an image's name");
}

static int start(struct xb_coordinator *coordinator, struct xb_error *err)
{
    struct xb_kube_config *config = NULL;
    const struct xb_kube_client_options client = {.connections_max = 16};
    if (mkdir(coordinator->options->scratch, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "scratch folder %s", coordinator->options->scratch);
    }
    int r = xb_kube_config_detect(coordinator->options->kubeconfig, NULL, &config, err);
    if (r < 0) {
        return r;
    }
    r = xb_kube_client_new(config, &client, &coordinator->client, err);
    xb_kube_config_free(config);
    coordinator->nodes_seen = json_object_new_object();
    if (r < 0 || (r = find_image(coordinator, err)) < 0 ||
        (r = xb_downloads_start(coordinator, err)) < 0 ||
        (r = xb_loop_new(&coordinator->loop, err)) < 0 ||
        (r = xb_workers_new(WORKERS, QUEUE_MAX, &coordinator->workers, err)) < 0 ||
        (r = make_controls(coordinator, err)) < 0 || (r = make_informers(coordinator, err)) < 0 ||
        (r = make_lease(coordinator, err)) < 0 ||
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
    xb_control_free(c->backup_control);
    xb_control_free(c->restore_control);
    xb_control_free(c->location_control);
    xb_control_free(c->download_control);
    xb_control_free(c->status_control);
    xb_kube_informer_free(c->backups);
    xb_kube_informer_free(c->restores);
    xb_kube_informer_free(c->locations);
    xb_kube_informer_free(c->pvbs);
    xb_kube_informer_free(c->pvrs);
    xb_kube_informer_free(c->downloads);
    xb_kube_informer_free(c->status_requests);
    xb_kube_informer_free(c->leases);
    free_runs(&c->backup_runs);
    free_runs(&c->restore_runs);
    free_runs(&c->location_runs);
    xb_kube_lease_free(c->lease);
    xb_timer_free(c->timer);
    xb_workers_free(c->workers);
    xb_loop_free(c->loop);
    xb_downloads_stop(c);
    xb_kube_client_free(c->client);
    free(c->helper_image);
    json_object_put(c->nodes_seen);
}

int xb_coordinator_run(const struct xb_coordinator_options *options, struct xb_error *err)
{
    struct xb_coordinator coordinator = {.options = options};
    int r = start(&coordinator, err);
    if (r == 0) {
        xb_metrics_begin(&coordinator);
        xb_log_info("coordinator started", "namespace", options->namespace, "version", XB_VERSION);
        r = xb_loop_run(coordinator.loop, err);
    }
    stop(&coordinator);
    return r;
}
