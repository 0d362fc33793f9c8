/* SPDX-License-Identifier: Apache-2.0
 * Reading a policy, strictly. */
#include "coordinator/collect/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/policy_internal.h"
#include "shared/kube/yaml.h"

enum { PATH_BYTES = 300 };

/* ---- shapes ---- */

static const struct xb_field root_fields[] = {
    {"version", XB_FIELD_TEXT},
    {"volumePolicies", XB_FIELD_LIST},
    {"includeExcludePolicy", XB_FIELD_OBJECT},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field rule_fields[] = {
    {"conditions", XB_FIELD_OBJECT},
    {"action", XB_FIELD_OBJECT},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field condition_fields[] = {
    {"capacity", XB_FIELD_TEXT},        {"storageClass", XB_FIELD_TEXTS},
    {"nfs", XB_FIELD_OBJECT},           {"csi", XB_FIELD_OBJECT},
    {"volumeTypes", XB_FIELD_TEXTS},    {"pvcLabels", XB_FIELD_TEXT_MAP},
    {"pvcPhase", XB_FIELD_TEXTS},       {"pvcVolumeMode", XB_FIELD_TEXT},
    {"pvcAccessModes", XB_FIELD_TEXTS}, {NULL, XB_FIELD_TEXT},
};
static const struct xb_field nfs_fields[] = {
    {"server", XB_FIELD_TEXT},
    {"path", XB_FIELD_TEXT},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field csi_fields[] = {
    {"driver", XB_FIELD_TEXT},
    {"volumeAttributes", XB_FIELD_TEXT_MAP},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field action_fields[] = {
    {"type", XB_FIELD_TEXT},
    {"parameters", XB_FIELD_OBJECT},
    {NULL, XB_FIELD_TEXT},
};
static const struct xb_field filter_fields[] = {
    {"includedClusterScopedResources", XB_FIELD_TEXTS},
    {"excludedClusterScopedResources", XB_FIELD_TEXTS},
    {"includedNamespaceScopedResources", XB_FIELD_TEXTS},
    {"excludedNamespaceScopedResources", XB_FIELD_TEXTS},
    {NULL, XB_FIELD_TEXT},
};
/* The pairs of an including list and its excluding one. */
static const char *const filter_pairs[][2] = {
    {"includedClusterScopedResources", "excludedClusterScopedResources"},
    {"includedNamespaceScopedResources", "excludedNamespaceScopedResources"},
};

/* ---- one rule ---- */

static int read_bound(const char *text, size_t len, const char *where, struct xb_quantity *ret,
                      struct xb_error *err)
{
    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        len--;
    }
    if (len == 0) {
        *ret = (struct xb_quantity){.whole = 0};
        return 0;
    }
    return xb_quantity_parse(text, len, ret, err) < 0
               ? xb_error_wrap(err, "field '%scapacity'", where)
               : 0;
}

static bool is_zero(const struct xb_quantity *quantity)
{
    return quantity->whole == 0 && quantity->nano == 0;
}

/* "lower,upper": either may be missing. */
static int read_capacity(xb_json *conditions, const char *where, struct xb_policy_rule *rule,
                         struct xb_error *err)
{
    const char *text = xb_field_text(xb_field(conditions, "capacity"));
    const char *comma = strchr(text, ',');
    if (!text[0]) {
        return 0;
    }
    if (!comma || strchr(comma + 1, ',')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field '%scapacity': '%.100s' is no range, such as \"10Gi,100Gi\"",
                            where, text);
    }
    int r = read_bound(text, (size_t)(comma - text), where, &rule->lower, err);
    if (r < 0 || (r = read_bound(comma + 1, strlen(comma + 1), where, &rule->upper, err)) < 0) {
        return r;
    }
    if (!is_zero(&rule->upper) && xb_quantity_compare(&rule->lower, &rule->upper) > 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field '%scapacity': the range '%.100s' ends before it begins", where,
                            text);
    }
    return 0;
}

static int check_conditions(xb_json *conditions, const char *where, struct xb_error *err)
{
    char below[PATH_BYTES];
    xb_json *csi = xb_field(conditions, "csi");
    int r = xb_fields_check(conditions, where, condition_fields, err);
    if (r < 0) {
        return r;
    }
    snprintf(below, sizeof below, "%snfs.", where);
    if ((r = xb_fields_check(xb_field(conditions, "nfs"), below, nfs_fields, err)) < 0) {
        return r;
    }
    snprintf(below, sizeof below, "%scsi.", where);
    if ((r = xb_fields_check(csi, below, csi_fields, err)) < 0) {
        return r;
    }
    if (xb_field(csi, "volumeAttributes") && !xb_field_text(xb_field(csi, "driver"))[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field '%sdriver' must be there where volumeAttributes are", below);
    }
    return 0;
}

static int read_action(xb_json *action, const char *where, enum xb_policy_action *ret,
                       struct xb_error *err)
{
    static const char *const names[] = {[XB_POLICY_SKIP] = "skip",
                                        [XB_POLICY_FS_BACKUP] = "fs-backup",
                                        [XB_POLICY_SNAPSHOT] = "snapshot",
                                        [XB_POLICY_CUSTOM] = "custom"};
    const char *type = xb_field_text(xb_field(action, "type"));
    int r = xb_fields_check(action, where, action_fields, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = XB_POLICY_SKIP; i < sizeof names / sizeof *names; i++) {
        if (strcmp(type, names[i]) == 0) {
            *ret = (enum xb_policy_action)i;
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "field '%stype': '%.100s' is none of skip, fs-backup, snapshot, custom",
                        where, type);
}

static int read_rule(xb_json *json, size_t index, struct xb_policy_rule *rule, struct xb_error *err)
{
    char where[PATH_BYTES];
    snprintf(where, sizeof where, "volumePolicies[%zu]", index);
    if (!json_object_is_type(json, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s': want a mapping", where);
    }
    snprintf(where, sizeof where, "volumePolicies[%zu].", index);
    int r = xb_fields_check(json, where, rule_fields, err);
    if (r < 0) {
        return r;
    }
    rule->conditions = xb_field(json, "conditions");
    snprintf(where, sizeof where, "volumePolicies[%zu].conditions.", index);
    if ((r = check_conditions(rule->conditions, where, err)) < 0 ||
        (r = read_capacity(rule->conditions, where, rule, err)) < 0) {
        return r;
    }
    snprintf(where, sizeof where, "volumePolicies[%zu].action.", index);
    return read_action(xb_field(json, "action"), where, &rule->action, err);
}

/* ---- filters ---- */

static bool has_text(xb_json *list, const char *text)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(xb_field_text(json_object_array_get_idx(list, i)), text) == 0) {
            return true;
        }
    }
    return false;
}

static int check_filters(xb_json *filters, struct xb_error *err)
{
    int r = xb_fields_check(filters, "includeExcludePolicy.", filter_fields, err);
    for (size_t i = 0; r == 0 && i < sizeof filter_pairs / sizeof *filter_pairs; i++) {
        xb_json *included = xb_field(filters, filter_pairs[i][0]);
        xb_json *excluded = xb_field(filters, filter_pairs[i][1]);
        if (has_text(included, "*") || has_text(excluded, "*")) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "field 'includeExcludePolicy.%s': '*' cannot be used in a policy",
                                filter_pairs[i][has_text(excluded, "*")]);
        }
        for (size_t at = 0; excluded && at < json_object_array_length(excluded); at++) {
            const char *item = xb_field_text(json_object_array_get_idx(excluded, at));
            if (has_text(included, item)) {
                return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                    "field 'includeExcludePolicy.%s': '%.100s' is included, too",
                                    filter_pairs[i][1], item);
            }
        }
    }
    return r;
}

