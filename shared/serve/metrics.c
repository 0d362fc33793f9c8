/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/serve/metrics.h"

#include <string.h>

#include "shared/base/log.h"
#include "shared/serve/listener.h"

enum { WHY_BYTES = 200 };

struct xb_metrics_server {
    struct xb_listener *listener;
    xb_metrics_fill_fn *fill;
    xb_metrics_health_fn *alive, *ready;
    void *context;
};

static enum MHD_Result metrics(const struct xb_metrics_server *server,
                               struct MHD_Connection *connection)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf text = XB_BUF_INIT(XB_METRICS_BYTES_MAX);
    enum MHD_Result result = MHD_NO;
    if (server->fill(server->context, &text, &err) < 0) {
        xb_log_error(&err, "metrics failed");
        result = xb_listener_reply(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed\n");
    } else {
        result = xb_listener_reply_as(connection, "text/plain; version=0.0.4; charset=utf-8",
                                      text.len ? text.data : "", text.len);
    }
    xb_buf_free(&text);
    return result;
}

static enum MHD_Result health(const struct xb_metrics_server *server, xb_metrics_health_fn *fn,
                              struct MHD_Connection *connection)
{
    char why[WHY_BYTES] = "";
    return !fn || fn(server->context, why, sizeof why)
               ? xb_listener_reply(connection, MHD_HTTP_OK, "ok")
               : xb_listener_reply(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

static enum MHD_Result handle(void *context, struct xb_listener *listener,
                              struct MHD_Connection *connection, const char *path)
{
    (void)listener;
    const struct xb_metrics_server *server = context;
    if (strcmp(path, "/healthz") == 0) {
        return health(server, server->alive, connection);
    }
    if (strcmp(path, "/readyz") == 0) {
        return health(server, server->ready, connection);
    }
    if (server->fill && strcmp(path, "/metrics") == 0) {
        return metrics(server, connection);
    }
    return xb_listener_reply(connection, MHD_HTTP_NOT_FOUND, "not found\n");
}

int xb_metrics_server_start(const struct xb_metrics_options *options,
                            struct xb_metrics_server **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_metrics_server_freep)
    struct xb_metrics_server *server = calloc(1, sizeof *server);
    if (!server) {
        return xb_error_no_memory(err, "a server");
    }
    server->fill = options->fill;
    server->alive = options->alive;
    server->ready = options->ready;
    server->context = options->context;
    struct xb_listener_options listener = {
        .address = options->address,
        .port = options->port,
        .threads = XB_METRICS_THREADS,
        .connections_max = XB_METRICS_CONNECTIONS_MAX,
        .timeout_s = XB_METRICS_TIMEOUT_S,
        .handle = handle,
        .context = server,
    };
    int r = xb_listener_start(&listener, &server->listener, err);
    if (r < 0) {
        return xb_error_wrap(err, "metrics");
    }
    *ret = XB_TAKE(server);
    return 0;
}

uint16_t xb_metrics_server_port(const struct xb_metrics_server *server)
{
    return xb_listener_port(server->listener);
}

void xb_metrics_server_free(struct xb_metrics_server *server)
{
    if (!server) {
        return;
    }
    xb_listener_free(server->listener);
    free(server);
}
