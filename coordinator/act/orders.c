/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/orders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/fnv.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

enum {
    LOST_S = 60,   /* an order that is nowhere to be seen so long after it was made was deleted */
    SEEK_S = 20,   /* an order that has not begun for so long: is its pod still there? */
    SEEK_MAX = 50, /* in one step */
    GRACE_S = 60,  /* for an agent to answer that it has cancelled */
    LOOKS = 4,     /* in one timeout: so exactly is the time of the last progress known */
    SHARE = 20,    /* of the loop's time: one part in so many is for looking... */
    QUICK_MS = 1   /* ...unless it takes no longer than this */
};

struct xb_order_seen {
    uint64_t mark;     /* of its progress, when it was seen last */
    int64_t moved_ns;  /* monotonic: when that changed */
    int64_t sought_ns; /* monotonic: when its pod was looked for; 0: never */
    bool idle, late, told;
};

static xb_json *find(const struct xb_run *run, size_t i, struct xb_kube_informer *informer,
                     const char *namespace)
{
    char key[2 * XB_VELERO_NAME_BYTES];
    snprintf(key, sizeof key, "%s/%s", namespace,
             json_object_get_string(json_object_array_get_idx(run->orders, i)));
    return xb_kube_informer_get(informer, key);
}

/* ---- how long ---- */

