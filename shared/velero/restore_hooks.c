/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/restore_hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/fnv.h"
#include "shared/velero/hooks_internal.h"

#define EXEC "post.hook.restore.velero.io/"
#define INIT "init.hook.restore.velero.io/"

enum { SHOWN_BYTES_MAX = 100 };

/* ---- commands: annotations ---- */

/* What strconv.ParseBool takes for true or false. */
static bool bool_of(const char *text, bool *ret)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};
    for (size_t value = 0; value < 2; value++) {
        for (size_t i = 0; i < 6; i++) {
            if (strcmp(words[value][i], text) == 0) {
                *ret = value == 1;
                return true;
            }
        }
    }
    return false;
}

static void annotated_time(struct xb_hook *hook, xb_json *pod, const char *key, int fallback_ms,
                           int *ret_ms)
{
    const char *text = xb_hook_annotation(pod, key);
    if (!xb_hook_time(text, fallback_ms, ret_ms)) {
        xb_hook_note(&hook->problem,
                     "annotation %s is '%.*s', want a time up to a day, as 30s or 5m", key,
                     SHOWN_BYTES_MAX, text);
    }
}

static void annotated_rest(struct xb_hook *hook, xb_json *pod)
{
    const char *on_error = xb_hook_annotation(pod, EXEC "on-error");
    const char *ready = xb_hook_annotation(pod, EXEC "wait-for-ready");
    hook->go_on = strcmp(on_error, "Fail") != 0;
    if (on_error[0] && hook->go_on && strcmp(on_error, "Continue") != 0) {
        xb_hook_note(&hook->problem, "annotation " EXEC "on-error is '%.*s', want Fail or Continue",
                     SHOWN_BYTES_MAX, on_error);
    }
    annotated_time(hook, pod, EXEC "exec-timeout", XB_EXEC_TIMEOUT_MS, &hook->timeout_ms);
    annotated_time(hook, pod, EXEC "wait-timeout", 0, &hook->wait_ms);
    if (ready[0] && !bool_of(ready, &hook->wait_ready)) {
        xb_hook_note(&hook->problem,
                     "annotation " EXEC "wait-for-ready is '%.*s', want true or false",
                     SHOWN_BYTES_MAX, ready);
    }
}

static int from_annotations(xb_json *pod, struct xb_hook_list *list, struct xb_error *err)
{
    struct xb_hook *hook = NULL;
    const char *command = xb_hook_annotation(pod, EXEC "command");
    int r = command[0] ? xb_hook_add(list, &hook, err) : 0;
    if (r < 0 || !hook) {
        return r;
    }
    hook->name = strdup("from-annotation");
    xb_hook_annotated_command(hook, EXEC "command", command);
    xb_hook_set_container(hook, pod, xb_hook_annotation(pod, EXEC "container"));
    annotated_rest(hook, pod);
    return xb_hook_finished(hook, err);
}

/* ---- commands: the spec ---- */

static void spec_time(struct xb_hook *hook, xb_json *exec, const char *key, int fallback_ms,
                      int *ret_ms)
{
    if (!xb_hook_time(xb_json_str(exec, key, ""), fallback_ms, ret_ms)) {
        xb_hook_note(&hook->problem, "its %s is no time up to a day", key);
    }
}

static int from_exec(xb_json *pod, const char *name, xb_json *exec, struct xb_hook_list *list,
                     struct xb_error *err)
{
    struct xb_hook *hook = NULL;
    const struct xb_hook_exec from = {.pod = pod, .name = name, .exec = exec};
    int r = xb_hook_add_exec(list, &from, &hook, err);
    if (r < 0) {
        return r;
    }
    hook->go_on = strcmp(xb_json_str(exec, "onError", ""), "Fail") != 0;
    hook->wait_ready = xb_json_bool(exec, "waitForReady", false);
    spec_time(hook, exec, "execTimeout", XB_EXEC_TIMEOUT_MS, &hook->timeout_ms);
    spec_time(hook, exec, "waitTimeout", 0, &hook->wait_ms);
    return xb_hook_finished(hook, err);
}

