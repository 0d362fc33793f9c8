/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSockets against a real server on loopback that keeps to the rules, or breaks them one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/http/websocket.h"
#include "tests/unit/shared/http/websocket_server.h"

enum behaviour {
    GREETS,   /* a message, a ping, a fragmented message, close */
    TOGETHER, /* handshake and messages in one packet */
    REFUSES,  /* 403 with a body */
    WRONG_KEY,
    NO_UPGRADE,
    WRONG_PROTOCOL,
    NO_HTTP,
    ENDLESS_HEAD,
    SILENT, /* no answer to the handshake */
    GONE,   /* closes instead of an answer */
    STANDS, /* open, and nothing comes */
    BREAKS, /* open, and the connection ends without a close */
    BAD_FRAME,
    FLOODS, /* pings without end */
    TALKS   /* messages without end */
};

struct told {
    enum behaviour behaviour;
    char head[2048];
    char pong[64];
    atomic_bool ponged;
};

static bool greet(struct test_request *request, struct told *told)
{
    unsigned char answer[64];
    test_frame(request, TEST_BINARY, true, "hello", 5);
    test_frame(request, TEST_BINARY, false, "fra", 3);
    test_frame(request, TEST_PING, true, "are you there", 13);
    test_frame(request, 0, false, "", 0);
    test_frame(request, 0, true, "gment", 5);
    /* A client's frame: 2 bytes, 4 of mask, the payload. */
    ssize_t got = test_receive(request, (char *)answer, sizeof answer);
    for (ssize_t i = 6; i < got && i < 19; i++) {
        told->pong[i - 6] = (char)(answer[i] ^ answer[2 + (i - 6) % 4]);
    }
    atomic_store(&told->ponged, got == 19 && answer[0] == (0x80 | TEST_PONG));
    return test_frame(request, TEST_CLOSE, true, "\x03\xe8", 2);
}

static bool together(struct test_request *request)
{
    char key[64];
    char all[1024];
    test_websocket_key(request, key);
    int len =
        snprintf(all, sizeof all,
                 "HTTP/1.1 101 Ok\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
                 "sec-websocket-accept:%s\r\nSec-WebSocket-Protocol: two\r\n\r\n",
                 key);
    unsigned char *end = (unsigned char *)all + len;
    end += test_frame_put(end, TEST_BINARY, true, "early", 5);
    end += test_frame_put(end, TEST_CLOSE, true, "", 0);
    return test_send_bytes(request, all, (size_t)((char *)end - all));
}

static bool flood(struct test_request *request, int opcode)
{
    unsigned char frames[4096];
    size_t len = 0;
    while (len + 2 <= sizeof frames) {
        len += test_frame_put(frames + len, opcode, true, "", 0);
    }
    while (!atomic_load(&request->server->stopping) && test_send_bytes(request, frames, len)) {
    }
    return false;
}

static bool break_handshake(enum behaviour behaviour, struct test_request *request)
{
    char key[64];
    char head[512];
    test_websocket_key(request, key);
    if (behaviour == WRONG_KEY) {
        key[3] = key[3] == 'x' ? 'y' : 'x';
    }
    snprintf(head, sizeof head,
             "HTTP/1.1 101 X\r\n%sConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
             "Sec-WebSocket-Protocol: %s\r\n\r\n",
             behaviour == NO_UPGRADE ? "" : "Upgrade: websocket\r\n", key,
             behaviour == WRONG_PROTOCOL ? "three" : "one");
    return test_send(request, head);
}

static bool endless(struct test_request *request)
{
    test_send(request, "HTTP/1.1 101 X\r\n");
    while (!atomic_load(&request->server->stopping) &&
           test_send(request, "X-Filler: abcdefgh\r\n")) {
    }
    return false;
}

static bool serve(void *context, struct test_request *request)
{
    struct told *told = context;
    snprintf(told->head, sizeof told->head, "%.2047s", request->head);
    switch (told->behaviour) {
    case REFUSES:
        return test_answer(request, 403, "Retry-After: 7\r\n", "{\"message\":\"no\"}");
    case WRONG_KEY:
    case NO_UPGRADE:
    case WRONG_PROTOCOL:
        return break_handshake(told->behaviour, request);
    case NO_HTTP:
        return test_send(request, "SSH-2.0-OpenSSH\r\n\r\n");
    case ENDLESS_HEAD:
        return endless(request);
    case SILENT:
        test_pause(request, 20000);
        return false;
    case GONE:
        return false;
    case TOGETHER:
        together(request);
        return false;
    case GREETS:
    case STANDS:
    case BREAKS:
    case BAD_FRAME:
    case FLOODS:
    case TALKS:
        break;
    }
    test_websocket_accept(request, "one");
    if (told->behaviour == GREETS) {
        greet(request, told);
        test_pause(request, 20);
    } else if (told->behaviour == STANDS) {
        test_pause(request, 20000);
    } else if (told->behaviour == BAD_FRAME) {
        test_send_bytes(request, "\xf2\x05hello", 7); /* reserved bits */
        test_pause(request, 20000);
    } else if (told->behaviour == FLOODS) {
        flood(request, TEST_PING);
    } else if (told->behaviour == TALKS) {
        flood(request, TEST_BINARY);
    }
    return false;
}

