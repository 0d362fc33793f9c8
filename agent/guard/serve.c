/* SPDX-License-Identifier: Apache-2.0
 * The thread that talks: connections, and what is said on them. It never waits for anything but the
 * next word. */
#include "agent/guard/serve.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/guard/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum {
    CONNECTIONS_MAX = 16,
    HELLO_TIMEOUT_MS = 2000,
    STOP_TIMEOUT_MS = 10 * 1000 /* for an agent that ends as well, and its pre hooks with it */
};

enum { WAKE, STOP, LISTEN, FIRST }; /* what is polled */

struct connection {
    int fd; /* -1: free */
    uint32_t role;
    int64_t since_ns;
};

struct talk {
    struct xb_guard_server *server;
    struct connection connections[CONNECTIONS_MAX];
    unsigned char packet[XB_GUARD_PACKET_BYTES_MAX];
    int64_t stopped_ns; /* -1: goes on */
};

void xb_guard_wake(struct xb_guard_server *server)
{
    const uint64_t one = 1;
    ssize_t ignored = write(server->wake_fd, &one, sizeof one);
    (void)ignored;
}

/* ---- what is asked ---- */

static struct xb_guard_message refusal(const struct xb_error *err)
{
    return (struct xb_guard_message){
        .type = XB_GUARD_REFUSED, .kind = (uint32_t)err->kind, .text = err->text};
}

/* With the lock. A refusal lends from err. */
static struct xb_guard_message answer_agent(struct talk *talk,
                                            const struct xb_guard_message *message, size_t len,
                                            struct xb_error *err)
{
    struct xb_guard_table *table = &talk->server->table;
    struct xb_guard_bracket *bracket = xb_guard_table_find(table, message->id);
    int64_t now_ns = xb_clock_mono_ns();
    xb_guard_table_heard(table, now_ns);
    switch (message->type) {
    case XB_GUARD_BEAT:
        return (struct xb_guard_message){.type = XB_GUARD_OK};
    case XB_GUARD_ARM:
        if (xb_guard_table_arm(table, message, talk->packet, len, err) < 0) {
            return refusal(err);
        }
        bracket = xb_guard_table_find(table, message->id);
        break;
    case XB_GUARD_HELD:
    case XB_GUARD_CLOSE:
        if (bracket && message->type == XB_GUARD_HELD) {
            xb_guard_table_held(table, bracket);
        } else if (bracket) {
            xb_guard_table_close(table, bracket, now_ns);
        }
        break;
    case XB_GUARD_FORGET:
        if (bracket && xb_guard_table_forget(bracket, err) < 0) {
            return refusal(err);
        }
        bracket = NULL;
        break;
    case XB_GUARD_ASK:
        break;
    case XB_GUARD_HELLO:
    case XB_GUARD_STOP:
    case XB_GUARD_FREEZE:
    case XB_GUARD_THAW:
    case XB_GUARD_WATCH:
    case XB_GUARD_UNWATCH:
    case XB_GUARD_WELCOME:
    case XB_GUARD_OK:
    case XB_GUARD_STATE:
    case XB_GUARD_REFUSED:
    case XB_GUARD_FROZEN:
    case XB_GUARD_THAWED:
    case XB_GUARD_WATCHING:
    case XB_GUARD_WATCHED:
    default:
        xb_error_set(err, XB_ERR_INVALID, -EPROTO, "an agent may not say that");
        return refusal(err);
    }
    return xb_guard_table_tell(bracket);
}

static bool stopped_enough(const struct talk *talk)
{
    return talk->stopped_ns >= 0 &&
           (!xb_guard_table_busy(&talk->server->table) ||
            xb_clock_mono_ns() - talk->stopped_ns > STOP_TIMEOUT_MS * XB_NS_PER_MS);
}

static void stop_table(struct xb_guard_server *server)
{
    const uint64_t one = 1;
    xb_guard_table_stop(&server->table, xb_clock_mono_ns());
    ssize_t ignored = write(server->stopping_fd, &one, sizeof one);
    (void)ignored;
    pthread_cond_broadcast(&server->changed);
}

/* Who stops the guard asks until it is over. */
static struct xb_guard_message answer_stopper(struct xb_guard_server *server)
{
    stop_table(server);
    return (struct xb_guard_message){.type = XB_GUARD_STATE,
                                     .state = xb_guard_table_busy(&server->table) ? XB_GUARD_RUNNING
                                                                                  : XB_GUARD_RAN};
}

static bool has_agent(const struct talk *talk)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (talk->connections[i].fd >= 0 && talk->connections[i].role == XB_GUARD_AGENT) {
            return true;
        }
    }
    return false;
}

