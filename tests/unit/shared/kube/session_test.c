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
#include "tests/unit/shared/http/websocket_server.h"

#define SUCCESS "{\"metadata\":{},\"status\":\"Success\"}"
#define EXIT_3                                                                                     \
    "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["             \
    "{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}"
#define NO_PROGRAM                                                                                 \
    "{\"status\":\"Failure\",\"message\":\"Internal error occurred: no such program\","            \
    "\"reason\":\"InternalError\",\"code\":500}"

enum behaviour {
    OBEYS,    /* ends when it is told to */
    FAILS,    /* the same, with another exit code */
    STUBBORN, /* takes no notice */
    DIES,     /* by itself, with an exit code, once it is ready */
    BREAKS,   /* the connection does, once it is ready */
    RAVES,    /* what comes then is no WebSocket */
    NEVER,    /* is not ready */
    ENDS,     /* instead of becoming ready */
    NONE,     /* there is no such program */
    REFUSED   /* nothing is begun */
};

enum { HEARD_BYTES = 512, FRAME_HEAD = 6 /* of a short one of a client: 2 bytes, 4 of mask */ };

struct api {
    enum behaviour behaviour;
    const char *protocol;
    char target[1024];
    char heard[HEARD_BYTES]; /* standard input; '$': it was closed */
    size_t heard_len;
    atomic_int pings;
};

/* Takes client's frames, each at most 125 bytes, until standard input is over. */
static void hear(struct api *api, struct test_request *request)
{
    unsigned char in[1024];
    size_t have = 0;
    const bool closes = strcmp(api->protocol, "v5.channel.k8s.io") == 0;
    while (!memchr(api->heard, closes ? '$' : '\n', api->heard_len)) {
        ssize_t got = test_receive(request, (char *)in + have, sizeof in - have);
        if (got <= 0) {
            return;
        }
        have += (size_t)got;
        while (have >= FRAME_HEAD && have >= FRAME_HEAD + (in[1] & 0x7fU)) {
            size_t len = in[1] & 0x7fU;
            unsigned char *data = in + FRAME_HEAD;
            for (size_t i = 0; i < len; i++) {
                data[i] ^= in[2 + i % 4];
            }
            if ((in[0] & 0xf) == TEST_PING) {
                atomic_fetch_add(&api->pings, 1);
                test_frame(request, TEST_PONG, true, "", 0);
            } else if (len == 2 && data[0] == 255 && data[1] == 0) {
                api->heard[api->heard_len++] = '$';
            } else if (len > 0 && data[0] == 0) {
                memcpy(api->heard + api->heard_len, data + 1, len - 1);
                api->heard_len += len - 1;
            }
            memmove(in, data + len, have - FRAME_HEAD - len);
            have -= FRAME_HEAD + len;
        }
    }
}

static void say_ready(struct test_request *request)
{
    test_channel(request, 2, "ready\n"); /* on the wrong stream */
    test_channel(request, 1, "not ready\nready!\nrea");
    test_channel(request, 1, "dy\r\nand more\n");
}

static bool serve(void *context, struct test_request *request)
{
    struct api *api = context;
    snprintf(api->target, sizeof api->target, "%.1023s", request->target);
    if (api->behaviour == REFUSED) {
        return test_answer(request, 403, "", "{\"message\":\"pods exec\"}");
    }
    test_websocket_accept(request, api->protocol);
    if (api->behaviour == NONE || api->behaviour == ENDS) {
        test_channel(request, 1, "not ready\n");
        test_channel(request, 3, api->behaviour == NONE ? NO_PROGRAM : EXIT_3);
        return false;
    }
    if (api->behaviour == NEVER) {
        test_channel(request, 1, "ready");
        test_pause(request, 20000);
        return false;
    }
    say_ready(request);
    if (api->behaviour == DIES) {
        test_pause(request, 100);
        test_channel(request, 3, EXIT_3);
    }
    if (api->behaviour == RAVES) {
        test_pause(request, 300);                     /* not in one packet with what was good */
        test_send_bytes(request, "\xf2\x05hello", 7); /* reserved bits */
        test_pause(request, 20000);
    }
    if (api->behaviour == OBEYS || api->behaviour == FAILS || api->behaviour == STUBBORN) {
        hear(api, request);
    }
    if (api->behaviour == STUBBORN) {
        test_pause(request, 20000);
    }
    if (api->behaviour == OBEYS || api->behaviour == FAILS) {
        test_channel(request, 2, "over");
        test_channel(request, 3, api->behaviour == OBEYS ? SUCCESS : EXIT_3);
    }
    return false;
}

