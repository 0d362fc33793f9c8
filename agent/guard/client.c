/* SPDX-License-Identifier: Apache-2.0
 * The agent's side: one connection, on which one word at a time is said and answered, and a thread
 * that beats. */
#include "agent/guard/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

int xb_guard_connect(const char *path, enum xb_guard_role role, unsigned char *packet, int *ret,
                     struct xb_guard_message *ret_welcome, struct xb_error *err)
{
    const struct xb_guard_message hello = {
        .type = XB_GUARD_HELLO, .version = XB_GUARD_VERSION, .role = role};
    struct sockaddr_un address;
    int r = xb_guard_address(path, &address, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int code = errno;
        return xb_error_set(err, XB_ERR_NOT_FOUND, -code, "no bracket guard at %.100s: %s", path,
                            strerror(code));
    }
    if ((r = xb_guard_say(fd, &hello, -1, packet, err)) < 0 ||
        (r = xb_guard_answer(fd, XB_GUARD_ANSWER_MS, packet, ret_welcome, err)) < 0) {
        return r;
    }
    if (ret_welcome->type != XB_GUARD_WELCOME || ret_welcome->version != XB_GUARD_VERSION) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EPROTO, "the guard answers something else");
    }
    *ret = XB_TAKE_FD(fd);
    return 0;
}

int xb_guard_say(int fd, const struct xb_guard_message *message, int passed_fd,
                 unsigned char *packet, struct xb_error *err)
{
    int r = xb_guard_send(fd, message, passed_fd, packet, err);
    if (r < 0 && err->kind != XB_ERR_FULL) {
        err->kind = XB_ERR_NOT_FOUND;
    }
    return r;
}

int xb_guard_answer(int fd, int timeout_ms, unsigned char *packet, struct xb_guard_message *ret,
                    struct xb_error *err)
{
    int64_t until_ns = xb_clock_mono_ns() + timeout_ms * XB_NS_PER_MS;
    size_t len = 0;
    int r = 0;
    while (r == 0 && xb_guard_wait(fd, until_ns)) {
        r = xb_guard_receive(fd, packet, ret, &len, NULL, err);
    }
    if (r == 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ETIMEDOUT, "the guard does not answer");
    }
    if (r > 0 && ret->type == XB_GUARD_REFUSED) {
        enum xb_error_kind kind = ret->kind ? (enum xb_error_kind)ret->kind : XB_ERR_IO;
        return xb_error_set(err, kind, kind == XB_ERR_CONFLICT ? -EBUSY : -EPERM,
                            "the guard says: %s", ret->text);
    }
    return r < 0 ? r : 0;
}

/* ---- the connection ---- */

static void disconnect(struct xb_guard *guard)
{
    xb_closep(&guard->fd);
    guard->fd = -1;
}

/* Says something and takes the answer, with the lock. Whatever else comes ends the connection. */
static int talk(struct xb_guard *guard, const struct xb_guard_message *message,
                struct xb_guard_message *ret, struct xb_error *err)
{
    if (guard->fd < 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTCONN, "no bracket guard is connected");
    }
    int r = xb_guard_say(guard->fd, message, -1, guard->packet, err);
    r = r ? r : xb_guard_answer(guard->fd, XB_GUARD_ANSWER_MS, guard->packet, ret, err);
    if (r < 0 && (err->kind == XB_ERR_NOT_FOUND || err->kind == XB_ERR_CORRUPT)) {
        disconnect(guard);
    }
    return r;
}

/* A guard that was started again knows nothing; one that took us for dead knows better. */
static void arm_again(struct xb_guard *guard)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX && guard->fd >= 0; i++) {
        struct xb_guard_armed *armed = &guard->armed[i];
        struct xb_error err = XB_ERROR_INIT;
        struct xb_guard_message message, state;
        if (!armed->message ||
            xb_guard_message_read(armed->message, armed->len, &message, &err) < 0) {
            continue;
        }
        int r = talk(guard, &message, &state, &err);
        if (r == 0 && armed->held) {
            message = (struct xb_guard_message){.type = XB_GUARD_HELD, .id = armed->id};
            r = talk(guard, &message, &state, &err);
        }
        if (r < 0 && err.kind != XB_ERR_CONFLICT) {
            xb_log_error(&err, "a pod between its hooks is no longer watched over", "bracket",
                         armed->id);
        }
    }
}

