/* SPDX-License-Identifier: Apache-2.0
 * Reading one rule, strictly. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coordinator/modify/modify_internal.h"
#include "coordinator/modify/patch_internal.h"
#include "shared/codec/fields.h"
#include "shared/kube/selector.h"
#include "shared/kube/yaml.h"

static const struct xb_field rule_fields[] = {
    {"conditions", XB_FIELD_OBJECT}, {"patches", XB_FIELD_LIST},
    {"mergePatches", XB_FIELD_LIST}, {"strategicPatches", XB_FIELD_LIST},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field condition_fields[] = {
    {"namespaces", XB_FIELD_TEXTS},       {"groupResource", XB_FIELD_TEXT},
    {"resourceNameRegex", XB_FIELD_TEXT}, {"labelSelector", XB_FIELD_OBJECT},
    {"matches", XB_FIELD_LIST},           {NULL, XB_FIELD_TEXT},
};
static const struct xb_field selector_fields[] = {
    {"matchLabels", XB_FIELD_TEXT_MAP},
    {"matchExpressions", XB_FIELD_LIST},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field expression_fields[] = {
    {"key", XB_FIELD_TEXT},
    {"operator", XB_FIELD_TEXT},
    {"values", XB_FIELD_TEXTS},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field match_fields[] = {
    {"path", XB_FIELD_TEXT},
    {"value", XB_FIELD_TEXT},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field patch_fields[] = {
    {"operation", XB_FIELD_TEXT}, {"path", XB_FIELD_TEXT}, {"from", XB_FIELD_TEXT},
    {"value", XB_FIELD_TEXT},     {NULL, XB_FIELD_TEXT},
};
static const struct xb_field data_fields[] = {
    {"patchData", XB_FIELD_TEXT},
    {NULL, XB_FIELD_TEXT},
};

static size_t length(xb_json *list)
{
    return list ? json_object_array_length(list) : 0;
}

/* `where`, and the name of element `index` of its list `list`, ending in a dot. The element must be
 * a mapping with those fields. */
