/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job/guarded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/base/fnv.h"
#include "shared/base/log.h"

static size_t runnable(const struct xb_hook_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        count += list->hooks[i].problem == NULL;
    }
    return count;
}

/* Whether this process has a bracket that no guard watches over. */
static bool is_unguarded(struct xb_agent *agent, const char *id)
{
    struct xb_guarded_notes *notes = &agent->guarded;
    bool found = false;
    pthread_mutex_lock(&notes->lock);
    for (size_t i = 0; i < XB_AGENT_THAWED; i++) {
        found = found || notes->unguarded[i] == xb_fnv1a(id);
    }
    pthread_mutex_unlock(&notes->lock);
    return found;
}

static void note_unguarded(struct xb_agent *agent, const char *id)
{
    struct xb_guarded_notes *notes = &agent->guarded;
    pthread_mutex_lock(&notes->lock);
    notes->unguarded[notes->unguarded_next++ % XB_AGENT_THAWED] = xb_fnv1a(id);
    pthread_mutex_unlock(&notes->lock);
}

/* One more volume of a bracket has been read; how many that makes. */
static unsigned note_read(struct xb_agent *agent, const char *id)
{
    struct xb_guarded_notes *notes = &agent->guarded;
    const uint64_t hash = xb_fnv1a(id);
    size_t at = 0;
    pthread_mutex_lock(&notes->lock);
    while (at < XB_AGENT_THAWED && notes->reading[at] != hash) {
        at++;
    }
    if (at == XB_AGENT_THAWED) {
        at = notes->reading_next++ % XB_AGENT_THAWED;
        notes->reading[at] = hash;
        notes->read[at] = 0;
    }
    unsigned count = ++notes->read[at];
    pthread_mutex_unlock(&notes->lock);
    return count;
}

static void make_id(const struct xb_order *order, xb_json *backup, char out[XB_GUARDED_ID_BYTES])
{
    snprintf(out, XB_GUARDED_ID_BYTES, "%.60s/%.60s", xb_json_str(backup, "metadata.uid", ""),
             xb_order_text(order, "spec.pod.uid"));
}

void xb_guarded_init(struct xb_guarded *guarded, struct xb_order *order, xb_json *backup,
                     xb_json *pod, const struct xb_hook_list *post)
{
    struct xb_guarded one = {.order = order, .pod = pod, .post = post};
    make_id(order, backup, one.id);
    bool any = order->agent->guard && runnable(post) > 0;
    one.guard = any && !is_unguarded(order->agent, one.id) ? order->agent->guard : NULL;
    *guarded = one;
}

void xb_guarded_free(struct xb_guarded *guarded)
{
    xb_guard_results_free(&guarded->results);
    *guarded = (struct xb_guarded){.order = NULL};
}

static int arm(struct xb_guarded *guarded, struct xb_error *err)
{
    const struct xb_hook_list *post = guarded->post;
    size_t share = XB_BRACKET_OUTPUTS_BYTES / (2 * post->count);
    struct xb_guard_arming arming = {
        .id = guarded->id,
        .pod_namespace = xb_order_text(guarded->order, "spec.pod.namespace"),
        .pod_name = xb_order_text(guarded->order, "spec.pod.name"),
        .output_bytes_max = share < XB_BRACKET_OUTPUT_BYTES ? share : XB_BRACKET_OUTPUT_BYTES};
    XB_CLEANUP(xb_freep)
    struct xb_guard_command *commands = calloc(post->count, sizeof *commands);
    if (!commands) {
        return xb_error_no_memory(err, "post hooks");
    }
    for (size_t i = 0; i < post->count; i++) {
        const struct xb_hook *hook = &post->hooks[i];
        if (!hook->problem) {
            commands[arming.post_count++] = (struct xb_guard_command){
                hook->container, (const char *const *)hook->argv, hook->timeout_ms};
        }
    }
    arming.post = commands;
    int r = xb_order_pod_uid(guarded->order, guarded->pod, &arming.pod_uid, err);
    return r ? r : xb_guard_arm(guarded->guard, &arming, err);
}

void xb_guarded_arm(struct xb_guarded *guarded)
{
    struct xb_error err = XB_ERROR_INIT;
    if (!guarded->guard) {
        return;
    }
    int r = arm(guarded, &err);
    if (r < 0 && err.kind == XB_ERR_CONFLICT) { /* of an attempt that did not come to its hooks */
        err = (struct xb_error)XB_ERROR_INIT;
        xb_guard_forget(guarded->guard, guarded->id);
        r = arm(guarded, &err);
    }
    if (r < 0) {
        xb_log_err(XB_LOG_WARNING, &err,
                   "nobody watches over a pod between its hooks: if the agent ends, it is thawed "
                   "when the agent is started again",
                   "order", guarded->order->key, (char *)NULL);
        note_unguarded(guarded->order->agent, guarded->id);
        guarded->guard = NULL;
    }
}

