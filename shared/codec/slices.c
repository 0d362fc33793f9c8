/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/codec/slices.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static int malformed(const struct xb_slices *slices, const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not valid JSON at byte %zu: %s",
                        (size_t)(slices->at - slices->start), why);
}

static void skip_space(struct xb_slices *slices)
{
    while (slices->at < slices->end && (*slices->at == ' ' || *slices->at == '\n' ||
                                        *slices->at == '\t' || *slices->at == '\r')) {
        slices->at++;
    }
}

/* Passes over a string, from quote to quote. */
static int skip_string(struct xb_slices *slices, struct xb_error *err)
{
    for (slices->at++; slices->at < slices->end; slices->at++) {
        unsigned char c = (unsigned char)*slices->at;
        if (c == '"') {
            slices->at++;
            return 0;
        }
        if (c == '\\') {
            slices->at++; /* whatever it escapes is no end */
        } else if (c < 0x20) {
            return malformed(slices, "a control character in a string", err);
        }
    }
    slices->at = slices->end;
    return malformed(slices, "a string without an end", err);
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
           c == 'E';
}

/* Which bracket is open at each depth. */
struct brackets {
    uint64_t objects[XB_SLICES_NESTING_MAX / 64];
    unsigned depth;
};

static bool bracket_open(struct brackets *brackets, bool object)
{
    if (brackets->depth == XB_SLICES_NESTING_MAX) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << (brackets->depth % 64);
    uint64_t *word = &brackets->objects[brackets->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    brackets->depth++;
    return true;
}

static bool bracket_close(struct brackets *brackets, bool object)
{
    if (brackets->depth == 0) {
        return false;
    }
    brackets->depth--;
    return ((brackets->objects[brackets->depth / 64] >> (brackets->depth % 64) & 1) != 0) == object;
}

/* One character outside of strings. False: none that belongs there, or a bracket that does not
 * match. */
static bool pass(struct brackets *brackets, char c)
{
    switch (c) {
    case '{':
    case '[':
        return bracket_open(brackets, c == '{');
    case '}':
    case ']':
        return bracket_close(brackets, c == '}');
    case ',':
    case ':':
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return true;
    default:
        return is_word(c);
    }
}

static int skip_brackets(struct xb_slices *slices, struct xb_error *err)
{
    struct brackets brackets;
    brackets.depth = 0;
    while (slices->at < slices->end) {
        if (*slices->at == '"') {
            int r = skip_string(slices, err);
            if (r < 0) {
                return r;
            }
            continue;
        }
        if (!pass(&brackets, *slices->at)) {
            return malformed(slices,
                             brackets.depth == XB_SLICES_NESTING_MAX
                                 ? "it is nested too deeply"
                                 : "a character that cannot be here",
                             err);
        }
        slices->at++;
        if (brackets.depth == 0) {
            return 0;
        }
    }
    return malformed(slices, "it is cut short", err);
}

static int skip_value(struct xb_slices *slices, struct xb_slice *ret, struct xb_error *err)
{
    const char *from = slices->at;
    int r = 0;
    if (slices->at == slices->end) {
        return malformed(slices, "it is cut short", err);
    }
    if (*slices->at == '"') {
        r = skip_string(slices, err);
    } else if (*slices->at == '{' || *slices->at == '[') {
        r = skip_brackets(slices, err);
    } else {
        while (slices->at < slices->end && is_word(*slices->at)) {
            slices->at++;
        }
        r = slices->at == from ? malformed(slices, "a value is missing", err) : 0;
    }
    *ret = (struct xb_slice){from, (size_t)(slices->at - from)};
    return r;
}

int xb_slices_begin(struct xb_slices *slices, struct xb_slice text, struct xb_error *err)
{
    *slices = (struct xb_slices){.start = text.text, .at = text.text, .end = text.text + text.len};
    skip_space(slices);
    if (slices->at == slices->end || (*slices->at != '{' && *slices->at != '[')) {
        return malformed(slices, "neither an object nor an array", err);
    }
    slices->object = *slices->at++ == '{';
    return 0;
}

/* At the end of the object or array: nothing may follow. */
static int finish(struct xb_slices *slices, struct xb_error *err)
{
    slices->at++;
    skip_space(slices);
    return slices->at == slices->end ? 0 : malformed(slices, "more after its end", err);
}

static int take_key(struct xb_slices *slices, struct xb_slice *ret, struct xb_error *err)
{
    const char *from = slices->at;
    if (slices->at == slices->end || *slices->at != '"') {
        return malformed(slices, "a key is missing", err);
    }
    int r = skip_string(slices, err);
    if (r < 0) {
        return r;
    }
    *ret = (struct xb_slice){from + 1, (size_t)(slices->at - from) - 2};
    skip_space(slices);
    if (slices->at == slices->end || *slices->at != ':') {
        return malformed(slices, "a colon is missing", err);
    }
    slices->at++;
    skip_space(slices);
    return 0;
}

int xb_slices_next(struct xb_slices *slices, struct xb_slice *ret_key, struct xb_slice *ret,
                   struct xb_error *err)
{
    skip_space(slices);
    if (slices->at == slices->end) {
        return malformed(slices, "it is cut short", err);
    }
    if (*slices->at == (slices->object ? '}' : ']')) {
        return finish(slices, err);
    }
    if (slices->begun) {
        if (*slices->at != ',') {
            return malformed(slices, "a comma is missing", err);
        }
        slices->at++;
        skip_space(slices);
    }
    slices->begun = true;
    struct xb_slice key = {slices->at, 0};
    struct xb_slice value = {slices->at, 0};
    int r = slices->object ? take_key(slices, &key, err) : 0;
    if (r < 0 || (r = skip_value(slices, &value, err)) < 0) {
        return r;
    }
    *ret_key = key;
    *ret = value;
    return 1;
}

bool xb_slice_is(struct xb_slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.text, text, slice.len) == 0;
}
