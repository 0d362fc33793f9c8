/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/spec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/kube/selector.h"
#include "shared/velero/spec_internal.h"
#include "shared/velero/velero.h"

enum { PATH_BYTES = 512, WORDS_BYTES = 160, NAMESPACE_BYTES_MAX = 63 };

struct checker {
    xb_json *problems;
    bool no_memory;
};

/* ---- problems ---- */

static void add(struct checker *checker, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct checker *checker, const char *path, const char *format, ...)
{
    char why[PATH_BYTES];
    char *text = NULL;
    va_list args;
    if (json_object_array_length(checker->problems) >= XB_SPEC_PROBLEMS_MAX) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    xb_json *problem =
        asprintf(&text, "%s: %s", path, why) < 0 ? NULL : json_object_new_string(text);
    if (!problem || json_object_array_add(checker->problems, problem) < 0) {
        json_object_put(problem);
        checker->no_memory = true;
    }
    free(text);
}

static const char *type_of(xb_json *value)
{
    return json_type_to_name(json_object_get_type(value));
}

static bool is(struct checker *checker, const char *path, xb_json *value, enum json_type type,
               const char *wanted)
{
    if (json_object_is_type(value, type)) {
        return true;
    }
    add(checker, path, "want %s, have %s", wanted, type_of(value));
    return false;
}

/* ---- texts ---- */

/* NULL: it is none, which is said. */
static const char *text_of(struct checker *checker, const char *path, xb_json *value, int64_t max)
{
    if (!is(checker, path, value, json_type_string, "a string")) {
        return NULL;
    }
    const char *text = json_object_get_string(value);
    size_t len = (size_t)json_object_get_string_len(value);
    if (strlen(text) != len) {
        add(checker, path, "'%.60s' has a NUL byte in it", text);
        return NULL;
    }
    if (len > (size_t)max) {
        add(checker, path, "'%.60s...' is longer than %lld bytes", text, (long long)max);
        return NULL;
    }
    return text;
}

static void check_word(struct checker *checker, const char *path, xb_json *value,
                       const struct xb_spec_field *field)
{
    char known[WORDS_BYTES] = "";
    const char *text = text_of(checker, path, value, INT32_MAX);
    if (!text || !text[0]) {
        return;
    }
    for (size_t i = 0; field->words[i]; i++) {
        size_t len = strlen(known);
        if (strcmp(field->words[i], text) == 0) {
            return;
        }
        (void)snprintf(known + len, sizeof known - len, "%s%s", i ? " or " : "", field->words[i]);
    }
    add(checker, path, "want %s, have '%.60s'", known, text);
}

static void check_name(struct checker *checker, const char *path, xb_json *value, bool required)
{
    const char *text = text_of(checker, path, value, INT32_MAX);
    if (text && (text[0] || required) && !xb_velero_name_valid(text)) {
        add(checker, path, "'%.100s' is no name of an object", text);
    }
}

static void check_label_key(struct checker *checker, const char *path, xb_json *value)
{
    const char *text = text_of(checker, path, value, INT32_MAX);
    if (text && text[0] && !xb_label_key_valid(text)) {
        add(checker, path, "'%.100s' is no key of a label", text);
    }
}

static void check_span(struct checker *checker, const char *path, xb_json *value,
                       const struct xb_spec_field *field)
{
    int64_t ns = 0;
    struct xb_error ignored = XB_ERROR_INIT;
    const char *text = text_of(checker, path, value, INT32_MAX);
    if (!text || !text[0]) {
        return;
    }
    if (xb_duration_parse(text, &ns, &ignored) < 0) {
        add(checker, path, "'%.60s' is no span of time, such as 30s or 720h0m0s", text);
    } else if (ns < 0 && field->min >= 0) {
        add(checker, path, "'%.60s' must not be negative", text);
    } else if (ns / XB_NS_PER_S > field->max || ns / XB_NS_PER_S < field->min) {
        add(checker, path, "'%.60s' is more than %d years", text, XB_SPEC_TTL_YEARS_MAX);
    }
}

