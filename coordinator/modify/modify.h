/* SPDX-License-Identifier: Apache-2.0
 *
 * modify.h - resource modifiers: what a ConfigMap changes about objects that are restored.
 *
 * What for:  a Restore may name a ConfigMap with rules: objects of such a kind, name, namespace,
 *            with such labels and values, get these patches before they are created.
 * Ownership: the caller owns the modifiers (xb_modifiers_free). What they are asked about is lent.
 * Threads:   read-only once they are made, so that threads may share them; an object belongs to one
 *            thread.
 * Blocking:  never (pure).
 * Shapes:    YAML with the fields of velero-contract section 4, "Resource modifiers". All rules
 *            whose conditions hold are applied, in order; conditions see the object as it was
 *            before the first. A rule is applied as a whole or not at all.
 * Errors:    of a text, INVALID, by the path of the field: no YAML, unknown, doubled or ill-typed
 *            fields, and everything that could never be applied (a pattern, pointer, selector or
 *            value that is none, a patch that is no mapping). With Velero only some of these
 *            refuse a restore, the others fail on each item. Of an object, a rule that cannot be
 *            applied to it is told by the report, and the object stays as that rule found it.
 * Limits:    those of xb_kube_yaml_parse, pattern.h and json_patch.h.
 * Source:    velero-contract section 4.
 */
#pragma once

#include "shared/base/cleanup.h"
#include "shared/codec/json.h"

struct xb_modifiers;

/* `config_map`: the object; it must have exactly one key. */
int xb_modifiers_from_config_map(xb_json *config_map, struct xb_modifiers **ret,
                                 struct xb_error *err) XB_MUST_CHECK;
int xb_modifiers_parse(const char *text, size_t len, struct xb_modifiers **ret,
                       struct xb_error *err) XB_MUST_CHECK;
void xb_modifiers_free(struct xb_modifiers *modifiers);
XB_DEFINE_CLEANUP(xb_modifiers_freep, struct xb_modifiers, xb_modifiers_free);

enum xb_modify_outcome {
    XB_MODIFY_APPLIED,
    XB_MODIFY_TEST_FAILED, /* a test among the patches does not hold: the rule is passed over */
    XB_MODIFY_FAILED
};

/* Told of each rule whose conditions hold, and of each that cannot be decided. `text` names the
 * rule, and what is wrong. */
typedef void xb_modify_report_fn(void *context, enum xb_modify_outcome outcome, const char *text);

/* `resource` is "plural.group", or "plural" of the core group. `*object` may be exchanged for
 * another. Fails only for want of memory. */
int xb_modifiers_apply(const struct xb_modifiers *modifiers, const char *resource, xb_json **object,
                       xb_modify_report_fn *report, void *context,
                       struct xb_error *err) XB_MUST_CHECK;