int64_t xb_orders_timeout_ns(const struct xb_step_work *work)
{
    const char *own =
        xb_json_str(work->object, "metadata.annotations.velero\\.io/pod-volume-timeout", "");
    const int64_t usual_ns = work->coordinator->options->volumes_timeout_ns;
    int64_t timeout_ns = 0;
    char usual[XB_TIME_TEXT_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    if (!own[0]) {
        return usual_ns;
    }
    if (xb_duration_parse(own, &timeout_ns, &err) == 0 && timeout_ns > 0) {
        return timeout_ns;
    }
    xb_duration_format(usual_ns, usual);
    xb_record_log_line(work->run->log, XB_RECORD_WARNING, NULL,
                       "annotation velero.io/pod-volume-timeout: '%.100s' is no time such as 90m; "
                       "each volume has %s, as --fs-backup-timeout says",
                       own, usual);
    return usual_ns;
}

/* ---- progress ---- */

static bool add_to_node(void *context, const char *key, xb_json *order)
{
    xb_json *nodes = context;
    xb_json *sum = NULL;
    const char *node = xb_json_str(order, "spec.node", "");
    uint64_t done = (uint64_t)xb_json_int(order, "status.progress.bytesDone", 0) +
                    xb_fnv1a(xb_json_str(order, "status.phase", ""));
    (void)key;
    if (json_object_object_get_ex(nodes, node, &sum)) {
        done += (uint64_t)json_object_get_int64(sum);
    }
    json_object_object_add(nodes, node, json_object_new_int64((int64_t)done));
    return true;
}

static bool begun(xb_json *order)
{
    return strcmp(xb_json_str(order, "status.phase", ""), "InProgress") == 0;
}

/* A number that changes when the order gets on. `*nodes` is made when it is needed first. */
static uint64_t mark_of(xb_json *order, struct xb_kube_informer *informer, xb_json **nodes)
{
    char text[128];
    xb_json *sum = NULL;
    const char *phase = xb_json_str(order, "status.phase", "");
    uint64_t mark = xb_fnv1a(phase);
    if (begun(order)) {
        snprintf(text, sizeof text, "%lld/%lld",
                 (long long)xb_json_int(order, "status.progress.bytesDone", 0),
                 (long long)xb_json_int(order, "status.progress.totalBytes", 0));
        return mark ^ xb_fnv1a(text);
    }
    if (!*nodes) {
        *nodes = json_object_new_object();
        xb_kube_informer_each(informer, add_to_node, *nodes);
    }
    (void)json_object_object_get_ex(*nodes, xb_json_str(order, "spec.node", ""), &sum);
    return mark ^ (uint64_t)json_object_get_int64(sum);
}

/* ---- looking ---- */

static bool make_seen(struct xb_run *run, size_t count)
{
    if (run->seen_count >= count) {
        return true;
    }
    struct xb_order_seen *seen = realloc(run->seen, count * sizeof *seen);
    if (!seen) {
        return false;
    }
    memset(seen + run->seen_count, 0, (count - run->seen_count) * sizeof *seen);
    run->seen = seen;
    run->seen_count = count;
    return true;
}

static void look_at(struct xb_run *run, size_t i, xb_json *order, uint64_t mark,
                    struct xb_orders_view *view)
{
    struct xb_order_seen *seen = &run->seen[i];
    const int64_t now_ns = xb_clock_mono_ns();
    if (seen->moved_ns == 0 || (seen->mark != mark && !seen->told)) {
        seen->mark = mark;
        seen->moved_ns = now_ns;
        /* Somebody has told it, who may have died. */
        seen->told = seen->told || xb_json_bool(order, "spec.cancel", false);
    }
    int64_t patience_ns = seen->told ? GRACE_S * XB_NS_PER_S : run->timeout_ns;
    bool over = now_ns - seen->moved_ns >= patience_ns;
    seen->late = over && !seen->told;
    seen->idle = !begun(order) && now_ns - seen->moved_ns >= SEEK_S * XB_NS_PER_S &&
                 now_ns - seen->sought_ns >= SEEK_S * XB_NS_PER_S;
    if (over && seen->told) {
        view->given_up++;
        return;
    }
    view->open++;
    view->late += seen->late;
    view->idle += seen->idle;
}

bool xb_orders_wait(const struct xb_run *run, int64_t now_ns, int64_t *ret_until_ns)
{
    int64_t left_ns = run->look_again_ns - xb_clock_mono_ns();
    if (run->look_again_ns == 0 || left_ns <= 0) {
        return false;
    }
    *ret_until_ns = now_ns + left_ns;
    return true;
}

static void note_look(struct xb_run *run, int64_t began_ns, const struct xb_orders_view *view)
{
    int64_t now_ns = xb_clock_mono_ns();
    bool long_one = view->open > 0 && now_ns - began_ns > QUICK_MS * XB_NS_PER_MS;
    run->look_again_ns = long_one ? now_ns + SHARE * (now_ns - began_ns) : 0;
}

struct xb_orders_view xb_orders_look(struct xb_run *run, struct xb_kube_informer *informer,
                                     const char *namespace, int64_t now_ns)
{
    XB_CLEANUP(xb_json_putp) xb_json *nodes = NULL;
    const int64_t timeout_ns = run->timeout_ns / LOOKS;
    struct xb_orders_view view = {
        .look_ns =
            now_ns + (timeout_ns < SEEK_S * XB_NS_PER_S ? timeout_ns : SEEK_S * XB_NS_PER_S)};
    const int64_t began_ns = xb_clock_mono_ns();
    size_t count = run->orders ? json_object_array_length(run->orders) : 0;
    if (!run->worked || count == 0) {
        return view;
    }
    if (!make_seen(run, count)) {
        view.open = count; /* without memory nothing is given up */
        return view;
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *order = find(run, i, informer, namespace);
        if (!order) {
            view.open += now_ns - run->made_ns < LOST_S * XB_NS_PER_S;
        } else if (!xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""))) {
            look_at(run, i, order, mark_of(order, informer, &nodes), &view);
        }
    }
    note_look(run, began_ns, &view);
    return view;
}

/* ---- cancelling ---- */

xb_json *xb_orders_late(struct xb_run *run, struct xb_kube_informer *informer,
                        const char *namespace)
{
    xb_json *late = json_object_new_array();
    for (size_t i = 0; i < run->seen_count; i++) {
        xb_json *order = run->seen[i].late ? find(run, i, informer, namespace) : NULL;
        if (order) {
            json_object_array_add(late, json_object_get(order));
        }
    }
    return late;
}

