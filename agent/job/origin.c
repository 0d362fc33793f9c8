/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job/origin.h"

#include <errno.h>
#include <string.h>

#include "shared/velero/hooks.h"
#include "shared/velero/velero.h"

int xb_order_origin(xb_json *order, xb_json *restore, const char **ret, struct xb_error *err)
{
    const char *target = xb_json_str(order, "spec.pod.namespace", "");
    const char *source = xb_json_str(order, "spec.sourceNamespace", "");
    const char *name = xb_json_str(restore, "metadata.name", "?");
    xb_json *mapping = xb_json_get(restore, "spec.namespaceMapping");
    source = source[0] ? source : target;
    if (!xb_velero_name_valid(source)) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "spec.sourceNamespace '%.63s' is no name of a namespace", source);
    }
    if (!xb_hooks_lists_take(xb_json_get(restore, "spec.includedNamespaces"),
                             xb_json_get(restore, "spec.excludedNamespaces"), source)) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "its source namespace is not in the restore: %.253s does not take "
                            "%.63s",
                            name, source);
    }
    if (strcmp(xb_velero_mapped_namespace(mapping, source), target) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "its source namespace does not follow from the restore: %.253s brings "
                            "%.63s into %.63s, and the pod is in %.63s",
                            name, source, xb_velero_mapped_namespace(mapping, source), target);
    }
    *ret = source;
    return 0;
}
