/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/codec/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"

void xb_hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int xb_hex_decode(const char *text, size_t text_len, void *out, struct xb_error *err)
{
    unsigned char *bytes = out;
    if (text_len % 2 != 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "hex text of odd length %zu", text_len);
    }
    for (size_t i = 0; i < text_len; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a hex digit at position %zu",
                                i);
        }
        bytes[i / 2] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int xb_base64_encode(const void *data, size_t len, struct xb_buf *out, struct xb_error *err)
{
    const unsigned char *bytes = data;
    if (len > SIZE_MAX / 4 * 3 - 3) {
        return xb_error_no_memory(err, "base64 text");
    }
    int r = xb_buf_reserve(out, (len + 2) / 3 * 4, err);
    for (size_t i = 0; i < len && r == 0; i += 3) {
        size_t rest = len - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= rest > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= rest > 2 ? bytes[i + 2] : 0;
        char four[4] = {base64_digits[group >> 18], base64_digits[group >> 12 & 63],
                        rest > 1 ? base64_digits[group >> 6 & 63] : '=',
                        rest > 2 ? base64_digits[group & 63] : '='};
        r = xb_buf_append(out, four, sizeof four, err);
    }
    return r;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int xb_base64_decode(const char *text, size_t len, struct xb_buf *out, struct xb_error *err)
{
    if (len % 4 != 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "base64 text of length %zu", len);
    }
    size_t padding = len > 0 && text[len - 1] == '=' ? (text[len - 2] == '=' ? 2 : 1) : 0;
    int r = xb_buf_reserve(out, len / 4 * 3 - padding, err);
    for (size_t i = 0; i < len && r == 0; i += 4) {
        size_t drop = i + 4 == len ? padding : 0;
        uint32_t group = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j + drop >= 4 ? 0 : base64_value(text[i + j]);
            if (value < 0) {
                return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                    "not a base64 digit at position %zu", i + j);
            }
            group = group << 6 | (uint32_t)value;
        }
        unsigned char three[3] = {(unsigned char)(group >> 16), (unsigned char)(group >> 8),
                                  (unsigned char)group};
        r = xb_buf_append(out, three, 3 - drop, err);
    }
    return r;
}

static bool duration_unit(const char **text, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"\xc2\xb5s", 1000},
        {"ms", XB_NS_PER_MS},
        {"s", XB_NS_PER_S},
        {"m", 60 * XB_NS_PER_S},
        {"h", 3600 * XB_NS_PER_S},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].name);
        if (strncmp(*text, units[i].name, len) == 0) {
            *text += len;
            *ret_ns = units[i].ns;
            return true;
        }
    }
    return false;
}

#define FRACTION_MAX INT64_C(100000000000000) /* 2^53 has more digits */

/* One "<digits>[.<digits>]<unit>" of a duration, added to *total. */
static bool duration_part(const char **text, int64_t *total)
{
    int64_t whole = 0, fraction = 0, unit = 0, part;
    double scale = 1;
    int digits = 0;
    for (; isdigit((unsigned char)**text); (*text)++, digits++) {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, **text - '0', &whole)) {
            return false;
        }
    }
    if (**text == '.') {
        for ((*text)++; isdigit((unsigned char)**text); (*text)++, digits++) {
            if (fraction < FRACTION_MAX) { /* digits behind these are below a nanosecond */
                fraction = fraction * 10 + (**text - '0');
                scale *= 10;
            }
        }
    }
    /* A whole number of digits times unit/scale is exact where adding up tenths is not. */
    return digits > 0 && duration_unit(text, &unit) &&
           !__builtin_mul_overflow(whole, unit, &part) &&
           !__builtin_add_overflow(*total, part, total) &&
           !__builtin_add_overflow(*total, (int64_t)((double)fraction * ((double)unit / scale)),
                                   total);
}

int xb_duration_parse(const char *text, int64_t *ret_ns, struct xb_error *err)
{
    const char *next = text;
    int64_t total = 0;
    bool negative = *next == '-';
    if (*next == '-' || *next == '+') {
        next++;
    }
    if (strcmp(next, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    bool good = *next != '\0';
    while (good && *next) {
        good = duration_part(&next, &total);
    }
    if (!good) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "\"%.40s\" is not a duration; write it like 4h, 10m0s or 250ms", text);
    }
    *ret_ns = negative ? -total : total;
    return 0;
}

/* ".5" for 500 of 1000, "" for none. */
static void fraction_format(uint64_t fraction, int digits, char out[16])
{
    out[0] = '\0';
    if (fraction > 0) {
        int len = snprintf(out, 16, ".%0*llu", digits, (unsigned long long)fraction);
        while (out[len - 1] == '0') {
            out[--len] = '\0';
        }
    }
}

void xb_duration_format(int64_t ns, char out[XB_TIME_TEXT_BYTES])
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t left = ns < 0 ? (uint64_t) - (ns + 1) + 1 : (uint64_t)ns;
    uint64_t seconds = left / (uint64_t)XB_NS_PER_S;
    char tail[16];
    if (seconds == 0 && left > 0) { /* Go has smaller units for what is below a second */
        int digits = left >= (uint64_t)XB_NS_PER_MS ? 6 : left >= 1000 ? 3 : 0;
        uint64_t unit = digits == 6 ? (uint64_t)XB_NS_PER_MS : digits == 3 ? 1000 : 1;
        fraction_format(left % unit, digits, tail);
        snprintf(out, XB_TIME_TEXT_BYTES, "%s%llu%s%s", sign, (unsigned long long)(left / unit),
                 tail,
                 digits == 6   ? "ms"
                 : digits == 3 ? "\xc2\xb5s"
                               : "ns");
        return;
    }
    fraction_format(left % (uint64_t)XB_NS_PER_S, 9, tail);
    unsigned long long h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;
    if (h > 0) {
        snprintf(out, XB_TIME_TEXT_BYTES, "%s%lluh%llum%llu%ss", sign, h, m, s, tail);
    } else if (m > 0) {
        snprintf(out, XB_TIME_TEXT_BYTES, "%s%llum%llu%ss", sign, m, s, tail);
    } else {
        snprintf(out, XB_TIME_TEXT_BYTES, "%s%llu%ss", sign, s, tail);
    }
}

/* Length of the valid sequence at `text`, or 0. */
static size_t utf8_sequence(const unsigned char *text, size_t len)
{
    unsigned char c = text[0];
    if (c < 0x80) {
        return 1;
    }
    size_t want = c >= 0xc2 && c <= 0xdf   ? 2
                  : (c & 0xf0) == 0xe0     ? 3
                  : c >= 0xf0 && c <= 0xf4 ? 4
                                           : 0;
    if (want == 0 || want > len) {
        return 0;
    }
    for (size_t i = 1; i < want; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xe0 && text[1] < 0xa0) || (c == 0xf0 && text[1] < 0x90);
    bool outside = (c == 0xed && text[1] > 0x9f) || (c == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : want;
}

bool xb_utf8_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        size_t step = utf8_sequence(bytes + i, len - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}
