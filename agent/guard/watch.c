/* SPDX-License-Identifier: Apache-2.0
 * Watches over a volume group while somebody works on it for an agent: its devices are resumed when
 * one has been suspended for too long, and when the agent's connection ends or the guard is stopped
 * while one is. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "agent/guard/devices.h"
#include "agent/guard/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum {
    LOOK_AGAIN_MS = 10,
    /* Who was killed may be in the middle of a suspend, and end it only when all is flushed. */
    QUIET_MS = 5000,
    QUIET_STOPPING_MS = 500, /* a pod that is deleted by force has two seconds */
    SETTLE_MS_MAX = 30 * 1000
};

struct watch {
    struct xb_guard_devices devices;
    int64_t limit_ns;
    int64_t since_ns; /* when one was first seen suspended; 0: none is */
    int64_t stood_ns; /* for how long that was, all times together */
    bool expired;
    bool inherited; /* from a holder that was settling */
};

enum word { NONE, ASKED, ENDED };

static enum word listen_for(struct xb_guard_holder *holder)
{
    struct pollfd polled[] = {{.fd = holder->fd, .events = POLLIN},
                              {.fd = holder->server->stopping_fd, .events = POLLIN}};
    int r = poll(polled, 2, LOOK_AGAIN_MS);
    if (r == 0 || (r < 0 && errno == EINTR)) {
        return NONE;
    }
    return r > 0 && polled[0].revents && xb_guard_holder_asks(holder, XB_GUARD_UNWATCH) ? ASKED
                                                                                        : ENDED;
}

/* What was found suspended now is no longer; -1: it may be. */
static int resume(struct watch *watch)
{
    struct xb_error err = XB_ERROR_INIT;
    int count = xb_guard_devices_resume(&watch->devices, &err);
    if (count < 0) {
        xb_log_error(&err, "devices of a volume group may stay suspended");
    }
    return count < 0 ? -1 : count;
}

static void look(struct watch *watch)
{
    struct xb_error err = XB_ERROR_INIT;
    int count = xb_guard_devices_suspended(&watch->devices, &err);
    int64_t now_ns = xb_clock_mono_ns();
    if (count > 0 && watch->since_ns == 0) {
        watch->since_ns = now_ns;
    } else if (count == 0 && watch->since_ns != 0) {
        watch->stood_ns += now_ns - watch->since_ns;
        watch->since_ns = 0;
    }
    if (count < 0 || (watch->since_ns != 0 && now_ns - watch->since_ns >= watch->limit_ns)) {
        watch->expired = true; /* also if nobody can say what is */
        (void)resume(watch);
    }
}

static int64_t quiet_ns(const struct xb_guard_server *server)
{
    struct pollfd stopping = {.fd = server->stopping_fd, .events = POLLIN};
    return (poll(&stopping, 1, 0) > 0 ? QUIET_STOPPING_MS : QUIET_MS) * XB_NS_PER_MS;
}

/* ---- one watch per group ---- */

/* CONFLICT: somebody else watches over this group, and would take what is suspended for its own. */
static int begin_group(struct xb_guard_holder *holder, struct watch *watch, struct xb_error *err)
{
    struct xb_guard_server *server = holder->server;
    const char *uuid = watch->devices.watched.uuid;
    int r = 0;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < XB_GUARD_FREEZES_MAX; i++) {
        struct xb_guard_holder *other = &server->holders[i];
        if (xb_mapper_same_group(other->watched, uuid) && other->settling) {
            other->watched[0] = '\0';
            watch->inherited = true;
        } else if (xb_mapper_same_group(other->watched, uuid)) {
            r = xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                             "somebody else is at work on its volume group already");
        }
    }
    if (r == 0) {
        snprintf(holder->watched, sizeof holder->watched, "%s", uuid);
        holder->settling = false;
    }
    pthread_mutex_unlock(&server->lock);
    return r;
}

static void end_group(struct xb_guard_holder *holder)
{
    pthread_mutex_lock(&holder->server->lock);
    holder->watched[0] = '\0';
    pthread_mutex_unlock(&holder->server->lock);
}

/* Who asked is gone. Whether nobody else has asked for the group since. */
static bool is_still_ours(struct xb_guard_holder *holder)
{
    pthread_mutex_lock(&holder->server->lock);
    bool ours = holder->watched[0] != '\0';
    holder->settling = true;
    pthread_mutex_unlock(&holder->server->lock);
    return ours;
}

/* Until nothing has been suspended for a while. */
static void settle(struct xb_guard_holder *holder, struct watch *watch)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * XB_NS_PER_MS};
    int64_t now_ns = xb_clock_mono_ns();
    int64_t end_ns = now_ns + SETTLE_MS_MAX * XB_NS_PER_MS;
    int64_t since_ns = now_ns;
    while (now_ns - since_ns < quiet_ns(holder->server) && now_ns < end_ns &&
           is_still_ours(holder)) {
        int count = resume(watch);
        (void)nanosleep(&pause, NULL);
        now_ns = xb_clock_mono_ns();
        since_ns = count == 0 ? since_ns : now_ns;
    }
}

static void watch_on(struct xb_guard_holder *holder, struct watch *watch)
{
    int64_t end_ns = xb_clock_mono_ns() + XB_GUARD_WATCH_MS_MAX * XB_NS_PER_MS;
    enum word word = NONE;
    while (word == NONE && xb_clock_mono_ns() < end_ns) {
        look(watch);
        word = listen_for(holder);
    }
    if (word == ASKED) {
        look(watch);
        watch->expired = resume(watch) != 0 || watch->expired;
        xb_guard_holder_answer(
            holder, &(struct xb_guard_message){.type = XB_GUARD_WATCHED,
                                               .took_us = (uint64_t)watch->stood_ns / NS_PER_US,
                                               .expired = watch->expired});
        return;
    }
    xb_log_warning("nobody watches any more who works on a volume group", "device",
                   watch->devices.watched.name);
    settle(holder, watch);
}

static int begin(struct xb_guard_holder *holder, const struct xb_guard_message *message,
                 struct watch *watch, struct xb_error *err)
{
    const struct xb_guard_server *server = holder->server;
    const struct xb_mapper_id id = {.major = message->major, .minor = message->minor};
    if (server->mapper_fd < 0 && !server->options.mapper) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                            "the guard has no /dev/mapper/control, or no CAP_SYS_ADMIN");
    }
    if (message->limit_ms == 0) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM, "nothing is suspended without a limit");
    }
    int r =
        xb_guard_devices_of(id, server->options.mapper, server->mapper_fd, &watch->devices, err);
    r = r ? r : begin_group(holder, watch, err);
    r = r ? r : xb_guard_devices_suspended(&watch->devices, err);
    if (r > 0) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -EBUSY,
                         "something of its volume group is suspended: somebody is at work there");
    }
    return r;
}

void xb_guard_watch_for(struct xb_guard_holder *holder, const struct xb_guard_message *message)
{
    struct watch watch = {.limit_ns = message->limit_ms * XB_NS_PER_MS};
    struct xb_error err = XB_ERROR_INIT;
    if (begin(holder, message, &watch, &err) < 0) {
        xb_guard_holder_answer(holder, &(struct xb_guard_message){.type = XB_GUARD_REFUSED,
                                                                  .kind = (uint32_t)err.kind,
                                                                  .text = err.text});
        if (watch.inherited) { /* then what is suspended may be of those who are gone */
            settle(holder, &watch);
        }
    } else {
        xb_guard_holder_answer(holder, &(struct xb_guard_message){.type = XB_GUARD_WATCHING});
        watch_on(holder, &watch);
    }
    end_group(holder);
}