/* A connection that freezes goes to a thread of its own; with the lock. */
static bool hand_over(struct talk *talk, struct connection *connection)
{
    for (size_t i = 0; i < XB_GUARD_FREEZES_MAX; i++) {
        struct xb_guard_holder *holder = &talk->server->holders[i];
        if (holder->fd < 0) {
            holder->fd = XB_TAKE_FD(connection->fd);
            pthread_cond_broadcast(&talk->server->changed);
            return true;
        }
    }
    return false;
}

static int greet(const struct talk *talk, const struct xb_guard_message *message,
                 struct xb_error *err)
{
    if (message->type != XB_GUARD_HELLO || message->role == 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EPROTO, "a connection begins with HELLO");
    }
    if (message->version != XB_GUARD_VERSION) {
        return xb_error_set(err, XB_ERR_INVALID, -EPROTONOSUPPORT,
                            "the guard speaks version %d, not %u: agent and guard must be of one "
                            "image",
                            XB_GUARD_VERSION, message->version);
    }
    if (message->role == XB_GUARD_AGENT && has_agent(talk)) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY, "the guard has an agent already");
    }
    if (message->role == XB_GUARD_FREEZER && (!has_agent(talk) || talk->stopped_ns >= 0)) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ENOTCONN,
                            "the guard freezes nothing without an agent");
    }
    return 0;
}

/* ---- connections ---- */

static void end_connection(struct talk *talk, struct connection *connection)
{
    struct xb_guard_server *server = talk->server;
    if (connection->role == XB_GUARD_AGENT) {
        pthread_mutex_lock(&server->lock);
        xb_guard_table_lost(&server->table, xb_clock_mono_ns());
        pthread_cond_broadcast(&server->changed);
        pthread_mutex_unlock(&server->lock);
    }
    close(connection->fd);
    connection->fd = -1;
    connection->role = 0;
}

/* The first word says what a connection is for. */
static int begin_connection(struct talk *talk, struct connection *connection,
                            const struct xb_guard_message *message, struct xb_error *err)
{
    struct xb_guard_server *server = talk->server;
    struct xb_guard_message answer = {
        .type = XB_GUARD_WELCOME, .version = XB_GUARD_VERSION, .can_thaw = server->can_thaw};
    uint32_t role = message->role;
    int r = greet(talk, message, err);
    if (r < 0) {
        struct xb_error ignored = XB_ERROR_INIT;
        answer = refusal(err);
        (void)!xb_guard_send(connection->fd, &answer, -1, talk->packet, &ignored);
        return r;
    }
    if ((r = xb_guard_send(connection->fd, &answer, -1, talk->packet, err)) < 0) {
        return r;
    }
    pthread_mutex_lock(&server->lock);
    if (role == XB_GUARD_AGENT) {
        xb_guard_table_heard(&server->table, xb_clock_mono_ns());
    } else if (role == XB_GUARD_FREEZER && !hand_over(talk, connection)) {
        r = xb_error_set(err, XB_ERR_FULL, -EBUSY, "too many file systems are frozen at once");
    }
    pthread_mutex_unlock(&server->lock);
    connection->role = role == XB_GUARD_FREEZER ? 0 : role;
    return r;
}

static int continue_connection(struct talk *talk, const struct connection *connection,
                               const struct xb_guard_message *message, size_t len,
                               struct xb_error *err)
{
    struct xb_guard_server *server = talk->server;
    struct xb_error refused = XB_ERROR_INIT;
    pthread_mutex_lock(&server->lock);
    const struct xb_guard_message answer = connection->role == XB_GUARD_AGENT
                                               ? answer_agent(talk, message, len, &refused)
                                               : answer_stopper(server);
    if (message->type == XB_GUARD_ARM || message->type == XB_GUARD_CLOSE) {
        pthread_cond_broadcast(&server->changed);
    }
    int r = xb_guard_send(connection->fd, &answer, -1, talk->packet, err);
    pthread_mutex_unlock(&server->lock);
    return r;
}

static void hear(struct talk *talk, struct connection *connection)
{
    struct xb_guard_message message;
    struct xb_error err = XB_ERROR_INIT;
    size_t len = 0;
    int r = xb_guard_receive(connection->fd, talk->packet, &message, &len, NULL, &err);
    if (r > 0) {
        r = connection->role == 0 ? begin_connection(talk, connection, &message, &err)
                                  : continue_connection(talk, connection, &message, len, &err);
    }
    if (r < 0) {
        if (err.kind != XB_ERR_NOT_FOUND) {
            xb_log_warning("a connection is ended", "error", err.text);
        }
        end_connection(talk, connection);
    }
}

