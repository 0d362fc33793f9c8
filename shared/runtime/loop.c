/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/runtime/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "shared/base/clock.h"
#include "shared/http/stream.h"

enum { SIGNALS = 2, POSTS_PER_TURN = 256 };

struct xb_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t beat;
    uv_timer_t http_timer;
    uv_signal_t signals[SIGNALS];
    bool signals_set;
    xb_loop_signal_fn *on_signal;
    void *signal_context;
    struct xb_http_multi *http;
    pthread_mutex_t lock; /* the list */
    struct xb_loop_task *first, *last;
    atomic_bool stopping;
    _Atomic int64_t beat_ns; /* when the heartbeat last came; 0: not running */
};

struct xb_timer {
    uv_timer_t uv;
    xb_loop_fn *fn;
    void *context;
};

/* One socket of the multi. */
struct watch {
    uv_poll_t uv;
    struct xb_loop *loop;
    int fd;
};

static int fail(struct xb_error *err, int r, const char *what)
{
    return xb_error_errno(err, -r, "cannot set up %s", what); /* libuv's codes are -errno */
}

static struct xb_loop_task *pop(struct xb_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct xb_loop_task *task = loop->first;
    if (task) {
        loop->first = task->next;
        loop->last = loop->first ? loop->last : NULL;
        task->next = NULL;
        task->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
    return task;
}

static void on_wake(uv_async_t *handle)
{
    struct xb_loop *loop = handle->data;
    if (atomic_load(&loop->stopping)) {
        uv_stop(&loop->uv);
    }
    for (int i = 0; i < POSTS_PER_TURN; i++) {
        struct xb_loop_task *task = pop(loop);
        if (!task) {
            return;
        }
        task->fn(task->context);
    }
    uv_async_send(&loop->wake); /* the rest after timers and sockets had their turn */
}

static void on_beat(uv_timer_t *handle)
{
    struct xb_loop *loop = handle->data;
    atomic_store(&loop->beat_ns, xb_clock_mono_ns());
}

static void on_http_timer(uv_timer_t *handle)
{
    struct xb_loop *loop = handle->data;
    xb_http_multi_timeout(loop->http);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct watch *watch = handle->data;
    unsigned ready =
        (events & UV_READABLE ? XB_HTTP_READ : 0U) | (events & UV_WRITABLE ? XB_HTTP_WRITE : 0U);
    xb_http_multi_ready(watch->loop->http, watch->fd, ready, status < 0);
}

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static int watch_socket(void *context, int fd, unsigned events, void **slot)
{
    struct xb_loop *loop = context;
    struct watch *watch = *slot;
    if (events == 0) {
        if (watch) {
            uv_close((uv_handle_t *)&watch->uv, free_watch);
            *slot = NULL;
        }
        return 0;
    }
    if (!watch) {
        watch = calloc(1, sizeof *watch);
        if (!watch || uv_poll_init(&loop->uv, &watch->uv, fd) < 0) {
            free(watch);
            return -ENOMEM;
        }
        watch->uv.data = watch;
        watch->loop = loop;
        watch->fd = fd;
        *slot = watch;
    }
    int wanted =
        (events & XB_HTTP_READ ? UV_READABLE : 0) | (events & XB_HTTP_WRITE ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->uv, wanted, on_readable);
}

static void set_http_timer(void *context, int64_t ms)
{
    struct xb_loop *loop = context;
    if (ms < 0) {
        uv_timer_stop(&loop->http_timer);
    } else {
        uv_update_time(&loop->uv);
        uv_timer_start(&loop->http_timer, on_http_timer, (uint64_t)ms, 0);
    }
}

static int setup_handles(struct xb_loop *loop, struct xb_error *err)
{
    struct xb_http_reactor reactor = {
        .context = loop, .socket = watch_socket, .timer = set_http_timer};
    uv_timer_init(&loop->uv, &loop->beat);
    uv_timer_init(&loop->uv, &loop->http_timer);
    loop->beat.data = loop;
    loop->http_timer.data = loop;
    loop->wake.data = loop;
    int r = uv_async_init(&loop->uv, &loop->wake, on_wake);
    for (int i = 0; i < SIGNALS && r == 0; i++) {
        r = uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
    }
    return r < 0 ? fail(err, r, "the event loop") : xb_http_multi_new(&reactor, &loop->http, err);
}

int xb_loop_new(struct xb_loop **ret, struct xb_error *err)
{
    struct xb_loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        return xb_error_no_memory(err, "the event loop");
    }
    int r = uv_loop_init(&loop->uv);
    if (r < 0) {
        free(loop);
        return fail(err, r, "the event loop");
    }
    pthread_mutex_init(&loop->lock, NULL);
    r = setup_handles(loop, err);
    if (r < 0) {
        xb_loop_free(loop);
        return r;
    }
    *ret = loop;
    return 0;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void xb_loop_free(struct xb_loop *loop)
{
    if (!loop) {
        return;
    }
    xb_http_multi_free(loop->http); /* closes its sockets, whose memory the close below frees */
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

int xb_loop_run(struct xb_loop *loop, struct xb_error *err)
{
    uv_update_time(&loop->uv);
    atomic_store(&loop->beat_ns, xb_clock_mono_ns());
    int r = uv_timer_start(&loop->beat, on_beat, XB_LOOP_BEAT_MS, XB_LOOP_BEAT_MS);
    if (r < 0) {
        return fail(err, r, "the heartbeat");
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_timer_stop(&loop->beat);
    atomic_store(&loop->beat_ns, 0);
    atomic_store(&loop->stopping, false);
    return 0;
}

void xb_loop_stop(struct xb_loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(&loop->wake);
}

/* With the lock held. */
static void push(struct xb_loop *loop, struct xb_loop_task *task)
{
    task->queued = true;
    task->next = NULL;
    if (loop->last) {
        loop->last->next = task;
    } else {
        loop->first = task;
    }
    loop->last = task;
}

void xb_loop_task_post(struct xb_loop *loop, struct xb_loop_task *task)
{
    pthread_mutex_lock(&loop->lock);
    if (!task->queued) {
        push(loop, task);
    }
    pthread_mutex_unlock(&loop->lock);
    uv_async_send(&loop->wake);
}

void xb_loop_task_cancel(struct xb_loop *loop, struct xb_loop_task *task)
{
    pthread_mutex_lock(&loop->lock);
    struct xb_loop_task *before = NULL;
    for (struct xb_loop_task *at = task->queued ? loop->first : NULL; at; at = at->next) {
        if (at != task) {
            before = at;
            continue;
        }
        if (before) {
            before->next = task->next;
        } else {
            loop->first = task->next;
        }
        if (loop->last == task) {
            loop->last = before;
        }
        break;
    }
    task->queued = false;
    task->next = NULL;
    pthread_mutex_unlock(&loop->lock);
}

int xb_timer_new(struct xb_loop *loop, xb_loop_fn *fn, void *context, struct xb_timer **ret,
                 struct xb_error *err)
{
    struct xb_timer *timer = calloc(1, sizeof *timer);
    if (!timer) {
        return xb_error_no_memory(err, "a timer");
    }
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    timer->fn = fn;
    timer->context = context;
    *ret = timer;
    return 0;
}

static void on_timer(uv_timer_t *handle)
{
    struct xb_timer *timer = handle->data;
    timer->fn(timer->context);
}

void xb_timer_start(struct xb_timer *timer, int64_t delay_ms, int64_t repeat_ms)
{
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0,
                   repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
}

void xb_timer_stop(struct xb_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

static void free_timer(uv_handle_t *handle)
{
    free(handle->data);
}

void xb_timer_free(struct xb_timer *timer)
{
    if (timer) {
        uv_close((uv_handle_t *)&timer->uv, free_timer);
    }
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct xb_loop *loop = handle->data;
    loop->on_signal(loop->signal_context, signal_number);
}

int xb_loop_signals(struct xb_loop *loop, xb_loop_signal_fn *fn, void *context,
                    struct xb_error *err)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};
    loop->on_signal = fn;
    loop->signal_context = context;
    for (int i = 0; i < SIGNALS; i++) {
        int r = uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
        if (r < 0) {
            return fail(err, r, "signals");
        }
    }
    return 0;
}

struct xb_http_multi *xb_loop_http(struct xb_loop *loop)
{
    return loop->http;
}

int64_t xb_loop_lag_ms(const struct xb_loop *loop)
{
    int64_t beat = atomic_load(&loop->beat_ns);
    int64_t lag = beat ? (xb_clock_mono_ns() - beat) / XB_NS_PER_MS - XB_LOOP_BEAT_MS : 0;
    return lag > 0 ? lag : 0;
}