/* What came, as "hello|fragment|". */
struct heard {
    char text[256];
    size_t len;
};

static int take(void *context, bool begins, const void *data, size_t len, struct xb_error *err)
{
    struct heard *heard = context;
    (void)err;
    if (begins && heard->len > 0) {
        heard->text[heard->len++] = '|';
    }
    assert_true(heard->len + len < sizeof heard->text);
    memcpy(heard->text + heard->len, data, len);
    heard->len += len;
    return 0;
}

struct outcome {
    int r; /* of open, or of the last read */
    bool opened;
    struct heard heard;
    struct xb_http_response refusal;
    struct xb_error err;
    int64_t took_ms;
};

static struct test_pair pair;

static struct outcome talk(struct told *told, bool tls, int timeout_ms, const atomic_bool *cancel)
{
    struct test_server server;
    struct outcome outcome = {.r = 0};
    struct xb_http_client *client = NULL;
    struct xb_http_websocket *socket = NULL;
    char url[128];
    assert_true(test_server_start(&server, serve, told, tls ? test_tls(&pair, NULL) : NULL));
    struct xb_http_client_options client_options = {.ca_pem = tls ? pair.cert_pem : NULL};
    assert_int_equal(xb_http_client_new(&client_options, &client, &outcome.err), 0);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *bearer = NULL;
    assert_int_equal(xb_secret_new("token", 5, &bearer, &outcome.err), 0);
    snprintf(url, sizeof url, "http%s://127.0.0.1:%d/path?query=1", tls ? "s" : "", server.port);
    const struct xb_http_websocket_options options = {.client = client,
                                                      .url = url,
                                                      .protocols = "one, two",
                                                      .bearer = bearer,
                                                      .on_piece = take,
                                                      .context = &outcome.heard};
    int64_t begin = xb_clock_mono_ns();
    const struct xb_http_until until = {.deadline_ns = begin + timeout_ms * XB_NS_PER_MS,
                                        .cancel = cancel};
    outcome.r = xb_http_websocket_open(&options, &until, &socket, &outcome.refusal, &outcome.err);
    outcome.opened = socket != NULL;
    while (socket && (outcome.r = xb_http_websocket_read(socket, &until, &outcome.err)) > 0) {
    }
    outcome.took_ms = (xb_clock_mono_ns() - begin) / XB_NS_PER_MS;
    xb_http_websocket_free(socket);
    xb_http_client_free(client);
    test_server_stop(&server);
    return outcome;
}

static struct outcome ask(enum behaviour behaviour, int timeout_ms)
{
    struct told told = {.behaviour = behaviour};
    return talk(&told, false, timeout_ms, NULL);
}

/* Messages come whole or in pieces, a ping in between is answered, and the close ends it. */
static void test_messages(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        struct told told = {.behaviour = GREETS};
        struct outcome outcome = talk(&told, tls == 1, 10000, NULL);
        assert_true(outcome.opened);
        assert_int_equal(outcome.r, 0);
        assert_string_equal(outcome.heard.text, "hello|fragment");
        assert_true(atomic_load(&told.ponged));
        assert_string_equal(told.pong, "are you there");
        assert_non_null(strstr(told.head, "GET /path?query=1 HTTP/1.1\r\n"));
        assert_non_null(strstr(told.head, "Host: 127.0.0.1:"));
        assert_non_null(strstr(told.head, "Authorization: Bearer token\r\n"));
        assert_non_null(strstr(told.head, "Sec-WebSocket-Protocol: one, two\r\n"));
    }
}

static void test_messages_right_behind_the_handshake(void **state)
{
    (void)state;
    struct outcome outcome = ask(TOGETHER, 10000);
    assert_true(outcome.opened);
    assert_int_equal(outcome.r, 0);
    assert_string_equal(outcome.heard.text, "early");
}

