/* SPDX-License-Identifier: Apache-2.0
 * The resource policies that a backup names, from their ConfigMap. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "coordinator/act/internal.h"

static int read_config_map(struct xb_coordinator *coordinator, const char *name,
                           struct xb_policy **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *config_map = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_configmaps,
                                    .namespace = coordinator->options->namespace,
                                    .name = name};
    int r = xb_kube_get(coordinator->client, &ref, &config_map, err);
    return r < 0 ? r : xb_policy_from_config_map(config_map, ret, err);
}

/* Those that the backup names itself. */
static int load_own(struct xb_coordinator *coordinator, xb_json *backup, struct xb_policy **ret,
                    struct xb_error *err)
{
    xb_json *reference = xb_json_get(backup, "spec.resourcePolicy");
    const char *kind = xb_json_str(reference, "kind", "");
    const char *name = xb_json_str(reference, "name", "");
    if (!reference) {
        *ret = NULL;
        return 0;
    }
    if (strcasecmp(kind, "configmap") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "spec.resourcePolicy.kind is '%.100s': resource policies are read from "
                            "a configmap",
                            kind);
    }
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "spec.resourcePolicy.name '%.100s' is no name of a ConfigMap", name);
    }
    int r = read_config_map(coordinator, name, ret, err);
    return r < 0 ? xb_error_wrap(err, "resource policies in ConfigMap %s/%s",
                                 coordinator->options->namespace, name)
                 : 0;
}

/* Those that the server has for all backups. */
static int load_global(struct xb_coordinator *coordinator, struct xb_policy **ret,
                       struct xb_error *err)
{
    const char *name = coordinator->options->global_policies;
    if (!name || !name[0]) {
        *ret = NULL;
        return 0;
    }
    int r = read_config_map(coordinator, name, ret, err);
    return r < 0 ? xb_error_wrap(err,
                                 "--global-backup-volume-policies-configmap: resource policies in "
                                 "ConfigMap %s/%s",
                                 coordinator->options->namespace, name)
                 : 0;
}

int xb_load_policy(struct xb_coordinator *coordinator, xb_json *backup, struct xb_policy **ret,
                   struct xb_error *err)
{
    XB_CLEANUP(xb_policy_freep) struct xb_policy *own = NULL;
    struct xb_policy *global = NULL;
    int r = load_own(coordinator, backup, &own, err);
    if (r < 0 || (r = load_global(coordinator, &global, err)) < 0) {
        return r;
    }
    *ret = xb_policy_follow(XB_TAKE(own), global);
    return 0;
}

int xb_check_policy(struct xb_step_work *work, xb_json *problems, struct xb_policy **ret,
                    struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    if (xb_load_policy(work->coordinator, work->object, ret, &why) < 0) {
        if (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED) {
            *err = why;
            return why.code;
        }
        json_object_array_add(problems, json_object_new_string(why.text));
        return 0;
    }
    return 0;
}
