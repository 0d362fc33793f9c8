/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop: what other threads post arrives once and in order, timers, signals, the heartbeat, and
 * HTTP streams that start, end, fail and are cancelled from within their own callbacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/http/stream.h"
#include "shared/runtime/loop.h"
#include "tests/unit/shared/http/server.h"

static struct xb_loop *new_loop(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_loop *loop = NULL;
    assert_int_equal(xb_loop_new(&loop, &err), 0);
    return loop;
}

static void run(struct xb_loop *loop)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_loop_run(loop, &err), 0);
}

enum { POSTERS = 4, POSTS = 5000 };

struct posting {
    struct xb_loop *loop;
    int next; /* only the loop writes */
    int total, *all;
    bool disordered;
};

struct message {
    struct xb_loop_task task;
    struct posting *posting;
    int number;
};

static void receive(void *context)
{
    struct message *message = context;
    struct posting *posting = message->posting;
    posting->disordered = posting->disordered || message->number != posting->next;
    posting->next++;
    free(message);
    if (++*posting->all == POSTERS * POSTS) {
        xb_loop_stop(posting->loop);
    }
}

static void *post_many(void *context)
{
    for (int i = 0; i < POSTS; i++) {
        struct message *message = malloc(sizeof *message);
        *message = (struct message){
            .task = {.fn = receive, .context = message}, .posting = context, .number = i};
        xb_loop_task_post(message->posting->loop, &message->task);
    }
    return NULL;
}

/* Posts of several threads all arrive, each thread's in its order. */
static void posts_arrive(void **state)
{
    (void)state;
    struct xb_loop *loop = new_loop();
    struct posting postings[POSTERS];
    pthread_t threads[POSTERS];
    int all = 0;
    for (int i = 0; i < POSTERS; i++) {
        postings[i] = (struct posting){.loop = loop, .all = &all};
        pthread_create(&threads[i], NULL, post_many, &postings[i]);
    }
    run(loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(postings[i].disordered);
        assert_int_equal(postings[i].next, POSTS);
    }
    xb_loop_free(loop);
}

static void count(void *context)
{
    ++*(int *)context;
}

/* A task waits once however often it is posted, and not any more once cancelled; one that never ran
 * does not when the loop goes. */
static void tasks(void **state)
{
    (void)state;
    struct xb_loop *loop = new_loop();
    int a = 0;
    int b = 0;
    int c = 0;
    struct xb_loop_task first = {.fn = count, .context = &a};
    struct xb_loop_task second = {.fn = count, .context = &b};
    struct xb_loop_task third = {.fn = count, .context = &c};
    for (int i = 0; i < 3; i++) {
        xb_loop_task_post(loop, &first);
        xb_loop_task_post(loop, &second);
        xb_loop_task_post(loop, &third);
        xb_loop_task_post(loop, &third);
    }
    xb_loop_task_cancel(loop, &second);
    xb_loop_task_cancel(loop, &second);
    xb_loop_stop(loop); /* before the run: it still ends */
    run(loop);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0);
    assert_int_equal(c, 1);
    xb_loop_task_post(loop, &third);
    xb_loop_task_cancel(loop, &third);
    xb_loop_task_post(loop, &first);
    xb_loop_stop(loop);
    run(loop);
    assert_int_equal(a, 2);
    assert_int_equal(c, 1);
    xb_loop_task_post(loop, &first);
    xb_loop_free(loop);
    assert_int_equal(a, 2);
}

struct ticking {
    struct xb_loop *loop;
    struct xb_timer *timer, *once, *never;
    int ticks, ones;
};

static void tick(void *context)
{
    struct ticking *t = context;
    if (++t->ticks == 3) {
        xb_timer_stop(t->timer);
        xb_loop_stop(t->loop);
    }
}

static void tick_once(void *context)
{
    struct ticking *t = context;
    t->ones++;
    xb_timer_free(t->never); /* also from within a callback */
    t->never = NULL;
}

static void tick_never(void *context)
{
    (void)context;
    fail();
}

/* Timers come as often as asked, and freed ones not at all. */
static void timers(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct ticking t = {.loop = new_loop()};
    assert_int_equal(xb_timer_new(t.loop, tick, &t, &t.timer, &err), 0);
    assert_int_equal(xb_timer_new(t.loop, tick_once, &t, &t.once, &err), 0);
    assert_int_equal(xb_timer_new(t.loop, tick_never, &t, &t.never, &err), 0);
    xb_timer_start(t.timer, 20, 5);
    xb_timer_start(t.never, 15, 0);
    xb_timer_start(t.once, 1, 0);
    run(t.loop);
    assert_int_equal(t.ticks, 3);
    assert_int_equal(t.ones, 1);
    xb_timer_free(t.timer);
    xb_timer_free(t.once);
    xb_timer_free(NULL);
    xb_loop_free(t.loop);
}

