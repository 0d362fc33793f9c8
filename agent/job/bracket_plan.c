/* SPDX-License-Identifier: Apache-2.0
 * What is to be done with an order that has a bracket, by what the loop thread knows. */
#include <stdio.h>

#include "agent/job/internal.h"
#include "shared/kube/informer.h"
#include "shared/runtime/control.h"
#include "shared/velero/bracket.h"
#include "shared/velero/velero.h"

struct find {
    struct xb_kube_informer *orders;
    const char *namespace;
};

static void key_of(const char *namespace, const char *name, char key[2 * XB_VELERO_NAME_BYTES])
{
    snprintf(key, 2 * XB_VELERO_NAME_BYTES, "%s/%s", namespace, name);
}

static xb_json *find_order(void *context, const char *name)
{
    const struct find *find = context;
    char key[2 * XB_VELERO_NAME_BYTES];
    key_of(find->namespace, name, key);
    return xb_kube_informer_get(find->orders, key);
}

bool xb_order_bracket_due(struct xb_kube_informer *orders, xb_json *object)
{
    struct find find = {orders, xb_json_str(object, "metadata.namespace", "")};
    return xb_bracket_due(object, find_order, &find);
}

enum xb_bracket_step xb_order_bracket_step(struct xb_kube_informer *orders, xb_json *object)
{
    struct find find = {orders, xb_json_str(object, "metadata.namespace", "")};
    enum xb_bracket_step step = xb_bracket_next(object, find_order, &find);
    if (step != XB_BRACKET_NONE) {
        return step;
    }
    return xb_velero_data_phase_final(xb_json_str(object, "status.phase", "")) ? XB_BRACKET_OVER
                                                                               : XB_BRACKET_GO;
}

void xb_order_bracket_mark(struct xb_control *control, xb_json *object)
{
    struct xb_bracket bracket;
    struct xb_error ignored = XB_ERROR_INIT;
    if (!object || xb_bracket_parse(object, &bracket, &ignored) <= 0) {
        return;
    }
    for (size_t i = 0; i < xb_bracket_count(&bracket); i++) {
        char key[2 * XB_VELERO_NAME_BYTES];
        key_of(xb_json_str(object, "metadata.namespace", ""), xb_bracket_member(&bracket, i), key);
        xb_control_dirty(control, key);
    }
    xb_bracket_free(&bracket);
}
