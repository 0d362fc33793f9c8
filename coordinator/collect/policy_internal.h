/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_internal.h - a policy from within; for policy.c, which reads it, and policy_match.c.
 */
#pragma once

#include "coordinator/collect/policy.h"
#include "coordinator/collect/quantity.h"
#include "shared/codec/fields.h"

struct xb_policy_rule {
    xb_json *conditions; /* checked; NULL: none. Lent by the policy's tree */
    struct xb_quantity lower, upper;
    enum xb_policy_action action;
};

struct xb_policy {
    xb_json *tree; /* the whole text, checked */
    struct xb_policy_rule *rules;
    size_t rule_count;
    struct xb_policy *after; /* whose rules come after these; NULL: none. Has none itself */
};
