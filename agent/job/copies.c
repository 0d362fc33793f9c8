/* SPDX-License-Identifier: Apache-2.0
 * Copies of volumes as they were at one moment: which methods may be used, and who has them until
 * their orders' turns come. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze/freeze.h"
#include "agent/job/internal.h"
#include "agent/job/policy.h"
#include "agent/job/standstill.h"
#include "shared/base/log.h"
#include "shared/velero/velero.h"

enum { TAKERS_MAX = 8 };

/* ---- what is allowed ---- */

struct said {
    struct xb_method_policy all[XB_METHOD_POLICIES_MAX];
    size_t count;
    char problem[XB_POINT_IN_TIME_WHY_BYTES]; /* somebody could not be asked */
};

static void put_who(struct said *said, const char *kind, const char *name)
{
    struct xb_method_policy *policy = &said->all[said->count++];
    snprintf(policy->who, sizeof policy->who, "annotation " XB_POINT_IN_TIME_POLICY " of %s %.253s",
             kind, name);
}

/* An object that says something; *ret keeps its words. */
static int ask(struct xb_order *order, const struct xb_kube_ref *ref, struct said *said,
               xb_json **ret, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_kube_get(order->agent->client, ref, ret, &why);
    if (r < 0 && why.kind == XB_ERR_RETRY) {
        *err = why;
        return r;
    }
    if (r < 0) { /* without the right to look nobody knows what it forbids */
        snprintf(said->problem, sizeof said->problem,
                 "%s %.100s may forbid copies, and cannot be "
                 "asked: %.200s",
                 ref->resource->kind, ref->name, why.text);
        return 0;
    }
    put_who(said, ref->resource->kind, ref->name);
    said->all[said->count - 1].text = xb_method_policy_of(*ret);
    return 0;
}

static int allowed(struct xb_order *order, xb_json *pod, struct xb_point_in_time *point,
                   unsigned *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *space = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *claim = NULL;
    struct said said = {.count = 0};
    struct xb_volume_source source = {.claim = ""};
    char wrong[XB_POINT_IN_TIME_WHY_BYTES];
    struct xb_freeze_methods methods;
    const char *namespace = xb_order_text(order, "spec.pod.namespace");
    const struct xb_kube_ref space_ref = {.resource = &xb_core_namespaces, .name = namespace};
    const char *volume = xb_order_text(order, "spec.volume");
    int r = pod ? xb_volume_source(pod, volume, &source, err) : 0;
    if (r < 0 || (r = ask(order, &space_ref, &said, &space, err)) < 0) {
        return r;
    }
    const struct xb_kube_ref claim_ref = {
        .resource = &xb_core_pvcs, .namespace = namespace, .name = pod ? source.claim : volume};
    if (claim_ref.name[0] && (r = ask(order, &claim_ref, &said, &claim, err)) < 0) {
        return r;
    }
    if (pod) {
        put_who(&said, "Pod", xb_order_text(order, "spec.pod.name"));
        said.all[said.count - 1].text = xb_method_policy_of(pod);
    }
    if ((r = xb_method_policies(said.all, said.count, &methods, wrong, err)) < 0) {
        return r;
    }
    methods = xb_freeze_methods_both(methods, order->agent->methods);
    if (!xb_freeze_methods_left(methods)) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "this agent's settings (--point-in-time, or pointInTime in its "
                            "ConfigMap) allow none of the methods of copying that the "
                            "annotations " XB_POINT_IN_TIME_POLICY " allow");
    }
    snprintf(point->problem, sizeof point->problem, "%s", wrong[0] ? wrong : said.problem);
    *ret = xb_freeze_methods_left(methods);
    return 0;
}

int xb_agent_choose_methods(struct xb_agent *agent, const char *settings, struct xb_error *err)
{
    struct xb_method_policy policies[] = {
        {.who = "--point-in-time", .text = agent->options->point_in_time},
        {.who = "pointInTime in the ConfigMap", .text = settings}};
    char problem[XB_POINT_IN_TIME_WHY_BYTES];
    int r = xb_method_policies(policies, 2, &agent->methods, problem, err);
    return r == 0 && problem[0] ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", problem) : r;
}

/* ---- one copy ---- */

static void note_facts(struct xb_copy *copy)
{
    static const enum xb_consistency worth[] = {[XB_FREEZE_FUZZY] = XB_CONSISTENCY_FUZZY,
                                                [XB_FREEZE_PER_FILE] = XB_CONSISTENCY_PER_FILE,
                                                [XB_FREEZE_CRASH] = XB_CONSISTENCY_CRASH};
    struct xb_freeze_facts facts;
    struct xb_point_in_time *point = &copy->point;
    xb_freeze_describe(copy->freeze, &facts);
    snprintf(point->method, sizeof point->method, "%s", xb_freeze_method_name(facts.method));
    snprintf(point->reason, sizeof point->reason, "%.*s", XB_POINT_IN_TIME_WHY_BYTES - 1,
             facts.reasons);
    point->consistency = worth[facts.consistency];
    point->time_ns = facts.taken_ns;
    point->copy_us = (int64_t)facts.freeze_us;
    point->frozen_us = (int64_t)facts.frozen_us;
}