static int check_element(xb_json *element, const char *name, const struct xb_field *fields,
                         struct xb_error *err)
{
    if (!json_object_is_type(element, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s': want a mapping", name);
    }
    char where[XB_MODIFY_WHERE_BYTES + 2];
    snprintf(where, sizeof where, "%s.", name);
    return xb_fields_check(element, where, fields, err);
}

static int missing(const char *where, const char *field, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s.%s' must be there", where, field);
}

/* ---- conditions ---- */

/* A copy whose values are strings: threads that match it must not change it. */
static int own_texts(xb_json *from, xb_json **ret, struct xb_error *err)
{
    bool list = json_object_is_type(from, json_type_array);
    XB_CLEANUP(xb_json_putp)
    xb_json *copy = list ? json_object_new_array() : json_object_new_object();
    int r = copy ? 0 : xb_error_no_memory(err, "a rule");
    for (size_t i = 0; list && r == 0 && i < length(from); i++) {
        const char *text = xb_field_text(json_object_array_get_idx(from, i));
        r = xb_patch_append(copy, json_object_new_string(text), err);
    }
    if (!list && from && r == 0) {
        json_object_object_foreach(from, key, value)
        {
            r = r < 0 ? r
                      : xb_patch_set(copy, key, json_object_new_string(xb_field_text(value)), err);
        }
    }
    if (r == 0) {
        *ret = XB_TAKE(copy);
    }
    return r;
}

static int read_expression(xb_json *json, const char *name, xb_json *list, struct xb_error *err)
{
    xb_json *copy = NULL;
    xb_json *values = xb_field(json, "values");
    int r = check_element(json, name, expression_fields, err);
    if (r < 0) {
        return r;
    }
    copy = json_object_new_object();
    if (!copy || (r = xb_patch_append(list, copy, err)) < 0) {
        return copy ? r : xb_error_no_memory(err, "a rule");
    }
    for (size_t i = 0; i < 2; i++) {
        const char *field = expression_fields[i].name;
        const char *text = xb_field_text(xb_field(json, field));
        if ((r = xb_patch_set(copy, field, json_object_new_string(text), err)) < 0) {
            return r;
        }
    }
    xb_json *texts = NULL;
    if (!values) {
        return 0;
    }
    r = own_texts(values, &texts, err);
    return r < 0 ? r : xb_patch_set(copy, "values", texts, err);
}

static void keep_first(void *context, const char *problem)
{
    char *first = context;
    if (!first[0]) {
        snprintf(first, XB_ERROR_TEXT_BYTES / 2, "%s", problem);
    }
}

static int read_selector(xb_json *json, const char *where, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *selector = json_object_new_object();
    xb_json *labels = xb_field(json, "matchLabels");
    xb_json *expressions = xb_field(json, "matchExpressions");
    xb_json *copy = NULL;
    char name[XB_MODIFY_WHERE_BYTES];
    char problem[XB_ERROR_TEXT_BYTES / 2] = "";
    int r = selector ? check_element(json, where, selector_fields, err)
                     : xb_error_no_memory(err, "a rule");
    if (r == 0 && labels && (r = own_texts(labels, &copy, err)) == 0) {
        r = xb_patch_set(selector, "matchLabels", copy, err);
    }
    if (r == 0 && expressions) {
        copy = json_object_new_array();
        r = copy ? xb_patch_set(selector, "matchExpressions", copy, err)
                 : xb_error_no_memory(err, "a rule");
    }
    for (size_t i = 0; r == 0 && i < length(expressions); i++) {
        snprintf(name, sizeof name, "%s.matchExpressions[%zu]", where, i);
        r = read_expression(json_object_array_get_idx(expressions, i), name, copy, err);
    }
    if (r < 0) {
        return r;
    }
    xb_selector_check(selector, where, keep_first, problem);
    if (problem[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field %s", problem);
    }
    *ret = XB_TAKE(selector);
    return 0;
}

static int read_namespaces(xb_json *list, const char *where, struct xb_modify_rule *rule,
                           struct xb_error *err)
{
    size_t count = length(list);
    rule->namespaces = calloc(count + 1, sizeof *rule->namespaces);
    if (!rule->namespaces) {
        return xb_error_no_memory(err, "a rule");
    }
    for (; rule->namespace_count < count; rule->namespace_count++) {
        const char *text = xb_field_text(json_object_array_get_idx(list, rule->namespace_count));
        int r = xb_pattern_glob(text, 0, &rule->namespaces[rule->namespace_count], err);
        if (r < 0) {
            return xb_error_wrap(err, "field '%s.namespaces[%zu]'", where, rule->namespace_count);
        }
    }
    return 0;
}

static int check_pointer(const char *path, const char *where, const char *field,
                         struct xb_error *err)
{
    const char *problem = path[0] ? xb_json_pointer_problem(path) : "it must be there";
    return problem ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s.%s': '%.100s': %s",
                                  where, field, path, problem)
                   : 0;
}

static int read_matches(xb_json *list, const char *where, struct xb_modify_rule *rule,
                        struct xb_error *err)
{
    size_t count = length(list);
    rule->matches = calloc(count + 1, sizeof *rule->matches);
    if (!rule->matches) {
        return xb_error_no_memory(err, "a rule");
    }
    for (; rule->match_count < count; rule->match_count++) {
        char name[XB_MODIFY_WHERE_BYTES];
        xb_json *json = json_object_array_get_idx(list, rule->match_count);
        struct xb_patch_step *step = &rule->matches[rule->match_count];
        snprintf(name, sizeof name, "%s.matches[%zu]", where, rule->match_count);
        int r = check_element(json, name, match_fields, err);
        if (r < 0) {
            return r;
        }
        step->operation = XB_PATCH_TEST;
        step->path = xb_field_text(xb_field(json, "path"));
        if ((r = check_pointer(step->path, name, "path", err)) < 0) {
            return r;
        }
        r = xb_modify_value(xb_field_text(xb_field(json, "value")), &step->value, err);
        if (r < 0) {
            return xb_error_wrap(err, "field '%s.value'", name);
        }
    }
    return 0;
}

static int read_conditions(xb_json *json, const char *where, struct xb_modify_rule *rule,
                           struct xb_error *err)
{
    char below[XB_MODIFY_WHERE_BYTES];
    const char *kind = xb_field_text(xb_field(json, "groupResource"));
    const char *name = xb_field_text(xb_field(json, "resourceNameRegex"));
    int r = json ? check_element(json, where, condition_fields, err) : 0;
    if (r < 0) {
        return r;
    }
    if (!kind[0]) {
        return missing(where, "groupResource", err);
    }
    if ((r = xb_pattern_glob(kind, '.', &rule->kind, err)) < 0) {
        return xb_error_wrap(err, "field '%s.groupResource'", where);
    }
    if (name[0] && (r = xb_pattern_regex(name, &rule->name, err)) < 0) {
        return xb_error_wrap(err, "field '%s.resourceNameRegex'", where);
    }
    snprintf(below, sizeof below, "%s.labelSelector", where);
    xb_json *selector = xb_field(json, "labelSelector");
    if (selector && (r = read_selector(selector, below, &rule->selector, err)) < 0) {
        return r;
    }
    r = read_namespaces(xb_field(json, "namespaces"), where, rule, err);
    return r < 0 ? r : read_matches(xb_field(json, "matches"), where, rule, err);
}

/* ---- patches ---- */

static int read_operation(const char *text, const char *where, enum xb_patch_operation *ret,
                          struct xb_error *err)
{
    for (int i = XB_PATCH_ADD; i <= XB_PATCH_TEST; i++) {
        if (strcasecmp(text, xb_patch_operation_name((enum xb_patch_operation)i)) == 0) {
            *ret = (enum xb_patch_operation)i;
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "field '%s.operation': '%.60s' is none of add, remove, replace, move, "
                        "copy, test",
                        where, text);
}

static int read_step(xb_json *json, const char *where, struct xb_patch_step *step,
                     struct xb_error *err)
{
    int r = check_element(json, where, patch_fields, err);
    if (r < 0 || (r = read_operation(xb_field_text(xb_field(json, "operation")), where,
                                     &step->operation, err)) < 0) {
        return r;
    }
    step->path = xb_field_text(xb_field(json, "path"));
    step->from = xb_field_text(xb_field(json, "from"));
    if ((r = check_pointer(step->path, where, "path", err)) < 0) {
        return r;
    }
    if (step->operation == XB_PATCH_MOVE || step->operation == XB_PATCH_COPY) {
        return check_pointer(step->from, where, "from", err);
    }
    if (step->operation == XB_PATCH_REMOVE) {
        return 0;
    }
    r = xb_modify_value(xb_field_text(xb_field(json, "value")), &step->value, err);
    return r < 0 ? xb_error_wrap(err, "field '%s.value'", where) : 0;
}

static int read_steps(xb_json *list, const char *where, struct xb_modify_rule *rule,
                      struct xb_error *err)
{
    size_t count = length(list);
    rule->steps = calloc(count + 1, sizeof *rule->steps);
    if (!rule->steps) {
        return xb_error_no_memory(err, "a rule");
    }
    for (; rule->step_count < count; rule->step_count++) {
        char name[XB_MODIFY_WHERE_BYTES];
        snprintf(name, sizeof name, "%s.patches[%zu]", where, rule->step_count);
        int r = read_step(json_object_array_get_idx(list, rule->step_count), name,
                          &rule->steps[rule->step_count], err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int read_data(xb_json *json, const char *where, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    int r = check_element(json, where, data_fields, err);
    if (r < 0) {
        return r;
    }
    const char *text = xb_field_text(xb_field(json, "patchData"));
    if ((r = xb_kube_yaml_parse(text, strlen(text), &patch, err)) < 0) {
        err->kind = err->kind == XB_ERR_CORRUPT ? XB_ERR_INVALID : err->kind;
        return xb_error_wrap(err, "field '%s.patchData'", where);
    }
    if (!json_object_is_type(patch, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field '%s.patchData': want a text that is a YAML mapping", where);
    }
    *ret = XB_TAKE(patch);
    return 0;
}

static int read_datas(xb_json *list, const char *where, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patches = json_object_new_array();
    int r = patches ? 0 : xb_error_no_memory(err, "a rule");
    for (size_t i = 0; r == 0 && i < length(list); i++) {
        char name[XB_MODIFY_WHERE_BYTES];
        xb_json *patch = NULL;
        snprintf(name, sizeof name, "%s[%zu]", where, i);
        r = read_data(json_object_array_get_idx(list, i), name, &patch, err);
        r = r < 0 ? r : xb_patch_append(patches, patch, err);
    }
    if (r == 0) {
        *ret = XB_TAKE(patches);
    }
    return r;
}

/* ---- the whole rule ---- */

static int read_patches(xb_json *json, const char *where, struct xb_modify_rule *rule,
                        struct xb_error *err)
{
    xb_json *steps = xb_field(json, "patches");
    xb_json *merge = xb_field(json, "mergePatches");
    xb_json *strategic = xb_field(json, "strategicPatches");
    int ways = (length(steps) > 0) + (length(merge) > 0) + (length(strategic) > 0);
    char below[XB_MODIFY_WHERE_BYTES];
    if (ways != 1) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field '%s': %s patches, mergePatches and strategicPatches", where,
                            ways > 1 ? "only one may be there of" : "there must be one of");
    }
    if (length(steps) > 0) {
        return read_steps(steps, where, rule, err);
    }
    bool merging = length(merge) > 0;
    snprintf(below, sizeof below, "%s.%s", where, merging ? "mergePatches" : "strategicPatches");
    return read_datas(merging ? merge : strategic, below,
                      merging ? &rule->merge_patches : &rule->strategic_patches, err);
}

int xb_modify_read_rule(xb_json *json, const char *where, struct xb_modify_rule *rule,
                        struct xb_error *err)
{
    char below[XB_MODIFY_WHERE_BYTES];
    xb_json *conditions = xb_field(json, "conditions");
    int r = check_element(json, where, rule_fields, err);
    if (r < 0) {
        return r;
    }
    snprintf(below, sizeof below, "%s.conditions", where);
    if ((r = read_conditions(conditions, below, rule, err)) < 0 ||
        (r = read_patches(json, where, rule, err)) < 0) {
        return r;
    }
    return asprintf(&rule->label, "%s (%s)", where,
                    xb_field_text(xb_field(conditions, "groupResource"))) < 0
               ? xb_error_no_memory(err, "a rule")
               : 0;
}

static void free_steps(struct xb_patch_step *steps, size_t count)
{
    for (size_t i = 0; steps && i < count; i++) {
        json_object_put(steps[i].value);
    }
    free(steps);
}

void xb_modify_rule_clean(struct xb_modify_rule *rule)
{
    xb_pattern_free(rule->kind);
    xb_pattern_free(rule->name);
    for (size_t i = 0; rule->namespaces && i < rule->namespace_count; i++) {
        xb_pattern_free(rule->namespaces[i]);
    }
    free(rule->namespaces);
    free_steps(rule->matches, rule->match_count);
    free_steps(rule->steps, rule->step_count);
    xb_json_putp(&rule->selector);
    xb_json_putp(&rule->merge_patches);
    xb_json_putp(&rule->strategic_patches);
    free(rule->label);
}
