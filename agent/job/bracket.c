/* SPDX-License-Identifier: Apache-2.0
 * A pod's hooks around the orders of its volumes. The order that leads runs them, on this node, in
 * the pod's own containers. What the order says of them is not believed: they are found anew in the
 * pod and in the Backup. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hooks/cri.h"
#include "agent/job/guarded.h"
#include "agent/job/internal.h"
#include "shared/base/fnv.h"
#include "shared/base/log.h"
#include "shared/velero/bracket.h"
#include "shared/velero/velero.h"

/* ---- an order's opening ---- */

struct opening {
    struct xb_order *order;
    xb_json *backup, *pod;
    struct xb_bracket bracket;
    struct xb_bracket_record record;
    struct xb_hooks hooks;
    struct xb_guarded guarded;
    /* Of the bracket's orders, of the leader only. */
    struct xb_copy **copies;
    size_t copy_count;
    size_t wanted; /* so many are to be backed up */
    bool kept;     /* the agent has those that are copies; they are to be handed out */
};

static void free_opening(struct opening *opening)
{
    for (size_t i = 0; i < opening->copy_count; i++) {
        xb_copy_free(opening->copies[i]);
    }
    free(opening->copies);
    xb_guarded_free(&opening->guarded);
    json_object_put(opening->backup);
    json_object_put(opening->pod);
    xb_bracket_free(&opening->bracket);
    xb_bracket_record_free(&opening->record);
    xb_hooks_free(&opening->hooks);
}

/* ---- what the order claims ---- */

static int forged(struct xb_error *err, const char *why)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "its bracket is none of the coordinator's (%s): no hook is run", why);
}

/* The name that the coordinator gives to the order of this volume. */
static int check_name(const struct opening *opening, struct xb_error *err)
{
    const struct xb_order *order = opening->order;
    char name[XB_VELERO_NAME_BYTES];
    const char *parts[] = {xb_json_str(opening->backup, "metadata.uid", ""),
                           xb_order_text(order, "spec.pod.uid"),
                           xb_order_text(order, "spec.volume"), NULL};
    int r =
        xb_velero_derived_name(xb_json_str(opening->backup, "metadata.name", ""), parts, name, err);
    if (r < 0) {
        return r;
    }
    return strcmp(name, xb_order_text(order, "metadata.name")) == 0
               ? 0
               : forged(err, "the order's name");
}

static int check_claims(const struct opening *opening, struct xb_error *err)
{
    const struct xb_bracket *bracket = &opening->bracket;
    bool member = false;
    if (strcmp(bracket->id, xb_order_text(opening->order, "spec.pod.uid")) != 0) {
        return forged(err, "another pod's");
    }
    for (size_t i = 0; i < xb_bracket_count(bracket); i++) {
        member = member || strcmp(xb_bracket_member(bracket, i),
                                  xb_order_text(opening->order, "metadata.name")) == 0;
    }
    if (!member) {
        return forged(err, "the order is not among its members");
    }
    return check_name(opening, err);
}

/* Reads and checks everything. 1: there is a bracket; 0: there is none. */
static int read_opening(struct xb_order *order, struct opening *opening, struct xb_error *err)
{
    opening->order = order;
    int r = xb_bracket_parse(order->object, &opening->bracket, err);
    if (r <= 0) {
        return r;
    }
    if ((r = xb_bracket_record_parse(order->object, &opening->record, err)) < 0 ||
        (r = xb_order_get_owner(order, "Backup", &opening->backup, err)) < 0 ||
        (r = check_claims(opening, err)) < 0 ||
        (r = xb_order_get_pod(order, &opening->pod, err)) < 0 ||
        (r = xb_hooks_of(opening->backup, opening->pod, &opening->hooks, err)) < 0) {
        return r;
    }
    xb_guarded_init(&opening->guarded, order, opening->backup, opening->pod,
                    &opening->hooks.phases[XB_HOOK_POST]);
    return 1;
}

/* ---- the hooks ---- */

/* Before anybody hears that the pre hooks are over: then the orders' turns come. */
static void keep_copies(struct opening *opening, const struct xb_bracket_record *record)
{
    for (size_t i = 0; i < opening->copy_count && !opening->kept; i++) {
        struct xb_copy *copy = opening->copies[i];
        if (xb_copy_is_fixed(copy)) {
            copy->point.held_us = record->held_us > 0 ? record->held_us : -1;
            xb_agent_keep_untold(opening->order->agent, copy);
        }
    }
    opening->kept = true;
}

