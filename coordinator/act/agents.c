/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/agents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

enum { LOOK_AGAIN_MS = 500, POD_STATE_BYTES = 80, REASON_BYTES = 400 };

/* What is known of one node's agent. */
struct look {
    struct xb_agents *agents;
    const char *node;
    struct xb_agent_facts facts;
    char pod[XB_VELERO_NAME_BYTES], state[POD_STATE_BYTES];
    char first_renewed[XB_TIME_TEXT_BYTES];
    xb_json *lease; /* NULL: none yet */
};

xb_json *xb_agents_lease(xb_json *leases, const char *node)
{
    xb_json *found = NULL;
    for (size_t i = 0; i < json_object_array_length(leases); i++) {
        xb_json *lease = json_object_array_get_idx(leases, i);
        if (strcmp(xb_json_str(lease, "spec.holderIdentity", ""), node) == 0) {
            found = lease; /* the last one is the newest */
        }
    }
    return found;
}

/* ---- looking ---- */

static bool is_ready(xb_json *pod)
{
    xb_json *condition = xb_json_find(xb_json_get(pod, "status.conditions"), "type", "Ready");
    return strcmp(xb_json_str(condition, "status", ""), "True") == 0;
}

/* In a word, why it is not ready: CrashLoopBackOff, Pending. */
static void describe(xb_json *pod, char out[POD_STATE_BYTES])
{
    xb_json *statuses = xb_json_get(pod, "status.containerStatuses");
    xb_json *first = json_object_is_type(statuses, json_type_array)
                         ? json_object_array_get_idx(statuses, 0)
                         : NULL;
    const char *phase = xb_json_str(pod, "status.phase", "?");
    snprintf(out, POD_STATE_BYTES, "%.*s", POD_STATE_BYTES - 1,
             first ? xb_json_str(first, "state.waiting.reason", phase) : phase);
}

static int64_t age_of(const char *time)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t at_ns = 0;
    return xb_time_parse(time, &at_ns, &ignored) == 0 ? xb_clock_wall_ns() - at_ns : INT64_MAX;
}

/* Of several pods (one that is replaced goes while the next one comes) the ready one counts. */
static int see_pod(void *context, xb_json *pod, struct xb_error *err)
{
    struct look *look = context;
    bool ready = is_ready(pod);
    (void)err;
    if (xb_json_get(pod, "metadata.deletionTimestamp") ||
        (look->facts.pod && (look->facts.ready || !ready))) {
        return 0;
    }
    look->facts.pod = true;
    look->facts.ready = ready;
    look->facts.pod_age_ns = age_of(xb_json_str(pod, "metadata.creationTimestamp", ""));
    snprintf(look->pod, sizeof look->pod, "%.253s", xb_json_str(pod, "metadata.name", ""));
    describe(pod, look->state);
    return 0;
}

static int look_for_pod(struct look *look, struct xb_error *err)
{
    char selector[XB_VELERO_NAME_BYTES + 32];
    snprintf(selector, sizeof selector, "spec.nodeName=%.253s", look->node);
    const struct xb_kube_list list = {.resource = &xb_core_pods,
                                      .namespace = look->agents->coordinator->options->namespace,
                                      .label_selector = "role=node-agent",
                                      .field_selector = selector,
                                      .cancel = look->agents->cancel};
    look->facts.pod = look->facts.ready = false;
    return xb_kube_list_pages(look->agents->coordinator->client, &list, see_pod, look, err);
}

/* The DaemonSet as Velero names it; another way of running agents tells nothing. */
static int look_for_daemon_set(struct look *look, struct xb_error *err)
{
    static const struct xb_kube_resource daemon_sets = {.group = "apps",
                                                        .version = "v1",
                                                        .plural = "daemonsets",
                                                        .kind = "DaemonSet",
                                                        .namespaced = true};
    const struct xb_kube_ref ref = {.resource = &daemon_sets,
                                    .namespace = look->agents->coordinator->options->namespace,
                                    .name = "node-agent",
                                    .cancel = look->agents->cancel};
    XB_CLEANUP(xb_json_putp) xb_json *set = NULL;
    struct xb_error why = XB_ERROR_INIT;
    look->facts.unwanted = false;
    if (xb_kube_get(look->agents->coordinator->client, &ref, &set, &why) < 0) {
        if (why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return why.code;
        }
        return 0;
    }
    int64_t wanted = xb_json_int(set, "status.desiredNumberScheduled", -1);
    look->facts.unwanted = xb_json_int(set, "status.observedGeneration", -1) ==
                               xb_json_int(set, "metadata.generation", 0) &&
                           xb_json_int(set, "status.currentNumberScheduled", -2) == wanted &&
                           xb_json_int(set, "status.numberReady", -2) == wanted;
    return 0;
}