/* `part` of the order becomes that; one that is gone needs nothing more. */
static int change(struct xb_step_work *work, xb_json *order, const char *part, xb_json *value,
                  struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    json_object_object_add(patch, part, value);
    int r = xb_act_patch(work->coordinator, work->orders, order, patch, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

int xb_orders_cancel(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    int r = xb_check_leading(work->coordinator, err);
    (void)cancel;
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        xb_json *order = json_object_array_get_idx(work->extra, i);
        xb_json *spec = json_object_new_object();
        json_object_object_add(spec, "cancel", json_object_new_boolean(true));
        xb_log_warning("a volume makes no progress and is cancelled", "order",
                       xb_json_str(order, "metadata.name", ""));
        r = change(work, order, "spec", spec, err);
    }
    return r;
}

void xb_orders_cancelled(struct xb_run *run)
{
    for (size_t i = 0; i < run->seen_count; i++) {
        struct xb_order_seen *seen = &run->seen[i];
        if (seen->late) {
            *seen = (struct xb_order_seen){.moved_ns = xb_clock_mono_ns(), .told = true};
            run->late = run->late ? run->late : json_object_new_object();
            json_object_object_add(
                run->late, json_object_get_string(json_object_array_get_idx(run->orders, i)),
                json_object_new_boolean(true));
        }
    }
}

/* ---- pods that have gone ---- */

xb_json *xb_orders_idle(struct xb_run *run, struct xb_kube_informer *informer,
                        const char *namespace)
{
    xb_json *idle = json_object_new_array();
    for (size_t i = 0; i < run->seen_count; i++) {
        struct xb_order_seen *seen = &run->seen[i];
        seen->idle = seen->idle && json_object_array_length(idle) < SEEK_MAX;
        xb_json *order = seen->idle ? find(run, i, informer, namespace) : NULL;
        if (order) {
            json_object_array_add(idle, json_object_get(order));
        }
    }
    return idle;
}

/* Why nobody will ever begin it; NULL: its pod is there. */
static int why_never(struct xb_step_work *work, xb_json *order, const char **ret,
                     struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_pods,
                                    .namespace = xb_json_str(order, "spec.pod.namespace", ""),
                                    .name = xb_json_str(order, "spec.pod.name", "")};
    int r = xb_kube_get(work->coordinator->client, &ref, &pod, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        *ret = "its pod was deleted before the volume came back; restore it once more";
        return 0;
    }
    if (r == 0 &&
        strcmp(xb_json_str(pod, "metadata.uid", ""), xb_json_str(order, "spec.pod.uid", "")) != 0) {
        *ret = "its pod was replaced by another one of that name before the volume came back; "
               "restore it once more, without what replaces it";
    }
    return r;
}

static int seek(struct xb_step_work *work, xb_json *order, struct xb_error *err)
{
    const char *why = NULL;
    int r = why_never(work, order, &why, err);
    if (r < 0 || !why) {
        return r;
    }
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Failed");
    xb_json_put_text(status, "message", why);
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    return change(work, order, "status", status, err);
}

int xb_orders_seek(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    int r = xb_check_leading(work->coordinator, err);
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        r = atomic_load(cancel) ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled")
                                : seek(work, json_object_array_get_idx(work->extra, i), err);
    }
    return r;
}

void xb_orders_sought(struct xb_run *run)
{
    for (size_t i = 0; i < run->seen_count; i++) {
        if (run->seen[i].idle) {
            run->seen[i].idle = false;
            run->seen[i].sought_ns = xb_clock_mono_ns();
        }
    }
}

bool xb_orders_was_late(const struct xb_run *run, const char *name)
{
    return json_object_object_get_ex(run->late, name, NULL);
}

void xb_orders_forget(struct xb_run *run)
{
    free(run->seen);
    run->seen = NULL;
    run->seen_count = 0;
    xb_json_putp(&run->late);
    run->late = NULL;
    run->look_again_ns = 0;
}
