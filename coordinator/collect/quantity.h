/* SPDX-License-Identifier: Apache-2.0
 *
 * quantity.h - Kubernetes' way of writing amounts: "10Gi", "1.5G", "500m", "1e3".
 *
 * What for:  comparing the capacity of a volume with the range of a policy.
 * Ownership: a plain value.    Threads: any.    Blocking: never (pure).
 * Shapes:    digits with at most one point, then nothing, a binary suffix (Ki Mi Gi Ti Pi Ei), a
 *            decimal one (n u m k M G T P E) or an exponent (e or E and a signed number). A sign
 *            may come first. Finer than a billionth is rounded up, larger than 2^63-1 is that.
 * Errors:    INVALID: not an amount; negative ones too, as nothing here can be less than nothing.
 * Limits:    XB_QUANTITY_DIGITS_MAX digits that count.
 * Source:    Kubernetes' API conventions, "Units".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum { XB_QUANTITY_DIGITS_MAX = 19, XB_QUANTITY_TEXT_MAX = 64 };

struct xb_quantity {
    int64_t whole;
    int32_t nano; /* 0 to 999,999,999 */
};

int xb_quantity_parse(const char *text, size_t len, struct xb_quantity *ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* Below, at or above 0: `a` is less than, as much as or more than `b`. */
int xb_quantity_compare(const struct xb_quantity *a, const struct xb_quantity *b);
