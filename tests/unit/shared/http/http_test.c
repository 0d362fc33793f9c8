/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocking client against a real server: what is sent, what is an error and what is not, TLS in
 * both directions, limits, cancelling, and the retry policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/http/retry.h"
#include "tests/unit/shared/http/server.h"

struct site {
    char head[4096];
    char body[4096];
    atomic_int fail_first; /* so many answers of 503 (or 429) before a good one */
    int fail_status;
};

static bool serve(void *context, struct test_request *request)
{
    struct site *site = context;
    if (strcmp(request->target, "/silent") == 0) {
        test_pause(request, 20000);
        return false;
    }
    if (strcmp(request->target, "/reset") == 0) {
        struct linger now = {.l_onoff = 1};
        setsockopt(request->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
    }
    if (strcmp(request->target, "/short") == 0) {
        test_send(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        return false;
    }
    if (strcmp(request->target, "/big") == 0) {
        char *big = calloc(1, 100001);
        memset(big, 'x', 100000);
        bool sent = test_answer(request, 200, "", big);
        free(big);
        return sent;
    }
    if (strcmp(request->target, "/bad") == 0) {
        return test_answer(request, 404, "X-Note: yes\r\n", "no such thing");
    }
    if (strcmp(request->target, "/moved") == 0) {
        return test_answer(request, 302, "Location: /echo\r\n", "");
    }
    if (strcmp(request->target, "/flaky") == 0 && atomic_fetch_sub(&site->fail_first, 1) > 0) {
        return test_answer(request, site->fail_status, "Retry-After: 0\r\n", "later");
    }
    snprintf(site->head, sizeof site->head, "%s", request->head);
    snprintf(site->body, sizeof site->body, "%.*s", (int)request->body_len, request->body);
    return test_answer(request, 200, "X-Note: yes\r\n", "hello");
}

struct fixture {
    struct site site;
    struct test_server server;
    struct xb_http_client *client;
    char url[128];
    struct xb_http_response response;
    struct xb_error err;
};

static const char *url(struct fixture *f, const char *path)
{
    snprintf(f->url, sizeof f->url, "%s://127.0.0.1:%d%s", f->server.tls ? "https" : "http",
             f->server.port, path);
    return f->url;
}

static int get(struct fixture *f, const char *path)
{
    struct xb_http_request request = {.url = url(f, path)};
    xb_http_response_free(&f->response);
    return xb_http_perform(f->client, &request, &f->response, &f->err);
}

static void start(struct fixture *f, SSL_CTX *tls, const struct xb_http_client_options *options)
{
    memset(f, 0, sizeof *f);
    assert_true(test_server_start(&f->server, serve, &f->site, tls));
    assert_int_equal(xb_http_client_new(options, &f->client, &f->err), 0);
}

static void stop(struct fixture *f)
{
    xb_http_response_free(&f->response);
    xb_http_client_free(f->client);
    test_server_stop(&f->server);
}

/* Body, status and headers arrive; a bad status is an answer, and no redirect is followed. */
static void answers(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL, NULL);
    assert_int_equal(get(&f, "/echo"), 0);
    assert_int_equal(f.response.status, 200);
    assert_string_equal(f.response.body.data, "hello");
    assert_int_equal(f.response.retry_after_ms, -1);
    assert_int_equal(get(&f, "/bad"), 0);
    assert_int_equal(f.response.status, 404);
    assert_string_equal(f.response.body.data, "no such thing");
    assert_int_equal(get(&f, "/moved"), 0);
    assert_int_equal(f.response.status, 302);
    assert_int_equal(f.server.connections, 1); /* kept open and used again */
    stop(&f);
}

static void see_header(void *context, const char *name, const char *value)
{
    if (strcmp(name, "X-Note") == 0) {
        snprintf(context, 16, "%s", value);
    }
}

/* Method, headers, token and body go out as asked, and nothing is added that was not. */
static void sends(void **state)
{
    (void)state;
    struct fixture f;
    char note[16] = "";
    start(&f, NULL, NULL);
    struct xb_secret *token = NULL;
    assert_int_equal(xb_secret_new("s3cret", 6, &token, &f.err), 0);
    const char *const headers[] = {"Content-Type: text/x", "X-One: 1", NULL};
    struct xb_http_request request = {.method = "PATCH",
                                      .url = url(&f, "/echo"),
                                      .headers = headers,
                                      .bearer = token,
                                      .body = "data",
                                      .body_len = 4,
                                      .on_header = see_header,
                                      .context = note};
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), 0);
    assert_non_null(strstr(f.site.head, "PATCH /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(f.site.head, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(f.site.head, "\r\nContent-Type: text/x\r\n"));
    assert_non_null(strstr(f.site.head, "\r\nAuthorization: Bearer s3cret\r\n"));
    assert_null(strstr(f.site.head, "Expect"));
    assert_string_equal(f.site.body, "data");
    assert_string_equal(note, "yes");
    xb_http_response_free(&f.response);
    struct xb_http_request post = {.method = "POST", .url = url(&f, "/echo")};
    assert_int_equal(xb_http_perform(f.client, &post, &f.response, &f.err), 0);
    assert_non_null(strstr(f.site.head, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(f.site.head, "Content-Type"));
    assert_null(strstr(f.site.head, "Authorization")); /* not left over from the last request */
    const char *const forged[] = {"X: 1\r\nX-Evil: 2", NULL};
    struct xb_http_request evil = {.url = url(&f, "/echo"), .headers = forged};
    struct xb_http_response none;
    assert_int_equal(xb_http_perform(f.client, &evil, &none, &f.err), -EINVAL);
    assert_int_equal(f.err.kind, XB_ERR_INVALID);
    xb_secret_free(token);
    stop(&f);
}

/* No answer is RETRY, however the connection fails; nonsense is INVALID. */
static void transport_failures(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL, NULL);
    assert_true(get(&f, "/reset") < 0);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    assert_true(get(&f, "/short") < 0);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    struct xb_http_request slow = {.url = url(&f, "/silent"), .timeout_ms = 150};
    assert_int_equal(xb_http_perform(f.client, &slow, &f.response, &f.err), -ETIMEDOUT);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    struct xb_http_request refused = {.url = "http://127.0.0.1:1/"};
    assert_int_equal(xb_http_perform(f.client, &refused, &f.response, &f.err), -ECONNREFUSED);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    struct xb_http_request file = {.url = "file:///etc/passwd"};
    assert_int_equal(xb_http_perform(f.client, &file, &f.response, &f.err), -EINVAL);
    assert_int_equal(f.err.kind, XB_ERR_INVALID);
    stop(&f);
}

static int count_bytes(void *context, const void *data, size_t len, struct xb_error *err)
{
    (void)data;
    (void)err;
    *(size_t *)context += len;
    return 0;
}

static int refuse_bytes(void *context, const void *data, size_t len, struct xb_error *err)
{
    (void)context;
    (void)data;
    (void)len;
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "I do not like it");
}

