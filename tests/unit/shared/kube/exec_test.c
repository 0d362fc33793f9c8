/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands through an API server that says what a real one says too seldom to wait for. The
 * everyday behaviour is tested against a real one in tests/cluster/exec_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/kube/exec.h"
#include "tests/unit/shared/http/websocket_server.h"

#define SUCCESS "{\"metadata\":{},\"status\":\"Success\"}"
#define EXIT_3                                                                                     \
    "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit " \
    "code\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"Other\","        \
    "\"message\":\"9\"},{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}"
#define NO_PROGRAM                                                                                 \
    "{\"status\":\"Failure\",\"message\":\"Internal error occurred: executable file not found\","  \
    "\"reason\":\"InternalError\",\"code\":500}"

struct api {
    const char *protocol; /* NULL: refuse with the status below */
    int refusal;
    const char *good_token; /* others get 401; may be NULL */
    const char *out, *err, *status;
    bool status_first, stays; /* the connection is not closed at the end */
    char target[1024];
    atomic_int refused;
};

static bool serve(void *context, struct test_request *request)
{
    struct api *api = context;
    snprintf(api->target, sizeof api->target, "%.1023s", request->target);
    if (api->good_token && !strstr(request->head, api->good_token)) {
        atomic_fetch_add(&api->refused, 1);
        return test_answer(request, 401, "", "{\"reason\":\"Unauthorized\"}");
    }
    if (!api->protocol) {
        return test_answer(request, api->refusal, "", "{\"message\":\"pods exec\"}");
    }
    test_websocket_accept(request, api->protocol);
    for (int channel = 0; channel < 4; channel++) {
        test_channel(request, channel, ""); /* as the real one opens its channels */
    }
    test_channel(request, 255, "\x01");
    if (api->status_first) {
        test_channel(request, 3, api->status);
        test_pause(request, 100);
    }
    if (api->out) {
        test_channel(request, 1, api->out);
    }
    if (api->err) {
        test_channel(request, 2, api->err);
    }
    if (api->status && !api->status_first) {
        test_channel(request, 3, api->status);
    }
    if (api->stays) {
        test_pause(request, 20000);
    }
    return false;
}

static const char *const argv[] = {"sh", "-c", "echo 'a b' & true", "", NULL};

struct outcome {
    int r;
    struct xb_exec_result result;
    struct xb_error err;
    int64_t took_ms;
};

static struct outcome run_with(struct api *api, const char *token_file,
                               const struct xb_exec_command *command)
{
    struct test_server server;
    struct outcome outcome = {.r = 0};
    struct xb_kube_client *client = NULL;
    char url[64];
    assert_true(test_server_start(&server, serve, api, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server.port);
    struct xb_kube_config config = {.server = url, .token_file = (char *)(uintptr_t)token_file};
    assert_int_equal(xb_kube_client_new(&config, NULL, &client, &outcome.err), 0);
    const struct xb_kube_exec_target target = {.namespace = "ns", .pod = "p", .container = "c"};
    int64_t begin = xb_clock_mono_ns();
    outcome.r = xb_kube_exec(client, &target, command, &outcome.result, &outcome.err);
    outcome.took_ms = (xb_clock_mono_ns() - begin) / XB_NS_PER_MS;
    xb_kube_client_free(client);
    test_server_stop(&server);
    return outcome;
}

static struct outcome run(struct api api, int timeout_ms)
{
    const struct xb_exec_command command = {
        .argv = argv, .timeout_ms = timeout_ms, .output_bytes_max = 8};
    return run_with(&api, NULL, &command);
}

static void test_exit_codes(void **state)
{
    (void)state;
    struct outcome outcome =
        run((struct api){.protocol = "v5.channel.k8s.io", .out = "hi", .status = SUCCESS}, 9000);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.result.exit_code, 0);
    assert_false(outcome.result.timed_out);
    assert_string_equal(outcome.result.out.bytes.data, "hi");
    assert_null(outcome.result.err.bytes.data);
    xb_exec_result_free(&outcome.result);
    outcome = run(
        (struct api){.protocol = "v4.channel.k8s.io", .err = "0123456789", .status = EXIT_3}, 9000);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.result.exit_code, 3);
    assert_string_equal(outcome.result.err.bytes.data, "01234567");
    assert_true(outcome.result.err.truncated);
    assert_false(outcome.result.out.truncated);
    xb_exec_result_free(&outcome.result);
}

/* Every argument arrives as it is, the empty one too, and no input is asked for. */
static void test_url(void **state)
{
    (void)state;
    struct api api = {.protocol = "v5.channel.k8s.io", .status = SUCCESS};
    const struct xb_exec_command command = {.argv = argv};
    struct outcome outcome = run_with(&api, NULL, &command);
    assert_int_equal(outcome.r, 0);
    assert_string_equal(api.target,
                        "/api/v1/namespaces/ns/pods/p/exec?stdout=true&stderr=true&"
                        "container=c&command=sh&command=-c&command=echo%20%27a%20b%27%20"
                        "%26%20true&command=");
    xb_exec_result_free(&outcome.result);
}