static void check_base64(struct checker *checker, const char *path, xb_json *value,
                         const struct xb_spec_field *field)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf bytes = XB_BUF_INIT((size_t)field->max);
    struct xb_error ignored = XB_ERROR_INIT;
    const char *text = text_of(checker, path, value, field->max);
    if (text && xb_base64_decode(text, strlen(text), &bytes, &ignored) < 0) {
        add(checker, path, "it is no base64");
    }
}

static void check_count(struct checker *checker, const char *path, xb_json *value,
                        const struct xb_spec_field *field)
{
    if (!is(checker, path, value, json_type_int, "a whole number")) {
        return;
    }
    int64_t number = json_object_get_int64(value);
    if (number < field->min && field->min == 0) {
        add(checker, path, "%lld must not be negative", (long long)number);
    } else if (number < field->min || number > field->max) {
        add(checker, path, "%lld is not between %lld and %lld", (long long)number,
            (long long)field->min, (long long)field->max);
    }
}

/* ---- collections ---- */

static bool short_enough(struct checker *checker, const char *path, size_t count,
                         const struct xb_spec_field *field)
{
    if (count > (size_t)field->max) {
        add(checker, path, "%zu entries are more than %lld", count, (long long)field->max);
    }
    return count <= (size_t)field->max;
}

static void check_texts(struct checker *checker, const char *path, xb_json *list,
                        const struct xb_spec_field *field)
{
    if (!is(checker, path, list, json_type_array, "a list of strings") ||
        !short_enough(checker, path, json_object_array_length(list), field)) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        char below[PATH_BYTES];
        (void)snprintf(below, sizeof below, "%.480s[%zu]", path, i);
        (void)text_of(checker, below, json_object_array_get_idx(list, i), INT32_MAX);
    }
}

static bool namespace_valid(const char *text)
{
    return xb_velero_name_valid(text) && strlen(text) <= NAMESPACE_BYTES_MAX && !strchr(text, '.');
}

/* One entry of a mapping of texts; what Kubernetes would not take as a label or annotation would
 * make every object that is to carry it impossible. */
static void check_entry(struct checker *checker, const char *path, const char *key, xb_json *value,
                        enum xb_spec_shape shape)
{
    char below[PATH_BYTES];
    (void)snprintf(below, sizeof below, "%.300s.%.200s", path, key);
    const char *text = text_of(checker, below, value, INT32_MAX);
    if (!text || shape == XB_SHAPE_TEXT_MAP) {
        return;
    }
    if (shape == XB_SHAPE_NAME_MAP) {
        if (!namespace_valid(key) || !namespace_valid(text)) {
            add(checker, below, "'%.100s' to '%.100s': both must be names of namespaces", key,
                text);
        }
        return;
    }
    if (!xb_label_key_valid(key)) {
        add(checker, path, "'%.100s' is no key of a label or annotation", key);
    } else if (shape == XB_SHAPE_LABELS && !xb_label_value_valid(text)) {
        add(checker, below, "'%.100s' is no value of a label", text);
    }
}

static void check_map(struct checker *checker, const char *path, xb_json *map,
                      const struct xb_spec_field *field)
{
    size_t bytes = 0;
    if (!is(checker, path, map, json_type_object, "a mapping of strings") ||
        !short_enough(checker, path, (size_t)json_object_object_length(map), field)) {
        return;
    }
    json_object_object_foreach(map, key, value)
    {
        check_entry(checker, path, key, value, field->shape);
        bytes += strlen(key);
        bytes += json_object_is_type(value, json_type_string)
                     ? (size_t)json_object_get_string_len(value)
                     : 0;
    }
    if (field->shape == XB_SHAPE_ANNOTATIONS && bytes > XB_SPEC_ANNOTATIONS_BYTES_MAX) {
        add(checker, path, "%zu bytes are more than %d", bytes, XB_SPEC_ANNOTATIONS_BYTES_MAX);
    }
}

static void check_field(struct checker *checker, const char *path, xb_json *value,
                        const struct xb_spec_field *field);

