/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern.h - regular expressions in Go's syntax (RE2's), and Velero's globs.
 *
 * What for:  the conditions of resource modifiers on names and kinds.
 * Ownership: the caller owns a pattern (xb_pattern_free).
 * Threads:   read-only once it is made.    Blocking: never (pure).
 * Shapes:    of Go's syntax all but octal escapes and \v; what PCRE2 has beyond it (look-around,
 *            back references, possessive and atomic groups, recursion, verbs) is refused. A glob
 *            has `*` and `?` (no separator), `**`, `[abc]`, `[!a-z]`, `{one,two}` and `\`, and is
 *            about the whole text; a regular expression is searched for.
 * Errors:    INVALID: what is wrong with the pattern, and where.
 * Limits:    XB_PATTERN_BYTES_MAX. A match is one pass over the text, never back: PCRE2's
 *            breadth-first matcher, with a limit on the states that it follows at once.
 * Source:    Go's regexp/syntax; gobwas/glob; pcre2api(3), pcre2matching(3).
 */
#pragma once

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

#include <stdbool.h>

enum { XB_PATTERN_BYTES_MAX = 4096 };

struct xb_pattern;

int xb_pattern_regex(const char *text, struct xb_pattern **ret, struct xb_error *err) XB_MUST_CHECK;
/* `separator` is what `*` and `?` do not match; 0: they match everything. */
int xb_pattern_glob(const char *text, char separator, struct xb_pattern **ret,
                    struct xb_error *err) XB_MUST_CHECK;
void xb_pattern_free(struct xb_pattern *pattern);
XB_DEFINE_CLEANUP(xb_pattern_freep, struct xb_pattern, xb_pattern_free);

/* A text that is no UTF-8 matches nothing. FULL: a limit was reached. */
int xb_pattern_match(const struct xb_pattern *pattern, const char *text, bool *ret,
                     struct xb_error *err) XB_MUST_CHECK;
