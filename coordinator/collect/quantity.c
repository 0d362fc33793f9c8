/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/quantity.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { SCALE_MAX = 28, EXPONENT_MAX = 18, NANO = 1000000000 };

/* Room for one more digit: nineteen fit. */
#define DIGITS_VALUE_MAX UINT64_C(1000000000000000000)

__extension__ typedef unsigned __int128 wide;

/* digits * factor / 10^scale */
struct parts {
    uint64_t digits, factor;
    unsigned scale;
};

static int bad(const char *text, size_t len, const char *why, struct xb_error *err)
{
    int shown = len > XB_QUANTITY_TEXT_MAX ? XB_QUANTITY_TEXT_MAX : (int)len;
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.*s' is no quantity: %s", shown, text,
                        why);
}

static wide power_of_ten(unsigned exponent)
{
    wide value = 1;
    while (exponent-- > 0) {
        value *= 10;
    }
    return value;
}

static bool add_digit(struct parts *parts, char digit)
{
    if (parts->digits >= DIGITS_VALUE_MAX) {
        return false;
    }
    parts->digits = 10 * parts->digits + (uint64_t)(digit - '0');
    return true;
}

/* Digits and point; *at is moved behind them. Zeros at the end of a fraction say nothing: they
 * wait until another digit needs them. */
static const char *read_digits(const char *text, size_t len, size_t *at, struct parts *parts)
{
    bool point = false;
    bool any = false;
    unsigned waiting = 0;
    for (; *at < len; ++*at) {
        char c = text[*at];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        any = true;
        if (point && c == '0') {
            waiting++;
            continue;
        }
        for (; waiting > 0; waiting--, parts->scale++) {
            if (!add_digit(parts, '0')) {
                return "too many digits";
            }
        }
        if (!add_digit(parts, c)) {
            return "too many digits";
        }
        parts->scale += point;
    }
    return any ? NULL : "it has no digits";
}

/* "e3", "E-2" */
static const char *read_exponent(const char *text, size_t len, struct parts *parts)
{
    size_t at = 1;
    bool minus = at < len && text[at] == '-';
    unsigned exponent = 0;
    at += at < len && (text[at] == '-' || text[at] == '+');
    if (at == len) {
        return "its exponent has no digits";
    }
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9') {
            return "its suffix is unknown";
        }
        exponent = 10 * exponent + (unsigned)(text[at] - '0');
        if (exponent > EXPONENT_MAX) {
            return "its exponent is out of range";
        }
    }
    if (minus) {
        parts->scale += exponent;
    } else {
        parts->factor = (uint64_t)power_of_ten(exponent);
    }
    return NULL;
}

static const char *read_suffix(const char *text, size_t len, struct parts *parts)
{
    static const char large[] = "kMGTPE";
    static const char binary[] = "KMGTPE";
    static const char small[] = "mun"; /* thousandth, millionth, billionth */
    const char *found = NULL;
    if (len == 0) {
        return NULL;
    }
    if (len == 2 && text[1] == 'i' && (found = memchr(binary, text[0], sizeof binary - 1))) {
        parts->factor = UINT64_C(1) << 10 * (unsigned)(found - binary + 1);
        return NULL;
    }
    if (len == 1 && (found = memchr(large, text[0], sizeof large - 1))) {
        parts->factor = (uint64_t)power_of_ten(3 * (unsigned)(found - large + 1));
        return NULL;
    }
    if (len == 1 && (found = memchr(small, text[0], sizeof small - 1))) {
        parts->scale += 3 * (unsigned)(found - small + 1);
        return NULL;
    }
    if (text[0] == 'e' || text[0] == 'E') {
        return read_exponent(text, len, parts);
    }
    return "its suffix is unknown";
}

int xb_quantity_parse(const char *text, size_t len, struct xb_quantity *ret, struct xb_error *err)
{
    struct parts parts = {.digits = 0, .factor = 1};
    if (len == 0 || len > XB_QUANTITY_TEXT_MAX) {
        return bad(text, len, len ? "it is too long" : "it is empty", err);
    }
    bool minus = text[0] == '-';
    size_t at = minus || text[0] == '+';
    const char *why = read_digits(text, len, &at, &parts);
    if (!why) {
        why = read_suffix(text + at, len - at, &parts);
    }
    if (!why && parts.digits > 0 && parts.scale > SCALE_MAX) {
        why = "it has too many decimal places";
    }
    if (!why && minus && parts.digits > 0) {
        why = "it is negative";
    }
    if (why) {
        return bad(text, len, why, err);
    }
    if (parts.digits == 0) {
        *ret = (struct xb_quantity){.whole = 0};
        return 0;
    }
    wide product = (wide)parts.digits * parts.factor;
    wide unit = power_of_ten(parts.scale);
    wide whole = product / unit;
    /* Below 10^28 times 10^9 is still wide enough. */
    wide nano = (product % unit * NANO + unit - 1) / unit;
    whole += nano == NANO;
    nano = nano == NANO ? 0 : nano;
    bool huge = whole >= INT64_MAX;
    *ret = (struct xb_quantity){.whole = huge ? INT64_MAX : (int64_t)whole,
                                .nano = huge ? 0 : (int32_t)nano};
    return 0;
}

int xb_quantity_compare(const struct xb_quantity *a, const struct xb_quantity *b)
{
    if (a->whole != b->whole) {
        return a->whole < b->whole ? -1 : 1;
    }
    return (a->nano > b->nano) - (a->nano < b->nano);
}
