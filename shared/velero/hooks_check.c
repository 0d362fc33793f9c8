/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with a backup's spec.hooks, by field. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/velero/hooks_internal.h"

enum { FIELD_BYTES = 160 };

int xb_hooks_wrong(struct xb_error *err, const char *field, const char *why)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s: %s", field, why);
}

/* Text that is there or not; `ret` "" when not. */
static int take_text(xb_json *object, const char *key, const char *field, const char **ret,
                     struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    xb_json *value = xb_json_get(object, key);
    *ret = "";
    if (!value) {
        return 0;
    }
    snprintf(below, sizeof below, "%s.%s", field, key);
    if (!json_object_is_type(value, json_type_string)) {
        return xb_hooks_wrong(err, below, "want text");
    }
    *ret = json_object_get_string(value);
    return strlen(*ret) == (size_t)json_object_get_string_len(value)
               ? 0
               : xb_hooks_wrong(err, below, "a NUL byte is in it");
}

int xb_hooks_check_list(xb_json *object, const char *key, const char *field, xb_json **ret,
                        struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    xb_json *value = xb_json_get(object, key);
    *ret = value;
    if (!value || json_object_is_type(value, json_type_array)) {
        return 0;
    }
    snprintf(below, sizeof below, "%s.%s", field, key);
    return xb_hooks_wrong(err, below, "want a list");
}

static int check_texts(xb_json *object, const char *key, const char *field, struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    xb_json *list = NULL;
    int r = xb_hooks_check_list(object, key, field, &list, err);
    for (size_t i = 0; r == 0 && list && i < json_object_array_length(list); i++) {
        xb_json *value = json_object_array_get_idx(list, i);
        if (!json_object_is_type(value, json_type_string) ||
            strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
            snprintf(below, sizeof below, "%s.%s[%zu]", field, key, i);
            r = xb_hooks_wrong(err, below, "want text");
        }
    }
    return r;
}

static int check_command(xb_json *exec, const char *field, struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    xb_json *list = xb_json_get(exec, "command");
    size_t bytes = 0;
    int r = check_texts(exec, "command", field, err);
    if (r < 0) {
        return r;
    }
    snprintf(below, sizeof below, "%s.command", field);
    size_t count = list ? json_object_array_length(list) : 0;
    if (count == 0 || !json_object_get_string(json_object_array_get_idx(list, 0))[0]) {
        return xb_hooks_wrong(err, below, "want a program and its arguments");
    }
    for (size_t i = 0; i < count && bytes <= XB_HOOK_COMMAND_BYTES_MAX; i++) {
        bytes += strlen(json_object_get_string(json_object_array_get_idx(list, i))) + 1;
    }
    return count > XB_EXEC_ARGUMENTS_MAX || bytes > XB_HOOK_COMMAND_BYTES_MAX
               ? xb_hooks_wrong(err, below, "it is too long")
               : 0;
}

int xb_hooks_check_time(xb_json *exec, const char *key, const char *field, struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    const char *text = "";
    int64_t ns = 0;
    struct xb_error ignored = XB_ERROR_INIT;
    int r = take_text(exec, key, field, &text, err);
    if (r < 0 || !text[0]) {
        return r;
    }
    snprintf(below, sizeof below, "%s.%s", field, key);
    if (xb_duration_parse(text, &ns, &ignored) < 0 || ns < 0 ||
        ns / 1000000 > XB_EXEC_TIMEOUT_MS_MAX) {
        return xb_hooks_wrong(err, below, "want a time up to a day, as 30s");
    }
    return 0;
}

int xb_hooks_check_exec(xb_json *exec, const char *field, struct xb_error *err)
{
    char below[2 * FIELD_BYTES];
    const char *container = "";
    const char *on_error = "";
    if (!json_object_is_type(exec, json_type_object)) {
        return xb_hooks_wrong(err, field, "want an object");
    }
    int r = check_command(exec, field, err);
    if (r < 0 || (r = take_text(exec, "container", field, &container, err)) < 0 ||
        (r = take_text(exec, "onError", field, &on_error, err)) < 0) {
        return r;
    }
    if (strlen(container) > XB_HOOK_WORD_BYTES_MAX) {
        snprintf(below, sizeof below, "%s.container", field);
        return xb_hooks_wrong(err, below, "no container has such a long name");
    }
    if (on_error[0] && strcmp(on_error, "Continue") != 0 && strcmp(on_error, "Fail") != 0) {
        snprintf(below, sizeof below, "%s.onError", field);
        return xb_hooks_wrong(err, below, "want Continue or Fail");
    }
    return 0;
}