typedef int hook_fn(xb_json *pod, const char *name, xb_json *hook, void *context,
                    struct xb_error *err);

/* Every hook of the spec, of one sort, that is for the pod. */
static int each_of_spec(xb_json *restore, xb_json *pod, hook_fn *fn, void *context,
                        struct xb_error *err)
{
    xb_json *resources = xb_json_get(restore, "spec.hooks.resources");
    int r = 0;
    for (size_t i = 0; r == 0 && i < xb_hook_length(resources); i++) {
        xb_json *resource = json_object_array_get_idx(resources, i);
        xb_json *hooks = xb_json_get(resource, "postHooks");
        if (xb_hook_length(hooks) == 0 || !xb_hook_is_for(resource, pod)) {
            continue;
        }
        for (size_t j = 0; r == 0 && j < xb_hook_length(hooks); j++) {
            r = fn(pod, xb_json_str(resource, "name", ""), json_object_array_get_idx(hooks, j),
                   context, err);
        }
    }
    return r;
}

static int take_exec(xb_json *pod, const char *name, xb_json *hook, void *context,
                     struct xb_error *err)
{
    xb_json *exec = xb_json_get(hook, "exec");
    return exec ? from_exec(pod, name, exec, context, err) : 0;
}

int xb_restore_hooks_of(xb_json *restore, xb_json *pod, struct xb_hook_list *ret,
                        struct xb_error *err)
{
    struct xb_hook_list list = {.hooks = NULL};
    int r = from_annotations(pod, &list, err);
    if (r == 0 && list.count == 0) {
        r = each_of_spec(restore, pod, take_exec, &list, err);
    }
    if (r < 0) {
        xb_hook_list_free(&list);
        return r;
    }
    *ret = list;
    return 0;
}

/* ---- init containers ---- */

static int append(xb_json *list, xb_json *container, struct xb_error *err)
{
    if (xb_hook_length(list) >= XB_HOOKS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG,
                            "the pod has more than %d init containers of hooks", XB_HOOKS_MAX);
    }
    xb_json *copy = NULL;
    if (json_object_deep_copy(container, &copy, NULL) < 0 ||
        json_object_array_add(list, copy) < 0) {
        json_object_put(copy);
        return xb_error_no_memory(err, "an init container");
    }
    return 0;
}

static int take_init(xb_json *pod, const char *name, xb_json *hook, void *context,
                     struct xb_error *err)
{
    xb_json *containers = xb_json_get(hook, "init.initContainers");
    int r = 0;
    (void)pod;
    (void)name;
    for (size_t i = 0; r == 0 && i < xb_hook_length(containers); i++) {
        r = append(context, json_object_array_get_idx(containers, i), err);
    }
    return r;
}

/* Always the same for a restore and a pod: a pod whose creation is tried again is no other one. */
static void make_name(xb_json *restore, xb_json *pod, char out[64])
{
    uint64_t hash = xb_fnv1a(xb_json_str(restore, "metadata.uid", "")) * 31 +
                    xb_fnv1a(xb_json_str(pod, "metadata.name", ""));
    snprintf(out, 64, "velero-restore-init-%08x", (unsigned)(hash ^ hash >> 32));
}