int xb_copy_new(struct xb_order *order, struct xb_copy **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep) struct xb_copy *copy = calloc(1, sizeof *copy);
    if (!copy || !(copy->key = strdup(order->key)) ||
        json_object_deep_copy(order->object, &copy->object, NULL) < 0) {
        return xb_error_no_memory(err, "a copy");
    }
    copy->place.volume.fd = -1;
    copy->point.held_us = -1;
    snprintf(copy->point.uid, sizeof copy->point.uid, "%s", xb_order_text(order, "metadata.uid"));
    *ret = XB_TAKE(copy);
    return 0;
}

/* There is no method for devices. */
static int allow_device(struct xb_copy *copy, unsigned methods, struct xb_error *err)
{
    struct xb_point_in_time *point = &copy->point;
    if (!(methods & (1U << XB_FREEZE_LIVE))) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "no copy of a raw block device can be had, and it must not be read "
                            "without one");
    }
    snprintf(point->method, sizeof point->method, "%s", XB_POINT_IN_TIME_LIVE);
    snprintf(point->reason, sizeof point->reason, "a raw block device is read as it is");
    point->consistency = XB_CONSISTENCY_FUZZY;
    return 0;
}

/* Only of a pod's own volume it is known who writes it. */
static int find_holder(struct xb_agent *agent, struct xb_copy *copy, struct xb_error *err)
{
    const struct xb_standstill_volume volume = {
        .pods_roots = copy->place.where.pods_root,
        .pod_uid = copy->place.where.pod_uid,
        .path = copy->place.volume.path,
        .home = xb_json_str(copy->place.persistent_volume, "spec.local.path", NULL)};
    if (!agent->guard || !volume.pod_uid) {
        return 0;
    }
    copy->still = calloc(1, sizeof *copy->still);
    if (!copy->still) {
        return xb_error_no_memory(err, "a copy");
    }
    xb_standstill_init(copy->still, agent->guard, &volume);
    return 0;
}

int xb_copy_prepare(struct xb_order *order, struct xb_copy **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep) struct xb_copy *copy = NULL;
    unsigned methods = 0;
    int r = xb_copy_new(order, &copy, err);
    if (r < 0) {
        return r;
    }
    struct xb_order own = {.agent = order->agent,
                           .resource = order->resource,
                           .key = copy->key,
                           .object = copy->object};
    if ((r = xb_order_open_volume(&own, &copy->place, err)) < 0 ||
        (r = allowed(&own, copy->place.pod, &copy->point, &methods, err)) < 0) {
        return r;
    }
    if (copy->place.where.devices) {
        if ((r = allow_device(copy, methods, err)) == 0) {
            *ret = XB_TAKE(copy);
        }
        return r;
    }
    if ((r = find_holder(order->agent, copy, err)) < 0) {
        return r;
    }
    const struct xb_freeze_request request = {.holder = copy->still ? &copy->still->holder : NULL,
                                              .root_fd = copy->place.volume.fd,
                                              .path = copy->place.volume.path,
                                              .name = copy->point.uid,
                                              .methods = methods};
    struct xb_error swept = XB_ERROR_INIT;
    if (xb_freeze_sweep(&request, &swept) < 0) {
        xb_log_warning("copies of a process that is gone are left over", "volume",
                       copy->place.volume.path, "error", swept.text);
    }
    if ((r = xb_freeze_prepare(&request, &copy->freeze, err)) < 0) {
        if (err->kind == XB_ERR_CONFLICT) { /* by an agent before this one, which has to end */
            err->kind = XB_ERR_RETRY;
        }
        return xb_error_wrap(err, "volume %s", xb_order_text(order, "spec.volume"));
    }
    note_facts(copy);
    *ret = XB_TAKE(copy);
    return 0;
}

bool xb_copy_is_fixed(const struct xb_copy *copy)
{
    return copy->point.time_ns > 0 && strcmp(copy->point.method, XB_POINT_IN_TIME_LIVE) != 0;
}

int xb_copy_fall_back(struct xb_copy *copy, struct xb_error *err)
{
    int r = xb_freeze_fall_back(copy->freeze, err);
    note_facts(copy);
    return r;
}

void xb_copy_free(struct xb_copy *copy)
{
    if (!copy) {
        return;
    }
    xb_freeze_free(copy->freeze);
    free(copy->still);
    xb_order_close(&copy->place);
    json_object_put(copy->object);
    free(copy->key);
    free(copy);
}

