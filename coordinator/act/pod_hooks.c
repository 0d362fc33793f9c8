/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/pod_hooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/kube/exec.h"
#include "shared/velero/bracket.h"

enum {
    LOOK_AGAIN_MS = 200,
    LOOKS_AT_NODE = 50, /* so many looks at an order, then one at its pod and node */
    NO_SIGN_OF_LIFE_S = 120,
    WHY_BYTES = 300
};

/* A pod without orders, whose post hooks follow once it is taken. */
struct xb_pod_hooks {
    struct xb_pod_hooks *next;
    char uid[64];
    struct xb_hooks hooks;
    struct xb_bracket_record record;
};

/* ---- a pod without orders ---- */

static void count(struct xb_run *run, const struct xb_bracket_record *record)
{
    xb_bracket_record_count(record, &run->hooks_attempted, &run->hooks_failed);
}

static int open_directly(struct xb_ordering *orders, xb_json *pod, struct xb_hooks *hooks,
                         bool *ret_take, struct xb_error *err)
{
    struct xb_pod_hooks_executor executor = {.coordinator = orders->work->coordinator, .pod = pod};
    const struct xb_bracket_run run = xb_pod_hooks_how(&executor, orders->cancel);
    struct xb_pod_hooks *open = calloc(1, sizeof *open);
    if (!open || !(open->record.results = json_object_new_array())) {
        free(open);
        return xb_error_no_memory(err, "a pod's hooks");
    }
    snprintf(open->uid, sizeof open->uid, "%.63s", xb_json_str(pod, "metadata.uid", ""));
    int r = xb_bracket_open(&run, hooks, &open->record, err);
    *ret_take = !open->record.refused;
    open->hooks = *hooks;
    *hooks = (struct xb_hooks){.phases = {{.hooks = NULL}}};
    open->next = orders->open;
    orders->open = open;
    return r;
}

void xb_pod_hooks_after(void *context, xb_json *pod)
{
    struct xb_ordering *orders = context;
    struct xb_pod_hooks **at = &orders->open;
    const char *uid = xb_json_str(pod, "metadata.uid", "");
    while (*at && strcmp((*at)->uid, uid) != 0) {
        at = &(*at)->next;
    }
    if (!*at) {
        return;
    }
    struct xb_pod_hooks *open = *at;
    struct xb_pod_hooks_executor executor = {.coordinator = orders->work->coordinator, .pod = pod};
    /* Even when this process is about to end: what has been frozen is thawed. */
    const struct xb_bracket_run run = xb_pod_hooks_how(&executor, NULL);
    struct xb_error why = XB_ERROR_INIT;
    *at = open->next;
    if (xb_bracket_close(&run, &open->hooks, &open->record, &why) < 0) {
        xb_bracket_record_fail(&open->record, XB_HOOK_POST, why.text);
    }
    const struct xb_pod_hooks_name name = {xb_json_str(pod, "metadata.namespace", ""),
                                           xb_json_str(pod, "metadata.name", "")};
    xb_pod_hooks_note(orders->work->run->log, name, open->record.results);
    count(orders->work->run, &open->record);
    xb_hooks_free(&open->hooks);
    xb_bracket_record_free(&open->record);
    free(open);
}

/* ---- a pod with orders ---- */

