/* SPDX-License-Identifier: Apache-2.0
 *
 * What the coordinator says of a pod's session: one that is not ready, one that is lost before
 * everything was copied, one that ends after that, and one that is told to.
 */
#include "tests/harness/probe.h"

#include <signal.h>

#include "coordinator/act/sessions.h"
#include "shared/base/clock.h"
#include "tests/unit/shared/kube/session_server.h"

struct bed {
    struct test_server server;
    struct session_api api;
    struct xb_kube_client *client;
    struct xb_held held;
    xb_json *result;
};

/* Begins one; what begin returned. */
static int begin(struct bed *bed, enum session_behaviour behaviour)
{
    char *argv[] = {(char *)"sql", NULL};
    char url[64];
    struct xb_error err = XB_ERROR_INIT;
    *bed = (struct bed){.api = {.behaviour = behaviour, .protocol = "v5.channel.k8s.io"},
                        .result = json_object_new_object()};
    assert_true(test_server_start(&bed->server, session_serve, &bed->api, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", bed->server.port);
    struct xb_kube_config config = {.server = url};
    assert_int_equal(xb_kube_client_new(&config, NULL, &bed->client, &err), 0);
    bool waits = behaviour == SESSION_STUBBORN || behaviour == SESSION_NEVER;
    const struct xb_hook session = {.container = (char *)"c",
                                    .argv = argv,
                                    .timeout_ms = waits ? 500 : 9000,
                                    .ready = (char *)"ready",
                                    .end = (char *)"end"};
    const struct xb_held_pod pod = {.client = bed->client, .namespace = "ns", .name = "p"};
    return xb_held_begin(&bed->held, &pod, &session, bed->result, &err);
}

static void end(struct bed *bed)
{
    xb_held_free(&bed->held);
    xb_kube_client_free(bed->client);
    test_server_stop(&bed->server);
    json_object_put(bed->result);
}

static bool error_has(const struct bed *bed, const char *text)
{
    const char *error = xb_json_str(bed->result, "error", "");
    if (!strstr(error, text)) {
        print_error("%s\n", error);
    }
    return strstr(error, text) != NULL;
}

static void until_lost(struct bed *bed)
{
    const int64_t until_ns = xb_clock_mono_ns() + 5 * XB_NS_PER_S;
    while (!xb_held_look(&bed->held) && xb_clock_mono_ns() < until_ns) {
    }
}

static void not_ready(void **state)
{
    static const struct {
        enum session_behaviour behaviour;
        const char *error, *said;
    } table[] = {{SESSION_NEVER, "it has not said 'ready' within 500ms", "ready"},
                 {SESSION_ENDS, "it ended, with exit code 3, before it said 'ready'", "not ready"},
                 {SESSION_NONE, "no such program", "not ready"},
                 {SESSION_REFUSED, "pods exec", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bed bed;
        assert_int_equal(begin(&bed, table[i].behaviour), 0);
        assert_true(error_has(&bed, table[i].error));
        assert_null(bed.held.session);
        if (table[i].said) {
            assert_string_equal(xb_json_str(bed.result, "stdout", ""), table[i].said);
        }
        end(&bed);
    }
}

static void lost(void **state)
{
    static const enum session_behaviour table[] = {SESSION_DIES, SESSION_BREAKS};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bed bed;
        assert_int_equal(begin(&bed, table[i]), 1);
        until_lost(&bed);
        xb_held_copied(&bed.held);
        assert_false(xb_held_lasts(&bed.held, bed.result));
        assert_true(error_has(&bed, table[i] == SESSION_DIES ? "it ended, with exit code 3, before "
                                                             : "it was lost before "));
        assert_false(xb_held_look(&bed.held)); /* there is none */
        end(&bed);
    }
    /* Another process had it. */
    struct bed bed = {.result = json_object_new_object()};
    assert_false(xb_held_lasts(&bed.held, bed.result));
    assert_true(error_has(&bed, "the coordinator that held it ended, or was cut off from it"));
    assert_false(xb_held_end(&bed.held, bed.result));
    json_object_put(bed.result);
}

/* What was copied is good; how the session ended is not. */
static void lost_after_the_copies(void **state)
{
    struct bed bed;
    (void)state;
    assert_int_equal(begin(&bed, SESSION_DIES), 1);
    bed.held.copied = true;
    until_lost(&bed);
    assert_true(xb_held_lasts(&bed.held, bed.result));
    assert_true(xb_held_end(&bed.held, bed.result));
    assert_true(error_has(&bed, "before it was told to, though after everything was copied"));
    end(&bed);
}

static void told(void **state)
{
    static const struct {
        enum session_behaviour behaviour;
        int exit_code; /* -1: none */
    } table[] = {{SESSION_OBEYS, 0}, {SESSION_FAILS, 3}, {SESSION_STUBBORN, -1}};
    char why[64];
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bed bed;
        assert_int_equal(begin(&bed, table[i].behaviour), 1);
        xb_held_copied(&bed.held);
        assert_true(xb_held_lasts(&bed.held, bed.result));
        assert_true(xb_held_end(&bed.held, bed.result));
        assert_int_equal(xb_json_int(bed.result, "exit", -1), table[i].exit_code);
        assert_int_equal(xb_bracket_failed(bed.result, why, sizeof why), table[i].exit_code != 0);
        assert_int_equal(xb_json_get(bed.result, "error") != NULL, table[i].exit_code < 0);
        assert_null(bed.held.session);
        end(&bed);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_ready),
        cmocka_unit_test(lost),
        cmocka_unit_test(lost_after_the_copies),
        cmocka_unit_test(told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
