/* SPDX-License-Identifier: Apache-2.0
 *
 * number.h - decimal numbers out of what a server says.
 *
 * What for:  lengths, sizes and ranges: digits only, no sign, no blanks, no overflow. Pure.
 * Ownership: none.
 * Threads:   any.    Blocking: never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Takes the digits at *at and moves behind them; false (and *at stays) when there is none, or when
 * they are more than INT64_MAX: no object is that large. */
static inline bool xb_s3_number(const char **at, uint64_t *ret)
{
    const char *c = *at;
    uint64_t value = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (uint64_t)(*c - '0');
        if (value > INT64_MAX || c - *at > 19) {
            return false;
        }
    }
    if (c == *at) {
        return false;
    }
    *at = c;
    *ret = value;
    return true;
}
