/* SPDX-License-Identifier: Apache-2.0
 * What the nodes' agents may read of their nodes' own disks, and on which a volume lies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/ordering.h"
#include "shared/kube/selector.h"
#include "shared/velero/host_paths.h"
#include "shared/velero/velero.h"

static const char *list_of(xb_json *lease)
{
    xb_json *paths = NULL;
    (void)json_object_object_get_ex(xb_json_get(lease, "metadata.annotations"),
                                    XB_HOST_PATHS_ANNOTATION, &paths);
    return json_object_is_type(paths, json_type_string) ? json_object_get_string(paths) : NULL;
}

/* As its agent has reported it; one that was not heard of yet has no folders. */
const char *xb_ordering_host_paths(void *context, const char *node)
{
    struct xb_ordering *orders = context;
    return list_of(xb_agents_lease(orders->agents.leases, node));
}

bool xb_ordering_block_devices(void *context, const char *node)
{
    struct xb_ordering *orders = context;
    xb_json *lease = xb_agents_lease(orders->agents.leases, node);
    xb_json *may = NULL;
    (void)json_object_object_get_ex(xb_json_get(lease, "metadata.annotations"),
                                    XB_BLOCK_DEVICES_ANNOTATION, &may);
    return json_object_is_type(may, json_type_string) &&
           strcmp(json_object_get_string(may), "true") == 0;
}

/* NULL: there is no such node any more. */
static int get_node(struct xb_ordering *orders, const char *name, xb_json **ret,
                    struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    xb_json *node = NULL;
    const struct xb_kube_ref ref = {
        .resource = &xb_core_nodes, .name = name, .cancel = orders->cancel};
    if (!orders->nodes && !(orders->nodes = json_object_new_object())) {
        return xb_error_no_memory(err, "the nodes");
    }
    if (!json_object_object_get_ex(orders->nodes, name, &node)) {
        if (xb_kube_get(orders->work->coordinator->client, &ref, &node, &why) < 0 &&
            why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return why.code;
        }
        json_object_object_add(orders->nodes, name, node);
    }
    *ret = node;
    return 0;
}

/* A path of a disk that says which nodes have it; NULL: it is none, and why. */
static const char *path_of(xb_json *persistent_volume, char why[XB_COLLECTED_WHY_BYTES])
{
    const char *path = xb_json_str(persistent_volume, "spec.local.path",
                                   xb_json_str(persistent_volume, "spec.hostPath.path", NULL));
    const char *problem =
        !path ? "its data is on no node's own disk"
        : strcmp(xb_json_str(persistent_volume, "spec.volumeMode", ""), "Block") == 0
            ? "it is a raw block device"
        : !xb_json_get(persistent_volume, "spec.nodeAffinity.required")
            ? "its PersistentVolume does not say on which node it is"
            : NULL;
    snprintf(why, XB_COLLECTED_WHY_BYTES, "%s", problem ? problem : "no node with an agent has it");
    return problem ? NULL : path;
}

int xb_ordering_node_of(void *context, xb_json *persistent_volume, char **ret,
                        char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err)
{
    struct xb_ordering *orders = context;
    const char *path = path_of(persistent_volume, why);
    xb_json *wanted = xb_json_get(persistent_volume, "spec.nodeAffinity.required");
    size_t count = path ? json_object_array_length(orders->agents.leases) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *lease = json_object_array_get_idx(orders->agents.leases, i);
        const char *name = xb_json_str(lease, "spec.holderIdentity", "");
        xb_json *node = NULL;
        int r = xb_velero_name_valid(name) ? get_node(orders, name, &node, err) : 0;
        if (r < 0) {
            return r;
        }
        if (!node || !xb_node_selector_matches(wanted, node)) {
            continue;
        }
        if (xb_host_paths_find(list_of(lease), path) > 0) {
            *ret = strdup(name);
            return *ret ? 0 : xb_error_no_memory(err, "a node");
        }
        snprintf(
            why, XB_COLLECTED_WHY_BYTES,
            "its path is not beneath a folder that the agent of node %.100s may read (its flag "
            "--host-path-allow)",
            name);
    }
    return 0;
}
