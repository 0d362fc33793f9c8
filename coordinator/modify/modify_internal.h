/* SPDX-License-Identifier: Apache-2.0
 *
 * modify_internal.h - modifiers from within; for modify.c (the text), rule.c (one rule of it),
 * value.c and apply.c.
 *
 * What for:  everything of a text is made ready once: threads that apply it only read it.
 */
#pragma once

#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/modify.h"
#include "coordinator/modify/pattern.h"

enum { XB_MODIFY_WHERE_BYTES = 200 };

struct xb_modify_rule {
    struct xb_pattern *kind; /* of "plural.group" */
    struct xb_pattern **namespaces;
    size_t namespace_count;  /* 0: all */
    struct xb_pattern *name; /* NULL: any */
    xb_json *selector;       /* of strings only; NULL: any */
    struct xb_patch_step *matches, *steps;
    size_t match_count, step_count;
    /* At most one of these two; arrays of mappings. */
    xb_json *merge_patches, *strategic_patches;
    char *label; /* for people: its place, and its kind */
};

struct xb_modifiers {
    xb_json *tree; /* the whole text, checked; lends to the rules */
    struct xb_modify_rule *rules;
    size_t rule_count;
};

/* `where` is the rule's path. What is read stays in `rule`, also on an error. */
int xb_modify_read_rule(xb_json *json, const char *where, struct xb_modify_rule *rule,
                        struct xb_error *err) XB_MUST_CHECK;
void xb_modify_rule_clean(struct xb_modify_rule *rule);

/* What a patch's value says: JSON where it looks like JSON, else the text itself. */
int xb_modify_value(const char *text, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
