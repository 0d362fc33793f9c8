/* SPDX-License-Identifier: Apache-2.0
 *
 * slices.h - the values of a JSON object or array, as pieces of its text.
 *
 * What for:  lists of objects that are passed on as they came: each is cut out by its brackets, and
 *            only what is looked at is taken apart (json.h).
 * Ownership: slices point into the caller's text.    Threads: any.    Blocking: never (pure).
 * Shapes:    a slice holds whole tokens with brackets that match and strings that end. Whether
 *            commas and colons stand where they should is not looked at within a value that is
 *            passed over: what matters is parsed, and the rest is handed on.
 * Errors:    CORRUPT with the byte at which the text is wrong.
 * Limits:    nesting <= XB_SLICES_NESTING_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/error.h"

enum { XB_SLICES_NESTING_MAX = 1024 };

struct xb_slice {
    const char *text;
    size_t len;
};

struct xb_slices {
    const char *start, *at, *end;
    bool object, begun;
};

/* The text must be an object or an array, white space around it allowed. */
int xb_slices_begin(struct xb_slices *slices, struct xb_slice text,
                    struct xb_error *err) XB_MUST_CHECK;
/* The next value: 1; 0 at the end. *ret_key: what is between the quotes, escapes as they stand;
 * empty in an array. Strings keep their quotes. */
int xb_slices_next(struct xb_slices *slices, struct xb_slice *ret_key, struct xb_slice *ret,
                   struct xb_error *err) XB_MUST_CHECK;

bool xb_slice_is(struct xb_slice slice, const char *text);