/* No answer is larger than its ceiling; on_data streams it, and its failure is the request's. */
static void body_limits(void **state)
{
    (void)state;
    struct fixture f;
    size_t count = 0;
    start(&f, NULL, NULL);
    struct xb_http_request request = {.url = url(&f, "/big"), .response_bytes_max = 99999};
    assert_true(xb_http_perform(f.client, &request, &f.response, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_FULL);
    request.response_bytes_max = 100000;
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), 0);
    assert_int_equal(f.response.body.len, 100000);
    xb_http_response_free(&f.response);
    request.on_data = count_bytes;
    request.context = &count;
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), 0);
    assert_int_equal(count, 100000);
    assert_int_equal(f.response.body.len, 0);
    request.response_bytes_max = 5000;
    assert_true(xb_http_perform(f.client, &request, &f.response, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_FULL);
    request.response_bytes_max = 0;
    request.on_data = refuse_bytes;
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), -EBADMSG);
    assert_non_null(strstr(f.err.text, "I do not like it"));
    request.url = url(&f, "/bad"); /* a bad answer does not go to on_data */
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), 0);
    assert_string_equal(f.response.body.data, "no such thing");
    stop(&f);
}

static void *set_later(void *context)
{
    usleep(100000);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

/* A request that hangs ends when its flag is set, long before its timeout. */
static void cancelled(void **state)
{
    (void)state;
    struct fixture f;
    atomic_bool cancel = false;
    pthread_t thread;
    start(&f, NULL, NULL);
    pthread_create(&thread, NULL, set_later, &cancel);
    struct xb_http_request request = {.url = url(&f, "/silent"), .cancel = &cancel};
    assert_int_equal(xb_http_perform(f.client, &request, &f.response, &f.err), -ECANCELED);
    assert_int_equal(f.err.kind, XB_ERR_CANCELLED);
    pthread_join(thread, NULL);
    stop(&f);
}

/* Only the configured CA is trusted, names are checked, and each refusal is DENIED with advice. */
static void tls_checks(void **state)
{
    (void)state;
    struct fixture f;
    struct test_pair ca = test_pair_new("ca", NULL);
    struct test_pair other_ca = test_pair_new("other", NULL);
    struct test_pair server = test_pair_new("server", &ca);
    struct test_pair client = test_pair_new("client", &ca);
    struct test_pair stranger = test_pair_new("stranger", &other_ca);
    struct xb_http_client_options options = {.ca_pem = ca.cert_pem,
                                             .client_cert_pem = client.cert_pem,
                                             .client_key_pem = client.key_pem};
    start(&f, test_tls(&server, &ca), &options);
    assert_int_equal(get(&f, "/echo"), 0);
    assert_int_equal(f.response.status, 200);
    struct xb_http_client *good = f.client;
    struct xb_http_client_options bad[] = {
        {.ca_pem = other_ca.cert_pem},
        {.ca_pem = NULL},        /* the system's roots */
        {.ca_pem = ca.cert_pem}, /* no client certificate */
        {.ca_pem = ca.cert_pem,
         .client_cert_pem = stranger.cert_pem,
         .client_key_pem = stranger.key_pem},
        {.ca_pem = ca.cert_pem,
         .client_cert_pem = client.cert_pem,
         .client_key_pem = stranger.key_pem},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(xb_http_client_new(&bad[i], &f.client, &f.err), 0);
        assert_true(get(&f, "/echo") < 0);
        if (f.err.kind != XB_ERR_DENIED) {
            fail_msg("%zu: %s", i, f.err.text);
        }
        assert_non_null(strchr(f.err.text, '?')); /* the advice asks what may be wrong */
        xb_http_client_free(f.client);
    }
    f.client = good;
    struct xb_http_request wrong_name = {.url = f.url};
    snprintf(f.url, sizeof f.url, "https://localhost:%d/echo", f.server.port);
    assert_true(xb_http_perform(f.client, &wrong_name, &f.response, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_DENIED);
    stop(&f);
    options.insecure = true;
    options.ca_pem = other_ca.cert_pem;
    start(&f, test_tls(&server, NULL), &options);
    assert_int_equal(get(&f, "/echo"), 0);
    stop(&f);
    start(&f, NULL, &options); /* TLS to a server that speaks none */
    struct xb_http_request plain = {.url = f.url};
    snprintf(f.url, sizeof f.url, "https://127.0.0.1:%d/echo", f.server.port);
    assert_true(xb_http_perform(f.client, &plain, &f.response, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_DENIED);
    stop(&f);
    test_pair_done(&ca);
    test_pair_done(&other_ca);
    test_pair_done(&server);
    test_pair_done(&client);
    test_pair_done(&stranger);
}

struct many {
    struct fixture *f;
    atomic_int good;
};

static void *many_requests(void *context)
{
    struct many *many = context;
    for (int i = 0; i < 20; i++) {
        char address[128];
        struct xb_error err = XB_ERROR_INIT;
        struct xb_http_response response;
        snprintf(address, sizeof address, "http://127.0.0.1:%d/big", many->f->server.port);
        struct xb_http_request request = {.url = address};
        if (xb_http_perform(many->f->client, &request, &response, &err) == 0) {
            atomic_fetch_add(&many->good, response.body.len == 100000);
            xb_http_response_free(&response);
        }
    }
    return NULL;
}

/* Many threads share few connections; who finds none within its timeout is told RETRY. */
static void pool_of(bool multiplexed)
{
    struct fixture f;
    struct xb_http_client_options options = {.connections_max = multiplexed ? 6 : 2,
                                             .multiplexed = multiplexed};
    start(&f, NULL, &options);
    struct many many = {.f = &f};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        pthread_create(&threads[i], NULL, many_requests, &many);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(many.good, 120);
    assert_int_equal(f.server.connections, 2);
    stop(&f);
}

static void pool(void **state)
{
    (void)state;
    pool_of(false);
}

/* Multiplexed, with a server that speaks HTTP/1.1 only: they take turns. */
static void multiplexed(void **state)
{
    (void)state;
    pool_of(true);
    struct fixture f;
    struct xb_http_client_options options = {.multiplexed = true, .timeout_ms = 200};
    start(&f, NULL, &options);
    assert_true(get(&f, "/silent") < 0);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    assert_int_equal(get(&f, "/echo"), 0);
    assert_int_equal(f.response.status, 200);
    stop(&f);
}

struct gate {
    int entered, left, statuses[8];
    bool closed;
};

static bool enter_gate(void *context, const atomic_bool *cancel)
{
    struct gate *gate = context;
    (void)cancel;
    gate->entered++;
    return !gate->closed;
}

static void leave_gate(void *context, int status, int64_t took_ns)
{
    struct gate *gate = context;
    assert_true(took_ns >= 0);
    gate->statuses[gate->left++] = status;
}

/* Every attempt passes the gate, in and out; what is refused there is not sent. */
static void gates(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL, NULL);
    struct gate gate = {.entered = 0};
    const struct xb_http_gate at = {&gate, enter_gate, leave_gate};
    struct xb_http_retry policy = {.attempts_max = 3, .delay_first_ms = 1, .gate = &at};
    struct xb_http_request request = {.url = url(&f, "/flaky"), .method = "POST"};
    f.site.fail_status = 429;
    f.site.fail_first = 1;
    assert_int_equal(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err), 0);
    assert_int_equal(gate.entered, 2);
    assert_int_equal(gate.left, 2);
    assert_int_equal(gate.statuses[0], 429);
    assert_int_equal(gate.statuses[1], 200);
    xb_http_response_free(&f.response);
    request.url = url(&f, "/reset");
    assert_true(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err) < 0);
    assert_int_equal(gate.statuses[2], 0);
    int before = f.server.requests;
    gate.closed = true;
    assert_true(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_CANCELLED);
    assert_int_equal(f.server.requests, before);
    assert_int_equal(gate.left, 3);
    stop(&f);
}

