/* SPDX-License-Identifier: Apache-2.0
 *
 * gRPC: its frames and its outcome read, and servers on a socket that say nothing, too little or
 * something else. A real runtime is in tests/cluster/exec_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/hooks/grpc.h"
#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/clock.h"

static int take(void *context, const void *data, size_t len, struct xb_error *err)
{
    return xb_buf_append(context, data, len, err);
}

/* Feeds the bytes in pieces of `step`. */
static int feed(const char *data, size_t len, size_t step, struct xb_buf *out, bool *ret_complete,
                struct xb_error *err)
{
    struct xb_grpc_frame frame = {.max = 100, .on_piece = take, .context = out};
    int r = 0;
    xb_buf_clear(out);
    *err = (struct xb_error)XB_ERROR_INIT;
    for (size_t at = 0; at < len && r == 0; at += step) {
        r = xb_grpc_frame_feed(&frame, data + at, len - at < step ? len - at : step, err);
    }
    *ret_complete = xb_grpc_frame_complete(&frame);
    return r;
}

static void test_frames(void **state)
{
    (void)state;
    struct xb_buf out = XB_BUF_INIT(1000);
    struct xb_error err;
    bool complete;
    for (size_t step = 1; step <= 10; step++) {
        assert_int_equal(feed("\0\0\0\0\5hello", 10, step, &out, &complete, &err), 0);
        assert_true(complete);
        assert_string_equal(out.data, "hello");
        assert_int_equal(feed("\0\0\0\0\5hell", 9, step, &out, &complete, &err), 0);
        assert_false(complete);
        assert_true(feed("\0\0\0\0\5hello!", 11, step, &out, &complete, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_true(feed("\1\0\0\0\5hello", 10, step, &out, &complete, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_true(feed("\0\0\0\0\x65hello", 10, step, &out, &complete, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_FULL);
        assert_true(feed("\0\xff\xff\xff\xffhello", 10, step, &out, &complete, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_FULL);
        assert_int_equal(feed("\0\0\0\0\0", 5, step, &out, &complete, &err), 0);
        assert_true(complete);
        assert_int_equal(feed("\0\0\0\0", 4, step, &out, &complete, &err), 0);
        assert_false(complete);
    }
    xb_buf_free(&out);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(xb_grpc_status_parse("0"), 0);
    assert_int_equal(xb_grpc_status_parse("14"), 14);
    assert_int_equal(xb_grpc_status_parse(""), -1);
    assert_int_equal(xb_grpc_status_parse("-1"), -1);
    assert_int_equal(xb_grpc_status_parse("4 "), -1);
    assert_int_equal(xb_grpc_status_parse("99999999999999999999"), -1);
}

/* What a runtime says goes to logs: decoded, bounded, and without control characters. */
static void test_messages(void **state)
{
    (void)state;
    char out[XB_GRPC_MESSAGE_BYTES];
    char large[2 * XB_GRPC_MESSAGE_BYTES];
    xb_grpc_message_decode("100%25 of %C3%BC, %4", out);
    assert_string_equal(out, "100% of \xc3\xbc, %4");
    xb_grpc_message_decode("a%0Ab%00c%1b[31m%zz%", out);
    assert_string_equal(out, "a?b?c?[31m%zz%");
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    xb_grpc_message_decode(large, out);
    assert_int_equal(strlen(out), sizeof out - 1);
}

/* Servers ------------------------------------------------------------------------------------- */

struct server {
    char folder[64];
    struct sockaddr_un address;
    int fd;
    const char *says; /* NULL: nothing, and stays */
    size_t len;
    pthread_t thread;
    atomic_bool stop;
};

static void *answer(void *context)
{
    struct server *server = context;
    struct pollfd poller = {.fd = server->fd, .events = POLLIN};
    while (poll(&poller, 1, 20) <= 0) {
        if (atomic_load(&server->stop)) {
            return NULL;
        }
    }
    int fd = accept(server->fd, NULL, NULL);
    /* The request is under way: who closes before has not been asked. */
    char request[64];
    if (server->says && recv(fd, request, sizeof request, 0) > 0 &&
        send(fd, server->says, server->len, MSG_NOSIGNAL) < 0) {
        perror("send");
    }
    while (!server->says && !atomic_load(&server->stop)) {
        usleep(10000);
    }
    close(fd);
    return NULL;
}

static void start(struct server *server, const char *says, size_t len)
{
    *server = (struct server){.folder = "/tmp/xebec-grpc-test-XXXXXX",
                              .address = {.sun_family = AF_UNIX},
                              .says = says,
                              .len = len};
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->address.sun_path, sizeof server->address.sun_path, "%s/socket",
             server->folder);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&server->address, sizeof server->address),
                     0);
    assert_int_equal(listen(server->fd, 4), 0);
    pthread_create(&server->thread, NULL, answer, server);
}

static void stop(struct server *server)
{
    atomic_store(&server->stop, true);
    pthread_join(server->thread, NULL);
    close(server->fd);
    unlink(server->address.sun_path);
    rmdir(server->folder);
}

static int call(const char *socket, int timeout_ms, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_buf out = XB_BUF_INIT(1000);
    struct xb_grpc_status status = {.code = 0};
    const struct xb_grpc_call request = {.socket = socket,
                                         .method = "/a.B/C",
                                         .message = "x",
                                         .message_len = 1,
                                         .timeout_ms = timeout_ms,
                                         .answer_bytes_max = 1000,
                                         .on_piece = take,
                                         .context = &out,
                                         .cancel = cancel};
    *err = (struct xb_error)XB_ERROR_INIT;
    int r = xb_grpc_call(&request, &status, err);
    xb_buf_free(&out);
    return r;
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct xb_error err;
    assert_int_equal(call("/tmp/xebec-no-such-socket", 5000, NULL, &err), -ECONNREFUSED);
    assert_int_equal(err.kind, XB_ERR_RETRY);
    assert_non_null(strstr(err.text, "/tmp/xebec-no-such-socket"));
}

/* The time is over: told apart from every other failure. */
static void test_a_server_that_says_nothing(void **state)
{
    (void)state;
    struct server server;
    struct xb_error err;
    start(&server, NULL, 0);
    int64_t begin = xb_clock_mono_ns();
    assert_int_equal(call(server.address.sun_path, 300, NULL, &err), -ETIMEDOUT);
    assert_int_equal(err.kind, XB_ERR_RETRY);
    assert_true(xb_clock_mono_ns() - begin < 5 * XB_NS_PER_S);
    stop(&server);
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
    struct server server;
    struct xb_error err;
    atomic_bool cancel = false;
    pthread_t thread;
    start(&server, NULL, 0);
    pthread_create(&thread, NULL, set_later, &cancel);
    int64_t begin = xb_clock_mono_ns();
    assert_true(call(server.address.sun_path, 20000, &cancel, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CANCELLED);
    assert_true(xb_clock_mono_ns() - begin < 5 * XB_NS_PER_S);
    pthread_join(thread, NULL);
    stop(&server);
}

/* The connection ends, or something else than HTTP/2 is there: not to be taken for "not asked". */
static void test_servers_that_break(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        size_t len;
    } wrong[] = {
        {"", 0},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"\0\0\0\4\0\0\0\0\0", 9},              /* settings, and then the end */
        {"\0\0\0\4\0\0\0\0\0\0\0\x10\7\0", 14}, /* half a GOAWAY */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct server server;
        struct xb_error err;
        start(&server, wrong[i].says, wrong[i].len);
        int r = call(server.address.sun_path, 5000, NULL, &err);
        assert_true(r < 0);
        assert_int_not_equal(r, -ECONNREFUSED);
        assert_int_not_equal(r, -ETIMEDOUT);
        stop(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_a_server_that_says_nothing),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_servers_that_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
