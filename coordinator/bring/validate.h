/* SPDX-License-Identifier: Apache-2.0
 *
 * validate.h - whether a Restore can be done as it stands.
 *
 * What for:  one judgement before a restore begins, and the same one again before it makes
 * anything: a spec that was changed in between, or never judged, must not be half obeyed.
 * Ownership: lends; the filter is the caller's (xb_filter_free).
 * Threads:   any.
 * Blocking:  never (pure).
 * Shapes:    problems are texts for status.validationErrors that name the field. While a field is
 *            unknown or of a wrong type, nothing is said of what the fields mean.
 * Errors:    of xb_validated_restore_filter: INVALID, the first problem.
 * Source:    velero-contract sections 1 and 4.
 */
#pragma once

#include "coordinator/collect/filter.h"

/* Adds what is wrong to `problems`, an array; what the restore is made from is for the caller to
 * judge. *ret is the filter of the spec, which is made only when nothing is wrong. */
int xb_validate_restore(xb_json *restore, xb_json *problems, struct xb_filter **ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* The filter of a restore that has nothing wrong with it. */
int xb_validated_restore_filter(xb_json *restore, struct xb_filter **ret,
                                struct xb_error *err) XB_MUST_CHECK;
