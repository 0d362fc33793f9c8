/* SPDX-License-Identifier: Apache-2.0
 * What an administrator says for this node: by flags, and by the node agents' ConfigMap. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/base/cpus.h"
#include "shared/base/log.h"
#include "shared/velero/velero.h"

/* The one text in it: Velero refuses more than one, since which would count is not said. */
static int only_text(xb_json *map, const char **ret, struct xb_error *err)
{
    xb_json *data = xb_json_get(map, "data");
    if (!json_object_is_type(data, json_type_object) || json_object_object_length(data) != 1) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "it must have exactly one key");
    }
    json_object_object_foreach(data, key, value)
    {
        (void)key;
        *ret = json_object_get_string(value);
    }
    return 0;
}

/* Rules for nodes need the node's labels; without the right to see them, they match nothing. */
static xb_json *node_of(struct xb_agent *agent)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *node = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_nodes, .name = agent->options->node};
    if (xb_kube_get(agent->client, &ref, &node, &err) < 0) {
        xb_log_warning("the node's labels cannot be read: settings for single nodes do not count",
                       "node", agent->options->node, "error", err.text);
    }
    return node;
}

static int read_settings(struct xb_agent *agent, struct xb_agent_settings *ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *map = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_configmaps,
                                    .namespace = agent->options->namespace,
                                    .name = agent->options->settings};
    const char *text = NULL;
    int r = xb_kube_get(agent->client, &ref, &map, err);
    if (r < 0 || (r = only_text(map, &text, err)) < 0) {
        return r;
    }
    XB_CLEANUP(xb_json_putp) xb_json *node = node_of(agent);
    return xb_agent_settings_parse(text, strlen(text),
                                   node ? xb_json_get(node, "metadata.labels") : NULL, ret, err);
}

static void tell(const struct xb_agent *agent, const struct xb_agent_settings *settings)
{
    if (settings->unneeded[0]) {
        xb_log_info("settings that are not needed here: volumes are read by the agent itself, not "
                    "by pods of their own",
                    "configmap", agent->options->settings, "settings", settings->unneeded);
    }
    if (settings->unknown[0]) {
        xb_log_warning("settings that nobody knows are ignored: is one misspelt?", "configmap",
                       agent->options->settings, "settings", settings->unknown);
    }
    if (settings->cut) {
        xb_log_warning("fewer volumes at once than wanted: this is the most", "configmap",
                       agent->options->settings);
    }
}

int xb_agent_settle(struct xb_agent *agent, struct xb_error *err)
{
    const struct xb_agent_options *options = agent->options;
    struct xb_agent_settings settings = {.volumes_at_once = 0};
    char number[16];
    if (options->settings && options->settings[0]) {
        int r = read_settings(agent, &settings, err);
        if (r < 0) {
            return xb_error_wrap(err, "ConfigMap %.200s (--node-agent-configmap)",
                                 options->settings);
        }
        tell(agent, &settings);
    }
    agent->at_once = settings.volumes_at_once ? settings.volumes_at_once
                     : options->jobs_max      ? options->jobs_max
                                              : xb_agent_at_once_default(xb_cpus_usable());
    snprintf(number, sizeof number, "%u", agent->at_once);
    xb_log_info("volumes at once", "number", number, "said by",
                settings.volumes_at_once ? "the ConfigMap"
                : options->jobs_max      ? "--volumes-at-once"
                                         : "the node's processors");
    return xb_agent_choose_methods(agent, settings.point_in_time, err);
}
