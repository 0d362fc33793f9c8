/* SPDX-License-Identifier: Apache-2.0
 * Copies for which the coordinator holds an application: steps beside an order's turn. */
#include <string.h>

#include "agent/job/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/velero/velero.h"

/* ---- while its application is held, and after ---- */

int xb_order_drop_copy(void *work, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_order *order = work;
    struct xb_copy *copy = NULL;
    const char *uid = xb_order_text(order, "metadata.uid");
    bool over = !order->object || xb_velero_data_phase_final(xb_order_text(order, "status.phase"));
    (void)stop;
    (void)err;
    while ((copy = xb_agent_take_copy(order->agent, order->key, NULL))) {
        bool too_long = copy->prepared &&
                        xb_clock_wall_ns() - copy->prepared_ns >= XB_COPY_PREPARED_S * XB_NS_PER_S;
        if (!over && !too_long && strcmp(copy->point.uid, uid) == 0) {
            xb_agent_keep_copy(order->agent, copy);
            break;
        }
        if (!over && too_long) {
            xb_log_warning("what was prepared for an order is given up: its application was not "
                           "held",
                           "order", order->key);
        }
        xb_copy_free(copy);
    }
    return 0;
}

/* What keeps it from being made will be said when the order's turn has come. */
static int give_up(struct xb_order *order, const struct xb_error *why, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep) struct xb_copy *none = NULL;
    if (why->kind == XB_ERR_RETRY || why->kind == XB_ERR_CANCELLED) {
        *err = *why;
        return why->code;
    }
    int r = xb_copy_new(order, &none, err);
    if (r == 0) {
        none->in_vain = true;
        xb_agent_keep_copy(order->agent, XB_TAKE(none));
    }
    return r;
}

static int prepare_checked(struct xb_order *order, struct xb_copy **ret, struct xb_error *err)
{
    int r = xb_order_check_owner(order, "Backup", err);
    return r ? r : xb_copy_prepare(order, ret, err);
}

static int hold(struct xb_order *order, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep)
    struct xb_copy *copy =
        xb_agent_take_copy(order->agent, order->key, xb_order_text(order, "metadata.uid"));
    int r = 0;
    if (copy && !copy->prepared) { /* it was tried in vain, and nothing has changed */
        xb_agent_keep_copy(order->agent, XB_TAKE(copy));
        return 0;
    }
    if (!copy && (r = prepare_checked(order, &copy, err)) < 0) {
        return r;
    }
    copy->prepared = false;
    xb_copies_take(&copy, 1);
    if (copy->failed.code) {
        *err = copy->failed;
        return err->code;
    }
    if (!xb_copy_is_fixed(copy)) {
        xb_agent_keep_copy(order->agent, XB_TAKE(copy));
        return 0;
    }
    struct xb_copy *kept = XB_TAKE(copy);
    const struct xb_kube_ref ref = xb_order_ref(order);
    xb_agent_keep_untold(order->agent, kept);
    r = xb_order_tell_point(order->agent, &ref, &kept->point, err);
    xb_agent_copy_told(order->agent, kept);
    if (r < 0) { /* the next attempt makes another one */
        copy = xb_agent_take_copy(order->agent, order->key, xb_order_text(order, "metadata.uid"));
    }
    return r;
}

/* 1: it is as the server has it now, and still wanted. */
static int look_again(struct xb_order *order, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_order_refresh(order, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return 0;
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    return !xb_velero_data_phase_final(xb_order_text(order, "status.phase")) &&
           !xb_json_bool(order->object, "spec.cancel", false);
}

int xb_order_hold(void *work, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_order *order = work;
    (void)stop;
    int r = look_again(order, err);
    if (r <= 0 || xb_point_in_time_fixed(order->object)) {
        return r < 0 ? r : 0;
    }
    struct xb_error why = XB_ERROR_INIT;
    return hold(order, &why) < 0 ? give_up(order, &why, err) : 0;
}

/* ---- before its application is held ---- */

static int prepare_and_keep(struct xb_order *order, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep) struct xb_copy *copy = NULL;
    int r = prepare_checked(order, &copy, err);
    if (r < 0) {
        return r;
    }
    xb_copies_refresh(&copy, 1);
    if (copy->failed.code) {
        *err = copy->failed;
        return err->code;
    }
    copy->prepared = true;
    copy->prepared_ns = xb_clock_wall_ns();
    xb_agent_keep_copy(order->agent, XB_TAKE(copy));
    return 0;
}

static int tell_prepared(struct xb_order *order, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    const struct xb_kube_ref ref = xb_order_ref(order);
    json_object_object_add(annotations, XB_PREPARED_ANNOTATION,
                           json_object_new_string(xb_order_text(order, "metadata.uid")));
    int r = xb_json_set(patch, "metadata.annotations", annotations, err);
    return r ? r : xb_kube_merge_patch(order->agent->client, &ref, patch, NULL, err);
}

int xb_order_prepare(void *work, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_order *order = work;
    (void)stop;
    int r = look_again(order, err);
    if (r <= 0 || !xb_point_in_time_held_soon(order->object)) {
        return r < 0 ? r : 0;
    }
    const struct xb_kept kept =
        xb_agent_kept(order->agent, order->key, xb_order_text(order, "metadata.uid"));
    struct xb_error why = XB_ERROR_INIT;
    r = kept.copy || kept.prepared ? 0 : prepare_and_keep(order, &why);
    if (r < 0 && (r = give_up(order, &why, err)) < 0) {
        return r;
    }
    return tell_prepared(order, err);
}