static void note_early(struct xb_bracket_record *record)
{
    xb_bracket_record_fail(record, XB_HOOK_POST,
                           "the agent stood still or had ended, so its guard ran the post hooks "
                           "before everything was copied: what was read after that is of an "
                           "application that works");
}

void xb_guarded_held(struct xb_guarded *guarded, struct xb_bracket_record *record)
{
    struct xb_guard_results early = {.count = 0};
    struct xb_error err = XB_ERROR_INIT;
    if (!guarded->guard || xb_guard_held(guarded->guard, guarded->id, &err) == 0) {
        return;
    }
    if (err.kind != XB_ERR_CONFLICT) { /* it is told when it is there again */
        xb_log_warning("a pod between its hooks is not watched over", "order", guarded->order->key,
                       "error", err.text);
        return;
    }
    /* The post hooks were run while a pre hook was under way. They are due once more. */
    note_early(record);
    xb_log_warning("the guard has thawed a pod in the middle of its pre hooks", "order",
                   guarded->order->key, "error", err.text);
    err = (struct xb_error)XB_ERROR_INIT;
    if (xb_guard_ask(guarded->guard, guarded->id, &early, &err) == XB_GUARD_HAS_RUN) {
        xb_guard_results_free(&early);
    }
    xb_guard_forget(guarded->guard, guarded->id);
    xb_guarded_arm(guarded);
    if (guarded->guard && xb_guard_held(guarded->guard, guarded->id, &err) < 0) {
        xb_log_warning("a pod between its hooks is not watched over", "order", guarded->order->key,
                       "error", err.text);
    }
}

void xb_guarded_copied(struct xb_guarded *guarded)
{
    guarded->copied_ms = xb_clock_wall_ns() / XB_NS_PER_MS;
}

bool xb_guarded_lapsed(struct xb_guarded *guarded)
{
    struct xb_guard_results results;
    struct xb_error ignored = XB_ERROR_INIT;
    if (!guarded->guard) {
        return false;
    }
    if (!xb_guard_armed_here(guarded->guard, guarded->id)) {
        return true;
    }
    int r = xb_guard_ask(guarded->guard, guarded->id, &results, &ignored);
    if (r == XB_GUARD_HAS_RUN) {
        xb_guard_results_free(&results);
    }
    return r == XB_GUARD_HAS_RUN;
}

void xb_guarded_thaw(struct xb_guarded *guarded, struct xb_bracket_record *record)
{
    struct xb_error err = XB_ERROR_INIT;
    if (!guarded->guard || guarded->closed) {
        return;
    }
    guarded->closed = true;
    if (xb_guard_close(guarded->guard, guarded->id, &guarded->results, &err) < 0) {
        xb_log_warning("the guard has not run post hooks: the agent does", "order",
                       guarded->order->key, "error", err.text);
        return;
    }
    guarded->ran = guarded->results.settled;
    const struct xb_guard_results *results = &guarded->results;
    bool early =
        !results->asked && (guarded->copied_ms == 0 || results->begun_ms < guarded->copied_ms);
    if (early) {
        note_early(record);
    }
}

bool xb_guarded_replay(struct xb_guarded *guarded, int *ret_r, struct xb_exec_result *ret,
                       struct xb_error *err)
{
    if (!guarded->ran) {
        return false;
    }
    if (guarded->next >= guarded->results.count) {
        *ret_r = xb_error_set(err, XB_ERR_IO, -EIO,
                              "the guard has run it, and does not know what came of it");
        return true;
    }
    struct xb_guard_outcome *outcome = &guarded->results.outcomes[guarded->next++];
    if (outcome->r < 0) { /* it has tried often enough */
        *ret_r =
            xb_error_set(err, outcome->why.kind == XB_ERR_RETRY ? XB_ERR_IO : outcome->why.kind,
                         outcome->r, "%s", outcome->why.text);
        return true;
    }
    *ret = outcome->said;
    outcome->said = (struct xb_exec_result){.exit_code = -1};
    *ret_r = 0;
    return true;
}

void xb_guarded_over(struct xb_guarded *guarded)
{
    if (guarded->guard) {
        xb_guard_forget(guarded->guard, guarded->id);
    }
}

void xb_order_read_over(struct xb_order *order, bool again)
{
    struct xb_agent *agent = order->agent;
    struct xb_bracket bracket;
    struct xb_error ignored = XB_ERROR_INIT;
    char id[XB_GUARDED_ID_BYTES];
    if (!order->bracketed || !agent->guard ||
        xb_bracket_parse(order->object, &bracket, &ignored) <= 0) {
        return;
    }
    make_id(order, order->bracketed, id);
    if ((again || note_read(agent, id) == xb_bracket_count(&bracket)) && !is_unguarded(agent, id)) {
        xb_guard_release(agent->guard, id);
    }
    xb_bracket_free(&bracket);
}