struct visit {
    struct xb_ordering *orders;
    xb_json *pod;
    struct xb_hooks hooks;
    struct xb_collected_volume *volumes;
    size_t count;
    xb_json *members;    /* names of the orders */
    char why[WHY_BYTES]; /* the pod is left out; "": it is not */
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
        snprintf(visit->why, WHY_BYTES, "%s", record.refused ? "a pre hook of its pod failed" : "");
    } else if (xb_velero_data_phase_final(xb_json_str(leader, "status.phase", ""))) {
        *ret_over = true;
        snprintf(visit->why, WHY_BYTES, "its pod's pre hooks were not run: %.200s",
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
    XB_CLEANUP(xb_json_putp) xb_json *lease = NULL;
    struct xb_kube_client *client = visit->orders->work->coordinator->client;
    char name[XB_VELERO_NAME_BYTES];
    int64_t renewed_ns = 0;
    const struct xb_kube_ref pod_ref = {.resource = &xb_core_pods,
                                        .namespace =
                                            xb_json_str(visit->pod, "metadata.namespace", ""),
                                        .name = xb_json_str(visit->pod, "metadata.name", "")};
    const struct xb_kube_ref lease_ref = {.resource = &xb_coordination_leases,
                                          .namespace =
                                              visit->orders->work->coordinator->options->namespace,
                                          .name = name};
    snprintf(name, sizeof name, "xebec-node-%.200s", xb_json_str(visit->pod, "spec.nodeName", ""));
    int r = xb_kube_get(client, &pod_ref, &pod, &err);
    if ((r < 0 && err.kind == XB_ERR_NOT_FOUND) ||
        (r == 0 && strcmp(xb_json_str(pod, "metadata.uid", ""),
                          xb_json_str(visit->pod, "metadata.uid", "?")) != 0)) {
        snprintf(visit->why, WHY_BYTES, "it was deleted before its pre hooks had ended");
    } else if (r == 0 && xb_kube_get(client, &lease_ref, &lease, &err) == 0 &&
               xb_time_parse(xb_json_str(lease, "spec.renewTime", ""), &renewed_ns, &err) == 0 &&
               xb_clock_wall_ns() - renewed_ns > NO_SIGN_OF_LIFE_S * XB_NS_PER_S) {
        snprintf(visit->why, WHY_BYTES, "the agent on node %.200s gives no sign of life",
                 xb_json_str(visit->pod, "spec.nodeName", ""));
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
            snprintf(visit->why, WHY_BYTES, "its order %.200s was deleted", name);
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

static int run_here(struct visit *visit, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *leader = NULL;
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    struct xb_step_work *work = visit->orders->work;
    int r = xb_pod_hooks_order(work, leader_of(visit), &leader, err);
    if (r < 0 || (r = xb_bracket_record_parse(leader, &record, err)) < 0) {
        return r;
    }
    struct xb_pod_hooks_executor executor = {
        .coordinator = work->coordinator, .pod = visit->pod, .leader = leader};
    const struct xb_bracket_run run = xb_pod_hooks_how(&executor, visit->orders->cancel);
    r = xb_bracket_open(&run, &visit->hooks, &record, err);
    if (r == 0 && record.refused) {
        snprintf(visit->why, WHY_BYTES, "a pre hook of its pod failed");
    }
    xb_bracket_record_free(&record);
    return r;
}

static void cancel_order(const struct visit *visit, const struct xb_collected_volume *volume)
{
    char name[XB_VELERO_NAME_BYTES];
    struct xb_step_work *work = visit->orders->work;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *spec = json_object_new_object();
    json_object_object_add(spec, "cancel", json_object_new_boolean(true));
    json_object_object_add(patch, "spec", spec);
    if (!volume->ordered || xb_ordering_name(visit->orders, volume, name, &err) < 0) {
        return;
    }
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace =
                                        xb_json_str(work->object, "metadata.namespace", ""),
                                    .name = name};
    if (xb_kube_merge_patch(work->coordinator->client, &ref, patch, NULL, &err) < 0) {
        xb_log_error(&err, "an order could not be cancelled", "order", name);
    }
}

/* The pod is left out: its volumes have that reason, and what was ordered ends. */
static int leave_out(struct visit *visit, struct xb_error *err)
{
    xb_record_log_line(visit->orders->work->run->log, XB_RECORD_ERROR,
                       xb_json_str(visit->pod, "metadata.namespace", ""),
                       "pod %s is not backed up: %s", xb_json_str(visit->pod, "metadata.name", ""),
                       visit->why);
    for (size_t i = 0; i < visit->count; i++) {
        struct xb_collected_volume *volume = &visit->volumes[i];
        if (volume->skipped) {
            continue;
        }
        cancel_order(visit, volume);
        volume->skipped = strdup(visit->why);
        if (!volume->skipped) {
            return xb_error_no_memory(err, "a volume");
        }
    }
    return 0;
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
            snprintf(visit->why, WHY_BYTES, "one of its volumes cannot be ordered: %.200s",
                     volume->skipped);
            return 0;
        }
    }
    return 0;
}

static int open_ordered(struct visit *visit, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *text = NULL;
    char digest[XB_HOOKS_DIGEST_BYTES] = "";
    const struct xb_bracket bracket = {
        .id = xb_json_str(visit->pod, "metadata.uid", ""),
        .hooks = digest,
        .members = visit->members,
        .by_coordinator = !xb_ordering_node_runs_hooks(
            visit->orders, xb_json_str(visit->pod, "spec.nodeName", ""))};
    int r = xb_hooks_digest(&visit->hooks, digest, err);
    if (r < 0 || (r = xb_bracket_write(&bracket, &text, err)) < 0 ||
        (r = make_members(visit, text, err)) < 0 || visit->why[0]) {
        return r;
    }
    return bracket.by_coordinator ? run_here(visit, err) : wait_for_agent(visit, err);
}

/* ---- both ---- */

static int open_hooks(struct visit *visit, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    bool take = true;
    int r = name_members(visit, err);
    if (r < 0) {
        return r;
    }
    if (json_object_array_length(visit->members) == 0) {
        r = open_directly(visit->orders, visit->pod, &visit->hooks, &take, err);
        snprintf(visit->why, WHY_BYTES, "%s", take ? "" : "a pre hook of it failed");
        return r;
    }
    r = open_ordered(visit, &why);
    if (r < 0 && (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED)) {
        *err = why;
        return r;
    }
    if (r < 0) {
        snprintf(visit->why, WHY_BYTES, "its hooks cannot be run: %.250s", why.text);
    }
    return 0;
}

int xb_pod_hooks_before(void *context, const struct xb_collected_pod *pod, bool *ret_take,
                        struct xb_error *err)
{
    struct xb_ordering *orders = context;
    XB_CLEANUP(xb_json_putp) xb_json *members = json_object_new_array();
    struct visit visit = {.orders = orders,
                          .pod = pod->pod,
                          .volumes = pod->volumes,
                          .count = pod->count,
                          .members = members};
    struct xb_error why = XB_ERROR_INIT;
    int r = 0;
    if (xb_hooks_of(orders->work->object, pod->pod, &visit.hooks, &why) < 0) {
        snprintf(visit.why, WHY_BYTES, "%.250s", why.text);
    } else if (xb_hooks_any(&visit.hooks)) {
        r = open_hooks(&visit, err);
    }
    xb_hooks_free(&visit.hooks);
    *ret_take = visit.why[0] == '\0';
    return r == 0 && visit.why[0] ? leave_out(&visit, err) : r;
}
