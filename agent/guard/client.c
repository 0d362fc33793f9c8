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

static struct xb_guard_armed *find_armed(struct xb_guard *guard, const char *id)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        if (guard->armed[i].message && strcmp(guard->armed[i].id, id) == 0) {
            return &guard->armed[i];
        }
    }
    return NULL;
}

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

/* With the lock: a connection that broke since the last word is made anew, once. */
static int ask(struct xb_guard *guard, const struct xb_guard_message *message,
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
    return ask(guard, &message, &answer, err);
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

static int none(struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTCONN, "there is no bracket guard");
}

/* ---- hooks ---- */

static int pack(const struct xb_guard_arming *arming, struct xb_guard_room *room,
                struct xb_guard_message *ret, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < arming->post_count && r == 0; i++) {
        const struct xb_guard_command *command = &arming->post[i];
        r = xb_guard_add_hook(room, command->container, (uint32_t)command->timeout_ms,
                              command->argv, err);
    }
    size_t bytes = arming->output_bytes_max;
    *ret = (struct xb_guard_message){
        .type = XB_GUARD_ARM,
        .id = arming->id,
        .pod_uid = arming->pod_uid,
        .pod_namespace = arming->pod_namespace,
        .pod_name = arming->pod_name,
        .output_bytes =
            (uint32_t)(bytes < XB_GUARD_OUTPUT_BYTES_MAX ? bytes : XB_GUARD_OUTPUT_BYTES_MAX),
        .hooks = xb_guard_room_list(room)};
    return r;
}

/* The packet that was just sent is kept, for a guard that is started again. */
static int remember(struct xb_guard *guard, const struct xb_guard_message *message,
                    struct xb_error *err)
{
    size_t len = 0;
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_guard_armed *armed = &guard->armed[i];
        if (armed->message) {
            continue;
        }
        int r = xb_guard_message_write(message, guard->packet, &len, err);
        if (r < 0) {
            return r;
        }
        armed->message = malloc(len);
        if (!armed->message) {
            return xb_error_no_memory(err, "a bracket");
        }
        memcpy(armed->message, guard->packet, len);
        armed->len = len;
        armed->held = false;
        snprintf(armed->id, sizeof armed->id, "%s", message->id);
        return 0;
    }
    return xb_error_set(err, XB_ERR_FULL, -ENOSPC, "too many pods are between their hooks");
}

static void disremember(struct xb_guard *guard, const char *id)
{
    struct xb_guard_armed *armed = find_armed(guard, id);
    if (armed) {
        free(armed->message);
        *armed = (struct xb_guard_armed){.message = NULL};
    }
}

int xb_guard_arm(struct xb_guard *guard, const struct xb_guard_arming *arming, struct xb_error *err)
{
    struct xb_guard_message message, state;
    XB_CLEANUP(xb_freep) unsigned char *hooks = malloc(XB_GUARD_PACKET_BYTES_MAX);
    struct xb_guard_room room = {.data = hooks, .max = XB_GUARD_PACKET_BYTES_MAX};
    if (!guard) {
        return none(err);
    }
    if (!hooks) {
        return xb_error_no_memory(err, "a bracket");
    }
    int r = pack(arming, &room, &message, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&guard->lock);
    r = ask(guard, &message, &state, err);
    bool armed = r == 0;
    r = r ? r : remember(guard, &message, err);
    pthread_mutex_unlock(&guard->lock);
    if (armed && r < 0) {
        xb_guard_forget(guard, arming->id);
    }
    return r;
}

int xb_guard_held(struct xb_guard *guard, const char *id, struct xb_error *err)
{
    const struct xb_guard_message message = {.type = XB_GUARD_HELD, .id = id};
    struct xb_guard_message state;
    if (!guard) {
        return none(err);
    }
    pthread_mutex_lock(&guard->lock);
    struct xb_guard_armed *armed = find_armed(guard, id);
    if (armed) {
        armed->held = true;
    }
    int r = ask(guard, &message, &state, err);
    pthread_mutex_unlock(&guard->lock);
    if (r == 0 && state.state != XB_GUARD_ARMED) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ETIME,
                            "the guard took the agent for dead while pre hooks were run");
    }
    return r;
}