static int annotated_container(xb_json *restore, xb_json *pod, const char *image, xb_json *list,
                               struct xb_error *err)
{
    char made[64];
    struct xb_hook words = {.name = NULL};
    int ignored_ms = 0;
    const char *name = xb_hook_annotation(pod, INIT "container-name");
    const char *command = xb_hook_annotation(pod, INIT "command");
    XB_CLEANUP(xb_json_putp) xb_json *container = json_object_new_object();
    make_name(restore, pod, made);
    int r = xb_json_set_str(container, "name", name[0] ? name : made, err);
    r = r ? r : xb_json_set_str(container, "image", image, err);
    if (command[0]) {
        xb_hook_annotated_command(&words, INIT "command", command);
    }
    annotated_time(&words, pod, INIT "timeout", 0, &ignored_ms);
    if (r == 0 && words.problem) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", words.problem);
    }
    xb_json *argv = json_object_new_array();
    for (size_t i = 0; words.argv && words.argv[i]; i++) {
        json_object_array_add(argv, json_object_new_string(words.argv[i]));
    }
    if (words.argv) {
        json_object_object_add(container, "command", argv);
    } else {
        json_object_put(argv); /* the image's own */
    }
    xb_hook_clear(&words);
    return r ? r : append(list, container, err);
}

static int put_first(xb_json *pod, xb_json *list, struct xb_error *err)
{
    xb_json *old = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *all = json_object_new_array();
    size_t count = xb_hook_length(list);
    int r = xb_json_need_array(pod, "spec.initContainers", false, &old, err);
    for (size_t i = 0; r == 0 && i < count + xb_hook_length(old); i++) {
        xb_json *one = i < count ? json_object_array_get_idx(list, i)
                                 : json_object_array_get_idx(old, i - count);
        if (i < count || !xb_json_find(list, "name", xb_json_str(one, "name", ""))) {
            r = json_object_array_add(all, json_object_get(one)) < 0
                    ? xb_error_no_memory(err, "init containers")
                    : 0;
        }
    }
    return r ? r : xb_json_set(pod, "spec.initContainers", XB_TAKE(all), err);
}

int xb_restore_hooks_add_init(xb_json *restore, xb_json *pod, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *list = json_object_new_array();
    const char *image = xb_hook_annotation(pod, INIT "container-image");
    int r = image[0] ? annotated_container(restore, pod, image, list, err)
                     : each_of_spec(restore, pod, take_init, list, err);
    return r < 0 || xb_hook_length(list) == 0 ? r : put_first(pod, list, err);
}

/* ---- the spec as a whole ---- */

/* What a hook's container needs at least, as Velero has it. The API server judges the rest. */
static int check_containers(xb_json *init, const char *field, struct xb_error *err)
{
    char below[XB_HOOKS_FIELD_BYTES];
    xb_json *list = NULL;
    int r = xb_hooks_check_list(init, "initContainers", field, &list, err);
    for (size_t i = 0; r == 0 && i < xb_hook_length(list); i++) {
        xb_json *container = json_object_array_get_idx(list, i);
        const char *name = xb_hook_text(xb_json_get(container, "name"));
        const char *image = xb_hook_text(xb_json_get(container, "image"));
        xb_json *command = xb_json_get(container, "command");
        snprintf(below, sizeof below, "%s.initContainers[%zu]", field, i);
        if (!name || !name[0] || !image || !image[0] || xb_hook_length(command) == 0) {
            return xb_hooks_wrong(err, below, "want a container with name, image and command");
        }
        for (size_t k = 0; r == 0 && k < xb_hook_length(command); k++) {
            if (!xb_hook_text(json_object_array_get_idx(command, k))) {
                r = xb_hooks_wrong(err, below, "command: want text");
            }
        }
    }
    return r;
}

static int check_init(xb_json *init, const char *field, struct xb_error *err)
{
    if (!json_object_is_type(init, json_type_object)) {
        return xb_hooks_wrong(err, field, "want an object");
    }
    int r = check_containers(init, field, err);
    return r ? r : xb_hooks_check_time(init, "timeout", field, err);
}

static int check_exec(xb_json *exec, const char *field, struct xb_error *err)
{
    char below[XB_HOOKS_FIELD_BYTES];
    int r = xb_hooks_check_exec(exec, field, err);
    r = r ? r : xb_hooks_check_time(exec, "execTimeout", field, err);
    r = r ? r : xb_hooks_check_time(exec, "waitTimeout", field, err);
    xb_json *ready = r ? NULL : xb_json_get(exec, "waitForReady");
    if (ready && !json_object_is_type(ready, json_type_boolean)) {
        snprintf(below, sizeof below, "%s.waitForReady", field);
        return xb_hooks_wrong(err, below, "want true or false");
    }
    return r;
}

