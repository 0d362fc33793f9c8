/* SPDX-License-Identifier: Apache-2.0
 * Making and matching patterns; pattern_check.c keeps them to Go's syntax. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "coordinator/modify/pattern.h"

#include <errno.h>
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/modify/pattern_internal.h"

enum {
    WORKSPACE_INTS = 8192, /* states under way */
    STEPS_MAX = 1 << 20,   /* PCRE2's own count of work, and of calls of the matcher */
    NESTED_MAX = 200,      /* calls of the matcher within it */
    MATCH_KIBIBYTES_MAX = 4096,
    REGEX_BYTES_MAX = 16 * XB_PATTERN_BYTES_MAX
};

struct xb_pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
};

void xb_pattern_free(struct xb_pattern *pattern)
{
    if (pattern) {
        pcre2_code_free(pattern->code);
        pcre2_match_context_free(pattern->limits);
        free(pattern);
    }
}

/* `shown` is what the user wrote. Always anchored: what is searched for begins with `.*?`, so that
 * one pass over the text follows all places where it may begin. */
static int compile(const char *regex, size_t len, const char *shown, struct xb_pattern **ret,
                   struct xb_error *err)
{
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C |
                             PCRE2_NO_AUTO_CAPTURE | PCRE2_NO_AUTO_POSSESS | PCRE2_ANCHORED;
    XB_CLEANUP(xb_pattern_freep) struct xb_pattern *pattern = calloc(1, sizeof *pattern);
    pcre2_compile_context *how = pattern ? pcre2_compile_context_create(NULL) : NULL;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (!how || !(pattern->limits = pcre2_match_context_create(NULL))) {
        pcre2_compile_context_free(how);
        return xb_error_no_memory(err, "a pattern");
    }
    pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)regex, len, options, &code, &at, how);
    pcre2_compile_context_free(how);
    if (!pattern->code) {
        PCRE2_UCHAR why[160] = "";
        pcre2_get_error_message(code, why, sizeof why);
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.100s': %s", shown, (char *)why);
    }
    pcre2_set_match_limit(pattern->limits, STEPS_MAX);
    pcre2_set_depth_limit(pattern->limits, NESTED_MAX);
    pcre2_set_heap_limit(pattern->limits, MATCH_KIBIBYTES_MAX);
    *ret = XB_TAKE(pattern);
    return 0;
}

static int check_length(const char *text, struct xb_error *err)
{
    return strlen(text) > XB_PATTERN_BYTES_MAX
               ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.60s...' is longer than %d bytes",
                              text, XB_PATTERN_BYTES_MAX)
               : 0;
}

int xb_pattern_regex(const char *text, struct xb_pattern **ret, struct xb_error *err)
{
    int r = check_length(text, err);
    if (r < 0) {
        return r;
    }
    const char *problem = xb_pattern_problem(text);
    if (problem) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.100s': %s", text, problem);
    }
    /* Alone first: "a)(b" would be right between the parentheses. */
    XB_CLEANUP(xb_pattern_freep) struct xb_pattern *alone = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf searched = XB_BUF_INIT(REGEX_BYTES_MAX);
    if ((r = compile(text, strlen(text), text, &alone, err)) < 0 ||
        (r = xb_buf_printf(&searched, err, "(?s:.)*?(?:%s\\E)", text)) < 0) {
        return r;
    }
    return compile(searched.data, searched.len, text, ret, err);
}

int xb_pattern_glob(const char *text, char separator, struct xb_pattern **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf regex = XB_BUF_INIT(REGEX_BYTES_MAX);
    int r = check_length(text, err);
    if (r < 0 || (r = xb_pattern_translate(text, separator, &regex, err)) < 0) {
        return r;
    }
    return compile(regex.data, regex.len, text, ret, err);
}

int xb_pattern_match(const struct xb_pattern *pattern, const char *text, bool *ret,
                     struct xb_error *err)
{
    int *workspace = malloc(WORKSPACE_INTS * sizeof *workspace);
    pcre2_match_data *found = workspace ? pcre2_match_data_create(1, NULL) : NULL;
    if (!found) {
        free(workspace);
        return xb_error_no_memory(err, "matching a pattern");
    }
    int r = pcre2_dfa_match(pattern->code, (PCRE2_SPTR)text, strlen(text), 0, PCRE2_DFA_SHORTEST,
                            found, pattern->limits, workspace, WORKSPACE_INTS);
    pcre2_match_data_free(found);
    free(workspace);
    bool no_text = r <= PCRE2_ERROR_UTF8_ERR1 && r >= PCRE2_ERROR_UTF8_ERR21;
    if (r < 0 && r != PCRE2_ERROR_NOMATCH && !no_text) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                            "matching '%.100s' takes more than its bounds (PCRE2 says %d)", text,
                            r);
    }
    *ret = r >= 0;
    return 0;
}
