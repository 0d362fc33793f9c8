/* SPDX-License-Identifier: Apache-2.0
 * Reading modifiers, strictly. */
#include "coordinator/modify/modify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coordinator/modify/modify_internal.h"
#include "shared/codec/fields.h"
#include "shared/kube/yaml.h"

static const struct xb_field root_fields[] = {
    {"version", XB_FIELD_TEXT},
    {"resourceModifierRules", XB_FIELD_LIST},
    {NULL, XB_FIELD_TEXT},
};

static int read_rules(struct xb_modifiers *modifiers, struct xb_error *err)
{
    xb_json *rules = xb_field(modifiers->tree, "resourceModifierRules");
    size_t count = rules ? json_object_array_length(rules) : 0;
    if (count == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "field 'resourceModifierRules': there must be a rule");
    }
    modifiers->rules = calloc(count, sizeof *modifiers->rules);
    if (!modifiers->rules) {
        return xb_error_no_memory(err, "resource modifiers");
    }
    int r = 0;
    while (r == 0 && modifiers->rule_count < count) {
        char where[XB_MODIFY_WHERE_BYTES];
        size_t index = modifiers->rule_count++; /* what is half read is freed, too */
        snprintf(where, sizeof where, "resourceModifierRules[%zu]", index);
        r = xb_modify_read_rule(json_object_array_get_idx(rules, index), where,
                                &modifiers->rules[index], err);
    }
    return r;
}

int xb_modifiers_parse(const char *text, size_t len, struct xb_modifiers **ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = calloc(1, sizeof *modifiers);
    if (!modifiers) {
        return xb_error_no_memory(err, "resource modifiers");
    }
    int r = xb_kube_yaml_parse(text, len, &modifiers->tree, err);
    if (r < 0) {
        err->kind = err->kind == XB_ERR_CORRUPT ? XB_ERR_INVALID : err->kind;
        return r;
    }
    if (!json_object_is_type(modifiers->tree, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the text is no YAML mapping");
    }
    if ((r = xb_fields_check(modifiers->tree, "", root_fields, err)) < 0) {
        return r;
    }
    const char *version = xb_field_text(xb_field(modifiers->tree, "version"));
    if (strcasecmp(version, "v1") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field 'version': '%.100s', want v1",
                            version);
    }
    if ((r = read_rules(modifiers, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(modifiers);
    return 0;
}

int xb_modifiers_from_config_map(xb_json *config_map, struct xb_modifiers **ret,
                                 struct xb_error *err)
{
    const char *key = NULL;
    const char *text = NULL;
    int r = xb_field_only_text(xb_field(config_map, "data"), &key, &text, err);
    if (r < 0) {
        return r;
    }
    r = xb_modifiers_parse(text, strlen(text), ret, err);
    return r < 0 ? xb_error_wrap(err, "key '%.100s'", key) : 0;
}

void xb_modifiers_free(struct xb_modifiers *modifiers)
{
    if (!modifiers) {
        return;
    }
    for (size_t i = 0; i < modifiers->rule_count; i++) {
        xb_modify_rule_clean(&modifiers->rules[i]);
    }
    free(modifiers->rules);
    xb_json_putp(&modifiers->tree);
    free(modifiers);
}
