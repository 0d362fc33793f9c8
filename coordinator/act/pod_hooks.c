/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/pod_hooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"

enum { LOOK_AGAIN_MS = 200, LOOKS_AT_NODE = 50 /* so many at an order, then one at its node */ };

struct visit {
    struct xb_ordering *orders;
    xb_json *pod;
    struct xb_hooks hooks;
    struct xb_collected_volume *volumes;
    size_t count;
    xb_json *members; /* names of the orders */
    char *why;        /* XB_COLLECTED_WHY_BYTES: the pod is left out; "": it is not */
};

static const char *leader_of(const struct visit *visit)
{
    return json_object_get_string(json_object_array_get_idx(visit->members, 0));
}

/* Whether the leader's pre hooks are over. */
static int look_at_leader(struct visit *visit, bool *ret_over, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *leader = NULL;
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    int r = xb_pod_hooks_order(visit->orders->work, leader_of(visit), &leader, err);
    if (r < 0 && err->kind == XB_ERR_RETRY) {
        *err = (struct xb_error)XB_ERROR_INIT; /* the server is away: asked again */
        return 0;
    }
    if (r < 0 || (r = xb_bracket_record_parse(leader, &record, err)) < 0) {
        return r;
    }
    if (record.state >= XB_BRACKET_PRE_DONE) {
        *ret_over = true;
        snprintf(visit->why, XB_COLLECTED_WHY_BYTES, "%s",
                 record.refused ? "a pre hook of its pod failed" : "");
    } else if (xb_velero_data_phase_final(xb_json_str(leader, "status.phase", ""))) {
        *ret_over = true;
        snprintf(visit->why, XB_COLLECTED_WHY_BYTES, "its pod's pre hooks were not run: %.200s",
                 xb_json_str(leader, "status.message", "no reason was given"));
    }
    xb_bracket_record_free(&record);
    return 0;
}

/* Whether the pod's node still has an agent, and the pod is still there: the hooks of one that was
 * evicted, or whose node was drained, are waited for in vain. */
static void look_at_node(struct visit *visit)
{
    struct xb_error err = XB_ERROR_INIT; /* a server that is away is asked again */
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const struct xb_hook_pod own = xb_hook_pod_of(visit->pod);
    const char *node = xb_json_str(visit->pod, "spec.nodeName", "");
    int r = xb_pod_hooks_get_pod(visit->orders->work, &own, &pod, &err);
    if (r < 0 && err.kind == XB_ERR_NOT_FOUND) {
        snprintf(visit->why, XB_COLLECTED_WHY_BYTES,
                 "it was deleted before its pre hooks had ended");
    } else if (r == 0 && xb_ordering_agent_silent(visit->orders, node)) {
        snprintf(visit->why, XB_COLLECTED_WHY_BYTES,
                 "the agent on node %.200s gives no sign of life", node);
    }
}

/* An agent waits for all orders of a bracket: in vain for one that somebody has deleted. */
static void look_for_members(struct visit *visit)
{
    for (size_t i = 0; i < json_object_array_length(visit->members); i++) {
        XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
        const char *name = json_object_get_string(json_object_array_get_idx(visit->members, i));
        struct xb_error err = XB_ERROR_INIT;
        if (xb_pod_hooks_order(visit->orders->work, name, &order, &err) < 0 &&
            err.kind == XB_ERR_NOT_FOUND) {
            snprintf(visit->why, XB_COLLECTED_WHY_BYTES, "its order %.200s was deleted", name);
            return;
        }
    }
}

/* The agent runs the pre hooks; until then the pod is not written. It may be busy with other
 * volumes for long: as long as it lives, it is waited for. */
static int wait_for_agent(struct visit *visit, struct xb_error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * XB_NS_PER_MS};
    bool over = false;
    int r = 0;
    for (int looks = 1; r == 0 && !over && !visit->why[0]; looks++) {
        if (atomic_load(visit->orders->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to stop");
        }
        r = look_at_leader(visit, &over, err);
        if (r == 0 && !over && looks % LOOKS_AT_NODE == 0) {
            look_at_node(visit);
            look_for_members(visit);
        }
        if (r == 0 && !over && !visit->why[0]) {
            (void)nanosleep(&pause, NULL);
        }
    }
    return r;
}

/* What was ordered ends; its volumes get the reason from the collection. */
static void leave_out(const struct visit *visit)
{
    xb_record_log_line(visit->orders->work->run->log, XB_RECORD_ERROR,
                       xb_json_str(visit->pod, "metadata.namespace", ""),
                       "pod %s is not backed up: %s", xb_json_str(visit->pod, "metadata.name", ""),
                       visit->why);
    for (size_t i = 0; i < visit->count; i++) {
        if (!visit->volumes[i].skipped) {
            xb_ordering_cancel(visit->orders, &visit->volumes[i]);
        }
    }
}

