/* SPDX-License-Identifier: Apache-2.0
 * The nodes of this cluster, and what is bound to nodes of the one that was backed up. */
#include <errno.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/nodes.h"

#define CHANGE_NODE "xebec.io/change-node"

static const struct xb_kube_resource nodes = {
    .group = "", .version = "v1", .plural = "nodes", .kind = "Node"};

/* ---- what is here ---- */

/* By the label, which a node may have changed, and by the name. */
static int see_node(void *context, xb_json *node, struct xb_error *err)
{
    xb_json *seen = context;
    const char *names[] = {xb_json_str(node, "metadata.name", ""),
                           xb_json_str(node, "metadata.labels.kubernetes\\.io/hostname", "")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i][0] &&
            json_object_object_add(seen, names[i], json_object_new_boolean(true)) < 0) {
            return xb_error_no_memory(err, "the nodes");
        }
    }
    return 0;
}

/* Whoever may not list nodes is told nothing of lost ones; that holds no restore back. */
static int list_nodes(struct xb_bring *bring, struct xb_error *err)
{
    const struct xb_kube_list list = {.resource = &nodes, .cancel = bring->options->cancel};
    XB_CLEANUP(xb_json_putp) xb_json *seen = json_object_new_object();
    int r = seen ? xb_kube_list_pages(bring->options->client, &list, see_node, seen, err)
                 : xb_error_no_memory(err, "the nodes");
    if (r < 0 && err->kind == XB_ERR_DENIED) {
        xb_record_log_line(bring->options->log, XB_RECORD_WARNING, NULL,
                           "what is bound to nodes that are not here cannot be told: %s",
                           err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    if (r == 0) {
        bring->nodes_here = XB_TAKE(seen);
    }
    return r;
}

/* A row that makes no sense is an error in the results, by its key, and then as good as absent. */
static void check_rows(struct xb_bring *bring)
{
    xb_json *bad = json_object_new_array();
    json_object_object_foreach(bring->nodes.data, from, value)
    {
        const char *to =
            json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
        bool valid = xb_velero_name_valid(to);
        if (valid &&
            (!bring->nodes_here || json_object_object_get_ex(bring->nodes_here, to, NULL))) {
            continue;
        }
        xb_record_log_line(bring->options->log, XB_RECORD_ERROR, NULL,
                           "the ConfigMap of " CHANGE_NODE ": '%.253s: %.253s': %s", from, to,
                           valid ? "there is no such node here" : "that is no name of a node");
        json_object_array_add(bad, json_object_new_string(from));
    }
    for (size_t i = 0; i < json_object_array_length(bad); i++) {
        json_object_object_del(bring->nodes.data,
                               json_object_get_string(json_object_array_get_idx(bad, i)));
    }
    json_object_put(bad);
}

int xb_bring_read_nodes(struct xb_bring *bring, struct xb_error *err)
{
    int r = list_nodes(bring, err);
    r = r ? r : xb_bring_read_by_label(bring, CHANGE_NODE, &bring->nodes, err);
    if (r == 0 && bring->nodes.data) {
        check_rows(bring);
    }
    return r;
}

/* ---- what is bound to them ---- */

static void tell_mapped(void *context, const char *from, const char *to)
{
    xb_bring_say(context, XB_RECORD_INFO, "node %s becomes %s", from, to);
}

static void tell_lost(void *context, const char *names)
{
    struct xb_bring_item *item = context;
    xb_bring_say(item, XB_RECORD_WARNING,
                 "is bound to node %s, which this cluster does not have: %s; a ConfigMap with the "
                 "label " CHANGE_NODE " says which node stands for it",
                 names,
                 xb_bring_is(item, "persistentvolumes") ? "no pod can use it here"
                                                        : "its pods are not scheduled here");
}

int xb_bring_change_nodes(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const char *resource = item->from->resource;
    const struct xb_node_map map = {.names = bring->nodes.data,
                                    .there = bring->nodes_here,
                                    .mapped = tell_mapped,
                                    .lost = tell_lost,
                                    .context = item};
    if (bring->nodes.problem && xb_restore_has_nodes(resource)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", bring->nodes.problem);
    }
    return xb_restore_map_nodes(&map, resource, item->object, err);
}