struct bed {
    struct test_server server;
    struct xb_kube_client *client;
    struct xb_kube_session *session;
    struct xb_error err;
};

static int begin(struct bed *bed, struct api *api, const char *end, const atomic_bool *cancel)
{
    static const char *const argv[] = {"sql", "-q", NULL};
    char url[64];
    api->protocol = api->protocol ? api->protocol : "v5.channel.k8s.io";
    *bed = (struct bed){.client = NULL};
    assert_true(test_server_start(&bed->server, serve, api, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", bed->server.port);
    struct xb_kube_config config = {.server = url};
    assert_int_equal(xb_kube_client_new(&config, NULL, &bed->client, &bed->err), 0);
    const struct xb_kube_exec_target target = {.namespace = "ns", .pod = "p", .container = "c"};
    bool waits = api->behaviour == STUBBORN || api->behaviour == NEVER;
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
        enum behaviour behaviour;
        int exit_code;
    } table[] = {{"v5.channel.k8s.io", "COMMIT;", "COMMIT;\n$", OBEYS, 0},
                 {"v5.channel.k8s.io", "end", "end\n$", FAILS, 3},
                 {"v5.channel.k8s.io", "", "$", OBEYS, 0},
                 {"v4.channel.k8s.io", "end", "end\n", OBEYS, 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct api api = {.behaviour = table[i].behaviour, .protocol = table[i].protocol};
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
        enum behaviour behaviour;
        enum xb_kube_session_state wanted;
    } table[] = {
        {NEVER, XB_KUBE_SESSION_LATE}, {ENDS, XB_KUBE_SESSION_ENDED}, {NONE, XB_KUBE_SESSION_LOST}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct api api = {.behaviour = table[i].behaviour};
        struct bed bed;
        assert_int_equal(begin(&bed, &api, "end", NULL), 0);
        assert_int_equal(xb_kube_session_state(bed.session), table[i].wanted);
        assert_int_equal(xb_kube_session_look(bed.session, true), table[i].wanted);
        assert_int_equal(xb_kube_session_end(bed.session), table[i].wanted);
        if (table[i].behaviour == NONE) {
            assert_non_null(strstr(xb_kube_session_why(bed.session), "no such program"));
            assert_non_null(strstr(xb_kube_session_why(bed.session), "pod ns/p, container c"));
        }
        if (table[i].behaviour == ENDS) {
            assert_int_equal(xb_kube_session_result(bed.session)->exit_code, 3);
        }
        end(&bed);
    }
    struct api api = {.behaviour = REFUSED};
    struct bed bed;
    assert_true(begin(&bed, &api, "end", NULL) < 0);
    assert_int_equal(bed.err.kind, XB_ERR_DENIED);
    end(&bed);
}

/* A death is seen while nobody asks, and how it came. */
static void test_lost(void **state)
{
    (void)state;
    static const enum behaviour table[] = {DIES, BREAKS, RAVES};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct api api = {.behaviour = table[i]};
        struct bed bed;
        assert_int_equal(begin(&bed, &api, "end", NULL), 0);
        assert_int_equal(xb_kube_session_state(bed.session), XB_KUBE_SESSION_READY);
        const int64_t until_ns = xb_clock_mono_ns() + 5 * XB_NS_PER_S;
        while (xb_clock_mono_ns() < until_ns &&
               xb_kube_session_look(bed.session, false) == XB_KUBE_SESSION_READY) {
        }
        assert_int_equal(xb_kube_session_state(bed.session),
                         table[i] == DIES ? XB_KUBE_SESSION_ENDED : XB_KUBE_SESSION_LOST);
        if (table[i] == DIES) {
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
    struct api api = {.behaviour = STUBBORN};
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
    struct api api = {.behaviour = NEVER};
    struct bed bed;
    assert_true(begin(&bed, &api, "end", &cancel) < 0);
    assert_int_equal(bed.err.kind, XB_ERR_CANCELLED);
    end(&bed);
}

static void test_lines_are_lines(void **state)
{
    (void)state;
    struct api api = {.behaviour = OBEYS};
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
