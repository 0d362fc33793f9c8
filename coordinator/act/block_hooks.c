/* SPDX-License-Identifier: Apache-2.0
 * Hooks that the coordinator runs around a block: pre hooks, then its orders, and its post hooks as
 * soon as no order needs the application's own files any more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/act/pod_hooks.h"
#include "shared/base/clock.h"
#include "shared/base/fnv.h"
#include "shared/base/log.h"
#include "shared/velero/point_in_time.h"

enum {
    LOOK_SOON_MS = 20, /* a copy is a matter of moments */
    LOOKS_SOON = 100,
    LOOK_AGAIN_MS = 200,
    LOOKS_AT_NODE = 50, /* so many looks at an order, then one at its node */
    GRACE_S = 60        /* for an agent to answer that it has cancelled */
};

struct xb_open_pod {
    struct xb_open_pod *next;
    char *namespace, *name, *uid;
    enum xb_bracket_state state;
    enum xb_bracket_session session; /* by its record */
    struct xb_held held;
};

static void free_open(struct xb_open_pod *open)
{
    free(open->namespace);
    free(open->name);
    free(open->uid);
    xb_held_free(&open->held);
    free(open);
}

/* At the end: post hooks are run in the order of the pre hooks. What `state` holds is taken over.
 */
static int remember(struct xb_ordering *orders, const struct xb_hook_pod *pod,
                    const struct xb_open_pod *state, struct xb_error *err)
{
    struct xb_open_pod **at = &orders->open;
    struct xb_open_pod *open = calloc(1, sizeof *open);
    while (*at) {
        at = &(*at)->next;
    }
    if (!open) {
        return xb_error_no_memory(err, "a pod's hooks");
    }
    *open = (struct xb_open_pod){.namespace = strdup(pod->namespace),
                                 .name = strdup(pod->name),
                                 .uid = strdup(pod->uid),
                                 .state = state->state,
                                 .session = state->session};
    if (!open->namespace || !open->name || !open->uid) {
        free_open(open);
        return xb_error_no_memory(err, "a pod's hooks");
    }
    open->held = state->held;
    *at = open;
    return 0;
}

/* ---- before ---- */

/* Tried again later, by this process or another. */
static bool is_passing(const struct xb_error *err)
{
    return err->kind == XB_ERR_RETRY || err->kind == XB_ERR_CANCELLED;
}

/* What failed last: nothing follows a failed session. */
static bool ended_with_session(xb_json *results)
{
    size_t count = json_object_array_length(results);
    xb_json *last = count > 0 ? json_object_array_get_idx(results, count - 1) : NULL;
    return strcmp(xb_json_str(last, "phase", ""), xb_hook_phase_name(XB_HOOK_SESSION)) == 0;
}

int xb_block_hooks_open(struct xb_ordering *orders, const struct xb_hook_pod *pod,
                        const struct xb_hooks *hooks, char why[XB_COLLECTED_WHY_BYTES],
                        struct xb_error *err)
{
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    XB_CLEANUP(xb_held_free) struct xb_held held = {.session = NULL};
    struct xb_pod_hooks_executor executor = {.work = orders->work, .pod = pod, .held = &held};
    const struct xb_bracket_run run = xb_pod_hooks_how(&executor, orders->cancel);
    int r = xb_hook_record_get(orders->work, pod, &record, NULL, err);
    if (r < 0) {
        return r;
    }
    r = xb_bracket_open(&run, hooks, &record, err);
    if (r == 0 && record.refused) {
        snprintf(why, XB_COLLECTED_WHY_BYTES, "%s of it failed",
                 ended_with_session(record.results) ? "the session" : "a pre hook");
    }
    const struct xb_open_pod state = {
        .state = record.state, .session = record.session, .held = held};
    xb_bracket_record_free(&record);
    if (state.state == XB_BRACKET_UNBEGUN || state.state == XB_BRACKET_DONE ||
        (r < 0 && !is_passing(err))) {
        return r;
    }
    struct xb_error full = XB_ERROR_INIT;
    int kept = remember(orders, pod, &state, &full);
    if (kept == 0) {
        held = (struct xb_held){.session = NULL};
    }
    if (r == 0 && kept < 0) {
        *err = full;
        r = kept;
    }
    return r;
}

/* ---- the copies ---- */

struct waiting {
    const struct xb_ordering *orders;
    const struct xb_collected_volume *volume;
    char name[XB_VELERO_NAME_BYTES];
    uint64_t mark;    /* of its progress, when it was seen last */
    int64_t moved_ns; /* monotonic: when that changed */
    bool told;        /* that it must end */
};