/* Output that is still under way when the Status comes is waited for, but not for ever. */
static void test_status_before_output(void **state)
{
    (void)state;
    struct outcome outcome = run((struct api){.protocol = "v5.channel.k8s.io",
                                              .out = "late",
                                              .status = EXIT_3,
                                              .status_first = true,
                                              .stays = true},
                                 20000);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.result.exit_code, 3);
    assert_string_equal(outcome.result.out.bytes.data, "late");
    assert_true(outcome.took_ms < 10000);
    xb_exec_result_free(&outcome.result);
}

static void test_timeout(void **state)
{
    (void)state;
    struct outcome outcome =
        run((struct api){.protocol = "v5.channel.k8s.io", .out = "so far", .stays = true}, 500);
    assert_int_equal(outcome.r, 0);
    assert_true(outcome.result.timed_out);
    assert_int_equal(outcome.result.exit_code, -1);
    assert_string_equal(outcome.result.out.bytes.data, "so far");
    assert_true(outcome.took_ms >= 490 && outcome.took_ms < 5000);
    xb_exec_result_free(&outcome.result);
}

/* What is not known about a command is said to be not known: it may have run. */
static void test_unknown_ends(void **state)
{
    (void)state;
    static const char *const statuses[] = {NULL,
                                           "",
                                           "{",
                                           "{\"status\":\"Fail",
                                           NO_PROGRAM,
                                           "{}",
                                           "[]",
                                           "{\"details\":{\"causes\":[{\"reason\":"
                                           "\"ExitCode\",\"message\":\"3x\"}]}}"};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct outcome outcome =
            run((struct api){.protocol = "v5.channel.k8s.io", .status = statuses[i]}, 9000);
        assert_true(outcome.r < 0);
        assert_int_equal(outcome.err.kind, XB_ERR_IO);
        assert_non_null(strstr(outcome.err.text, "pod ns/p, container c"));
    }
}

/* A refusal is told by kind, and the server's words are in the text. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum xb_error_kind kind;
    } table[] = {{400, XB_ERR_INVALID}, {403, XB_ERR_DENIED}, {404, XB_ERR_NOT_FOUND},
                 {429, XB_ERR_RETRY},   {500, XB_ERR_RETRY},  {200, XB_ERR_INVALID}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct outcome outcome = run((struct api){.refusal = table[i].status}, 9000);
        assert_true(outcome.r < 0);
        assert_int_equal(outcome.err.kind, table[i].kind);
        assert_non_null(strstr(outcome.err.text, "pods exec"));
    }
    struct outcome outcome = run((struct api){.protocol = "v3.channel.k8s.io"}, 9000);
    assert_int_equal(outcome.err.kind, XB_ERR_CORRUPT);
}

/* A token that was rotated is read again, once. */
static void test_token(void **state)
{
    (void)state;
    char path[] = "/tmp/xebec-exec-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "fresh", 5), 5);
    close(fd);
    struct api api = {
        .protocol = "v5.channel.k8s.io", .good_token = "Bearer fresh", .status = SUCCESS};
    const struct xb_exec_command command = {.argv = argv};
    struct outcome outcome = run_with(&api, path, &command);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(atomic_load(&api.refused), 0);
    xb_exec_result_free(&outcome.result);
    api.good_token = "Bearer other";
    outcome = run_with(&api, path, &command);
    unlink(path);
    assert_int_equal(outcome.err.kind, XB_ERR_DENIED);
    assert_int_equal(atomic_load(&api.refused), 2);
}

static void *set_later(void *context)
{
    usleep(200000);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

static void test_cancel(void **state)
{
    (void)state;
    atomic_bool cancel = false;
    pthread_t thread;
    struct api api = {.protocol = "v5.channel.k8s.io", .stays = true};
    const struct xb_exec_command command = {.argv = argv, .cancel = &cancel};
    pthread_create(&thread, NULL, set_later, &cancel);
    struct outcome outcome = run_with(&api, NULL, &command);
    pthread_join(thread, NULL);
    assert_int_equal(outcome.err.kind, XB_ERR_CANCELLED);
    assert_true(outcome.took_ms < 5000);
}

static void test_wrong_commands_are_not_sent(void **state)
{
    (void)state;
    struct api api = {.protocol = "v5.channel.k8s.io", .status = SUCCESS};
    const char *const none[] = {NULL};
    const struct xb_exec_command command = {.argv = none};
    struct outcome outcome = run_with(&api, NULL, &command);
    assert_int_equal(outcome.err.kind, XB_ERR_INVALID);
    assert_string_equal(api.target, "");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_status_before_output),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_unknown_ends),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_wrong_commands_are_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