static void say_once(struct xb_guard *guard, bool there, const struct xb_error *err)
{
    if (!there && guard->said == 0 &&
        xb_clock_mono_ns() - guard->begun_ns < PATIENCE_MS * XB_NS_PER_MS) {
        return; /* both have just been started */
    }
    if (there && guard->said != 1) {
        xb_log_info("the bracket guard is there", "socket", guard->path);
    } else if (!there && guard->said != -1) {
        xb_log_err(XB_LOG_WARNING, err,
                   "no bracket guard: after the agent's end hooks are run when it is started again",
                   (char *)NULL);
    }
    guard->said = there ? 1 : -1;
}

/* With the lock. */
static int connected(struct xb_guard *guard, struct xb_error *err)
{
    struct xb_guard_message welcome;
    if (guard->fd >= 0) {
        return 0;
    }
    int r = xb_guard_connect(guard->path, XB_GUARD_AGENT, guard->packet, &guard->fd, &welcome, err);
    say_once(guard, r == 0, err);
    if (r == 0) {
        arm_again(guard);
    }
    return r;
}

int xb_guard_request(struct xb_guard *guard, const struct xb_guard_message *message,
                     struct xb_guard_message *ret, struct xb_error *err)
{
    struct xb_error first = XB_ERROR_INIT;
    int r = connected(guard, err);
    if (r < 0) {
        return r;
    }
    r = talk(guard, message, ret, &first);
    if (r < 0 && first.kind == XB_ERR_NOT_FOUND && first.code != -ETIMEDOUT) {
        r = connected(guard, err);
        return r ? r : talk(guard, message, ret, err);
    }
    if (r < 0) {
        *err = first;
    }
    return r;
}

static int beat_once(struct xb_guard *guard, struct xb_error *err)
{
    static const struct xb_guard_message message = {.type = XB_GUARD_BEAT};
    struct xb_guard_message answer;
    return xb_guard_request(guard, &message, &answer, err);
}

int xb_guard_alive(struct xb_guard *guard, struct xb_error *err)
{
    pthread_mutex_lock(&guard->lock);
    int r = beat_once(guard, err);
    pthread_mutex_unlock(&guard->lock);
    return r;
}

static void *beat(void *argument)
{
    struct xb_guard *guard = argument;
    struct timespec until;
    pthread_mutex_lock(&guard->lock);
    while (!guard->ended) {
        struct xb_error ignored = XB_ERROR_INIT;
        (void)!beat_once(guard, &ignored);
        int64_t next_ns =
            xb_clock_mono_ns() + (guard->fd >= 0 ? XB_GUARD_BEAT_MS : AGAIN_MS) * XB_NS_PER_MS;
        until =
            (struct timespec){.tv_sec = next_ns / XB_NS_PER_S, .tv_nsec = next_ns % XB_NS_PER_S};
        (void)pthread_cond_timedwait(&guard->changed, &guard->lock, &until);
    }
    pthread_mutex_unlock(&guard->lock);
    return NULL;
}

int xb_guard_new(const char *socket, struct xb_guard **ret, struct xb_error *err)
{
    struct xb_guard *guard = NULL;
    pthread_condattr_t clock;
    if (!socket || !socket[0]) {
        *ret = NULL;
        return 0;
    }
    guard = calloc(1, sizeof *guard);
    if (!guard || !(guard->path = strdup(socket))) {
        free(guard);
        return xb_error_no_memory(err, "the guard's connection");
    }
    guard->fd = -1;
    guard->begun_ns = xb_clock_mono_ns();
    pthread_mutex_init(&guard->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&guard->changed, &clock);
    pthread_condattr_destroy(&clock);
    int failed = pthread_create(&guard->thread, NULL, beat, guard);
    if (failed) {
        free(guard->path);
        free(guard);
        return xb_error_errno(err, failed, "the guard's thread");
    }
    *ret = guard;
    return 0;
}

void xb_guard_free(struct xb_guard *guard)
{
    if (!guard) {
        return;
    }
    pthread_mutex_lock(&guard->lock);
    guard->ended = true;
    pthread_cond_broadcast(&guard->changed);
    pthread_mutex_unlock(&guard->lock);
    pthread_join(guard->thread, NULL);
    disconnect(guard);
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        free(guard->armed[i].message);
    }
    pthread_cond_destroy(&guard->changed);
    pthread_mutex_destroy(&guard->lock);
    free(guard->path);
    free(guard);
}