xb_json *xb_policy_filters(const struct xb_policy *policy)
{
    return policy ? xb_field(policy->tree, "includeExcludePolicy") : NULL;
}

const char *xb_policy_filters_problem(const struct xb_policy *policy, xb_json *spec)
{
    static const char *const old[] = {"includedResources", "excludedResources"};
    bool mixed = xb_json_get(spec, "includeClusterResources") != NULL;
    if (!xb_policy_filters(policy)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        xb_json *list = xb_json_get(spec, old[i]);
        mixed = mixed ||
                (json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0);
    }
    return mixed ? "includedResources, excludedResources and includeClusterResources cannot be "
                   "used together with the includeExcludePolicy of resource policies: use the "
                   "cluster-scoped and namespace-scoped filters"
                 : NULL;
}

/* ---- the whole ---- */

static int read_rules(struct xb_policy *policy, struct xb_error *err)
{
    xb_json *rules = xb_field(policy->tree, "volumePolicies");
    size_t count = rules ? json_object_array_length(rules) : 0;
    policy->rules = calloc(count + 1, sizeof *policy->rules);
    if (!policy->rules) {
        return xb_error_no_memory(err, "resource policies");
    }
    int r = 0;
    for (; r == 0 && policy->rule_count < count; policy->rule_count++) {
        r = read_rule(json_object_array_get_idx(rules, policy->rule_count), policy->rule_count,
                      &policy->rules[policy->rule_count], err);
    }
    return r;
}

int xb_policy_parse(const char *text, size_t len, struct xb_policy **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = calloc(1, sizeof *policy);
    if (!policy) {
        return xb_error_no_memory(err, "resource policies");
    }
    int r = xb_kube_yaml_parse(text, len, &policy->tree, err);
    if (r < 0) {
        err->kind = err->kind == XB_ERR_CORRUPT ? XB_ERR_INVALID : err->kind;
        return r;
    }
    if (!json_object_is_type(policy->tree, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the text is no YAML mapping");
    }
    if ((r = xb_fields_check(policy->tree, "", root_fields, err)) < 0) {
        return r;
    }
    const char *version = xb_field_text(xb_field(policy->tree, "version"));
    if (strcmp(version, "v1") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field 'version': '%.100s', want v1",
                            version);
    }
    if ((r = read_rules(policy, err)) < 0 ||
        (r = check_filters(xb_field(policy->tree, "includeExcludePolicy"), err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(policy);
    return 0;
}

int xb_policy_from_config_map(xb_json *config_map, struct xb_policy **ret, struct xb_error *err)
{
    const char *key = NULL;
    const char *text = NULL;
    int r = xb_field_only_text(xb_field(config_map, "data"), &key, &text, err);
    if (r < 0) {
        return r;
    }
    r = xb_policy_parse(text, strlen(text), ret, err);
    return r < 0 ? xb_error_wrap(err, "key '%.100s'", key) : 0;
}

void xb_policy_free(struct xb_policy *policy)
{
    for (struct xb_policy *after = NULL; policy; policy = after) {
        after = policy->after;
        xb_json_putp(&policy->tree);
        free(policy->rules);
        free(policy);
    }
}