/* Another status is an answer, with what the server said. */
static void test_refusal(void **state)
{
    (void)state;
    struct outcome outcome = ask(REFUSES, 10000);
    assert_int_equal(outcome.r, 0);
    assert_false(outcome.opened);
    assert_int_equal(outcome.refusal.status, 403);
    assert_string_equal(outcome.refusal.body.data, "{\"message\":\"no\"}");
    assert_int_equal(outcome.refusal.retry_after_ms, 7000);
    xb_http_response_free(&outcome.refusal);
}

/* Whoever does not prove that he speaks WebSocket, and to us, is not listened to. */
static void test_wrong_handshakes(void **state)
{
    (void)state;
    static const enum behaviour wrong[] = {WRONG_KEY, NO_UPGRADE, WRONG_PROTOCOL, NO_HTTP,
                                           ENDLESS_HEAD};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct outcome outcome = ask(wrong[i], 10000);
        assert_false(outcome.opened);
        assert_true(outcome.r < 0);
        assert_int_equal(outcome.err.kind, XB_ERR_CORRUPT);
    }
}

/* Once the request is sent, nobody may take its loss for "not asked for". */
static void test_no_answer(void **state)
{
    (void)state;
    struct outcome outcome = ask(SILENT, 400);
    assert_int_equal(outcome.err.kind, XB_ERR_IO);
    assert_true(outcome.took_ms >= 390 && outcome.took_ms < 5000);
    outcome = ask(GONE, 10000);
    assert_false(outcome.opened);
    assert_int_equal(outcome.err.kind, XB_ERR_IO);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_http_client_freep) struct xb_http_client *client = NULL;
    struct xb_http_websocket *socket = NULL;
    struct xb_http_response refusal;
    assert_int_equal(xb_http_client_new(NULL, &client, &err), 0);
    struct xb_http_websocket_options options = {
        .client = client, .url = "http://127.0.0.1:1/", .protocols = "one", .on_piece = take};
    const struct xb_http_until until = {.deadline_ns = xb_clock_mono_ns() + 5 * XB_NS_PER_S};
    assert_true(xb_http_websocket_open(&options, &until, &socket, &refusal, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_RETRY);
}

/* A deadline ends the wait, and says that it was the deadline. */
static void test_deadline(void **state)
{
    (void)state;
    struct outcome outcome = ask(STANDS, 400);
    assert_true(outcome.opened);
    assert_int_equal(outcome.r, -ETIMEDOUT);
    assert_int_equal(outcome.err.kind, XB_ERR_RETRY);
    assert_true(outcome.took_ms >= 390 && outcome.took_ms < 5000);
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
    static const enum behaviour waits[] = {STANDS, SILENT};
    for (size_t i = 0; i < 2; i++) {
        atomic_bool cancel = false;
        struct told told = {.behaviour = waits[i]};
        pthread_t thread;
        pthread_create(&thread, NULL, set_later, &cancel);
        struct outcome outcome = talk(&told, false, 20000, &cancel);
        pthread_join(thread, NULL);
        assert_int_equal(outcome.err.kind, XB_ERR_CANCELLED);
        assert_true(outcome.took_ms < 5000);
        assert_null(strstr(outcome.err.text, "query")); /* it may hold what is not for logs */
    }
}

static void test_broken_connection(void **state)
{
    (void)state;
    struct outcome outcome = ask(BREAKS, 10000);
    assert_true(outcome.opened);
    assert_int_equal(outcome.r, 0); /* an end without goodbye: what was told decides */
    outcome = ask(BAD_FRAME, 10000);
    assert_int_equal(outcome.err.kind, XB_ERR_CORRUPT);
}

/* Nobody reads the answers to a flood of pings: the deadline ends it, and memory stays bounded. */
static void test_flood(void **state)
{
    (void)state;
    struct outcome outcome = ask(FLOODS, 600);
    assert_true(outcome.r < 0);
    assert_true(outcome.took_ms < 5000);
}

/* Where something comes all the time, nobody ever waits: the deadline ends that, too. */
static void test_endless_talk(void **state)
{
    (void)state;
    struct outcome outcome = ask(TALKS, 600);
    assert_int_equal(outcome.r, -ETIMEDOUT);
    assert_true(outcome.took_ms >= 590 && outcome.took_ms < 5000);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    pair = test_pair_new("authority", NULL);
    struct test_pair leaf = test_pair_new("127.0.0.1", &pair);
    char *ca = strdup(pair.cert_pem);
    test_pair_done(&pair);
    pair = leaf;
    free(pair.cert_pem);
    pair.cert_pem = ca; /* what the client trusts */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_pair_done(&pair);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_messages_right_behind_the_handshake),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_wrong_handshakes),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_broken_connection),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_endless_talk),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
