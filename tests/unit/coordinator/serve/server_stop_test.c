/* SPDX-License-Identifier: Apache-2.0
 *
 * How a download server begins and ends: where it listens, what it refuses, and what becomes of
 * the downloads that run when it is stopped.
 */
#include <pthread.h>

#include "tests/unit/coordinator/serve/server_bed.h"

static void *stop_job(void *context)
{
    struct bed *bed = context;
    xb_server_free(bed->server);
    return NULL;
}

/* Stopped during a download: new clients are refused, the running one gets all it was promised. */
static void stop_lets_end(void **state)
{
    struct bed *bed = *state;
    struct client client;
    pthread_t stopper;
    char first[1000];
    int fd = -1;
    put(bed, "huge", HUGE_BYTES);
    begin(&client, bed, link_to(bed, "huge", 600));
    size_t got = client_body(&client, first, sizeof first);
    assert_true(got > 0);
    assert_int_equal(pthread_create(&stopper, NULL, stop_job, bed), 0);
    while ((fd = client_connect(address, bed->port)) >= 0) {
        close(fd); /* not stopping yet */
        usleep(1000);
    }
    assert_int_equal(client_compare(&client, pattern, HUGE_BYTES, got), HUGE_BYTES);
    client_free(&client);
    pthread_join(stopper, NULL);
    bed->server = NULL;
}

/* Stopped while a client takes nothing: it does not hold up the stop, and sees that it has not
 * everything. */
static void stop_breaks_off(void **state)
{
    struct bed *bed = *state;
    struct client stalled, idle;
    struct client_tls tls = {.ca_pem = bed->ca->pem};
    char first[1000];
    put(bed, "huge", HUGE_BYTES);
    begin(&stalled, bed, link_to(bed, "huge", 600));
    size_t got = client_body(&stalled, first, sizeof first);
    assert_true(client_open(&idle, address, bed->port, &tls)); /* without a request */
    xb_server_free(bed->server);
    bed->server = NULL;
    size_t all = client_compare(&stalled, pattern, HUGE_BYTES, got);
    assert_true(all != SIZE_MAX && all < HUGE_BYTES);
    assert_int_equal(client_read(&idle, first, sizeof first), 0);
    client_free(&idle);
    client_free(&stalled);
    assert_int_equal(client_connect(address, bed->port), -1);
}

/* Every address, by IPv4 and where there is IPv6 by that too; and ports and options that are not
 * possible. */
static void listening(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_server *first = bed->server, *second = NULL;
    struct client client;
    struct client_tls tls = {.ca_pem = bed->ca->pem};
    bed->server = NULL;
    assert_int_equal(start(bed, address, bed->port, &err), -EADDRINUSE);
    assert_int_equal(err.kind, XB_ERR_CONFLICT);
    assert_true(start(bed, "localhost", 0, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_true(start(bed, "192.0.2.1", 0, &err) < 0);
    assert_null(bed->server);
    err = (struct xb_error)XB_ERROR_INIT;
    ok(start(bed, NULL, 0, &err), &err);
    second = bed->server;
    assert_true(client_open(&client, address, xb_server_port(second), &tls));
    client_free(&client);
    int probe = client_connect("::1", xb_server_port(second));
    if (probe >= 0 || errno == ECONNREFUSED) { /* this machine has IPv6 */
        assert_true(probe >= 0);
        close(probe);
        assert_true(client_open(&client, "::1", xb_server_port(second), &tls));
        client_free(&client);
    }
    xb_server_free(second);
    bed->server = first;
    assert_int_equal(status_of(bed, "GET", "/healthz"), 200);
}

static void start_refused(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_server *kept = bed->server;
    struct xb_secret *key = bed->key, *brief = NULL;
    ok(xb_secret_new("short", 5, &brief, &err), &err);
    bed->server = NULL;
    bed->key = brief;
    assert_true(start(bed, address, 0, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    bed->key = key;
    /* A certificate with the key of another one is found by the server too. */
    struct xb_certificate mixed = {.pem = bed->certificate->pem, .key = bed->ca->key};
    struct xb_certificate *good = bed->certificate;
    bed->certificate = &mixed;
    assert_true(start(bed, address, 0, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_IO);
    bed->certificate = good;
    assert_null(bed->server);
    xb_secret_free(brief);
    bed->server = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BED_TEST(stop_lets_end),
        BED_TEST(stop_breaks_off),
        BED_TEST(listening),
        BED_TEST(start_refused),
    };
    bed_prepare();
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    free(pattern);
    return r;
}
