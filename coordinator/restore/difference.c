/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/difference.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 200, VALUE_BYTES = 60, MORE_BYTES = 40 };

struct telling {
    char *out;
    bool hidden;
    size_t fields;
};

static void append(struct telling *telling, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(struct telling *telling, const char *format, ...)
{
    size_t used = strlen(telling->out);
    va_list args;
    va_start(args, format);
    vsnprintf(telling->out + used, XB_RESTORE_DIFFERENCE_BYTES - MORE_BYTES - used, format, args);
    va_end(args);
}

static void value_text(xb_json *value, char out[VALUE_BYTES])
{
    const char *text =
        value ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN) : "nothing";
    bool cut = strlen(text) >= VALUE_BYTES;
    snprintf(out, VALUE_BYTES, "%.*s%s", VALUE_BYTES - 5, text, cut ? "..." : "");
}

static void tell(struct telling *telling, const char *path, xb_json *from, xb_json *to)
{
    char before[VALUE_BYTES], after[VALUE_BYTES];
    if (telling->fields++ >= XB_RESTORE_DIFFERENCES_MAX) {
        return;
    }
    append(telling, "%s%s", telling->fields > 1 ? "; " : "", path);
    if (telling->hidden) {
        append(telling, "%s", !from ? " is added" : !to ? " goes" : " changes");
        return;
    }
    value_text(from, before);
    value_text(to, after);
    append(telling, ": %s becomes %s", before, after);
}

static void walk(struct telling *telling, const char *path, xb_json *from, xb_json *patch)
{
    json_object_object_foreach(patch, key, to)
    {
        char below[PATH_BYTES];
        xb_json *old = NULL;
        (void)json_object_object_get_ex(from, key, &old);
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", key);
        if (json_object_is_type(to, json_type_object) &&
            json_object_is_type(old, json_type_object)) {
            walk(telling, below, old, to);
        } else {
            tell(telling, below, old, to);
        }
    }
}

void xb_restore_difference(xb_json *existing, xb_json *patch, bool hidden,
                           char out[XB_RESTORE_DIFFERENCE_BYTES])
{
    struct telling telling = {.out = out, .hidden = hidden};
    out[0] = '\0';
    if (json_object_is_type(patch, json_type_object)) {
        walk(&telling, "", json_object_is_type(existing, json_type_object) ? existing : NULL,
             patch);
    }
    if (telling.fields > XB_RESTORE_DIFFERENCES_MAX) {
        size_t used = strlen(out);
        snprintf(out + used, XB_RESTORE_DIFFERENCE_BYTES - used, "; and %zu more",
                 telling.fields - XB_RESTORE_DIFFERENCES_MAX);
    }
}