/* Passing failures are repeated, a bounded number of times, and a write only when that is safe. */
static void retries(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL, NULL);
    struct xb_http_retry policy = {.attempts_max = 3, .delay_first_ms = 1};
    struct xb_http_request request = {.url = url(&f, "/flaky")};
    f.site.fail_status = 503;
    f.site.fail_first = 2;
    assert_int_equal(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err), 0);
    assert_int_equal(f.response.status, 200);
    assert_int_equal(f.server.requests, 3);
    xb_http_response_free(&f.response);
    f.site.fail_first = 3; /* one more than the policy allows */
    assert_int_equal(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err), 0);
    assert_int_equal(f.response.status, 503);
    assert_int_equal(f.server.requests, 6);
    assert_int_equal(f.response.retry_after_ms, 0);
    xb_http_response_free(&f.response);
    request.method = "POST"; /* might have been done: not again */
    f.site.fail_first = 1;
    assert_int_equal(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err), 0);
    assert_int_equal(f.response.status, 503);
    xb_http_response_free(&f.response);
    f.site.fail_status = 429; /* was not done: again */
    f.site.fail_first = 1;
    assert_int_equal(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err), 0);
    assert_int_equal(f.response.status, 200);
    xb_http_response_free(&f.response);
    int before = f.server.requests;
    request.method = NULL;
    request.url = url(&f, "/short"); /* breaks after bytes were handed out: not again */
    size_t count = 0;
    request.on_data = count_bytes;
    request.context = &count;
    assert_true(xb_http_perform_retry(f.client, &request, &policy, &f.response, &f.err) < 0);
    assert_int_equal(f.server.requests, before + 1);
    stop(&f);
}

