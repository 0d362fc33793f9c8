/* SPDX-License-Identifier: Apache-2.0
 * Numbers for Prometheus and health for the kubelet, on the port that Velero's manifests name. Read
 * from any thread. */
#include "shared/serve/metrics.h"

#include <stdio.h>
#include <sys/stat.h>

#include "coordinator/act/internal.h"
#include "coordinator/schedule/cron.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { LAG_MAX_MS = 30 * 1000 };

static const struct {
    const char *name, *help, *kind;
} control_meters[] = {{"xebec_control_keys", "Objects that a control loop knows", "gauge"},
                      {"xebec_control_running", "Actions under way", "gauge"},
                      {"xebec_control_actions_total", "Actions that were begun", "counter"},
                      {"xebec_control_failures_total", "Actions that failed", "counter"}};

static int fill_controls(struct xb_coordinator *c, struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < sizeof control_meters / sizeof control_meters[0] && r == 0; i++) {
        const char *name = control_meters[i].name;
        r = xb_buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, control_meters[i].help,
                          name, control_meters[i].kind);
        for (unsigned kind = 0; r == 0 && kind < XB_WATCHED_COUNT; kind++) {
            struct xb_control_counts counts;
            if (!c->controls[kind]) {
                continue;
            }
            xb_control_counts(c->controls[kind], &counts);
            const unsigned long long values[] = {counts.keys, counts.running, counts.actions,
                                                 counts.failures};
            r = xb_buf_printf(out, err, "%s{control=\"%s\"} %llu\n", name, xb_watched_name(kind),
                              values[i]);
        }
    }
    return r;
}

static int fill(void *context, struct xb_buf *out, struct xb_error *err)
{
    struct xb_coordinator *c = context;
    struct xb_kube_events_counts events;
    bool leading = xb_kube_lease_held(c->lease);
    xb_kube_events_counts(c->events, &events);
    int r =
        xb_buf_printf(out, err,
                      "# HELP xebec_leading Whether this coordinator is the one at work\n"
                      "# TYPE xebec_leading gauge\nxebec_leading %d\n"
                      "# HELP xebec_loop_lag_ms How late the loop that decides is\n"
                      "# TYPE xebec_loop_lag_ms gauge\nxebec_loop_lag_ms %lld\n"
                      "# HELP xebec_events_total Kubernetes Events, by what became of them\n"
                      "# TYPE xebec_events_total counter\n"
                      "xebec_events_total{result=\"made\"} %llu\n"
                      "xebec_events_total{result=\"repeated\"} %llu\n"
                      "xebec_events_total{result=\"dropped\"} %llu\n",
                      leading, (long long)xb_loop_lag_ms(c->loop), (unsigned long long)events.made,
                      (unsigned long long)events.repeated, (unsigned long long)events.dropped);
    r = r ? r : fill_controls(c, out, err);
    /* One that stands by sees the same objects: said twice they would be summed up. */
    return r == 0 && leading ? xb_meters_write(c->meters, out, err) : r;
}

static bool alive(void *context, char *why, size_t size)
{
    struct xb_coordinator *c = context;
    long long lag_ms = xb_loop_lag_ms(c->loop);
    snprintf(why, size, "the loop stands still for %lld ms", lag_ms);
    return lag_ms < LAG_MAX_MS;
}

/* Leading or standing by, it must know the cluster. */
static bool ready(void *context, char *why, size_t size)
{
    struct xb_coordinator *c = context;
    unsigned synced = atomic_load(&c->synced);
    snprintf(why, size, "%u of %d kinds of objects have been read", synced, XB_WATCHED_COUNT);
    return synced >= XB_WATCHED_COUNT && alive(context, why, size);
}

int xb_metrics_prepare(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const char *pod = coordinator->options->pod_name;
    int r = xb_coordinator_meters_new(&coordinator->meters, err);
    r = r ? r
          : xb_kube_events_new(coordinator->client, "velero", pod ? pod : "xebec-coordinator",
                               &coordinator->events, err);
    return r ? r
             : xb_observer_new(coordinator->meters, coordinator->events, &coordinator->observer,
                               err);
}

void xb_metrics_begin(struct xb_coordinator *coordinator)
{
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_metrics_options options = {.port = coordinator->options->metrics_port,
                                               .fill = fill,
                                               .alive = alive,
                                               .ready = ready,
                                               .context = coordinator};
    if (xb_metrics_server_start(&options, &coordinator->metrics, &err) < 0) {
        xb_log_error(&err, "no metrics are served");
    }
}

void xb_metrics_end(struct xb_coordinator *coordinator)
{
    xb_observer_free(coordinator->observer);
    xb_kube_events_free(coordinator->events);
    xb_meters_free(coordinator->meters);
}

void xb_metrics_schedule(struct xb_coordinator *coordinator, xb_json *schedule,
                         const struct xb_cron *cron)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *name = xb_json_str(schedule, "metadata.name", "");
    int64_t first = 0, second = 0;
    if (cron && xb_cron_next(cron, xb_clock_wall_ns() / XB_NS_PER_S, &first, &err) == 0 &&
        xb_cron_next(cron, first, &second, &err) == 0) {
        xb_meters_set(coordinator->meters, XB_METER_SCHEDULE_INTERVAL, &name,
                      (double)(second - first));
    } else {
        xb_meters_drop(coordinator->meters, XB_METER_SCHEDULE_INTERVAL, &name);
    }
}

void xb_metrics_tarball(struct xb_coordinator *coordinator, xb_json *backup, const char *path)
{
    struct stat st;
    xb_json *labels = xb_json_get(backup, "metadata.labels");
    xb_json *schedule = NULL;
    if (labels) {
        (void)json_object_object_get_ex(labels, "velero.io/schedule-name", &schedule);
    }
    const char *value = schedule ? json_object_get_string(schedule) : "";
    if (stat(path, &st) == 0) {
        xb_meters_set(coordinator->meters, XB_METER_BACKUP_TARBALL_BYTES, &value,
                      (double)st.st_size);
    }
}
