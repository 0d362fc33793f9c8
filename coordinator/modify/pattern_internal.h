/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern_internal.h - patterns before PCRE2 sees them; for pattern.c only.
 *
 * What for:  PCRE2's syntax is larger than Go's, and some of it has no bounds.
 */
#pragma once

#include "shared/base/buf.h"
#include "shared/base/error.h"

/* What of a regular expression is not Go's syntax though PCRE2 might take it; NULL: nothing. */
const char *xb_pattern_problem(const char *regex);
/* A glob as the regular expression that means the same. */
int xb_pattern_translate(const char *glob, char separator, struct xb_buf *out,
                         struct xb_error *err) XB_MUST_CHECK;