static void note_report(struct look *look, xb_json *lease)
{
    const char *renewed = xb_json_str(lease, "spec.renewTime", "");
    if (!look->facts.reported) {
        snprintf(look->first_renewed, sizeof look->first_renewed, "%.*s",
                 (int)sizeof look->first_renewed - 1, renewed);
    }
    look->facts.renewed = strcmp(look->first_renewed, renewed) != 0;
    look->facts.reported = true;
    look->facts.report_age_ns = age_of(renewed);
}

/* What it says now; a first report that comes while one waits is a new one, too. */
static int look_for_report(struct look *look, bool first, struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    struct xb_error why = XB_ERROR_INIT;
    xb_json *lease = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_coordination_leases,
                                    .namespace = look->agents->coordinator->options->namespace,
                                    .name = name,
                                    .cancel = look->agents->cancel};
    int written = snprintf(name, sizeof name, "xebec-node-%s", look->node);
    if (written < 0 || (size_t)written >= sizeof name) {
        return 0;
    }
    if (xb_kube_get(look->agents->coordinator->client, &ref, &lease, &why) < 0) {
        if (why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return why.code;
        }
        return 0;
    }
    bool appeared = !first && !look->facts.reported;
    if (first) {
        look->facts.reported = false; /* what is new is counted from here */
    }
    note_report(look, lease);
    look->facts.renewed = look->facts.renewed || appeared;
    xb_json_putp(&look->lease);
    look->lease = lease;
    return 0;
}

/* ---- deciding ---- */

static void say_why(const struct look *look, char out[REASON_BYTES])
{
    const char *namespace = look->agents->coordinator->options->namespace;
    if (!look->facts.pod) {
        snprintf(out, REASON_BYTES,
                 "no agent of Xebec is running on node %.100s: the DaemonSet node-agent has no pod "
                 "there; let it run there (taints, nodeSelector)",
                 look->node);
    } else if (!look->facts.ready) {
        snprintf(out, REASON_BYTES,
                 "no agent of Xebec is running on node %.100s: its pod %.80s is not ready "
                 "(%.60s); see kubectl -n %.60s describe pod",
                 look->node, look->pod, look->state, namespace);
    } else {
        snprintf(out, REASON_BYTES,
                 "no agent of Xebec answers on node %.100s: its pod %.80s has not reported for a "
                 "minute; see kubectl -n %.60s logs",
                 look->node, look->pod, namespace);
    }
}

/* Looks until it is known. */
static int decide(struct look *look, enum xb_agent_verdict *ret, struct xb_error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * XB_NS_PER_MS};
    const int64_t began_ns = xb_clock_mono_ns();
    xb_json *lease = xb_agents_lease(look->agents->leases, look->node);
    bool told = false;
    if (lease) {
        note_report(look, lease);
    }
    for (bool first = true;; first = false) {
        int r = look_for_pod(look, err);
        if (r == 0 && xb_plan_agent(&look->facts) != XB_AGENT_USE) {
            r = look_for_report(look, first, err);
            r = r || look->facts.pod ? r : look_for_daemon_set(look, err);
        }
        if (r < 0) {
            return r;
        }
        look->facts.looked_ns = xb_clock_mono_ns() - began_ns;
        *ret = xb_plan_agent(&look->facts);
        if (*ret != XB_AGENT_WAIT) {
            return 0;
        }
        if (!told) {
            xb_log_info("an agent that was there just now is waited for", "node", look->node);
            told = true;
        }
        if (atomic_load(look->agents->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to stop");
        }
        (void)nanosleep(&pause, NULL);
    }
}

static int look_at(struct xb_agents *agents, const char *node, struct xb_error *err)
{
    struct look look = {.agents = agents, .node = node};
    enum xb_agent_verdict verdict = XB_AGENT_MISSING;
    char reason[REASON_BYTES] = "";
    int r = decide(&look, &verdict, err);
    if (r == 0 && verdict == XB_AGENT_USE && look.lease) {
        json_object_array_add(agents->leases, XB_TAKE(look.lease));
    } else if (r == 0 && verdict != XB_AGENT_USE) {
        say_why(&look, reason);
    }
    xb_json_putp(&look.lease);
    if (r == 0) {
        xb_json_put_text(agents->known, node, reason);
    }
    return r;
}

int xb_agents_find(struct xb_agents *agents, const char *node, struct xb_error *err)
{
    xb_json *known = NULL;
    if (!agents->known && !(agents->known = json_object_new_object())) {
        return xb_error_no_memory(err, "the agents");
    }
    if (!json_object_object_get_ex(agents->known, node, &known)) {
        int r = look_at(agents, node, err);
        if (r < 0) {
            return r;
        }
        (void)json_object_object_get_ex(agents->known, node, &known);
    }
    const char *reason = json_object_get_string(known);
    return reason[0] ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "%s", reason) : 0;
}

void xb_agents_free(struct xb_agents *agents)
{
    xb_json_putp(&agents->known);
}