static int check_phase(xb_json *resource, enum xb_hook_phase phase, const char *field,
                       struct xb_error *err)
{
    char below[FIELD_BYTES];
    xb_json *list = NULL;
    int r = xb_hooks_check_list(resource, xb_hook_phase_name(phase), field, &list, err);
    size_t count = r == 0 && list ? json_object_array_length(list) : 0;
    if (count > XB_HOOKS_MAX) {
        snprintf(below, sizeof below, "%s.%s", field, xb_hook_phase_name(phase));
        return xb_hooks_wrong(err, below, "too many hooks");
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_json *hook = json_object_array_get_idx(list, i);
        snprintf(below, sizeof below, "%s.%s[%zu].exec", field, xb_hook_phase_name(phase), i);
        xb_json *exec = xb_json_get(hook, "exec");
        r = xb_hooks_check_exec(exec, below, err);
        r = r ? r : xb_hooks_check_time(exec, "timeout", below, err);
    }
    return r;
}

static int check_expressions(xb_json *selector, const char *field, struct xb_error *err)
{
    static const char *const operators[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    char below[2 * FIELD_BYTES];
    xb_json *list = NULL;
    int r = xb_hooks_check_list(selector, "matchExpressions", field, &list, err);
    for (size_t i = 0; r == 0 && list && i < json_object_array_length(list); i++) {
        xb_json *expression = json_object_array_get_idx(list, i);
        const char *word = xb_json_str(expression, "operator", "");
        bool known = false;
        for (size_t j = 0; j < sizeof operators / sizeof operators[0]; j++) {
            known = known || strcmp(operators[j], word) == 0;
        }
        snprintf(below, sizeof below, "%s.matchExpressions[%zu]", field, i);
        if (!known) {
            r = xb_hooks_wrong(err, below, "want operator In, NotIn, Exists or DoesNotExist");
        } else if (!xb_json_str(expression, "key", "")[0]) {
            r = xb_hooks_wrong(err, below, "want a key");
        } else {
            r = check_texts(expression, "values", below, err);
        }
    }
    return r;
}

static int check_selector(xb_json *resource, const char *field, struct xb_error *err)
{
    char below[FIELD_BYTES];
    xb_json *selector = xb_json_get(resource, "labelSelector");
    if (!selector) {
        return 0;
    }
    snprintf(below, sizeof below, "%s.labelSelector", field);
    if (!json_object_is_type(selector, json_type_object)) {
        return xb_hooks_wrong(err, below, "want an object");
    }
    xb_json *labels = xb_json_get(selector, "matchLabels");
    if (labels && !json_object_is_type(labels, json_type_object)) {
        return xb_hooks_wrong(err, below, "matchLabels: want an object");
    }
    if (labels) {
        json_object_object_foreach(labels, key, value)
        {
            (void)key;
            if (!json_object_is_type(value, json_type_string)) {
                return xb_hooks_wrong(err, below, "matchLabels: want text");
            }
        }
    }
    return check_expressions(selector, below, err);
}

int xb_hooks_check_selection(xb_json *resource, const char *field, struct xb_error *err)
{
    static const char *const lists[] = {"includedNamespaces", "excludedNamespaces",
                                        "includedResources", "excludedResources"};
    const char *name = "";
    if (!json_object_is_type(resource, json_type_object)) {
        return xb_hooks_wrong(err, field, "want an object");
    }
    int r = take_text(resource, "name", field, &name, err);
    for (size_t i = 0; r == 0 && i < sizeof lists / sizeof lists[0]; i++) {
        r = check_texts(resource, lists[i], field, err);
    }
    return r < 0 ? r : check_selector(resource, field, err);
}

static int check_resource(xb_json *resource, const char *field, struct xb_error *err)
{
    int r = xb_hooks_check_selection(resource, field, err);
    r = r ? r : check_phase(resource, XB_HOOK_PRE, field, err);
    return r ? r : check_phase(resource, XB_HOOK_POST, field, err);
}

int xb_hooks_check_each(xb_json *object,
                        int (*check)(xb_json *resource, const char *field, struct xb_error *err),
                        struct xb_error *err)
{
    char field[FIELD_BYTES / 2];
    xb_json *hooks = xb_json_get(object, "spec.hooks");
    xb_json *resources = NULL;
    if (!hooks) {
        return 0;
    }
    if (!json_object_is_type(hooks, json_type_object)) {
        return xb_hooks_wrong(err, "spec.hooks", "want an object");
    }
    int r = xb_hooks_check_list(hooks, "resources", "spec.hooks", &resources, err);
    size_t count = r == 0 && resources ? json_object_array_length(resources) : 0;
    if (count > XB_HOOKS_RESOURCES_MAX) {
        return xb_hooks_wrong(err, "spec.hooks.resources", "too many entries");
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        snprintf(field, sizeof field, "spec.hooks.resources[%zu]", i);
        r = check(json_object_array_get_idx(resources, i), field, err);
    }
    return r;
}

int xb_hooks_check(xb_json *backup, struct xb_error *err)
{
    return xb_hooks_check_each(backup, check_resource, err);
}
