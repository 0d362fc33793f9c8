/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions through an API server that says what a real one says too seldom to wait for. Against a
 * real one: tests/cluster/sessions_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/kube/session.h"
#include "tests/unit/shared/kube/session_server.h"

struct bed {
    struct test_server server;
    struct xb_kube_client *client;
    struct xb_kube_session *session;
    struct xb_error err;
};

static int begin(struct bed *bed, struct session_api *api, const char *end,
                 const atomic_bool *cancel)
{
    static const char *const argv[] = {"sql", "-q", NULL};
    char url[64];
    api->protocol = api->protocol ? api->protocol : "v5.channel.k8s.io";
    *bed = (struct bed){.client = NULL};
    assert_true(test_server_start(&bed->server, session_serve, api, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", bed->server.port);
    struct xb_kube_config config = {.server = url};
    assert_int_equal(xb_kube_client_new(&config, NULL, &bed->client, &bed->err), 0);
    const struct xb_kube_exec_target target = {.namespace = "ns", .pod = "p", .container = "c"};
    bool waits = api->behaviour == SESSION_STUBBORN || api->behaviour == SESSION_NEVER;
    const struct xb_kube_session_terms terms = {.command = {.argv = argv,
                                                            .timeout_ms = waits ? 500 : 9000,
                                                            .output_bytes_max = 64,
                                                            .cancel = cancel},
                                                .ready = "ready",
                                                .end = end};
    return xb_kube_session_begin(bed->client, &target, &terms, &bed->session, &bed->err);
}

static void end(struct bed *bed)
{
    xb_kube_session_free(bed->session);
    xb_kube_client_free(bed->client);
    test_server_stop(&bed->server);
}

/* It is ready when it says so, is told to end by its line, and standard input is closed. */
static void test_whole(void **state)
{
    (void)state;
    static const struct {
        const char *protocol, *end, *heard;
        enum session_behaviour behaviour;
        int exit_code;
    } table[] = {{"v5.channel.k8s.io", "COMMIT;", "COMMIT;\n$", SESSION_OBEYS, 0},
                 {"v5.channel.k8s.io", "end", "end\n$", SESSION_FAILS, 3},
                 {"v5.channel.k8s.io", "", "$", SESSION_OBEYS, 0},
                 {"v4.channel.k8s.io", "end", "end\n", SESSION_OBEYS, 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct session_api api = {.behaviour = table[i].behaviour, .protocol = table[i].protocol};
        struct bed bed;
        assert_int_equal(begin(&bed, &api, table[i].end, NULL), 0);
        assert_int_equal(xb_kube_session_state(bed.session), XB_KUBE_SESSION_READY);
        assert_string_equal(api.target, "/api/v1/namespaces/ns/pods/p/exec?stdin=true&stdout=true&"
                                        "stderr=true&container=c&command=sql&command=-q");
        assert_int_equal(xb_kube_session_look(bed.session, true), XB_KUBE_SESSION_READY);
        assert_int_equal(atomic_load(&api.pings), 1);
        assert_int_equal(xb_kube_session_look(bed.session, false), XB_KUBE_SESSION_READY);
        assert_int_equal(atomic_load(&api.pings), 1); /* the last one is not long ago */
        assert_int_equal(xb_kube_session_end(bed.session), XB_KUBE_SESSION_ENDED);
        const struct xb_exec_result *result = xb_kube_session_result(bed.session);
        assert_int_equal(result->exit_code, table[i].exit_code);
        assert_string_equal(result->out.bytes.data, "not ready\nready!\nready\r\nand more\n");
        assert_string_equal(result->err.bytes.data, "ready\nover");
        assert_int_equal(api.heard_len, strlen(table[i].heard));
        assert_memory_equal(api.heard, table[i].heard, api.heard_len);
        end(&bed);
    }
}

static void test_not_ready(void **state)
{
    (void)state;
    static const struct {
        enum session_behaviour behaviour;
        enum xb_kube_session_state wanted;
    } table[] = {{SESSION_NEVER, XB_KUBE_SESSION_LATE},
                 {SESSION_ENDS, XB_KUBE_SESSION_ENDED},
                 {SESSION_NONE, XB_KUBE_SESSION_LOST}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct session_api api = {.behaviour = table[i].behaviour};
        struct bed bed;
        assert_int_equal(begin(&bed, &api, "end", NULL), 0);
        assert_int_equal(xb_kube_session_state(bed.session), table[i].wanted);
        assert_int_equal(xb_kube_session_look(bed.session, true), table[i].wanted);
        assert_int_equal(xb_kube_session_end(bed.session), table[i].wanted);
        if (table[i].behaviour == SESSION_NONE) {
            assert_non_null(strstr(xb_kube_session_why(bed.session), "no such program"));
            assert_non_null(strstr(xb_kube_session_why(bed.session), "pod ns/p, container c"));
        }
        if (table[i].behaviour == SESSION_ENDS) {
            assert_int_equal(xb_kube_session_result(bed.session)->exit_code, 3);
        }
        end(&bed);
    }
    struct session_api api = {.behaviour = SESSION_REFUSED};
    struct bed bed;
    assert_true(begin(&bed, &api, "end", NULL) < 0);
    assert_int_equal(bed.err.kind, XB_ERR_DENIED);
    end(&bed);
}

/* A death is seen while nobody asks, and how it came. */
static void test_lost(void **state)
{
    (void)state;
    static const enum session_behaviour table[] = {SESSION_DIES, SESSION_BREAKS, SESSION_RAVES};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct session_api api = {.behaviour = table[i]};
        struct bed bed;
        assert_int_equal(begin(&bed, &api, "end", NULL), 0);
        assert_int_equal(xb_kube_session_state(bed.session), XB_KUBE_SESSION_READY);
        const int64_t until_ns = xb_clock_mono_ns() + 5 * XB_NS_PER_S;
        while (xb_clock_mono_ns() < until_ns &&
               xb_kube_session_look(bed.session, false) == XB_KUBE_SESSION_READY) {
        }
        assert_int_equal(xb_kube_session_state(bed.session),
                         table[i] == SESSION_DIES ? XB_KUBE_SESSION_ENDED : XB_KUBE_SESSION_LOST);
        if (table[i] == SESSION_DIES) {
            assert_int_equal(xb_kube_session_result(bed.session)->exit_code, 3);
        } else {
            assert_true(xb_kube_session_why(bed.session)[0] != '\0');
        }
        assert_int_equal(api.heard_len, 0);
        end(&bed);
    }
}

static void test_does_not_end(void **state)
{
    (void)state;
    struct session_api api = {.behaviour = SESSION_STUBBORN};
    struct bed bed;
    assert_int_equal(begin(&bed, &api, "end", NULL), 0);
    const int64_t began_ns = xb_clock_mono_ns();
    assert_int_equal(xb_kube_session_end(bed.session), XB_KUBE_SESSION_LATE);
    int64_t took_ms = (xb_clock_mono_ns() - began_ns) / XB_NS_PER_MS;
    assert_true(took_ms >= 490 && took_ms < 5000);
    end(&bed);
}

static void test_cancelled(void **state)
{
    (void)state;
    const atomic_bool cancel = true;
    struct session_api api = {.behaviour = SESSION_NEVER};
    struct bed bed;
    assert_true(begin(&bed, &api, "end", &cancel) < 0);
    assert_int_equal(bed.err.kind, XB_ERR_CANCELLED);
    end(&bed);
}

static void test_lines_are_lines(void **state)
{
    (void)state;
    struct session_api api = {.behaviour = SESSION_OBEYS};
    struct bed bed;
    assert_true(begin(&bed, &api, "end\nand more", NULL) < 0);
    assert_int_equal(bed.err.kind, XB_ERR_INVALID);
    assert_string_equal(api.target, "");
    end(&bed);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),     cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_lost),      cmocka_unit_test(test_does_not_end),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_lines_are_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
