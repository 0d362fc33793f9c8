/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain port: the metrics as they were filled in, health, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "shared/base/log.h"
#include "shared/serve/metrics.h"
#include "tests/unit/shared/serve/client.h"

static const char address[] = "127.0.0.1";

struct source {
    atomic_size_t len; /* of the text */
    atomic_bool fails;
};

static int fill(void *context, struct xb_buf *out, struct xb_error *err)
{
    struct source *source = context;
    static const char line[] = "velero_backup_total 7\n";
    for (size_t len = 0; len < atomic_load(&source->len); len += sizeof line - 1) {
        int r = xb_buf_append_str(out, line, err);
        if (r < 0) {
            return r;
        }
    }
    return atomic_load(&source->fails)
               ? xb_error_set(err, XB_ERR_BUG, -EIO, "the inner story of a failure")
               : 0;
}

static struct xb_metrics_server *start(struct source *source, xb_metrics_fill_fn *fn)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_metrics_server *server = NULL;
    struct xb_metrics_options options = {.address = address, .fill = fn, .context = source};
    int r = xb_metrics_server_start(&options, &server, &err);
    if (r < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    return server;
}

/* The status; the body goes to `out`. */
static int ask(const struct xb_metrics_server *server, const char *request, struct client *client,
               struct xb_buf *out)
{
    static char piece[65536];
    struct xb_error err = XB_ERROR_INIT;
    struct client_tls plain = {.ca_pem = NULL};
    char text[1000];
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n\r\n", request);
    assert_true(client_open(client, address, xb_metrics_server_port(server), &plain));
    assert_true(client_send(client, text));
    assert_true(client_read_head(client));
    for (size_t got; (got = client_body(client, piece, sizeof piece)) > 0;) {
        assert_int_equal(xb_buf_append(out, piece, got, &err), 0);
    }
    assert_true(client->closed);
    client_free(client);
    return client->status;
}

static int status_of(const struct xb_metrics_server *server, const char *request)
{
    struct client client;
    struct xb_buf body = XB_BUF_INIT(XB_METRICS_BYTES_MAX);
    int status = ask(server, request, &client, &body);
    assert_true(body.len == 0 || !strstr(body.data, "story"));
    xb_buf_free(&body);
    return status;
}

static void metrics(void **state)
{
    (void)state;
    struct source source = {.len = 10};
    struct client client;
    struct xb_buf body = XB_BUF_INIT(XB_METRICS_BYTES_MAX);
    struct xb_metrics_server *server = start(&source, fill);
    assert_int_equal(ask(server, "GET /metrics", &client, &body), 200);
    assert_string_equal(body.data, "velero_backup_total 7\n");
    assert_string_equal(client_header(&client, "Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    xb_buf_clear(&body);
    atomic_store(&source.len, 3 << 20);
    assert_int_equal(ask(server, "GET /metrics", &client, &body), 200);
    assert_true(body.len >= 3 << 20 && (long long)body.len == client.length);
    xb_buf_clear(&body);
    assert_int_equal(ask(server, "HEAD /metrics", &client, &body), 200);
    assert_int_equal(body.len, 0);
    assert_true(client.length >= 3 << 20);
    atomic_store(&source.len, XB_METRICS_BYTES_MAX + 1);
    assert_int_equal(status_of(server, "GET /metrics"), 500);
    atomic_store(&source.len, 0);
    assert_int_equal(status_of(server, "GET /metrics"), 200);
    atomic_store(&source.fails, true);
    assert_int_equal(status_of(server, "GET /metrics"), 500);
    xb_metrics_server_free(server);
    xb_buf_free(&body);
}

static void nothing_else(void **state)
{
    (void)state;
    struct source source = {.len = 10};
    struct xb_metrics_server *server = start(&source, fill), *bare = start(NULL, NULL);
    struct client client;
    struct xb_buf body = XB_BUF_INIT(1000);
    assert_int_equal(ask(server, "GET /healthz", &client, &body), 200);
    assert_string_equal(body.data, "ok");
    xb_buf_free(&body);
    assert_int_equal(status_of(server, "GET /"), 404);
    assert_int_equal(status_of(server, "GET /metrics/"), 404);
    assert_int_equal(status_of(server, "GET /download/v1/x.y"), 404);
    assert_int_equal(status_of(server, "POST /metrics"), 405);
    assert_int_equal(status_of(bare, "GET /metrics"), 404);
    assert_int_equal(status_of(bare, "GET /healthz"), 200);
    assert_int_equal(status_of(bare, "GET /readyz"), 200);
    xb_metrics_server_free(server);
    xb_metrics_server_free(bare);
}

struct health {
    atomic_bool alive, ready;
};

static bool is_alive(void *context, char *why, size_t size)
{
    struct health *health = context;
    snprintf(why, size, "stands still");
    return atomic_load(&health->alive);
}

static bool is_ready(void *context, char *why, size_t size)
{
    struct health *health = context;
    snprintf(why, size, "has not read the cluster");
    return atomic_load(&health->ready);
}

static void health(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct health health = {.alive = true};
    struct xb_metrics_server *server = NULL;
    struct client client;
    struct xb_buf body = XB_BUF_INIT(1000);
    const struct xb_metrics_options options = {
        .address = address, .alive = is_alive, .ready = is_ready, .context = &health};
    assert_int_equal(xb_metrics_server_start(&options, &server, &err), 0);
    assert_int_equal(status_of(server, "GET /healthz"), 200);
    assert_int_equal(ask(server, "GET /readyz", &client, &body), 503);
    assert_string_equal(body.data, "has not read the cluster");
    atomic_store(&health.ready, true);
    atomic_store(&health.alive, false);
    assert_int_equal(status_of(server, "GET /readyz"), 200);
    assert_int_equal(status_of(server, "GET /healthz"), 503);
    xb_buf_free(&body);
    xb_metrics_server_free(server);
}

static void port_taken(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_metrics_server *server = start(NULL, NULL), *second = NULL;
    uint16_t port = xb_metrics_server_port(server);
    struct xb_metrics_options options = {.address = address, .port = port};
    assert_true(xb_metrics_server_start(&options, &second, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CONFLICT);
    assert_null(second);
    xb_metrics_server_free(server);
    err = (struct xb_error)XB_ERROR_INIT;
    assert_int_equal(xb_metrics_server_start(&options, &second, &err), 0); /* free at once */
    assert_int_equal(xb_metrics_server_port(second), port);
    xb_metrics_server_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics),
        cmocka_unit_test(nothing_else),
        cmocka_unit_test(health),
        cmocka_unit_test(port_taken),
    };
    xb_log_setup("test", XB_LOG_ERROR, XB_LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
