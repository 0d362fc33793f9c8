/* SPDX-License-Identifier: Apache-2.0
 *
 * selector.h - label selectors, and labels.
 *
 * What for:  "does this object have those labels?", wherever a selector is a part of another
 *            object.
 * Ownership: lends.
 * Threads:   any.    Blocking: never (pure).
 * Errors:    an expression with an operator that does not exist matches nothing.
 * Source:    Kubernetes API, meta/v1 LabelSelector, v1 NodeSelector.
 */
#pragma once

#include "shared/codec/json.h"

/* Whether a label selector (matchLabels, matchExpressions) matches the labels (an object or NULL).
 */
bool xb_selector_matches(xb_json *selector, xb_json *labels);

/* Whether a node selector (nodeSelectorTerms, as in a PersistentVolume's affinity) matches the
 * Node: by labels, and by the field metadata.name. One without terms, and a term without
 * conditions, match nothing. */
bool xb_node_selector_matches(xb_json *selector, xb_json *node);

/* Whether Kubernetes takes it as a label's key ("example.com/name", "name"), which is also what an
 * annotation's may be; and as its value. */
bool xb_label_key_valid(const char *key);
bool xb_label_value_valid(const char *value);

enum { XB_SELECTOR_LIST_MAX = 10000 /* requirements, and values of one */ };

/* Told of each thing that is wrong; the text begins with `field`. */
typedef void xb_selector_problem_fn(void *context, const char *problem);
/* Whether the selector is one that Kubernetes would take. */
void xb_selector_check(xb_json *selector, const char *field, xb_selector_problem_fn *problem,
                       void *context);