static void on_signal(void *context, int number)
{
    static int seen;
    assert_int_equal(number, seen == 0 ? SIGTERM : SIGINT);
    if (++seen == 2) {
        xb_loop_stop(context);
    } else {
        raise(SIGINT);
    }
}

/* SIGTERM and SIGINT come on the loop thread instead of ending the process. */
static void signals(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_loop *loop = new_loop();
    assert_int_equal(xb_loop_signals(loop, on_signal, loop, &err), 0);
    raise(SIGTERM);
    run(loop);
    xb_loop_free(loop);
}

static void block(void *context)
{
    struct xb_loop *loop = context;
    while (xb_loop_lag_ms(loop) < 100) {
        usleep(5000); /* what nobody may do on a loop */
    }
    xb_loop_stop(loop);
}

/* The heartbeat's lag grows while something blocks the loop (this test would hang otherwise). */
static void lag(void **state)
{
    (void)state;
    struct xb_loop *loop = new_loop();
    struct xb_loop_task blocking = {.fn = block, .context = loop};
    assert_int_equal(xb_loop_lag_ms(loop), 0);
    xb_loop_task_post(loop, &blocking);
    run(loop);
    assert_int_equal(xb_loop_lag_ms(loop), 0);
    xb_loop_free(loop);
}

/* Streams -------------------------------------------------------------------------------------- */

enum { CHUNKS = 2000 };

static bool serve(void *context, struct test_request *request)
{
    (void)context;
    if (strcmp(request->target, "/bad") == 0) {
        return test_answer(request, 410, "Retry-After: 3\r\n", "gone");
    }
    if (strcmp(request->target, "/empty") == 0) {
        return test_answer(request, 200, "", "");
    }
    test_send(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < CHUNKS; i++) {
        char piece[64];
        snprintf(piece, sizeof piece, "%06d\n", i);
        if (!test_chunk(request, piece)) {
            return false;
        }
    }
    if (strcmp(request->target, "/cut") == 0) {
        return false;
    }
    if (strcmp(request->target, "/open") == 0) {
        test_pause(request, 20000);
        return false;
    }
    return test_send(request, "0\r\n\r\n");
}

struct stream_case {
    struct xb_loop *loop;
    struct xb_http_client *client;
    struct test_server server;
    struct xb_http_stream *stream;
    const char *paths[8];
    int at;
    int head, heads, ends;
    size_t bytes, cancel_after;
    int statuses[8];
    struct xb_error err;
    char body[64];
    int64_t retry_after_ms;
    int refuse;
    bool restart;
};

static void start_next(struct stream_case *c);

static void on_head(void *context, int status)
{
    struct stream_case *c = context;
    c->head = status;
    c->heads++;
}

static int on_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    (void)data;
    struct stream_case *c = context;
    assert_int_equal(c->head, 200);
    c->bytes += len;
    if (c->cancel_after && c->bytes >= c->cancel_after) {
        struct xb_http_stream *stream = c->stream;
        c->stream = NULL;
        c->cancel_after = 0;
        xb_http_stream_cancel(stream); /* from within its own callback */
        if (c->paths[c->at + 1]) {
            c->at++;
            c->bytes = 0;
            start_next(c); /* and another started there */
        } else {
            xb_loop_stop(c->loop);
        }
    }
    return c->refuse ? xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "refused") : 0;
}

static void on_end(void *context, const struct xb_http_response *response,
                   const struct xb_error *err)
{
    struct stream_case *c = context;
    c->stream = NULL;
    c->ends++;
    c->statuses[c->at] = response ? response->status : 0;
    if (response && response->body.data) {
        snprintf(c->body, sizeof c->body, "%s", response->body.data);
        c->retry_after_ms = response->retry_after_ms;
    }
    if (err) {
        c->err = *err;
    }
    if (c->paths[c->at + 1]) {
        c->at++;
        start_next(c);
    } else {
        xb_loop_stop(c->loop);
    }
}

static void start_next(struct stream_case *c)
{
    struct xb_error err = XB_ERROR_INIT;
    char url[128];
    const char *path = c->paths[c->at];
    snprintf(url, sizeof url, "%s://127.0.0.1:%d%s", c->server.tls ? "https" : "http",
             *path == '!' ? 1 : c->server.port, *path == '!' ? "/" : path);
    struct xb_http_request request = {.url = url};
    struct xb_http_stream_options options = {.client = c->client,
                                             .request = &request,
                                             .on_head = on_head,
                                             .on_data = on_data,
                                             .on_end = on_end,
                                             .context = c};
    assert_int_equal(xb_http_stream_start(xb_loop_http(c->loop), &options, &c->stream, &err), 0);
    memset(url, 'x', sizeof url); /* the stream has its own copy */
}

