/* SPDX-License-Identifier: Apache-2.0
 * What this agent counts, under Velero's names where it has one; and its health. */
#include "shared/serve/metrics.h"

#include <stdio.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/runtime/loop.h"
#include "shared/velero/velero.h"

enum { LAG_MAX_MS = 30 * 1000, STATUS_LINE_BYTES = 200 };

enum meter {
    ENQUEUED,
    DEQUEUED,
    LATENCY,
    LATENCY_LAST,
    UPLOADED,
    UPLOAD_FAILED,
    UPLOAD_CANCELED,
    DOWNLOADED,
    DOWNLOAD_FAILED,
    DOWNLOAD_CANCELED,
    ORDERS,
    BYTES_READ,
    BYTES_NEW,
    BYTES_RESTORED,
    FREEZE,
    CONSISTENCY,
    CHANGED,
    RUNNING,
    AT_ONCE,
    MEMORY,
    METERS
};

#define BY_NODE(name_, help_)                                                                      \
    {                                                                                              \
        .name = "podVolume_" name_, .help = (help_), .kind = XB_METER_COUNTER, .labels = {         \
            "node"                                                                                 \
        }                                                                                          \
    }
#define BY_ORDER(kind_, name_, help_)                                                              \
    .name = "podVolume_" name_, .help = (help_), .kind = (kind_),                                  \
    .labels = {"node", "operation", "backupName", "pod_volume_backup"}
#define OURS(kind_, name_, help_)                                                                  \
    {                                                                                              \
        .name = "xebec_agent_" name_, .help = (help_), .kind = (kind_)                             \
    }

static const double freeze_buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                        0.1,   0.25,   0.5,   1,    2.5,   10};

static const struct xb_meter table[METERS] = {
    [ENQUEUED] = BY_NODE("pod_volume_backup_enqueue_count",
                         "Total number of pod_volume_backup objects enqueued"),
    [DEQUEUED] = BY_NODE("pod_volume_backup_dequeue_count",
                         "Total number of pod_volume_backup objects dequeued"),
    [LATENCY] = {BY_ORDER(XB_METER_HISTOGRAM, "pod_volume_operation_latency_seconds",
                          "Time taken to complete pod volume operations, in seconds"),
                 .buckets = xb_meter_long_buckets, .bucket_count = XB_METER_LONG_BUCKETS},
    [LATENCY_LAST] = {BY_ORDER(XB_METER_GAUGE, "pod_volume_operation_latency_seconds_gauge",
                               "Gauge metric indicating time taken, in seconds, to perform pod "
                               "volume operations")},
    /* Of CSI's data mover: always there, so that a dashboard finds them. */
    [UPLOADED] =
        BY_NODE("data_upload_success_total", "Total number of successful uploaded snapshots"),
    [UPLOAD_FAILED] =
        BY_NODE("data_upload_failure_total", "Total number of failed uploaded snapshots"),
    [UPLOAD_CANCELED] =
        BY_NODE("data_upload_cancel_total", "Total number of canceled uploaded snapshots"),
    [DOWNLOADED] =
        BY_NODE("data_download_success_total", "Total number of successful downloaded snapshots"),
    [DOWNLOAD_FAILED] =
        BY_NODE("data_download_failure_total", "Total number of failed downloaded snapshots"),
    [DOWNLOAD_CANCELED] =
        BY_NODE("data_download_cancel_total", "Total number of canceled downloaded snapshots"),
    [ORDERS] = {.name = "xebec_agent_orders_total",
                .help = "Volumes that were backed up or restored, by what became of it",
                .kind = XB_METER_COUNTER,
                .labels = {"operation", "phase"}},
    [BYTES_READ] = OURS(XB_METER_COUNTER, "bytes_read_total", "Bytes in the volumes backed up"),
    [BYTES_NEW] = OURS(XB_METER_COUNTER, "bytes_new_total",
                       "Bytes of them that the repository did not have before"),
    [BYTES_RESTORED] = OURS(XB_METER_COUNTER, "bytes_restored_total", "Bytes in volumes restored"),
    [FREEZE] = {.name = "xebec_agent_freeze_seconds",
                .help = "How long it took to copy a volume as it is at one moment",
                .kind = XB_METER_HISTOGRAM,
                .labels = {"method"},
                .buckets = freeze_buckets,
                .bucket_count = sizeof freeze_buckets / sizeof *freeze_buckets},
    [CONSISTENCY] = {.name = "xebec_agent_backups_by_consistency_total",
                     .help = "Volumes backed up, by how they were read and what that is worth",
                     .kind = XB_METER_COUNTER,
                     .labels = {"method", "consistency"}},
    [CHANGED] = OURS(XB_METER_COUNTER, "files_changed_total",
                     "Files that changed each time that they were read"),
    [RUNNING] = OURS(XB_METER_GAUGE, "orders_running", "Volumes under way"),
    [AT_ONCE] = OURS(XB_METER_GAUGE, "volumes_at_once", "How many may be, of each kind"),
    [MEMORY] = OURS(XB_METER_GAUGE, "anonymous_memory_bytes",
                    "Memory of the agent that is not a file's (RssAnon)"),
};