/* Whether the application may go on as far as this order is concerned: there is a copy of its
 * volume (by the order's own word, point_in_time.h; its phase says nothing of the kind), it has
 * ended, or is not to be waited for any longer. One that has not begun is no late one: its node is
 * busy with others, as long as its agent lives. */
static int look_at_order(struct waiting *waiting, bool *ret_over, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_pod_hooks_order(waiting->orders->work, waiting->name, &order, &why);
    if (r < 0) {
        *ret_over = why.kind == XB_ERR_NOT_FOUND; /* deleted, maybe with its backup */
        if (why.kind != XB_ERR_NOT_FOUND && why.kind != XB_ERR_RETRY) {
            *err = why;
            return r;
        }
        return 0;
    }
    const char *phase = xb_json_str(order, "status.phase", "");
    uint64_t mark = xb_fnv1a(phase) ^ (uint64_t)xb_json_int(order, "status.progress.bytesDone", 0);
    const int64_t now_ns = xb_clock_mono_ns();
    if (waiting->moved_ns == 0 || (mark != waiting->mark && !waiting->told)) {
        waiting->mark = mark;
        waiting->moved_ns = now_ns;
    }
    bool begun = phase[0] && strcmp(phase, "New") != 0;
    int64_t patience_ns =
        waiting->told ? GRACE_S * XB_NS_PER_S : waiting->orders->work->run->timeout_ns;
    bool late = (begun || waiting->told) && now_ns - waiting->moved_ns >= patience_ns;
    *ret_over = xb_velero_data_phase_final(phase) || xb_point_in_time_fixed(order) ||
                (late && waiting->told);
    if (late && !waiting->told) {
        xb_log_warning("a volume makes no progress and is cancelled", "order", waiting->name);
        xb_ordering_cancel(waiting->orders, waiting->volume);
        waiting->told = true;
        waiting->moved_ns = now_ns;
    }
    return 0;
}

/* The other pods of the block must not stay frozen for a node that is gone. */
static bool given_up(const struct waiting *waiting)
{
    const struct xb_collected_volume *volume = waiting->volume;
    if (!xb_ordering_agent_silent(waiting->orders, volume->node)) {
        return false;
    }
    xb_record_log_line(waiting->orders->work->run->log, XB_RECORD_WARNING, volume->pod_namespace,
                       "volume %s of pod %s is cancelled: the agent on node %s gives no sign of "
                       "life",
                       volume->volume, volume->pod, volume->node);
    xb_ordering_cancel(waiting->orders, volume);
    return true;
}

/* Whether there is nothing left to wait for: the session of the volume's pod is gone, so what is
 * copied now is of an application that works. All sessions are looked at, so that none is full of
 * what it says. */
static bool session_lost(const struct xb_ordering *orders, const struct xb_collected_volume *volume)
{
    bool lost = false;
    for (struct xb_open_pod *open = orders->open; open; open = open->next) {
        bool gone = xb_held_look(&open->held) ||
                    (open->session == XB_BRACKET_SESSION_HELD && !open->held.session);
        if (gone && volume->pod_uid && strcmp(volume->pod_uid, open->uid) == 0) {
            lost = true;
        }
    }
    return lost;
}

static void pause_after(int looks)
{
    const struct timespec pause = {.tv_nsec = (looks <= LOOKS_SOON ? LOOK_SOON_MS : LOOK_AGAIN_MS) *
                                              XB_NS_PER_MS};
    (void)nanosleep(&pause, NULL);
}

static int wait_for(const struct xb_ordering *orders, const struct xb_collected_volume *volume,
                    struct xb_error *err)
{
    struct waiting waiting = {.orders = orders, .volume = volume};
    bool over = false;
    int r = xb_ordering_name(orders, volume, waiting.name, err);
    for (int looks = 1; r == 0 && !over; looks++) {
        if (atomic_load(orders->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to stop");
        }
        r = look_at_order(&waiting, &over, err);
        over = over || session_lost(orders, volume) ||
               (r == 0 && looks > LOOKS_SOON && looks % LOOKS_AT_NODE == 0 && given_up(&waiting));
        if (r == 0 && !over) {
            pause_after(looks);
        }
    }
    return r;
}

/* Not of a pod that is left out: such an order was cancelled, and nothing is held for it. */
static bool is_wanted(const struct xb_collected_volume *volume)
{
    return volume->ordered && !volume->skipped;
}

/* To the agents that have prepared: the application is held, or goes on (its hooks are over, as
 * after a session that ended by itself), and nothing is to be waited for. */
static int give_word(const struct xb_ordering *orders, const struct xb_collected_volume *volumes,
                     size_t count, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && orders->prepared && i < count; i++) {
        r = is_wanted(&volumes[i])
                ? xb_ordering_hold(orders, &volumes[i], orders->open != NULL, err)
                : 0;
    }
    return r;
}

