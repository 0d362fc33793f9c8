/* SPDX-License-Identifier: Apache-2.0
 * What an agent says of brackets, and what it hears of their hooks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/guard/client.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

static struct xb_guard_armed *find_armed(struct xb_guard *guard, const char *id)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        if (guard->armed[i].message && strcmp(guard->armed[i].id, id) == 0) {
            return &guard->armed[i];
        }
    }
    return NULL;
}

static int none(struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTCONN, "there is no bracket guard");
}

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
    r = xb_guard_request(guard, &message, &state, err);
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
    int r = xb_guard_request(guard, &message, &state, err);
    pthread_mutex_unlock(&guard->lock);
    if (r == 0 && state.state != XB_GUARD_ARMED) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ETIME,
                            "the guard took the agent for dead while pre hooks were run");
    }
    return r;
}

/* Says it, if there is one to hear it: nobody waits for what comes of it. */
static int tell(struct xb_guard *guard, enum xb_guard_type type, const char *id,
                struct xb_error *err)
{
    const struct xb_guard_message message = {.type = type, .id = id};
    struct xb_guard_message state;
    if (!guard) {
        return 0;
    }
    pthread_mutex_lock(&guard->lock);
    if (type == XB_GUARD_FORGET) {
        disremember(guard, id);
    }
    int r = xb_guard_request(guard, &message, &state, err);
    pthread_mutex_unlock(&guard->lock);
    return r;
}

void xb_guard_forget(struct xb_guard *guard, const char *id)
{
    struct xb_error err = XB_ERROR_INIT;
    if (tell(guard, XB_GUARD_FORGET, id, &err) < 0) {
        xb_log_debug("the guard does not forget a bracket", "bracket", id, "error", err.text);
    }
}

void xb_guard_release(struct xb_guard *guard, const char *id)
{
    struct xb_error err = XB_ERROR_INIT;
    if (tell(guard, XB_GUARD_CLOSE, id, &err) < 0) {
        xb_log_warning("the guard does not answer: a pod between its hooks has to wait", "bracket",
                       id, "error", err.text);
    }
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

/* enum xb_guard_knows. */
static int wait_for_results(struct xb_guard *guard, enum xb_guard_type type, const char *id,
                            struct xb_guard_results *ret, struct xb_error *err)
{
    struct timespec pause = {.tv_nsec = 5 * XB_NS_PER_MS};
    struct xb_guard_message message = {.type = type, .id = id};
    for (;;) { /* ends: each hook has its timeout, and a guard that does not answer is an error */
        struct xb_guard_message state;
        pthread_mutex_lock(&guard->lock);
        int r = xb_guard_request(guard, &message, &state, err);
        if (r == 0 && state.state == XB_GUARD_RAN) {
            r = take_results(&state, ret, err);
            r = r ? r : XB_GUARD_HAS_RUN;
        } else if (r == 0 && state.state == XB_GUARD_ARMED) {
            r = XB_GUARD_HOLDS;
        }
        pthread_mutex_unlock(&guard->lock);
        if (r != 0 || state.state == XB_GUARD_NONE) {
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
    if (r == XB_GUARD_KNOWS_NOTHING) {
        r = xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the guard knows nothing of %.100s", id);
    }
    if (guard) {
        pthread_mutex_lock(&guard->lock);
        disremember(guard, id);
        pthread_mutex_unlock(&guard->lock);
    }
    return r < 0 ? r : 0;
}

bool xb_guard_armed_here(struct xb_guard *guard, const char *id)
{
    if (!guard) {
        return false;
    }
    pthread_mutex_lock(&guard->lock);
    bool armed = find_armed(guard, id) != NULL;
    pthread_mutex_unlock(&guard->lock);
    return armed;
}

int xb_guard_ask(struct xb_guard *guard, const char *id, struct xb_guard_results *ret,
                 struct xb_error *err)
{
    return guard ? wait_for_results(guard, XB_GUARD_ASK, id, ret, err) : none(err);
}
