/* SPDX-License-Identifier: Apache-2.0
 * The last thing a coordinator does whose namespace is being deleted. Its pods go first; what has a
 * finalizer of ours would then stay for ever, and the namespace with it. */
#include <errno.h>
#include <string.h>

#include "coordinator/act/restore_internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { LEAVE_S = 15 };

struct leaving {
    struct xb_coordinator *coordinator;
    int64_t until_ns;
};

static int release(void *context, xb_json *restore, struct xb_error *err)
{
    struct leaving *leaving = context;
    struct xb_error why = XB_ERROR_INIT;
    if (xb_clock_mono_ns() > leaving->until_ns) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "there is no more time");
    }
    if (xb_restore_release(leaving->coordinator, restore, &why) < 0) {
        xb_log_error(&why, "a restore keeps its finalizer", "restore",
                     xb_json_str(restore, "metadata.name", ""));
    }
    return 0;
}

void xb_coordinator_leave(struct xb_coordinator *coordinator)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *namespace = NULL;
    struct leaving leaving = {coordinator, xb_clock_mono_ns() + LEAVE_S * XB_NS_PER_S};
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces,
                                    .name = coordinator->options->namespace};
    const struct xb_kube_list list = {.resource = &xb_velero_restores,
                                      .namespace = coordinator->options->namespace};
    if (xb_kube_get(coordinator->client, &ref, &namespace, &err) < 0 ||
        strcmp(xb_json_str(namespace, "status.phase", ""), "Terminating") != 0) {
        return;
    }
    if (xb_kube_list_pages(coordinator->client, &list, release, &leaving, &err) < 0) {
        xb_log_error(&err, "restores may keep their finalizers: remove those by hand if the "
                           "namespace does not go away");
    }
    xb_log_info("the namespace is being deleted: restores have no finalizers any more; their "
                "records stay in the store");
}
