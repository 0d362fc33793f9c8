/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h - the second, plain port: metrics and health.
 *
 * What for:  Prometheus reads "/metrics", the kubelet "/healthz" (is it alive?) and "/readyz" (can
 *            it work?); none needs TLS, and none may reach what the download port serves.
 * Ownership: the caller frees it, which stops it. `context` must outlive it.
 * Threads:   start and free from one thread; `fill`, `alive` and `ready` are called from the
 *            server's own threads, several at a time.
 * Blocking:  start, no; free, up to XB_LISTENER_STOP_MS and one call of `fill`.
 * Shapes:    GET "/metrics": 200 with the text, or 500; 404 without `fill`. GET "/healthz" and
 *            "/readyz": "ok", or 503 with the reason.
 * Errors:    CONFLICT: the port is taken; INVALID; DENIED; IO.
 * Limits:    XB_METRICS_BYTES_MAX of text, XB_METRICS_CONNECTIONS_MAX, XB_METRICS_TIMEOUT_S.
 * Source:    the Prometheus text format, version 0.0.4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_METRICS_BYTES_MAX = 4 * 1024 * 1024,
    XB_METRICS_CONNECTIONS_MAX = 16,
    XB_METRICS_TIMEOUT_S = 30,
    XB_METRICS_THREADS = 2
};

/* Appends the whole text. */
typedef int xb_metrics_fill_fn(void *context, struct xb_buf *out, struct xb_error *err);

/* False: `why` says what is wrong. */
typedef bool xb_metrics_health_fn(void *context, char *why, size_t size);

struct xb_metrics_options {
    const char *address; /* numeric; NULL: every one, IPv6 and IPv4 */
    uint16_t port;       /* 0: any free one */
    xb_metrics_fill_fn *fill;
    xb_metrics_health_fn *alive, *ready; /* NULL: always */
    void *context;
};

struct xb_metrics_server;

int xb_metrics_server_start(const struct xb_metrics_options *options,
                            struct xb_metrics_server **ret, struct xb_error *err) XB_MUST_CHECK;

uint16_t xb_metrics_server_port(const struct xb_metrics_server *server);

void xb_metrics_server_free(struct xb_metrics_server *server);
XB_DEFINE_CLEANUP(xb_metrics_server_freep, struct xb_metrics_server, xb_metrics_server_free);
