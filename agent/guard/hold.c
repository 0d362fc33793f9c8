/* SPDX-License-Identifier: Apache-2.0
 * Freezes a file system for an agent, and thaws it: when the agent asks, when its connection ends,
 * when the guard is stopped, and when the time is over. Whoever froze it thaws it, in one function,
 * so there is no way past. */
#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/guard/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { ASK_TIMEOUT_MS = 1000, THAW_AGAIN_MS = 20, THAW_TRIES_MAX = 500 };

static int real_freeze(int fd, bool freeze)
{
    return ioctl(fd, freeze ? FIFREEZE : FITHAW, 0) < 0 ? -errno : 0;
}

static int change(const struct xb_guard_server *server, int fd, bool freeze)
{
    return server->options.freeze ? server->options.freeze(fd, freeze) : real_freeze(fd, freeze);
}

/* EINVAL: it is not frozen, somebody else was first. */
static void thaw(const struct xb_guard_server *server, int fd)
{
    const struct timespec pause = {.tv_nsec = THAW_AGAIN_MS * XB_NS_PER_MS};
    int r = change(server, fd, false);
    for (int try = 1; r < 0 && r != -EINVAL && try < THAW_TRIES_MAX; try++) {
        (void)nanosleep(&pause, NULL);
        r = change(server, fd, false);
    }
    if (r < 0 && r != -EINVAL) {
        struct xb_error err = XB_ERROR_INIT;
        xb_error_errno(&err, -r, "FITHAW");
        xb_log_error(&err, "a file system stays frozen: thaw it with fsfreeze -u MOUNTPOINT");
    }
}

/* The word is taken off the socket: to close it with a word unread would take the answer along. */
bool xb_guard_holder_asks(struct xb_guard_holder *holder, enum xb_guard_type type)
{
    struct xb_guard_message message;
    struct xb_error ignored = XB_ERROR_INIT;
    size_t len = 0;
    return xb_guard_receive(holder->fd, holder->packet, &message, &len, NULL, &ignored) > 0 &&
           message.type == type;
}

/* Until one of the reasons to thaw; true: it was asked for. */
static bool hold(struct xb_guard_holder *holder, int64_t until_ns)
{
    struct pollfd polled[] = {{.fd = holder->fd, .events = POLLIN},
                              {.fd = holder->server->stopping_fd, .events = POLLIN}};
    int64_t left_ns;
    while ((left_ns = until_ns - xb_clock_mono_ns()) > 0) {
        int r = poll(polled, 2, (int)((left_ns + XB_NS_PER_MS - 1) / XB_NS_PER_MS));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        return r > 0 && polled[0].revents && xb_guard_holder_asks(holder, XB_GUARD_THAW) &&
               xb_clock_mono_ns() < until_ns;
    }
    return false;
}

static uint64_t since_us(int64_t begin_ns)
{
    return (uint64_t)(xb_clock_mono_ns() - begin_ns) / NS_PER_US;
}

void xb_guard_holder_answer(struct xb_guard_holder *holder, const struct xb_guard_message *message)
{
    struct xb_error err = XB_ERROR_INIT;
    if (xb_guard_send(holder->fd, message, -1, holder->packet, &err) < 0) {
        xb_log_debug("an agent has not heard the answer", "error", err.text);
    }
}

static void freeze_for(struct xb_guard_holder *holder, int fd, uint32_t limit_ms)
{
    struct xb_guard_server *server = holder->server;
    int64_t begin_ns = xb_clock_mono_ns();
    int64_t until_ns = begin_ns + limit_ms * XB_NS_PER_MS;
    int r = change(server, fd, true);
    if (r < 0) {
        xb_guard_holder_answer(holder,
                               &(struct xb_guard_message){
                                   .type = XB_GUARD_REFUSED,
                                   .kind = XB_ERR_IO,
                                   .text = r == -EBUSY ? "it is frozen already" : strerror(-r)});
        return;
    }
    /* Frozen: nothing between here and thaw() may fail or wait beyond until_ns. */
    xb_guard_holder_answer(
        holder, &(struct xb_guard_message){.type = XB_GUARD_FROZEN, .took_us = since_us(begin_ns)});
    bool asked = hold(holder, until_ns);
    thaw(server, fd);
    struct xb_guard_message thawed = {.type = XB_GUARD_THAWED, .expired = !asked};
    thawed.took_us = since_us(begin_ns);
    xb_guard_holder_answer(holder, &thawed);
    if (!asked) {
        xb_log_warning("a file system was thawed before the agent asked for it");
    }
}

static const char *refuse(const struct xb_guard_server *server, int fd, uint32_t limit_ms)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return "no descriptor came along";
    }
    if (st.st_dev == server->device) {
        return "it holds the kubelet's state";
    }
    if (limit_ms == 0) {
        return "without a limit nothing is frozen";
    }
    return server->can_thaw ? NULL : "the guard has no CAP_SYS_ADMIN";
}

static void serve_one(struct xb_guard_holder *holder)
{
    struct xb_guard_message message;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int fd = -1;
    size_t len = 0;
    if (!xb_guard_wait(holder->fd, xb_clock_mono_ns() + ASK_TIMEOUT_MS * XB_NS_PER_MS) ||
        xb_guard_receive(holder->fd, holder->packet, &message, &len, &fd, &err) <= 0 ||
        (message.type != XB_GUARD_FREEZE && message.type != XB_GUARD_WATCH)) {
        return;
    }
    if (message.type == XB_GUARD_WATCH) {
        xb_guard_watch_for(holder, &message);
        return;
    }
    uint32_t limit_ms = message.limit_ms;
    const char *why = refuse(holder->server, fd, limit_ms);
    if (why) {
        xb_guard_holder_answer(holder, &(struct xb_guard_message){.type = XB_GUARD_REFUSED,
                                                                  .kind = XB_ERR_DENIED,
                                                                  .text = why});
        return;
    }
    freeze_for(holder, fd, limit_ms);
}

void *xb_guard_hold_main(void *argument)
{
    struct xb_guard_holder *holder = argument;
    struct xb_guard_server *server = holder->server;
    pthread_mutex_lock(&server->lock);
    while (!server->ended) {
        if (holder->fd < 0) {
            pthread_cond_wait(&server->changed, &server->lock);
            continue;
        }
        pthread_mutex_unlock(&server->lock);
        serve_one(holder);
        pthread_mutex_lock(&server->lock);
        close(holder->fd);
        holder->fd = -1;
        xb_guard_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}