static void check_unknown(struct checker *checker, const char *path, xb_json *object,
                          const struct xb_spec_field *fields)
{
    json_object_object_foreach(object, key, value)
    {
        const struct xb_spec_field *field = fields;
        while (field->name && strcmp(field->name, key) != 0) {
            field++;
        }
        if (!field->name && value) {
            add(checker, path,
                "unknown field '%.100s': this version of Xebec cannot say what it would change",
                key);
        }
    }
}

/* The tables nest, but never into themselves: so deep it goes. */
static void check_object(struct checker *checker, const char *path, xb_json *object,
                         const struct xb_spec_field *fields)
{
    if (!is(checker, path, object, json_type_object, "an object")) {
        return;
    }
    check_unknown(checker, path, object, fields);
    for (const struct xb_spec_field *field = fields; field->name; field++) {
        char below[PATH_BYTES];
        xb_json *value = NULL;
        (void)json_object_object_get_ex(object, field->name, &value);
        (void)snprintf(below, sizeof below, "%.400s.%.100s", path, field->name);
        check_field(checker, below, value, field);
    }
}

static void check_objects(struct checker *checker, const char *path, xb_json *list,
                          const struct xb_spec_field *field)
{
    if (!is(checker, path, list, json_type_array, "a list of objects") ||
        !short_enough(checker, path, json_object_array_length(list), field)) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        char below[PATH_BYTES];
        (void)snprintf(below, sizeof below, "%.480s[%zu]", path, i);
        if (field->shape == XB_SHAPE_OBJECTS) {
            check_object(checker, below, json_object_array_get_idx(list, i), field->fields);
        } else {
            (void)is(checker, below, json_object_array_get_idx(list, i), json_type_object,
                     "an object");
        }
    }
}

static void check_field(struct checker *checker, const char *path, xb_json *value,
                        const struct xb_spec_field *field)
{
    if (!value) {
        if (field->required) {
            add(checker, path, "it is required");
        }
        return;
    }
    switch (field->shape) {
    case XB_SHAPE_BOOL:
        (void)is(checker, path, value, json_type_boolean, "true or false");
        return;
    case XB_SHAPE_COUNT:
        check_count(checker, path, value, field);
        return;
    case XB_SHAPE_TEXT:
        (void)text_of(checker, path, value, field->max);
        return;
    case XB_SHAPE_NAME:
        check_name(checker, path, value, field->required);
        return;
    case XB_SHAPE_LABEL_KEY:
        check_label_key(checker, path, value);
        return;
    case XB_SHAPE_DURATION:
        check_span(checker, path, value, field);
        return;
    case XB_SHAPE_ONE_OF:
        check_word(checker, path, value, field);
        return;
    case XB_SHAPE_BASE64:
        check_base64(checker, path, value, field);
        return;
    case XB_SHAPE_TEXTS:
        check_texts(checker, path, value, field);
        return;
    case XB_SHAPE_TEXT_MAP:
    case XB_SHAPE_NAME_MAP:
    case XB_SHAPE_LABELS:
    case XB_SHAPE_ANNOTATIONS:
        check_map(checker, path, value, field);
        return;
    case XB_SHAPE_OBJECT:
        check_object(checker, path, value, field->fields);
        return;
    case XB_SHAPE_OBJECTS:
    case XB_SHAPE_ANY_OBJECTS:
        check_objects(checker, path, value, field);
        return;
    }
}

int xb_spec_check(enum xb_spec_of what, xb_json *object, xb_json *problems, struct xb_error *err)
{
    struct checker checker = {.problems = problems};
    check_field(&checker, "spec", xb_json_get(object, "spec"), xb_spec_root(what));
    return checker.no_memory ? xb_error_no_memory(err, "what is wrong with a spec") : 0;
}

int xb_spec_need(enum xb_spec_of what, xb_json *object, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    int r = problems ? xb_spec_check(what, object, problems, err)
                     : xb_error_no_memory(err, "what is wrong with a spec");
    if (r < 0 || json_object_array_length(problems) == 0) {
        return r;
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s",
                        json_object_get_string(json_object_array_get_idx(problems, 0)));
}
