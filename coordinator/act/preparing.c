/* SPDX-License-Identifier: Apache-2.0
 * Copies that are prepared before their application is held. */
#include <errno.h>
#include <time.h>

#include "coordinator/act/pod_hooks.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/velero/point_in_time.h"

enum {
    LOOK_AGAIN_MS = 100,
    LOOKS_AT_NODE = 50, /* so many looks at an order, then one at its node */
    PATIENCE_S = 300    /* for all volumes of a pod: then they are prepared while it is held */
};

struct preparing {
    struct xb_ordering *orders;
    int64_t until_ns; /* monotonic */
    unsigned looks;
};

/* Whether there is nothing to wait for: all is prepared, or it has come further than that, or
 * nobody knows. A server that is away is asked again. */
static bool is_over(const struct preparing *preparing, const char *name)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_pod_hooks_order(preparing->orders->work, name, &order, &err) < 0) {
        return err.kind != XB_ERR_RETRY;
    }
    return xb_point_in_time_prepared(order) || !xb_point_in_time_held_soon(order) ||
           xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""));
}

static int wait_for(struct preparing *preparing, const struct xb_collected_volume *volume,
                    struct xb_error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * XB_NS_PER_MS};
    char name[XB_VELERO_NAME_BYTES];
    int r = xb_ordering_name(preparing->orders, volume, name, err);
    while (r == 0 && !is_over(preparing, name)) {
        if (atomic_load(preparing->orders->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to stop");
        }
        if (xb_clock_mono_ns() >= preparing->until_ns ||
            (++preparing->looks % LOOKS_AT_NODE == 0 &&
             xb_ordering_agent_silent(preparing->orders, volume->node))) {
            xb_log_info("a volume is not prepared yet: its application is held all the same",
                        "order", name);
            preparing->until_ns = 0;
            return 0;
        }
        (void)nanosleep(&pause, NULL);
    }
    return r;
}

int xb_block_hooks_prepare(struct xb_ordering *orders, struct xb_collected_volume *volumes,
                           size_t count, struct xb_error *err)
{
    struct preparing preparing = {.orders = orders};
    orders->prepared = orders->opening = true;
    int r = xb_ordering_make_all(orders, volumes, count, err);
    orders->opening = false;
    preparing.until_ns = xb_clock_mono_ns() + PATIENCE_S * XB_NS_PER_S;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (volumes[i].ordered && !volumes[i].skipped) {
            r = wait_for(&preparing, &volumes[i], err);
        }
    }
    return r;
}
