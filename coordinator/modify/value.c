/* SPDX-License-Identifier: Apache-2.0
 * What the text of a patch's value means, as Velero takes it: it is put into a JSON text, with
 * quotes around it unless it looks like something else than a string. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coordinator/modify/modify_internal.h"

enum { VALUE_BYTES_MAX = 1 << 20 };

/* As Go's strconv.ParseFloat: also "Inf" and "NaN", which JSON does not have. */
static bool looks_like_number(const char *text)
{
    const char *digits = text + (*text == '-' || *text == '+');
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    if (isspace((unsigned char)text[0]) || (hex && !strpbrk(digits, "pP")) || strchr(text, '(')) {
        return false;
    }
    char *end = NULL;
    (void)strtod(text, &end);
    return end != text && *end == '\0';
}

static bool is_bare(const char *text)
{
    return strcmp(text, "null") == 0 || strcasecmp(text, "true") == 0 ||
           strcasecmp(text, "false") == 0 || text[0] == '{' || text[0] == '[' ||
           looks_like_number(text);
}

int xb_modify_value(const char *text, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf json = XB_BUF_INIT(VALUE_BYTES_MAX);
    struct xb_error why = XB_ERROR_INIT;
    size_t len = strlen(text);
    bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
    bool bare = !quoted && is_bare(text);
    const char *quote = quoted || bare ? "" : "\"";
    int r = xb_buf_printf(&json, err, "%s%s%s", quote, text, quote);
    if (r < 0) {
        return r;
    }
    if (xb_json_parse(json.data, json.len, ret, &why) == 0) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        bare ? "'%.60s' looks like a number, a boolean, a list or a mapping, but "
                               "is no JSON; a string is written as '\"%.60s\"'"
                             : "'%.60s' is put between quotes, and is no JSON string then: escape "
                               "'\"', '\\' and line ends in it as JSON does ('%.60s')",
                        text, text);
}
