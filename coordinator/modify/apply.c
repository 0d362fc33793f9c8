/* SPDX-License-Identifier: Apache-2.0
 * Modifiers put to an object. */
#include <errno.h>
#include <string.h>

#include "coordinator/modify/modify_internal.h"
#include "coordinator/modify/patch_internal.h"
#include "coordinator/modify/strategic.h"
#include "shared/kube/selector.h"

/* ---- conditions ---- */

static int match_namespace(const struct xb_modify_rule *rule, const char *namespace, bool *ret,
                           struct xb_error *err)
{
    bool any = rule->namespace_count == 0 || !namespace[0];
    int r = 0;
    for (size_t i = 0; r == 0 && !any && i < rule->namespace_count; i++) {
        r = xb_pattern_match(rule->namespaces[i], namespace, &any, err);
    }
    *ret = any;
    return r;
}

/* What holds no value cannot hold this one; Velero says so of mappings only. */
static int match_values(const struct xb_modify_rule *rule, xb_json *object, bool *ret,
                        struct xb_error *err)
{
    bool hold = true;
    for (size_t i = 0; hold && i < rule->match_count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        int r = xb_json_patch_test(object, &rule->matches[i], &hold, &why);
        if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return r;
        }
        hold = hold && r == 0;
    }
    *ret = hold;
    return 0;
}

static int match(const struct xb_modify_rule *rule, const char *resource, xb_json *object,
                 bool *ret, struct xb_error *err)
{
    bool holds = false;
    int r = match_namespace(rule, xb_json_str(object, "metadata.namespace", ""), &holds, err);
    if (r == 0 && holds) {
        r = xb_pattern_match(rule->kind, resource, &holds, err);
    }
    if (r == 0 && holds && rule->name) {
        r = xb_pattern_match(rule->name, xb_json_str(object, "metadata.name", ""), &holds, err);
    }
    if (r == 0 && holds && rule->selector) {
        holds = xb_selector_matches(rule->selector, xb_json_get(object, "metadata.labels"));
    }
    if (r == 0 && holds) {
        r = match_values(rule, object, &holds, err);
    }
    *ret = holds;
    return r;
}

/* ---- patches ---- */

/* One patch after the other, each onto what the one before made. */
static int put_patches(xb_json *patches, xb_json *object, bool strategic, xb_json **ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *now = json_object_get(object);
    for (size_t i = 0; i < json_object_array_length(patches); i++) {
        xb_json *patch = json_object_array_get_idx(patches, i);
        xb_json *next = NULL;
        int r = strategic ? xb_strategic_patch(now, patch, &next, err)
                          : xb_json_merge_patch(now, patch, &next, err);
        if (r < 0) {
            return xb_error_wrap(err, "%s[%zu]", strategic ? "strategicPatches" : "mergePatches",
                                 i);
        }
        xb_json_putp(&now);
        now = next;
    }
    *ret = XB_TAKE(now);
    return 0;
}

static bool is_object(xb_json *json)
{
    return json_object_is_type(json, json_type_object) && xb_json_str(json, "apiVersion", "")[0] &&
           xb_json_str(json, "kind", "")[0] && xb_json_str(json, "metadata.name", "")[0];
}

static int patch(const struct xb_modify_rule *rule, xb_json **object, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patched = NULL;
    int r = 0;
    if (rule->step_count > 0) {
        r = xb_json_patch(*object, rule->steps, rule->step_count, &patched, err);
    } else {
        bool strategic = rule->strategic_patches != NULL;
        r = put_patches(strategic ? rule->strategic_patches : rule->merge_patches, *object,
                        strategic, &patched, err);
    }
    if (r < 0) {
        return r;
    }
    if (!is_object(patched)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "what it makes is no object any more: apiVersion, kind and "
                            "metadata.name must stay");
    }
    xb_json_putp(object);
    *object = XB_TAKE(patched);
    return 0;
}

/* ---- rules ---- */

static int apply_rule(const struct xb_modify_rule *rule, const char *resource, xb_json *origin,
                      xb_json **object, xb_modify_report_fn *report, void *context)
{
    struct xb_error why = XB_ERROR_INIT;
    bool matches = false;
    int r = match(rule, resource, origin, &matches, &why);
    if (r == 0 && matches) {
        r = patch(rule, object, &why);
    }
    if (r == 0) {
        if (matches) {
            report(context, XB_MODIFY_APPLIED, rule->label);
        }
        return 0;
    }
    /* A test among the patches that does not hold passes the rule over, as it is meant to. */
    bool tested = why.kind == XB_ERR_CONFLICT;
    r = xb_error_wrap(&why, "%s", rule->label);
    report(context, tested ? XB_MODIFY_TEST_FAILED : XB_MODIFY_FAILED, why.text);
    return r;
}

int xb_modifiers_apply(const struct xb_modifiers *modifiers, const char *resource, xb_json **object,
                       xb_modify_report_fn *report, void *context, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *origin = json_object_get(*object);
    for (size_t i = 0; i < modifiers->rule_count; i++) {
        if (apply_rule(&modifiers->rules[i], resource, origin, object, report, context) ==
            -ENOMEM) {
            return xb_error_no_memory(err, "resource modifiers");
        }
    }
    return 0;
}
