/* SPDX-License-Identifier: Apache-2.0
 *
 * validate.h - whether a Backup can be made as it stands.
 *
 * What for:  one judgement before a backup begins, and the same one again before it collects: a
 *            spec that was changed in between, or never judged, must not be half obeyed.
 * Ownership: lends; the filter is the caller's (xb_filter_free).
 * Threads:   any.
 * Blocking:  never (pure).
 * Shapes:    problems are texts for status.validationErrors that name the field. While a field is
 *            unknown or of a wrong type, nothing is said of what the fields mean.
 * Errors:    of xb_validated_filter: INVALID, the first problem.
 * Source:    velero-contract sections 1 and 3, "Preparation".
 */
#pragma once

#include "coordinator/collect/filter.h"
#include "coordinator/collect/policy.h"

/* Adds what is wrong to `problems`, an array. *ret is the filter of the spec and its policies,
 * which is made only when nothing is wrong. `policy` may be NULL. */
int xb_validate_backup(xb_json *backup, const struct xb_policy *policy, xb_json *problems,
                       struct xb_filter **ret, struct xb_error *err) XB_MUST_CHECK;
/* The filter of a backup that has nothing wrong with it. */
int xb_validated_filter(xb_json *backup, const struct xb_policy *policy, struct xb_filter **ret,
                        struct xb_error *err) XB_MUST_CHECK;