static int copy(struct xb_ordering *orders, struct xb_collected_volume *volumes, size_t count,
                struct xb_error *err)
{
    int r = give_word(orders, volumes, count, err);
    r = r ? r : xb_ordering_make_all(orders, volumes, count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = is_wanted(&volumes[i]) ? wait_for(orders, &volumes[i], err) : 0;
    }
    for (struct xb_open_pod *open = orders->open; r == 0 && open; open = open->next) {
        xb_held_copied(&open->held);
    }
    return r;
}

/* ---- after ---- */

/* Whatever has become of the process's errand: what has been frozen is thawed. */
static int close_pod(struct xb_step_work *work, struct xb_open_pod *open, struct xb_error *err)
{
    const struct xb_hook_pod own = {open->namespace, open->name, open->uid};
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    struct xb_hooks hooks = {.phases = {{.hooks = NULL}}};
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    struct xb_pod_hooks_executor executor = {.work = work, .pod = &own, .held = &open->held};
    const struct xb_bracket_run run = xb_pod_hooks_how(&executor, NULL);
    struct xb_error why = XB_ERROR_INIT;
    bool found = false;
    int r = xb_hook_record_get(work, &own, &record, &found, err);
    if (r < 0) {
        return r;
    }
    if (!found) { /* it went with its Backup */
        record.state = open->state;
        record.session = open->session;
    }
    if ((r = xb_pod_hooks_get_pod(work, &own, &pod, &why)) < 0 ||
        (r = xb_hooks_of(work->object, pod, &hooks, &why)) < 0) {
        if (why.kind == XB_ERR_RETRY) {
            *err = why;
        } else {
            xb_bracket_record_lose(&record, why.text);
            xb_bracket_record_fail(&record, XB_HOOK_POST, why.text);
            record.state = XB_BRACKET_DONE;
            r = xb_hook_record_tell(work, &own, &record, err);
        }
    } else {
        r = xb_bracket_close(&run, &hooks, &record, err);
    }
    xb_hooks_free(&hooks);
    xb_bracket_record_free(&record);
    return r;
}

static int close_all(struct xb_ordering *orders, struct xb_error *err)
{
    int r = 0;
    for (struct xb_open_pod *open = orders->open; open; open = open->next) {
        struct xb_error why = XB_ERROR_INIT;
        if (close_pod(orders->work, open, &why) < 0) {
            xb_log_error(&why, "post hooks could not be run", "namespace", open->namespace, "pod",
                         open->name);
            *err = why;
            r = why.code;
        }
    }
    return r;
}

/* Nobody will take it up then. */
static bool backup_is_gone(struct xb_step_work *work)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace =
                                        xb_json_str(work->object, "metadata.namespace", ""),
                                    .name = xb_json_str(work->object, "metadata.name", "")};
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    struct xb_error why = XB_ERROR_INIT;
    if (xb_kube_get(work->coordinator->client, &ref, &now, &why) < 0) {
        return why.kind == XB_ERR_NOT_FOUND;
    }
    return strcmp(xb_json_str(now, "metadata.uid", ""),
                  xb_json_str(work->object, "metadata.uid", "?")) != 0 ||
           xb_json_get(now, "metadata.deletionTimestamp");
}

int xb_block_hooks_after(void *context, struct xb_collected_volume *volumes, size_t count,
                         const struct xb_error *failed, struct xb_error *err)
{
    struct xb_ordering *orders = context;
    struct xb_error why = failed ? *failed : (struct xb_error)XB_ERROR_INIT;
    if (!failed && orders->open) {
        (void)!copy(orders, volumes, count, &why);
    } else if (!failed) {
        (void)!give_word(orders, volumes, count, &why);
    }
    int r = why.code;
    /* Who takes the backup up finds what is frozen, and its copies, and goes on: thawing now would
     * leave copies of a running application that nobody knows of. */
    if (r == 0 || orders->no_copies || !is_passing(&why) ||
        (orders->open && backup_is_gone(orders->work))) {
        for (size_t i = 0; r < 0 && i < count; i++) {
            xb_ordering_cancel(orders, &volumes[i]);
        }
        struct xb_error after = XB_ERROR_INIT;
        if (close_all(orders, &after) < 0 && r == 0) {
            why = after;
            r = after.code;
        }
    }
    while (orders->open) {
        struct xb_open_pod *open = orders->open;
        orders->open = open->next;
        free_open(open);
    }
    orders->no_copies = orders->prepared = false;
    if (r < 0 && !failed) {
        *err = why;
        return r;
    }
    return 0;
}
