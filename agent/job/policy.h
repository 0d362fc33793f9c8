/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h - which kinds of copies are wanted of a volume.
 *
 * What for:  an administrator says it for the node (a flag, the agents' ConfigMap), a namespace, a
 *            claim or a pod: annotation XB_POINT_IN_TIME_POLICY, in the words of
 *            xb_freeze_methods_parse ("auto", "live", names of methods, or names to leave out);
 *            "off" is "live".
 * Rules:     what all of them allow is allowed: so the strictest wins. Words that make no sense
 *            allow everything, and are a problem for the record, by the name of who said them.
 *            An experimental method is only used if one of them names it.
 * Ownership: plain values.    Threads: any.    Blocking: never (pure).
 * Errors:    INVALID: nothing is left that all allow; the text names them all.
 */
#pragma once

#include "agent/freeze/freeze.h"
#include "shared/velero/point_in_time.h"

#define XB_POINT_IN_TIME_POLICY "xebec.io/point-in-time-policy"

enum { XB_METHOD_POLICIES_MAX = 5, XB_METHOD_POLICY_WHO_BYTES = 400 };

struct xb_method_policy {
    char who[XB_METHOD_POLICY_WHO_BYTES]; /* "pod shop/db" */
    const char *text;                     /* NULL: says nothing */
};

/* Reads an object's annotation; a value that is no text makes no sense. */
const char *xb_method_policy_of(xb_json *object);
int xb_method_policies(const struct xb_method_policy *policies, size_t count,
                       struct xb_freeze_methods *ret, char problem[XB_POINT_IN_TIME_WHY_BYTES],
                       struct xb_error *err) XB_MUST_CHECK;