/* Delays double, stay under the ceiling, and obey Retry-After up to it. */
static void delays(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        int64_t first = xb_http_retry_delay_ms(1, 100, -1);
        assert_true(first >= 50 && first <= 100);
        int64_t third = xb_http_retry_delay_ms(3, 100, -1);
        assert_true(third >= 200 && third <= 400);
        int64_t late = xb_http_retry_delay_ms(4000000000U, 100, -1);
        assert_true(late >= XB_HTTP_DELAY_MAX_MS / 2 && late <= XB_HTTP_DELAY_MAX_MS);
    }
    assert_int_equal(xb_http_retry_delay_ms(1, 100, 5000), 5000);
    assert_int_equal(xb_http_retry_delay_ms(1, 100, INT64_MAX), XB_HTTP_DELAY_MAX_MS);
    assert_int_equal(xb_http_retry_after_parse("7"), 7000);
    assert_int_equal(xb_http_retry_after_parse("99999999999999999999"), 86400000);
    assert_int_equal(xb_http_retry_after_parse("7x"), -1);
    assert_int_equal(xb_http_retry_after_parse(""), -1);
    assert_int_equal(xb_http_retry_after_parse("Fri, 01 Jan 1999 00:00:00 GMT"), 0);
}

/* Everything outside the unreserved characters is escaped. */
static void escape(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(100);
    assert_int_equal(xb_http_escape(&out, "aZ9-._~/ %\xc3\xa9=&", &err), 0);
    assert_string_equal(out.data, "aZ9-._~%2F%20%25%C3%A9%3D%26");
    xb_buf_free(&out);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* for the test's own server */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(sends),
        cmocka_unit_test(transport_failures),
        cmocka_unit_test(body_limits),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(tls_checks),
        cmocka_unit_test(pool),
        cmocka_unit_test(multiplexed),
        cmocka_unit_test(gates),
        cmocka_unit_test(retries),
        cmocka_unit_test(delays),
        cmocka_unit_test(escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
