/* SPDX-License-Identifier: Apache-2.0
 * Objects of a kind can be made only once its definition is served. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "shared/base/clock.h"

enum { PAUSE_MS = 250 };

static const struct xb_kube_resource definitions = {.group = "apiextensions.k8s.io",
                                                    .version = "v1",
                                                    .plural = "customresourcedefinitions",
                                                    .kind = "CustomResourceDefinition"};

enum state {
    OPEN,
    ACCEPTED, /* by the cluster; to be found in discovery */
    DONE      /* or given up, which was said */
};

/* One of them, by its name. */
struct awaited {
    struct xb_bring *bring;
    const char *name;
};

static void complain(const struct awaited *awaited, const char *why)
{
    xb_record_log_line(awaited->bring->options->log, XB_RECORD_ERROR, "",
                       XB_BRING_DEFINITIONS " %s: %s; its objects cannot be restored",
                       awaited->name, why);
}

static bool holds(xb_json *condition)
{
    return strcmp(xb_json_str(condition, "status", ""), "True") == 0;
}

static bool serves_any(xb_json *definition)
{
    xb_json *versions = xb_json_get(definition, "spec.versions");
    size_t count =
        json_object_is_type(versions, json_type_array) ? json_object_array_length(versions) : 0;
    for (size_t i = 0; i < count; i++) {
        if (xb_json_bool(json_object_array_get_idx(versions, i), "served", false)) {
            return true;
        }
    }
    return false;
}

/* Names that another definition has are not accepted, however long one waits. */
static enum state judge(const struct awaited *awaited, xb_json *definition)
{
    xb_json *conditions = xb_json_get(definition, "status.conditions");
    xb_json *names = xb_json_find(conditions, "type", "NamesAccepted");
    if (holds(names) && holds(xb_json_find(conditions, "type", "Established"))) {
        return serves_any(definition) ? ACCEPTED : DONE;
    }
    if (strcmp(xb_json_str(names, "status", ""), "False") == 0) {
        complain(awaited, xb_json_str(names, "message", "its names are not accepted"));
        return DONE;
    }
    return OPEN;
}

static enum state look(const struct awaited *awaited)
{
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_kube_ref ref = {.resource = &definitions, .name = awaited->name};
    int r = xb_kube_get(awaited->bring->options->client, &ref, &now, &err);
    if (r < 0 && err.kind == XB_ERR_NOT_FOUND) {
        complain(awaited, "it was deleted meanwhile");
        return DONE;
    }
    return r < 0 ? OPEN : judge(awaited, now);
}

/* Looks at those that are open; how many still are. What discovery shows may lag behind. */
static size_t look_at_all(struct xb_bring *bring, enum state *states)
{
    size_t open = 0;
    for (size_t i = 0; i < json_object_array_length(bring->definitions); i++) {
        const struct awaited awaited = {
            bring, json_object_get_string(json_object_array_get_idx(bring->definitions, i))};
        states[i] = states[i] == OPEN ? look(&awaited) : states[i];
        if (states[i] == ACCEPTED && xb_bring_api(bring, awaited.name, "")) {
            states[i] = DONE;
        }
        open += states[i] != DONE;
    }
    return open;
}

static bool any_accepted(const enum state *states, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (states[i] == ACCEPTED) {
            return true;
        }
    }
    return false;
}

/* All were made at once, and are waited for together. */
int xb_bring_await_definitions(struct xb_bring *bring, struct xb_error *err)
{
    const size_t count = json_object_array_length(bring->definitions);
    const int64_t until_ns = xb_clock_mono_ns() + bring->options->definitions_ns;
    XB_CLEANUP(xb_freep) enum state *states = calloc(count + 1, sizeof *states);
    if (!states) {
        return xb_error_no_memory(err, "the definitions");
    }
    int r = xb_bring_discover(bring, err);
    while (r == 0 && look_at_all(bring, states) > 0 && xb_clock_mono_ns() < until_ns) {
        if (!xb_bring_pause(bring, PAUSE_MS)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
        }
        r = any_accepted(states, count) ? xb_bring_discover(bring, err) : 0;
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct awaited awaited = {
            bring, json_object_get_string(json_object_array_get_idx(bring->definitions, i))};
        if (states[i] != DONE) {
            complain(&awaited, states[i] == OPEN ? "it is not established (--resource-timeout)"
                                                 : "it is established, and not served yet "
                                                   "(--resource-timeout)");
        }
    }
    return r;
}