static int tell(void *context, const struct xb_bracket_record *record, struct xb_error *err)
{
    struct opening *opening = context;
    if (record->state == XB_BRACKET_PRE_DONE || record->state == XB_BRACKET_DONE) {
        keep_copies(opening, record);
    }
    const struct xb_order *order = opening->order;
    const struct xb_kube_ref ref = xb_order_ref(order);
    int r = xb_bracket_tell(order->agent->client, &ref, record, err);
    if (r == 0 && record->state == XB_BRACKET_PRE_BEGUN) {
        xb_guarded_arm(&opening->guarded);
    } else if (r == 0 && record->state == XB_BRACKET_DONE) {
        xb_guarded_over(&opening->guarded);
    }
    return r;
}

static int exec(void *context, const char *container, const struct xb_exec_command *command,
                struct xb_exec_result *ret, struct xb_error *err)
{
    struct opening *opening = context;
    int r = 0;
    if (xb_guarded_replay(&opening->guarded, &r, ret, err)) {
        return r;
    }
    struct xb_cri_target target = {.container = container,
                                   .pod_namespace =
                                       xb_order_text(opening->order, "spec.pod.namespace"),
                                   .pod_name = xb_order_text(opening->order, "spec.pod.name")};
    r = xb_order_pod_uid(opening->order, opening->pod, &target.pod_uid, err);
    if (r < 0) {
        return r;
    }
    xb_log_info("running a hook", "order", opening->order->key, "pod",
                xb_order_text(opening->order, "spec.pod.name"), "container", container);
    return xb_cri_exec(NULL, &target, command, ret, err);
}

static void thaw_by_guard(void *context, struct xb_bracket_record *record)
{
    xb_guarded_thaw(&((struct opening *)context)->guarded, record);
}

static struct xb_bracket_run how(struct opening *opening, const atomic_bool *cancel)
{
    return (struct xb_bracket_run){.exec = exec,
                                   .tell = tell,
                                   .thaw = thaw_by_guard,
                                   .context = opening,
                                   .cancel = cancel,
                                   .who = "the agent"};
}

/* ---- before ---- */

/* Both sides must mean the same hooks before any is run. */
static int check_digest(const struct opening *opening, struct xb_error *err)
{
    char digest[XB_HOOKS_DIGEST_BYTES];
    int r = xb_hooks_digest(&opening->hooks, digest, err);
    if (r == 0 && strcmp(digest, opening->bracket.hooks) != 0) {
        r = xb_error_set(err, XB_ERR_INVALID, -ESTALE,
                         "the hooks of pod %s are others than when the backup came to it",
                         xb_order_text(opening->order, "spec.pod.name"));
    }
    return r;
}

static int refuse(const struct opening *opening, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -ECANCELED,
                        "a pre hook of pod %s failed: its volumes are not backed up",
                        xb_order_text(opening->order, "spec.pod.name"));
}

/* ---- the copies in between ---- */

/* The copy of one order of the bracket, prepared. What speaks against it is said by the order
 * itself when its turn has come. */
static int prepare_one(struct opening *opening, struct xb_order *member, struct xb_error *err)
{
    struct opening theirs = {.order = member, .backup = json_object_get(opening->backup)};
    struct xb_error why = XB_ERROR_INIT;
    struct xb_copy *copy = NULL;
    int r = xb_bracket_parse(member->object, &theirs.bracket, &why);
    if (r > 0 && (r = check_claims(&theirs, &why)) == 0 &&
        (r = xb_order_check_owner(member, "Backup", &why)) == 0) {
        r = xb_copy_prepare(member, &copy, &why);
    }
    free_opening(&theirs);
    if (r < 0 && (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED)) {
        *err = why;
        return r;
    }
    if (copy) {
        opening->copies[opening->copy_count++] = copy;
    }
    return 0;
}