void xb_guard_forget(struct xb_guard *guard, const char *id)
{
    const struct xb_guard_message message = {.type = XB_GUARD_FORGET, .id = id};
    struct xb_guard_message state;
    struct xb_error err = XB_ERROR_INIT;
    if (!guard) {
        return;
    }
    pthread_mutex_lock(&guard->lock);
    disremember(guard, id);
    if (ask(guard, &message, &state, &err) < 0) {
        xb_log_debug("the guard does not forget a bracket", "bracket", id, "error", err.text);
    }
    pthread_mutex_unlock(&guard->lock);
}

static int take_output(const struct xb_guard_bytes *bytes, struct xb_exec_output *ret,
                       struct xb_error *err)
{
    ret->truncated = bytes->truncated;
    return bytes->len ? xb_buf_append(&ret->bytes, bytes->data, bytes->len, err) : 0;
}

static int take_outcome(const struct xb_guard_result *result, struct xb_guard_outcome *ret,
                        struct xb_error *err)
{
    static const struct xb_exec_command room = {.output_bytes_max = XB_GUARD_OUTPUT_BYTES_MAX};
    ret->said = xb_exec_result_for(&room);
    ret->said.exit_code = result->exit_code;
    ret->said.timed_out = result->timed_out;
    if (result->kind) {
        ret->r =
            xb_error_set(&ret->why, (enum xb_error_kind)result->kind, -EIO, "%s", result->error);
    }
    int r = take_output(&result->out, &ret->said.out, err);
    return r ? r : take_output(&result->err, &ret->said.err, err);
}

static int take_results(const struct xb_guard_message *state, struct xb_guard_results *ret,
                        struct xb_error *err)
{
    struct xb_guard_list list = state->results;
    struct xb_guard_result result;
    struct xb_guard_results results = {.asked = state->reason == XB_GUARD_ASKED,
                                       .settled = state->settled,
                                       .begun_ms = state->begun_ms,
                                       .ended_ms = state->ended_ms};
    int r = 0;
    results.outcomes = calloc(list.count + 1, sizeof *results.outcomes);
    if (!results.outcomes) {
        return xb_error_no_memory(err, "what post hooks said");
    }
    while (r == 0 && xb_guard_next_result(&list, &result)) {
        r = take_outcome(&result, &results.outcomes[results.count++], err);
    }
    if (r < 0) {
        xb_guard_results_free(&results);
        return r;
    }
    *ret = results;
    return 0;
}

void xb_guard_results_free(struct xb_guard_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        xb_exec_result_free(&results->outcomes[i].said);
    }
    free(results->outcomes);
    *results = (struct xb_guard_results){.outcomes = NULL};
}

/* 1: results; 0: the guard knows nothing of it, or has not been asked to run them. */
static int wait_for_results(struct xb_guard *guard, enum xb_guard_type type, const char *id,
                            struct xb_guard_results *ret, struct xb_error *err)
{
    struct timespec pause = {.tv_nsec = 5 * XB_NS_PER_MS};
    struct xb_guard_message message = {.type = type, .id = id};
    for (;;) { /* ends: each hook has its timeout, and a guard that does not answer is an error */
        struct xb_guard_message state;
        pthread_mutex_lock(&guard->lock);
        int r = ask(guard, &message, &state, err);
        if (r == 0 && state.state == XB_GUARD_RAN) {
            r = take_results(&state, ret, err);
            r = r ? r : 1;
        }
        pthread_mutex_unlock(&guard->lock);
        if (r != 0 || state.state == XB_GUARD_NONE || state.state == XB_GUARD_ARMED) {
            return r;
        }
        (void)nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec < 100 * XB_NS_PER_MS ? 2 * pause.tv_nsec : pause.tv_nsec;
    }
}

int xb_guard_close(struct xb_guard *guard, const char *id, struct xb_guard_results *ret,
                   struct xb_error *err)
{
    int r = guard ? wait_for_results(guard, XB_GUARD_CLOSE, id, ret, err) : none(err);
    if (r == 0) {
        r = xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the guard knows nothing of %.100s", id);
    }
    if (guard) {
        pthread_mutex_lock(&guard->lock);
        disremember(guard, id);
        pthread_mutex_unlock(&guard->lock);
    }
    return r < 0 ? r : 0;
}

int xb_guard_ask(struct xb_guard *guard, const char *id, struct xb_guard_results *ret,
                 struct xb_error *err)
{
    return guard ? wait_for_results(guard, XB_GUARD_ASK, id, ret, err) : none(err);
}