int xb_order_tell_point(struct xb_agent *agent, const struct xb_kube_ref *order,
                        const struct xb_point_in_time *point, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    int r = xb_point_in_time_patch(point, &patch, err);
    return r < 0 ? r : xb_kube_merge_patch(agent->client, order, patch, NULL, err);
}

/* ---- several at once ---- */

struct taking {
    struct xb_copy *const *copies;
    size_t count;
    atomic_size_t next;
    int (*step)(struct xb_freeze *freeze, struct xb_error *err);
};

static void *take_some(void *context)
{
    struct taking *taking = context;
    for (size_t i = atomic_fetch_add(&taking->next, 1); i < taking->count;
         i = atomic_fetch_add(&taking->next, 1)) {
        struct xb_copy *copy = taking->copies[i];
        if (copy->freeze && !copy->failed.code && taking->step(copy->freeze, &copy->failed) == 0) {
            note_facts(copy);
        }
    }
    return NULL;
}

static void take_all(struct taking *taking)
{
    pthread_t threads[TAKERS_MAX];
    size_t begun = 0;
    while (begun + 1 < taking->count && begun < TAKERS_MAX - 1 &&
           pthread_create(&threads[begun], NULL, take_some, taking) == 0) {
        begun++;
    }
    (void)take_some(taking); /* whatever the others do */
    for (size_t i = 0; i < begun; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

void xb_copies_refresh(struct xb_copy *const *copies, size_t count)
{
    struct taking taking = {.copies = copies, .count = count, .step = xb_freeze_refresh};
    take_all(&taking);
}

void xb_copies_take(struct xb_copy *const *copies, size_t count)
{
    struct taking taking = {.copies = copies, .count = count, .step = xb_freeze_take};
    take_all(&taking);
}

/* ---- who has them ---- */

void xb_agent_keep_copy(struct xb_agent *agent, struct xb_copy *copy)
{
    (void)pthread_mutex_lock(&agent->copies_lock);
    copy->next = agent->copies;
    agent->copies = copy;
    (void)pthread_mutex_unlock(&agent->copies_lock);
}

void xb_agent_keep_untold(struct xb_agent *agent, struct xb_copy *copy)
{
    copy->untold = true;
    xb_agent_keep_copy(agent, copy);
}

void xb_agent_copy_told(struct xb_agent *agent, struct xb_copy *copy)
{
    (void)pthread_mutex_lock(&agent->copies_lock);
    copy->untold = false;
    (void)pthread_cond_broadcast(&agent->copies_told);
    (void)pthread_mutex_unlock(&agent->copies_lock);
}

/* With the lock: where the list names the first one of that key. */
static struct xb_copy **find(struct xb_agent *agent, const char *key)
{
    struct xb_copy **at = &agent->copies;
    while (*at && key && strcmp((*at)->key, key) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static struct xb_copy *take_out(struct xb_agent *agent, const char *key)
{
    (void)pthread_mutex_lock(&agent->copies_lock);
    struct xb_copy **at = find(agent, key);
    while (*at && (*at)->untold) { /* for as long as a request takes */
        (void)pthread_cond_wait(&agent->copies_told, &agent->copies_lock);
        at = find(agent, key);
    }
    struct xb_copy *found = *at;
    if (found) {
        *at = found->next;
    }
    (void)pthread_mutex_unlock(&agent->copies_lock);
    return found;
}

struct xb_copy *xb_agent_take_copy(struct xb_agent *agent, const char *key, const char *uid)
{
    struct xb_copy *copy = NULL;
    while ((copy = take_out(agent, key)) && uid && strcmp(copy->point.uid, uid) != 0) {
        xb_copy_free(copy);
    }
    return copy;
}

struct xb_kept xb_agent_kept(struct xb_agent *agent, const char *key, const char *uid)
{
    struct xb_kept kept = {.copy = false};
    (void)pthread_mutex_lock(&agent->copies_lock);
    for (const struct xb_copy *copy = agent->copies; copy; copy = copy->next) {
        bool own = uid && strcmp(copy->point.uid, uid) == 0;
        if (strcmp(copy->key, key) != 0) {
            continue;
        }
        kept.other = kept.other || !own;
        kept.copy = kept.copy || (own && !copy->prepared);
        if (own && copy->prepared) {
            kept.prepared = true;
            kept.prepared_ns = copy->prepared_ns;
        }
    }
    (void)pthread_mutex_unlock(&agent->copies_lock);
    return kept;
}

void xb_agent_free_copies(struct xb_agent *agent)
{
    struct xb_copy *copy = NULL;
    while ((copy = take_out(agent, NULL))) {
        xb_copy_free(copy);
    }
}
