/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions held to Go's syntax, and globs made into some. What is in neither syntax is
 * left for PCRE2 to refuse. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/modify/pattern_internal.h"

enum { REPEATS_MAX = 1000 };

#define NO_ESCAPE "an escape that Go's regular expressions do not have, or one of \\v and octal"
#define NO_GROUP                                                                                   \
    "a group that Go's regular expressions do not have (they have (...), (?:...), (?P<name>...), " \
    "(?<name>...) and flags of i, m, s, U)"

/* ---- regular expressions ---- */

/* Past an escape, `*at` at the backslash. */
static const char *pass_escape(const char **at, bool in_class)
{
    char c = (*at)[1];
    if (c == 'Q' && !in_class) {
        const char *end = strstr(*at, "\\E");
        *at = end ? end + 2 : *at + strlen(*at);
        return NULL;
    }
    bool known = c && strchr(in_class ? "dDsSwWpPafnrtx" : "dDsSwWpPafnrtxAzbB", c);
    if (!known && !(c > 0 && ispunct((unsigned char)c))) {
        return NO_ESCAPE;
    }
    if (c == 'x' && (*at)[2] != '{' &&
        !((*at)[2] && strchr("0123456789abcdefABCDEF", (*at)[2]) && (*at)[3] &&
          strchr("0123456789abcdefABCDEF", (*at)[3]))) {
        return "\\x wants two hexadecimal digits, or some in braces";
    }
    *at += 2;
    return NULL;
}

/* Past a class, `*at` at its '['. */
static const char *pass_class(const char **at)
{
    const char *problem = NULL;
    (*at)++;
    *at += **at == '^';
    *at += **at == ']'; /* the first is a character of it */
    while (**at && **at != ']' && !problem) {
        const char *named = strncmp(*at, "[:", 2) == 0 ? strstr(*at, ":]") : NULL;
        if (**at == '\\') {
            problem = pass_escape(at, true);
        } else {
            *at = named ? named + 2 : *at + 1;
        }
    }
    *at += **at == ']';
    return problem;
}

/* Past the beginning of a group, `*at` at its '('. */
static const char *pass_group(const char **at)
{
    const char *in = *at + 1;
    if (*in == '*') {
        return "a verb of PCRE2, or nothing to repeat";
    }
    if (*in != '?') {
        *at = in;
        return NULL;
    }
    in++;
    size_t flags = strspn(in, "imsU-");
    bool named = strncmp(in, "P<", 2) == 0 || (in[0] == '<' && in[1] != '=' && in[1] != '!');
    if (named) {
        const char *end = strchr(in, '>');
        *at = end ? end + 1 : in + strlen(in);
        return NULL;
    }
    if (in[flags] != ':' && in[flags] != ')') {
        return NO_GROUP;
    }
    *at = in + flags + (in[flags] == ':'); /* a ')' ends the group, as any */
    return NULL;
}

/* The length of a repetition in braces ("{2}", "{2,}", "{2,5}"), 0: there is none. */
static size_t braces(const char *at, const char **problem)
{
    size_t first = strspn(at + 1, "0123456789");
    size_t second = at[1 + first] == ',' ? 1 + strspn(at + 2 + first, "0123456789") : 0;
    size_t len = 1 + first + second;
    if (at[len] != '}') {
        return 0;
    }
    if (first == 0) {
        *problem = second > 0 ? "a repetition without a lower bound" : NULL;
        return 0;
    }
    if (first > 4 || second > 5 || strtol(at + 1, NULL, 10) > REPEATS_MAX ||
        (second > 1 && strtol(at + 2 + first, NULL, 10) > REPEATS_MAX)) {
        *problem = "a repetition of more than 1000 times";
    }
    return len + 1;
}

static size_t repetition(const char *at, const char **problem)
{
    return *at && strchr("*+?", *at) ? 1 : *at == '{' ? braces(at, problem) : 0;
}

const char *xb_pattern_problem(const char *regex)
{
    const char *problem = NULL;
    const char *at = regex;
    while (*at && !problem) {
        size_t repeats = repetition(at, &problem);
        if (repeats > 0) {
            at += repeats;
            at += *at == '?';
            if (repetition(at, &problem) > 0) {
                problem = "a repetition of a repetition";
            }
        } else if (*at == '\\') {
            problem = pass_escape(&at, false);
        } else if (*at == '[') {
            problem = pass_class(&at);
        } else if (*at == '(') {
            problem = pass_group(&at);
        } else {
            at++;
        }
    }
    return problem;
}

/* ---- globs ---- */

static int put_literal(struct xb_buf *out, char c, struct xb_error *err)
{
    /* ASCII only: bytes of longer characters must stay together, and are no syntax. */
    bool syntax = c > 0 && ispunct((unsigned char)c);
    return xb_buf_printf(out, err, "%s%c", syntax ? "\\" : "", c);
}

static int put_wildcard(struct xb_buf *out, char separator, bool any, struct xb_error *err)
{
    return separator ? xb_buf_printf(out, err, "[^\\%c]%s", separator, any ? "*" : "")
                     : xb_buf_append_str(out, any ? "(?s:.)*" : "(?s:.)", err);
}

/* A class, `*at` at its '['. */
static int put_class(const char **at, struct xb_buf *out, struct xb_error *err)
{
    const char *end = strchr(*at + 1, ']');
    const char *in = *at + 1 + ((*at)[1] == '!');
    if (!end || end <= in) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "'%.100s': a '[' without characters and "
                            "its ']'",
                            *at);
    }
    int r = xb_buf_append_str(out, in > *at + 1 ? "[^" : "[", err);
    for (; r == 0 && in < end; in++) {
        bool between = *in == '-' && in[-1] != '[' && in[-1] != '!' && in + 1 < end;
        r = between ? xb_buf_append_str(out, "-", err) : put_literal(out, *in, err);
    }
    *at = end + 1;
    return r < 0 ? r : xb_buf_append_str(out, "]", err);
}

static int put_one(const char **at, char separator, unsigned *depth, struct xb_buf *out,
                   struct xb_error *err)
{
    char c = **at;
    if (c == '[') {
        return put_class(at, out, err);
    }
    (*at)++;
    if (c == '*' && **at == '*') {
        (*at)++;
        return put_wildcard(out, 0, true, err);
    }
    if (c == '*' || c == '?') {
        return put_wildcard(out, separator, c == '*', err);
    }
    if (c == '{') {
        (*depth)++;
        return xb_buf_append_str(out, "(?:", err);
    }
    if (*depth > 0 && (c == ',' || c == '}')) {
        *depth -= c == '}';
        return xb_buf_append_str(out, c == ',' ? "|" : ")", err);
    }
    if (c == '\\' && **at) {
        c = *(*at)++;
    }
    return put_literal(out, c, err);
}

int xb_pattern_translate(const char *glob, char separator, struct xb_buf *out, struct xb_error *err)
{
    const char *at = glob;
    unsigned depth = 0;
    int r = xb_buf_append_str(out, "\\A(?:", err);
    while (r == 0 && *at) {
        r = put_one(&at, separator, &depth, out, err);
    }
    if (r == 0 && depth > 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.100s': a '{' without its '}'", glob);
    }
    return r < 0 ? r : xb_buf_append_str(out, ")\\z", err);
}