static void begin(struct stream_case *c, SSL_CTX *tls, const struct xb_http_client_options *options)
{
    struct xb_error err = XB_ERROR_INIT;
    memset(c, 0, sizeof *c);
    c->loop = new_loop();
    assert_int_equal(xb_http_client_new(options, &c->client, &err), 0);
    assert_true(test_server_start(&c->server, serve, NULL, tls));
}

static void end(struct stream_case *c)
{
    xb_http_stream_cancel(c->stream);
    xb_loop_free(c->loop);
    xb_http_client_free(c->client);
    test_server_stop(&c->server);
}

/* Each way in which a stream can end, one started from the end of the other. */
static void stream_ends(void **state)
{
    (void)state;
    struct stream_case c;
    begin(&c, NULL, NULL);
    c.paths[0] = "/good";
    c.paths[1] = "/bad";
    c.paths[2] = "/empty";
    c.paths[3] = "/cut";
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.ends, 4);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.statuses[0], 200);
    assert_int_equal(c.statuses[1], 410);
    assert_string_equal(c.body, "gone");
    assert_int_equal(c.retry_after_ms, 3000);
    assert_int_equal(c.statuses[2], 200);
    assert_int_equal(c.statuses[3], 0);
    assert_int_equal(c.err.kind, XB_ERR_RETRY);
    assert_int_equal(c.bytes, 2 * 7 * CHUNKS);
    c.paths[0] = "!"; /* nobody listens there */
    c.paths[1] = NULL;
    c.at = 0;
    c.err = (struct xb_error)XB_ERROR_INIT;
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.err.kind, XB_ERR_RETRY);
    end(&c);
}

/* A callback's failure ends the stream with that failure. */
static void stream_refused(void **state)
{
    (void)state;
    struct stream_case c;
    begin(&c, NULL, NULL);
    c.paths[0] = "/open";
    c.refuse = 1;
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.ends, 1);
    assert_int_equal(c.err.code, -EBADMSG);
    assert_int_equal(c.err.kind, XB_ERR_CORRUPT);
    end(&c);
}

/* Cancelling from within on_data: nothing is called any more, and the next one can start there. */
static void stream_cancelled_within(void **state)
{
    (void)state;
    struct stream_case c;
    begin(&c, NULL, NULL);
    c.paths[0] = "/open";
    c.paths[1] = "/good";
    c.cancel_after = 700;
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.ends, 1); /* of the second only */
    assert_int_equal(c.statuses[1], 200);
    assert_int_equal(c.bytes, 7 * CHUNKS);
    end(&c);
}

static void cancel_and_stop(void *context)
{
    struct stream_case *c = context;
    xb_http_stream_cancel(c->stream);
    c->stream = NULL;
    xb_loop_stop(c->loop);
}

/* Cancelling from outside, while it is open and while it connects; and a loop freed with a stream
 * still open. */
static void stream_cancelled_outside(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct stream_case c;
    begin(&c, NULL, NULL);
    struct xb_timer *timer = NULL;
    assert_int_equal(xb_timer_new(c.loop, cancel_and_stop, &c, &timer, &err), 0);
    c.paths[0] = "/open";
    start_next(&c);
    xb_timer_start(timer, 100, 0);
    run(c.loop);
    assert_int_equal(c.ends, 0);
    start_next(&c);
    cancel_and_stop(&c);
    run(c.loop);
    assert_int_equal(c.ends, 0);
    start_next(&c);
    struct xb_http_stream *left = c.stream;
    c.stream = NULL;
    assert_non_null(left);
    xb_timer_free(timer);
    end(&c);
    assert_int_equal(c.ends, 0);
}

/* Streams over TLS, with a trusted and an unknown server. */
static void stream_tls(void **state)
{
    (void)state;
    struct stream_case c;
    struct test_pair ca = test_pair_new("ca", NULL);
    struct test_pair server = test_pair_new("server", &ca);
    struct xb_http_client_options options = {.ca_pem = ca.cert_pem};
    begin(&c, test_tls(&server, NULL), &options);
    c.paths[0] = "/good";
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.statuses[0], 200);
    assert_int_equal(c.bytes, 7 * CHUNKS);
    end(&c);
    begin(&c, test_tls(&server, NULL), NULL);
    c.paths[0] = "/good";
    start_next(&c);
    run(c.loop);
    assert_int_equal(c.err.kind, XB_ERR_DENIED);
    end(&c);
    test_pair_done(&ca);
    test_pair_done(&server);
}

int main(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* for the test's own server */
    sigaction(SIGPIPE, &ignore, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_arrive),
        cmocka_unit_test(tasks),
        cmocka_unit_test(timers),
        cmocka_unit_test(signals),
        cmocka_unit_test(lag),
        cmocka_unit_test(stream_ends),
        cmocka_unit_test(stream_refused),
        cmocka_unit_test(stream_cancelled_within),
        cmocka_unit_test(stream_cancelled_outside),
        cmocka_unit_test(stream_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
