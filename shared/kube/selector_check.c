/* SPDX-License-Identifier: Apache-2.0
 * Whether a label selector is one that Kubernetes would take. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/kube/selector.h"

enum { PROBLEM_BYTES = 400 };

struct checking {
    const char *field;
    xb_selector_problem_fn *problem;
    void *context;
};

static void XB_PRINTF(2, 3) tell(const struct checking *checking, const char *format, ...)
{
    char text[PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    checking->problem(checking->context, text);
}

static bool value_valid(xb_json *value)
{
    if (!value || !json_object_is_type(value, json_type_string)) {
        return false;
    }
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) && xb_label_value_valid(text);
}

static void check_labels(const struct checking *checking, xb_json *labels)
{
    if (!json_object_is_type(labels, json_type_object)) {
        tell(checking, "%s.matchLabels: want an object, have %s", checking->field,
             json_type_to_name(json_object_get_type(labels)));
        return;
    }
    json_object_object_foreach(labels, key, value)
    {
        if (!xb_label_key_valid(key) || !value_valid(value)) {
            tell(checking, "%s.matchLabels: '%.100s' is no label with a value", checking->field,
                 key);
        }
    }
}

static const char *check_values(xb_json *expression, bool wanted)
{
    xb_json *values = xb_json_get(expression, "values");
    if (values && !json_object_is_type(values, json_type_array)) {
        return "values: want a list of strings";
    }
    size_t count = values ? json_object_array_length(values) : 0;
    if (wanted != (count > 0)) {
        return wanted ? "values: In and NotIn want some"
                      : "values: Exists and DoesNotExist take none";
    }
    if (count > XB_SELECTOR_LIST_MAX) {
        return "values: too many";
    }
    for (size_t i = 0; i < count; i++) {
        if (!value_valid(json_object_array_get_idx(values, i))) {
            return "values: one is no label's value";
        }
    }
    return NULL;
}

/* What is wrong with an expression, or NULL. */
static const char *check_expression(xb_json *expression)
{
    if (!json_object_is_type(expression, json_type_object)) {
        return "want an object";
    }
    json_object_object_foreach(expression, name, value)
    {
        (void)value;
        if (strcmp(name, "key") != 0 && strcmp(name, "operator") != 0 &&
            strcmp(name, "values") != 0) {
            return "an unknown field beside key, operator and values";
        }
    }
    const char *operation = xb_json_str(expression, "operator", "");
    bool in = strcmp(operation, "In") == 0 || strcmp(operation, "NotIn") == 0;
    if (!in && strcmp(operation, "Exists") != 0 && strcmp(operation, "DoesNotExist") != 0) {
        return "operator: want In, NotIn, Exists or DoesNotExist";
    }
    return xb_label_key_valid(xb_json_str(expression, "key", "")) ? check_values(expression, in)
                                                                  : "key: no label's name";
}

static void check_expressions(const struct checking *checking, xb_json *expressions)
{
    if (!json_object_is_type(expressions, json_type_array)) {
        tell(checking, "%s.matchExpressions: want a list, have %s", checking->field,
             json_type_to_name(json_object_get_type(expressions)));
        return;
    }
    size_t count = json_object_array_length(expressions);
    for (size_t i = 0; i < count && i <= XB_SELECTOR_LIST_MAX; i++) {
        const char *why = i == XB_SELECTOR_LIST_MAX
                              ? "there are too many"
                              : check_expression(json_object_array_get_idx(expressions, i));
        if (why) {
            tell(checking, "%s.matchExpressions[%zu]: %s", checking->field, i, why);
        }
    }
}

void xb_selector_check(xb_json *selector, const char *field, xb_selector_problem_fn *problem,
                       void *context)
{
    const struct checking checking = {.field = field, .problem = problem, .context = context};
    if (!json_object_is_type(selector, json_type_object)) {
        tell(&checking, "%s: want an object, have %s", field,
             json_type_to_name(json_object_get_type(selector)));
        return;
    }
    /* A misspelt key must not make a selector that takes everything. */
    json_object_object_foreach(selector, key, value)
    {
        if (value && strcmp(key, "matchLabels") == 0) {
            check_labels(&checking, value);
        } else if (value && strcmp(key, "matchExpressions") == 0) {
            check_expressions(&checking, value);
        } else if (strcmp(key, "matchLabels") != 0 && strcmp(key, "matchExpressions") != 0) {
            tell(&checking, "%s: unknown field '%.100s'", field, key);
        }
    }
}
