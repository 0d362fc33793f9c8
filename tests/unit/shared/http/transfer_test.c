/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies out of files, sent again from their beginning; transfers that stand still; budgets of
 * attempts; and bandwidth limits, against a clock of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/http/limits.h"
#include "shared/http/retry.h"
#include "tests/unit/shared/http/server.h"

enum { FILE_BYTES = 700000 };

struct site {
    char *body; /* of the last request */
    size_t len;
    atomic_int drop; /* the number of the request that gets no answer */
};

static bool serve(void *context, struct test_request *request)
{
    struct site *site = context;
    if (atomic_load(&request->server->requests) == atomic_load(&site->drop)) {
        return false;
    }
    if (strcmp(request->target, "/stall") == 0) {
        test_send(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na little");
        test_pause(request, 30000);
        return false;
    }
    free(site->body);
    site->body = malloc(request->body_len + 1);
    memcpy(site->body, request->body, request->body_len);
    site->len = request->body_len;
    return test_answer(request, 200, "", "taken");
}

static int make_file(unsigned char *data)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        data[i] = (unsigned char)(i * 13 + i / 999);
    }
    assert_int_equal(fwrite(data, 1, FILE_BYTES, file), FILE_BYTES);
    assert_int_equal(fflush(file), 0);
    int fd = dup(fileno(file));
    fclose(file);
    return fd;
}

static void send_file(struct xb_http_client *client, const char *url,
                      const struct xb_http_body_file *file)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_http_response response;
    const struct xb_http_request request = {
        .method = "PUT", .url = url, .body_file = file, .timeout_ms = -1};
    int r = xb_http_perform(client, &request, &response, &err);
    if (r < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    assert_int_equal(response.status, 200);
    xb_http_response_free(&response);
}

/* A part of a file arrives as it is, also when a kept connection breaks and curl starts over, and
 * with limits in both directions. */
static void file_bodies(void **state)
{
    (void)state;
    static unsigned char data[FILE_BYTES];
    int fd = make_file(data);
    for (int limited = 0; limited < 2; limited++) {
        struct xb_error err = XB_ERROR_INIT;
        struct site site = {.body = NULL};
        struct test_server server;
        char url[100];
        XB_CLEANUP(xb_http_limits_freep) struct xb_http_limits *limits = NULL;
        struct xb_http_client *client = NULL;
        assert_true(test_server_start(&server, serve, &site, NULL));
        snprintf(url, sizeof url, "http://127.0.0.1:%d/put", server.port);
        assert_int_equal(xb_http_limits_new(64 << 20, 64 << 20, &limits, &err), 0);
        const struct xb_http_client_options options = {.limits = limited ? limits : NULL,
                                                       .connections_max = 1};
        assert_int_equal(xb_http_client_new(&options, &client, &err), 0);
        const struct xb_http_body_file all = {.fd = fd, .offset = 0, .len = FILE_BYTES};
        send_file(client, url, &all);
        assert_int_equal(site.len, FILE_BYTES);
        assert_memory_equal(site.body, data, FILE_BYTES);
        const struct xb_http_body_file part = {.fd = fd, .offset = 12345, .len = 300001};
        atomic_store(&site.drop, 2);
        send_file(client, url, &part);
        assert_int_equal(server.requests, 3); /* the second got no answer */
        assert_int_equal(site.len, 300001);
        assert_memory_equal(site.body, data + 12345, 300001);
        const struct xb_http_body_file nothing = {.fd = fd, .offset = 5, .len = 0};
        send_file(client, url, &nothing);
        assert_int_equal(site.len, 0);
        xb_http_client_free(client);
        test_server_stop(&server);
        free(site.body);
    }
    close(fd);
}

