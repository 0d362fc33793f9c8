/* SPDX-License-Identifier: Apache-2.0
 * Objects of a kind can be made only once its definition is served. */
#include <string.h>

#include "coordinator/bring/internal.h"

enum { ESTABLISHED_TRIES = 60, ESTABLISHED_PAUSE_MS = 250 };

static const struct xb_kube_resource definitions = {.group = "apiextensions.k8s.io",
                                                    .version = "v1",
                                                    .plural = "customresourcedefinitions",
                                                    .kind = "CustomResourceDefinition"};

static bool established(xb_json *definition)
{
    static const char *const needed[] = {"Established", "NamesAccepted"};
    xb_json *conditions = xb_json_get(definition, "status.conditions");
    bool good = true;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        xb_json *condition = xb_json_find(conditions, "type", needed[i]);
        good = good && strcmp(xb_json_str(condition, "status", ""), "True") == 0;
    }
    return good;
}

static bool is_served(struct xb_bring *bring, const char *name)
{
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_kube_ref ref = {.resource = &definitions, .name = name};
    return xb_kube_get(bring->options->client, &ref, &now, &err) == 0 && established(now);
}

/* All were made at once, and are waited for one after the other within one time. */
void xb_bring_await_definitions(struct xb_bring *bring)
{
    int tries = ESTABLISHED_TRIES;
    for (size_t i = 0; i < json_object_array_length(bring->definitions); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(bring->definitions, i));
        bool served = is_served(bring, name);
        while (!served && tries-- > 0 && xb_bring_pause(bring, ESTABLISHED_PAUSE_MS)) {
            served = is_served(bring, name);
        }
        if (!served) {
            xb_record_log_line(bring->options->log, XB_RECORD_WARNING, "",
                               "%s %s: is not established; its objects may be refused",
                               XB_BRING_DEFINITIONS, name);
        }
    }
}
