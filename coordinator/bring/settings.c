/* SPDX-License-Identifier: Apache-2.0
 * What ConfigMaps beside the server say of a restore: the resource modifiers that it names, and
 * those that are found by their label, as the settings of Velero's plugins are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coordinator/bring/internal.h"

#define ACTION "RestoreItemAction"

/* ---- resource modifiers ---- */

int xb_bring_read_modifiers(struct xb_kube_client *client, xb_json *restore,
                            struct xb_modifiers **ret, struct xb_error *err)
{
    xb_json *reference = xb_json_get(restore, "spec.resourceModifier");
    const char *kind = xb_json_str(reference, "kind", "");
    const char *name = xb_json_str(reference, "name", "");
    const char *namespace = xb_json_str(restore, "metadata.namespace", "");
    XB_CLEANUP(xb_json_putp) xb_json *map = NULL;
    if (!reference) {
        *ret = NULL;
        return 0;
    }
    if (strcasecmp(kind, "configmap") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "spec.resourceModifier.kind is '%.100s': resource modifiers are read "
                            "from a configmap",
                            kind);
    }
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "spec.resourceModifier.name '%.100s' is no name of a ConfigMap", name);
    }
    const struct xb_kube_ref ref = {
        .resource = &xb_core_configmaps, .namespace = namespace, .name = name};
    int r = xb_kube_get(client, &ref, &map, err);
    if (r == 0) {
        r = xb_modifiers_from_config_map(map, ret, err);
    }
    return r < 0 ? xb_error_wrap(err, "resource modifiers in ConfigMap %s/%s", namespace, name) : 0;
}

/* ---- by label ---- */

struct found {
    xb_json *first;
    char names[300]; /* of all */
    size_t count;
};

static int find_one(void *context, xb_json *map, struct xb_error *err)
{
    struct found *found = context;
    size_t used = strlen(found->names);
    (void)err;
    snprintf(found->names + used, sizeof found->names - used, "%s%s", used > 0 ? ", " : "",
             xb_json_str(map, "metadata.name", ""));
    if (found->count++ == 0) {
        found->first = json_object_get(map);
    }
    return 0;
}

/* Those that wait for a setting which two ConfigMaps give fail, as with Velero; the others go on.
 */
int xb_bring_read_by_label(struct xb_bring *bring, const char *label, struct xb_bring_setting *ret,
                           struct xb_error *err)
{
    char selector[200];
    struct found found = {.count = 0};
    const struct xb_kube_list list = {.resource = &xb_core_configmaps,
                                      .namespace =
                                          xb_json_str(bring->restore, "metadata.namespace", ""),
                                      .label_selector = selector};
    snprintf(selector, sizeof selector, "velero.io/plugin-config,%s=" ACTION, label);
    int r = xb_kube_list_pages(bring->options->client, &list, find_one, &found, err);
    if (r == 0 && found.count > 1 &&
        asprintf(&ret->problem, "%zu ConfigMaps have the labels %s, and one is wanted: %s",
                 found.count, selector, found.names) < 0) {
        ret->problem = NULL;
        r = xb_error_no_memory(err, "settings");
    }
    if (r == 0 && found.count == 1) {
        xb_json *data = xb_json_get(found.first, "data");
        ret->data = json_object_is_type(data, json_type_object) ? json_object_get(data) : NULL;
    }
    json_object_put(found.first);
    return r;
}

/* ---- how pods wait for their volumes ---- */

static void tell(void *context, enum xb_record_level level, const char *text)
{
    struct xb_bring *bring = context;
    xb_record_log_line(bring->options->log, level, NULL,
                       "the ConfigMap of velero.io/pod-volume-restore: %s", text);
}

static int read_waiting(struct xb_bring *bring, struct xb_error *err)
{
    struct xb_wait_settings *wait = &bring->wait;
    int r = xb_bring_read_by_label(bring, "velero.io/pod-volume-restore", &bring->waiting, err);
    if (r < 0 || (r = xb_wait_settings_parse(bring->waiting.data, bring->options->helper_image,
                                             tell, bring, wait, err)) < 0) {
        return r;
    }
    if (wait->image[0]) {
        bring->context.helper_image = wait->image;
    }
    bring->context.helper_command = wait->command;
    bring->context.helper_cpu_request = wait->amounts[XB_WAIT_CPU_REQUEST];
    bring->context.helper_memory_request = wait->amounts[XB_WAIT_MEMORY_REQUEST];
    bring->context.helper_cpu_limit = wait->amounts[XB_WAIT_CPU_LIMIT];
    bring->context.helper_memory_limit = wait->amounts[XB_WAIT_MEMORY_LIMIT];
    bring->context.helper_security = wait->security;
    return 0;
}

int xb_bring_read_settings(struct xb_bring *bring, struct xb_error *err)
{
    int r = xb_bring_read_modifiers(bring->options->client, bring->restore, &bring->modifiers, err);
    if (r < 0 ||
        (r = xb_bring_read_by_label(bring, "velero.io/change-storage-class", &bring->classes,
                                    err)) < 0 ||
        (r = xb_bring_read_by_label(bring, "velero.io/change-image-name", &bring->images, err)) <
            0 ||
        (r = xb_bring_read_nodes(bring, err)) < 0) {
        return r;
    }
    return read_waiting(bring, err);
}

void xb_bring_forget_settings(struct xb_bring *bring)
{
    struct xb_bring_setting *const own[] = {&bring->classes, &bring->images, &bring->waiting,
                                            &bring->nodes};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        json_object_put(own[i]->data);
        free(own[i]->problem);
    }
    json_object_put(bring->nodes_here);
    xb_wait_settings_free(&bring->wait);
    xb_modifiers_free(bring->modifiers);
}