/* A file that is shorter than it was said to be is an error, and not sent as something else. */
static void short_file(void **state)
{
    (void)state;
    static unsigned char data[FILE_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    struct site site = {.body = NULL};
    struct test_server server;
    struct xb_http_client *client = NULL;
    struct xb_http_response response;
    char url[100];
    int fd = make_file(data);
    assert_true(test_server_start(&server, serve, &site, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/put", server.port);
    assert_int_equal(xb_http_client_new(NULL, &client, &err), 0);
    const struct xb_http_body_file file = {.fd = fd, .offset = 100, .len = FILE_BYTES};
    const struct xb_http_request request = {.method = "PUT", .url = url, .body_file = &file};
    assert_true(xb_http_perform(client, &request, &response, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_null(site.body);
    xb_http_client_free(client);
    test_server_stop(&server);
    close(fd);
}

/* A transfer that stands still ends by itself, without a limit for the whole of it. */
static void stalled(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct site site = {.body = NULL};
    struct test_server server;
    struct xb_http_client *client = NULL;
    struct xb_http_response response;
    char url[100];
    assert_true(test_server_start(&server, serve, &site, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/stall", server.port);
    const struct xb_http_client_options options = {.stall_s = 1};
    assert_int_equal(xb_http_client_new(&options, &client, &err), 0);
    const struct xb_http_request request = {.url = url, .timeout_ms = -1};
    assert_true(xb_http_perform(client, &request, &response, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_RETRY);
    assert_int_equal(err.code, -ETIMEDOUT);
    xb_http_client_free(client);
    test_server_stop(&server);
}

/* Attempts end by number, by budget, and when somebody cancels. */
static void budgets(void **state)
{
    (void)state;
    struct xb_http_attempts attempts;
    xb_http_attempts_begin(&attempts,
                           &(struct xb_http_retry){.attempts_max = 3, .delay_first_ms = 1});
    assert_true(xb_http_attempts_again(&attempts, -1, NULL));
    assert_true(xb_http_attempts_again(&attempts, -1, NULL));
    assert_false(xb_http_attempts_again(&attempts, -1, NULL));
    xb_http_attempts_begin(&attempts,
                           &(struct xb_http_retry){.attempts_max = 1000, .delay_first_ms = 1});
    assert_int_equal(attempts.most, XB_HTTP_ATTEMPTS_MAX);
    xb_http_attempts_begin(&attempts, NULL);
    assert_int_equal(attempts.most, XB_HTTP_ATTEMPTS_DEFAULT);
    /* The pause would go beyond the budget: it is not even begun. */
    xb_http_attempts_begin(&attempts,
                           &(struct xb_http_retry){.budget_ms = 5000, .delay_first_ms = 30000});
    assert_false(xb_http_attempts_again(&attempts, 30000, NULL));
    atomic_bool cancel = true;
    xb_http_attempts_begin(&attempts, NULL);
    assert_false(xb_http_attempts_again(&attempts, 30000, &cancel));
}

/* Transfers that share a bucket get its rate together, whatever their pieces; what was not used
 * for a while is not saved up. */
static void bucket_rate(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1000, 1 << 20, 5 << 20};
    static const uint64_t pieces[] = {1000, 7777, 16384, 5 << 20};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct xb_http_bucket bucket = {.rate = rates[i]};
        int64_t now = 1000 * XB_NS_PER_S;
        int64_t due[4] = {now, now, now, now};
        uint64_t taken = 0;
        int64_t start = now;
        /* Four transfers; whoever's pause is over first takes its next piece. */
        for (int turn = 0; turn < 4000; turn++) {
            size_t next = 0;
            for (size_t k = 1; k < 4; k++) {
                next = due[k] < due[next] ? k : next;
            }
            now = due[next] > now ? due[next] : now;
            taken += pieces[next];
            due[next] = now + xb_http_bucket_take(&bucket, pieces[next], now);
        }
        int64_t last = now;
        for (size_t k = 0; k < 4; k++) {
            last = due[k] > last ? due[k] : last;
        }
        double seconds = (double)(last - start) / 1e9 + XB_HTTP_LIMITS_BURST_MS / 1e3;
        double rate = (double)taken / seconds;
        assert_true(rate <= (double)rates[i] * 1.001 && rate >= (double)rates[i] * 0.98);
        /* After an idle hour a burst's worth is free, and no more. */
        now = last + 3600 * XB_NS_PER_S;
        uint64_t burst = rates[i] / 1000 * XB_HTTP_LIMITS_BURST_MS;
        assert_int_equal(xb_http_bucket_take(&bucket, burst, now), 0);
        assert_true(xb_http_bucket_take(&bucket, burst, now) > 0);
    }
}

/* No rate is no limit; numbers at the edge do not wrap; limits too large are refused. */
static void bucket_edges(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_http_bucket none = {.rate = 0};
    assert_int_equal(xb_http_bucket_take(&none, UINT64_MAX, 0), 0);
    struct xb_http_bucket slow = {.rate = 1};
    for (int i = 0; i < 10; i++) {
        assert_true(xb_http_bucket_take(&slow, UINT64_MAX, 0) > 0);
    }
    struct xb_http_limits *limits = NULL;
    assert_true(xb_http_limits_new(XB_HTTP_LIMITS_RATE_MAX + 1, 0, &limits, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_int_equal(xb_http_limits_new(0, 5, &limits, &err), 0);
    assert_false(xb_http_limits_any(limits, XB_HTTP_UP));
    assert_true(xb_http_limits_any(limits, XB_HTTP_DOWN));
    assert_false(xb_http_limits_any(NULL, XB_HTTP_DOWN));
    assert_int_equal(xb_http_limits_piece(limits, XB_HTTP_DOWN), XB_HTTP_LIMITS_PIECE_BYTES_MIN);
    assert_true(xb_http_limits_wait(limits, XB_HTTP_UP, 1 << 30, NULL));
    atomic_bool cancel = true;
    assert_false(xb_http_limits_wait(limits, XB_HTTP_DOWN, 1 << 30, &cancel));
    xb_http_limits_free(limits);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* for the test's own server */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_bodies), cmocka_unit_test(short_file),
        cmocka_unit_test(stalled),     cmocka_unit_test(budgets),
        cmocka_unit_test(bucket_rate), cmocka_unit_test(bucket_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
