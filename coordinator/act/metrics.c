/* SPDX-License-Identifier: Apache-2.0
 * Numbers for Prometheus, on the port that Velero's manifests name. Read from any thread. */
#include "coordinator/serve/metrics.h"

#include "coordinator/act/internal.h"
#include "shared/base/log.h"

static int add_control(struct xb_buf *out, const char *name, struct xb_control *control,
                       struct xb_error *err)
{
    struct xb_control_counts counts;
    xb_control_counts(control, &counts);
    return xb_buf_printf(out, err,
                         "xebec_control_keys{control=\"%s\"} %zu\n"
                         "xebec_control_running{control=\"%s\"} %zu\n"
                         "xebec_control_actions_total{control=\"%s\"} %llu\n"
                         "xebec_control_failures_total{control=\"%s\"} %llu\n",
                         name, counts.keys, name, counts.running, name,
                         (unsigned long long)counts.actions, name,
                         (unsigned long long)counts.failures);
}

static int fill(void *context, struct xb_buf *out, struct xb_error *err)
{
    struct xb_coordinator *c = context;
    int r = xb_buf_printf(out, err, "xebec_leading %d\nxebec_loop_lag_ms %lld\n",
                          xb_kube_lease_held(c->lease), (long long)xb_loop_lag_ms(c->loop));
    for (unsigned kind = 0; r == 0 && kind < XB_WATCHED_COUNT; kind++) {
        if (c->controls[kind]) {
            r = add_control(out, xb_watched_name(kind), c->controls[kind], err);
        }
    }
    return r;
}

void xb_metrics_begin(struct xb_coordinator *coordinator)
{
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_metrics_options options = {
        .port = coordinator->options->metrics_port, .fill = fill, .context = coordinator};
    if (xb_metrics_server_start(&options, &coordinator->metrics, &err) < 0) {
        xb_log_error(&err, "no metrics are served");
    }
}