static void welcome(struct talk *talk)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof peer;
    XB_CLEANUP(xb_closep)
    int fd = accept4(talk->server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        peer.uid != geteuid()) {
        return;
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (talk->connections[i].fd < 0) {
            talk->connections[i] =
                (struct connection){.fd = XB_TAKE_FD(fd), .since_ns = xb_clock_mono_ns()};
            return;
        }
    }
}

/* Who says nothing takes nobody's place. */
static void drop_silent(struct talk *talk, int64_t now_ns)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &talk->connections[i];
        if (connection->fd >= 0 && connection->role == 0 &&
            now_ns - connection->since_ns > HELLO_TIMEOUT_MS * XB_NS_PER_MS) {
            end_connection(talk, connection);
        }
    }
}

/* ---- the loop ---- */

/* Also brings about what time does: after the words that have come meanwhile were heard, so that a
 * guard that was held up itself takes no agent for silent. */
static int timeout_ms(struct talk *talk)
{
    enum { IDLE_MS = 1000, STOPPING_MS = 50 };
    struct xb_guard_server *server = talk->server;
    int64_t now_ns = xb_clock_mono_ns();
    pthread_mutex_lock(&server->lock);
    bool before = xb_guard_table_busy(&server->table);
    xb_guard_table_tick(&server->table, now_ns);
    if (!before && xb_guard_table_busy(&server->table)) {
        pthread_cond_broadcast(&server->changed);
    }
    int64_t next_ns = xb_guard_table_next_ns(&server->table);
    pthread_mutex_unlock(&server->lock);
    int64_t wait_ms = talk->stopped_ns >= 0 ? STOPPING_MS : IDLE_MS;
    if (next_ns >= 0 && next_ns - now_ns < wait_ms * XB_NS_PER_MS) {
        wait_ms = next_ns > now_ns ? (next_ns - now_ns) / XB_NS_PER_MS + 1 : 0;
    }
    drop_silent(talk, now_ns);
    return (int)wait_ms;
}

static void stop(struct talk *talk)
{
    if (talk->stopped_ns < 0) {
        xb_log_info("ending: what is between its hooks is thawed");
        talk->stopped_ns = xb_clock_mono_ns();
        pthread_mutex_lock(&talk->server->lock);
        stop_table(talk->server);
        pthread_mutex_unlock(&talk->server->lock);
    }
}

static void turn(struct talk *talk)
{
    struct pollfd polled[FIRST + CONNECTIONS_MAX];
    uint64_t count;
    polled[WAKE] = (struct pollfd){.fd = talk->server->wake_fd, .events = POLLIN};
    polled[STOP] =
        (struct pollfd){.fd = talk->stopped_ns < 0 ? talk->server->stop_fd : -1, .events = POLLIN};
    polled[LISTEN] = (struct pollfd){.fd = talk->server->listen_fd, .events = POLLIN};
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        polled[FIRST + i] = (struct pollfd){.fd = talk->connections[i].fd, .events = POLLIN};
    }
    int ready = poll(polled, FIRST + CONNECTIONS_MAX, timeout_ms(talk));
    if (ready <= 0) {
        return;
    }
    if (polled[WAKE].revents) {
        ssize_t ignored = read(talk->server->wake_fd, &count, sizeof count);
        (void)ignored;
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (polled[FIRST + i].revents && polled[FIRST + i].fd == talk->connections[i].fd) {
            hear(talk, &talk->connections[i]);
        }
    }
    if (polled[STOP].revents) {
        stop(talk);
    }
    if (polled[LISTEN].revents) {
        welcome(talk);
    }
}

static bool ended(struct talk *talk)
{
    pthread_mutex_lock(&talk->server->lock);
    bool enough = stopped_enough(talk);
    for (size_t i = 0; i < XB_GUARD_FREEZES_MAX; i++) {
        enough = enough && talk->server->holders[i].fd < 0;
    }
    pthread_mutex_unlock(&talk->server->lock);
    return enough;
}

int xb_guard_talk(struct xb_guard_server *server, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) struct talk *talk = calloc(1, sizeof *talk);
    if (!talk) {
        return xb_error_no_memory(err, "the guard");
    }
    *talk = (struct talk){.server = server, .stopped_ns = -1};
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        talk->connections[i].fd = -1;
    }
    xb_log_info("watching", "socket", server->options.socket, "thaws-file-systems",
                server->can_thaw ? "yes" : "no", "resumes-devices",
                server->mapper_fd >= 0 ? "yes" : "no");
    while (!ended(talk)) {
        turn(talk);
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        xb_closep(&talk->connections[i].fd);
    }
    return 0;
}