static int name_members(struct visit *visit, struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    for (size_t i = 0; i < visit->count; i++) {
        struct xb_collected_volume *volume = &visit->volumes[i];
        int r = volume->skipped ? 0 : xb_ordering_prepare(visit->orders, volume, err);
        if (r == 0 && !volume->skipped &&
            (r = xb_ordering_name(visit->orders, volume, name, err)) == 0) {
            json_object_array_add(visit->members, json_object_new_string(name));
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int make_members(struct visit *visit, const char *bracket, struct xb_error *err)
{
    for (size_t i = 0; i < visit->count; i++) {
        struct xb_collected_volume *volume = &visit->volumes[i];
        if (volume->skipped) {
            continue;
        }
        int r = xb_ordering_make(visit->orders, volume, bracket, err);
        if (r < 0) {
            return r;
        }
        if (volume->skipped) { /* the others would wait for it for ever */
            snprintf(visit->why, XB_COLLECTED_WHY_BYTES,
                     "one of its volumes cannot be ordered: %.200s", volume->skipped);
            return 0;
        }
    }
    return 0;
}

/* Its node's agent runs them. */
static int open_ordered(struct visit *visit, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *text = NULL;
    char digest[XB_HOOKS_DIGEST_BYTES] = "";
    const struct xb_bracket bracket = {.id = xb_json_str(visit->pod, "metadata.uid", ""),
                                       .hooks = digest,
                                       .members = visit->members};
    int r = xb_hooks_digest(&visit->hooks, digest, err);
    if (r < 0 || (r = xb_bracket_write(&bracket, &text, err)) < 0 ||
        (r = make_members(visit, text, err)) < 0 || visit->why[0]) {
        return r;
    }
    return wait_for_agent(visit, err);
}

/* ---- who runs them ---- */

/* Whether an earlier attempt has run them here: then they are ended here, too. */
static int has_record(struct visit *visit, const struct xb_hook_pod *pod, bool *ret,
                      struct xb_error *err)
{
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    *ret = false;
    int r = visit->orders->records_found
                ? xb_hook_record_get(visit->orders->work, pod, &record, ret, err)
                : 0;
    xb_bracket_record_free(&record);
    return r;
}

static int open_hooks(struct visit *visit, bool alone, struct xb_error *err)
{
    const struct xb_hook_pod pod = xb_hook_pod_of(visit->pod);
    struct xb_ordering *orders = visit->orders;
    bool recorded = false;
    int r = alone ? name_members(visit, err) : 0;
    r = r ? r : has_record(visit, &pod, &recorded, err);
    if (r < 0) {
        return r;
    }
    orders->no_copies = alone && json_object_array_length(visit->members) == 0;
    bool session = visit->hooks.phases[XB_HOOK_SESSION].count > 0;
    bool anew = alone && !orders->no_copies && !recorded;
    const char *node = xb_json_str(visit->pod, "spec.nodeName", "");
    if (anew && !session && xb_ordering_node_runs_hooks(orders, node)) {
        return open_ordered(visit, err);
    }
    /* What is recorded may be held already: it does not wait for that. */
    r = anew && xb_ordering_node_prepares(orders, node)
            ? xb_block_hooks_prepare(orders, visit->volumes, visit->count, err)
            : 0;
    return r ? r : xb_block_hooks_open(orders, &pod, &visit->hooks, visit->why, err);
}

int xb_pod_hooks_before(void *context, const struct xb_collected_pod *pod,
                        char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err)
{
    struct xb_ordering *orders = context;
    XB_CLEANUP(xb_json_putp) xb_json *members = json_object_new_array();
    struct visit visit = {.orders = orders,
                          .pod = pod->pod,
                          .volumes = pod->volumes,
                          .count = pod->count,
                          .members = members,
                          .why = why};
    struct xb_error wrong = XB_ERROR_INIT;
    int r = xb_hooks_of(orders->work->object, pod->pod, &visit.hooks, &wrong);
    if (r == 0 && xb_hooks_any(&visit.hooks)) {
        r = open_hooks(&visit, pod->alone, &wrong);
    }
    xb_hooks_free(&visit.hooks);
    if (r < 0 && (wrong.kind == XB_ERR_RETRY || wrong.kind == XB_ERR_CANCELLED)) {
        *err = wrong;
        return r;
    }
    if (r < 0) {
        snprintf(why, XB_COLLECTED_WHY_BYTES, "its hooks cannot be run: %.250s", wrong.text);
    }
    if (why[0]) {
        leave_out(&visit);
    }
    return 0;
}