int xb_agent_metrics_prepare(struct xb_agent *agent, struct xb_error *err)
{
    const char *node = agent->options->node;
    const char *at_start[][2] = {{"backup", "Completed"}, {"restore", "Completed"}};
    int r = xb_meters_new(table, METERS, &agent->meters, err);
    if (r < 0) {
        return r;
    }
    for (unsigned i = ENQUEUED; i <= DOWNLOAD_CANCELED; i++) {
        if (i != LATENCY && i != LATENCY_LAST) {
            xb_meters_add(agent->meters, i, &node, 0);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        xb_meters_add(agent->meters, ORDERS, at_start[i], 0);
    }
    for (unsigned i = BYTES_READ; i <= BYTES_RESTORED; i++) {
        xb_meters_add(agent->meters, i, NULL, 0);
    }
    xb_meters_add(agent->meters, CHANGED, NULL, 0);
    xb_meters_set(agent->meters, RUNNING, NULL, 0);
    xb_meters_set(agent->meters, AT_ONCE, NULL, agent->at_once);
    return 0;
}

void xb_agent_count_new(struct xb_agent *agent)
{
    xb_meters_add(agent->meters, ENQUEUED, &agent->options->node, 1);
}

void xb_agent_count_running(struct xb_agent *agent, unsigned running)
{
    xb_meters_set(agent->meters, RUNNING, NULL, running);
}

static void count_point(struct xb_agent *agent, const struct xb_point_in_time *point)
{
    const char *labels[] = {point->method, xb_consistency_name(point->consistency)};
    if (!point->method[0]) {
        return; /* it never came to that */
    }
    xb_meters_add(agent->meters, CONSISTENCY, labels, 1);
    xb_meters_add(agent->meters, CHANGED, NULL, (double)point->changed_files);
    if (strcmp(point->method, XB_POINT_IN_TIME_LIVE) != 0) {
        xb_meters_observe(agent->meters, FREEZE, labels, (double)point->copy_us / 1e6);
    }
}

void xb_agent_count_ended(struct xb_agent *agent, const struct xb_order *order)
{
    const char *node = agent->options->node;
    bool backup = order->resource == &xb_velero_pvbs;
    const char *labels[] = {backup ? "backup" : "restore", order->ended};
    if (!order->ended) {
        return; /* it will be taken up again */
    }
    xb_meters_add(agent->meters, ORDERS, labels, 1);
    if (!backup) {
        xb_meters_add(agent->meters, BYTES_RESTORED, NULL, (double)order->bytes);
        return;
    }
    xb_meters_add(agent->meters, BYTES_READ, NULL, (double)order->bytes);
    xb_meters_add(agent->meters, BYTES_NEW, NULL, (double)order->bytes_new);
    xb_meters_add(agent->meters, DEQUEUED, &node, 1);
    count_point(agent, &order->point);
    const char *of_order[] = {node, "backup",
                              xb_json_str(xb_velero_owner(order->object, "Backup"), "name", ""),
                              xb_json_str(order->object, "metadata.name", "")};
    double seconds = (double)(xb_clock_mono_ns() - order->began_ns) / XB_NS_PER_S;
    xb_meters_observe(agent->meters, LATENCY, of_order, seconds);
    xb_meters_set(agent->meters, LATENCY_LAST, of_order, seconds);
}

/* ---- serving ---- */

static double anonymous_memory(void)
{
    XB_CLEANUP(xb_fclosep) FILE *file = fopen("/proc/self/status", "re");
    char line[STATUS_LINE_BYTES];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kib = strtoull(line + 8, NULL, 10);
        }
    }
    return (double)kib * 1024;
}

static int fill(void *context, struct xb_buf *out, struct xb_error *err)
{
    struct xb_agent *agent = context;
    xb_meters_set(agent->meters, MEMORY, NULL, anonymous_memory());
    return xb_meters_write(agent->meters, out, err);
}

static bool alive(void *context, char *why, size_t size)
{
    struct xb_agent *agent = context;
    long long lag_ms = xb_loop_lag_ms(agent->loop);
    snprintf(why, size, "the loop stands still for %lld ms", lag_ms);
    return lag_ms < LAG_MAX_MS;
}

static bool ready(void *context, char *why, size_t size)
{
    struct xb_agent *agent = context;
    if (!alive(context, why, size)) {
        return false;
    }
    unsigned synced = atomic_load(&agent->synced);
    snprintf(why, size, "%u of %d kinds of objects have been read", synced, XB_AGENT_INFORMERS);
    return synced >= XB_AGENT_INFORMERS;
}

void xb_agent_metrics_begin(struct xb_agent *agent)
{
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_metrics_options options = {.port = agent->options->metrics_port,
                                               .fill = fill,
                                               .alive = alive,
                                               .ready = ready,
                                               .context = agent};
    if (xb_metrics_server_start(&options, &agent->metrics, &err) < 0) {
        xb_log_error(&err, "no metrics are served");
    }
}

void xb_agent_metrics_end(struct xb_agent *agent)
{
    xb_metrics_server_free(agent->metrics);
    agent->metrics = NULL;
}