static int check_hook(xb_json *hook, const char *field, struct xb_error *err)
{
    char below[XB_HOOKS_FIELD_BYTES];
    xb_json *exec = xb_json_get(hook, "exec");
    xb_json *init = xb_json_get(hook, "init");
    if (!exec && !init) {
        return xb_hooks_wrong(err, field, "want exec or init");
    }
    snprintf(below, sizeof below, "%s.exec", field);
    int r = exec ? check_exec(exec, below, err) : 0;
    snprintf(below, sizeof below, "%s.init", field);
    return r || !init ? r : check_init(init, below, err);
}

static int check_resource(xb_json *resource, const char *field, struct xb_error *err)
{
    char below[XB_HOOKS_FIELD_BYTES];
    xb_json *hooks = NULL;
    int r = xb_hooks_check_selection(resource, field, err);
    r = r ? r : xb_hooks_check_list(resource, "postHooks", field, &hooks, err);
    if (r == 0 && xb_hook_length(hooks) > XB_HOOKS_MAX) {
        snprintf(below, sizeof below, "%s.postHooks", field);
        return xb_hooks_wrong(err, below, "too many hooks");
    }
    for (size_t i = 0; r == 0 && i < xb_hook_length(hooks); i++) {
        snprintf(below, sizeof below, "%s.postHooks[%zu]", field, i);
        r = check_hook(json_object_array_get_idx(hooks, i), below, err);
    }
    return r;
}

int xb_restore_hooks_check(xb_json *restore, struct xb_error *err)
{
    return xb_hooks_check_each(restore, check_resource, err);
}

/* ---- whether they can run ---- */

static xb_json *status_of(xb_json *pod, const char *container)
{
    xb_json *status = xb_json_find(xb_json_get(pod, "status.containerStatuses"), "name", container);
    return status
               ? status
               : xb_json_find(xb_json_get(pod, "status.initContainerStatuses"), "name", container);
}

static void say_state(xb_json *pod, xb_json *status, char *why, size_t size)
{
    const char *waiting = xb_json_str(status, "state.waiting.reason", NULL);
    if (waiting) {
        snprintf(why, size, "it waits: %.60s%s%.150s", waiting,
                 xb_json_str(status, "state.waiting.message", "")[0] ? ", " : "",
                 xb_json_str(status, "state.waiting.message", ""));
    } else if (xb_json_get(status, "state.terminated")) {
        snprintf(why, size, "it has ended: %.60s, exit code %lld",
                 xb_json_str(status, "state.terminated.reason", "no reason was given"),
                 (long long)xb_json_int(status, "state.terminated.exitCode", -1));
    } else if (xb_json_get(status, "state.running")) {
        snprintf(why, size, "it runs, but is not ready");
    } else {
        snprintf(why, size, "the pod is %.30s, on %s%.200s",
                 xb_json_str(pod, "status.phase", "Pending"),
                 xb_json_str(pod, "spec.nodeName", "")[0] ? "node " : "no node",
                 xb_json_str(pod, "spec.nodeName", ""));
    }
}

enum xb_restore_hook_turn xb_restore_hook_look(xb_json *pod, const char *container, bool ready,
                                               char *why, size_t size)
{
    const char *phase = xb_json_str(pod, "status.phase", "");
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        snprintf(why, size, "the pod has ended (%s)", phase);
        return XB_RESTORE_HOOK_NEVER;
    }
    xb_json *status = status_of(pod, container);
    bool up = status && xb_json_get(status, "state.running") &&
              (!ready || xb_json_bool(status, "ready", false));
    if (up) {
        return XB_RESTORE_HOOK_RUNS;
    }
    say_state(pod, status, why, size);
    return XB_RESTORE_HOOK_WAITS;
}