static int prepare_member(struct opening *opening, const char *name, struct xb_error *err)
{
    struct xb_order *order = opening->order;
    struct xb_order member = {.agent = order->agent, .resource = order->resource};
    struct xb_error why = XB_ERROR_INIT;
    char key[2 * XB_VELERO_NAME_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    const struct xb_kube_ref ref = {.resource = order->resource,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = name};
    if (xb_kube_get(order->agent->client, &ref, &object, &why) < 0) {
        if (why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
        }
        return why.kind == XB_ERR_NOT_FOUND ? 0 : why.code;
    }
    if (xb_velero_data_phase_final(xb_json_str(object, "status.phase", "")) ||
        xb_json_bool(object, "spec.cancel", false)) {
        return 0;
    }
    snprintf(key, sizeof key, "%s/%s", ref.namespace, name);
    member.object = object;
    member.key = key;
    opening->wanted++;
    return prepare_one(opening, &member, err);
}

static int prepare_copies(struct opening *opening, struct xb_error *err)
{
    size_t count = xb_bracket_count(&opening->bracket);
    opening->copies = calloc(count, sizeof(struct xb_copy *));
    if (!opening->copies) {
        return xb_error_no_memory(err, "copies");
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = prepare_member(opening, xb_bracket_member(&opening->bracket, i), err);
    }
    if (r == 0) {
        xb_copies_refresh(opening->copies, opening->copy_count);
    }
    return r;
}

/* The application stands still. */
static bool take_copies(void *context)
{
    struct opening *opening = context;
    size_t fixed = 0;
    xb_guarded_held(&opening->guarded, &opening->record);
    xb_copies_take(opening->copies, opening->copy_count);
    for (size_t i = 0; i < opening->copy_count; i++) {
        fixed += xb_copy_is_fixed(opening->copies[i]);
    }
    if (fixed == opening->wanted) {
        xb_guarded_copied(&opening->guarded);
    }
    return fixed == opening->wanted;
}

/* To the orders. One that is not told of its copy (`tell`: a server is there) is waited for. */
static void hand_out(struct opening *opening, bool tell)
{
    struct xb_order *order = opening->order;
    for (size_t i = 0; opening->kept && i < opening->copy_count; i++) {
        struct xb_error err = XB_ERROR_INIT;
        if (!opening->copies[i]->untold) {
            continue;
        }
        struct xb_copy *copy = XB_TAKE(opening->copies[i]);
        const struct xb_kube_ref ref = {.resource = order->resource,
                                        .namespace = xb_order_text(order, "metadata.namespace"),
                                        .name = strchr(copy->key, '/') + 1};
        if (tell && xb_order_tell_point(order->agent, &ref, &copy->point, &err) < 0) {
            xb_log_warning("an order could not be told of its copy", "order", copy->key, "error",
                           err.text);
        }
        xb_agent_copy_told(order->agent, copy);
    }
}

static int lead(struct opening *opening, struct xb_error *err)
{
    struct xb_bracket_run run = how(opening, &opening->order->cancel);
    int r = 0;
    run.copy = take_copies;
    if (opening->record.state == XB_BRACKET_UNBEGUN &&
        ((r = check_digest(opening, err)) < 0 || (r = prepare_copies(opening, err)) < 0)) {
        return r;
    }
    if (opening->record.state == XB_BRACKET_PRE_DONE && xb_guarded_lapsed(&opening->guarded)) {
        r = xb_bracket_close(&run, &opening->hooks, &opening->record, err);
    } else {
        r = xb_bracket_pass(&run, &opening->hooks, &opening->record, err);
    }
    hand_out(opening, r == 0);
    return r == 0 && opening->record.refused ? refuse(opening, err) : r;
}

/* What the leader has written down. */
static int follow(struct opening *opening, struct xb_error *err)
{
    struct xb_order *order = opening->order;
    XB_CLEANUP(xb_json_putp) xb_json *leader = NULL;
    struct xb_bracket theirs = {.json = NULL};
    const struct xb_kube_ref ref = {.resource = order->resource,
                                    .namespace = xb_order_text(order, "metadata.namespace"),
                                    .name = xb_bracket_leader(&opening->bracket)};
    int r = xb_kube_get(order->agent->client, &ref, &leader, err);
    if (r < 0 || (r = xb_bracket_parse(leader, &theirs, err)) < 0) {
        return r;
    }
    bool same = r > 0 && strcmp(theirs.id, opening->bracket.id) == 0 &&
                strcmp(xb_bracket_leader(&theirs), ref.name) == 0;
    xb_bracket_free(&theirs);
    xb_bracket_record_free(&opening->record);
    if (!same) {
        return forged(err, "its leader is another pod's");
    }
    if ((r = xb_bracket_record_parse(leader, &opening->record, err)) < 0) {
        return r;
    }
    if (opening->record.state < XB_BRACKET_PRE_DONE) {
        return xb_error_set(err, XB_ERR_INVALID, -ECANCELED,
                            "the pre hooks of pod %s have not been run (%s: %.200s)",
                            xb_order_text(order, "spec.pod.name"), ref.name,
                            xb_json_str(leader, "status.message", "no reason was given"));
    }
    if (opening->record.state == XB_BRACKET_PRE_DONE && xb_guarded_lapsed(&opening->guarded)) {
        opening->record.state = XB_BRACKET_DONE; /* as the leader will say */
    }
    return opening->record.refused ? refuse(opening, err) : 0;
}

int xb_order_open_bracket(struct xb_order *order, struct xb_error *err)
{
    struct opening opening = {.order = order};
    int r = read_opening(order, &opening, err);
    if (r > 0) {
        bool leads =
            strcmp(xb_bracket_leader(&opening.bracket), xb_order_text(order, "metadata.name")) == 0;
        r = leads ? lead(&opening, err) : follow(&opening, err);
        bool over = opening.record.state == XB_BRACKET_DONE;
        order->unheld = over && opening.hooks.phases[XB_HOOK_POST].count > 0;
        if (opening.record.state != XB_BRACKET_UNBEGUN && !over) {
            order->bracketed = XB_TAKE(opening.backup);
        }
    }
    free_opening(&opening);
    return r;
}

/* ---- after ---- */

static void thaw(struct opening *opening)
{
    struct xb_bracket_run run = how(opening, NULL);
    struct xb_error err = XB_ERROR_INIT;
    run.tell = NULL;
    opening->record.state = XB_BRACKET_PRE_DONE;
    opening->record.results = json_object_new_array();
    if (xb_order_get_pod(opening->order, &opening->pod, &err) < 0 ||
        xb_hooks_of(opening->backup, opening->pod, &opening->hooks, &err) < 0) {
        xb_log_error(&err, "post hooks of an order that was deleted cannot be run", "order",
                     opening->order->key);
        return;
    }
    xb_guarded_init(&opening->guarded, opening->order, opening->backup, opening->pod,
                    &opening->hooks.phases[XB_HOOK_POST]);
    if (xb_bracket_close(&run, &opening->hooks, &opening->record, &err) < 0) {
        xb_log_error(&err, "post hooks of an order that was deleted cannot be run", "order",
                     opening->order->key);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(opening->record.results); i++) {
        char why[XB_ERROR_TEXT_BYTES] = "exit code 0";
        (void)xb_bracket_failed(json_object_array_get_idx(opening->record.results, i), why,
                                sizeof why);
        xb_log_info("a post hook of an order that was deleted has been run", "order",
                    opening->order->key, "result", why);
    }
    xb_guarded_over(&opening->guarded);
}

/* All orders of a bracket are deleted at once: the first of them that is over thaws the pod, if
 * that has not been done before. */
static bool is_first(struct xb_order *order, xb_json *backup)
{
    struct xb_agent *agent = order->agent;
    char both[200];
    snprintf(both, sizeof both, "%.80s/%.80s", xb_json_str(backup, "metadata.uid", ""),
             xb_order_text(order, "spec.pod.uid"));
    uint64_t hash = xb_fnv1a(both);
    for (size_t i = 0; i < XB_AGENT_THAWED; i++) {
        if (atomic_load(&agent->thawed[i]) == hash) {
            return false;
        }
    }
    atomic_store(&agent->thawed[atomic_fetch_add(&agent->thawed_next, 1) % XB_AGENT_THAWED], hash);
    return true;
}

void xb_order_release_bracket(struct xb_order *order, const atomic_bool *stop)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_kube_ref ref = xb_order_ref(order);
    if (!order->bracketed || atomic_load(stop)) {
        return;
    }
    int r = xb_kube_get(order->agent->client, &ref, &found, &err);
    bool same = r == 0 && strcmp(xb_json_str(found, "metadata.uid", ""),
                                 xb_order_text(order, "metadata.uid")) == 0;
    if (same || (r < 0 && err.kind != XB_ERR_NOT_FOUND) || !is_first(order, order->bracketed)) {
        return;
    }
    struct opening opening = {.order = order, .backup = json_object_get(order->bracketed)};
    thaw(&opening);
    free_opening(&opening);
}

/* What keeps the hooks from being run ends the bracket, with the reason. */
int xb_order_close_bracket(void *work, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_order *order = work;
    struct opening opening = {.order = order};
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_order_refresh(order, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND ? 0 : r;
    }
    r = read_opening(order, &opening, &why);
    if (r > 0) {
        const struct xb_bracket_run run = how(&opening, stop);
        if (!opening.record.taken && opening.record.state != XB_BRACKET_DONE) {
            /* First of all; a server that is away is waited for afterwards. */
            xb_guarded_thaw(&opening.guarded, &opening.record);
            r = xb_bracket_close(&run, &opening.hooks, &opening.record, err);
        }
        (void)is_first(order, opening.backup);
    } else if (r < 0 && why.kind == XB_ERR_INVALID && opening.record.results) {
        xb_log_error(&why, "post hooks cannot be run", "order", order->key);
        xb_bracket_record_fail(&opening.record, XB_HOOK_POST, why.text);
        opening.record.state = XB_BRACKET_DONE;
        r = tell(&opening, &opening.record, err);
    } else if (r < 0) {
        *err = why;
    }
    free_opening(&opening);
    return r;
}
