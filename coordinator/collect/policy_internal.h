/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_internal.h - a policy from within; for policy.c, which reads it, and policy_match.c.
 */
#pragma once

#include "coordinator/collect/policy.h"
#include "coordinator/collect/quantity.h"

struct xb_policy_rule {
    xb_json *conditions; /* checked; NULL: none. Lent by the policy's tree */
    struct xb_quantity lower, upper;
    enum xb_policy_action action;
};

struct xb_policy {
    xb_json *tree; /* the whole text, checked */
    struct xb_policy_rule *rules;
    size_t rule_count;
};

/* A scalar as the text that it is; null is "". */
static inline const char *xb_policy_text(xb_json *scalar)
{
    const char *text = scalar ? json_object_get_string(scalar) : NULL;
    return text ? text : "";
}

/* A field of an object whose keys may have dots; NULL: absent or null. */
static inline xb_json *xb_policy_field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    bool found = json_object_is_type(object, json_type_object) &&
                 json_object_object_get_ex(object, key, &value);
    return found ? value : NULL;
}
