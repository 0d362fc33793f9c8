/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/selector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool values_hold(xb_json *values, const char *text)
{
    size_t count = values && json_object_is_type(values, json_type_array)
                       ? json_object_array_length(values)
                       : 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = json_object_get_string(json_object_array_get_idx(values, i));
        if (value && strcmp(value, text) == 0) {
            return true;
        }
    }
    return false;
}

static const char *label_of(xb_json *labels, const char *key)
{
    xb_json *value = NULL;
    if (!labels || !json_object_object_get_ex(labels, key, &value)) {
        return NULL;
    }
    return json_object_get_string(value);
}

static bool expression_matches(xb_json *expression, xb_json *labels)
{
    const char *operation = xb_json_str(expression, "operator", "");
    const char *value = label_of(labels, xb_json_str(expression, "key", ""));
    xb_json *values = xb_json_get(expression, "values");
    if (strcmp(operation, "Exists") == 0) {
        return value != NULL;
    }
    if (strcmp(operation, "DoesNotExist") == 0) {
        return value == NULL;
    }
    if (strcmp(operation, "In") == 0) {
        return value && values_hold(values, value);
    }
    if (strcmp(operation, "NotIn") == 0) {
        return !value || !values_hold(values, value);
    }
    return false;
}

bool xb_selector_matches(xb_json *selector, xb_json *labels)
{
    xb_json *wanted = xb_json_get(selector, "matchLabels");
    if (wanted && json_object_is_type(wanted, json_type_object)) {
        json_object_object_foreach(wanted, key, value)
        {
            const char *have = label_of(labels, key);
            const char *want = json_object_get_string(value);
            if (!have || !want || strcmp(have, want) != 0) {
                return false;
            }
        }
    }
    xb_json *expressions = xb_json_get(selector, "matchExpressions");
    size_t count = expressions && json_object_is_type(expressions, json_type_array)
                       ? json_object_array_length(expressions)
                       : 0;
    for (size_t i = 0; i < count; i++) {
        if (!expression_matches(json_object_array_get_idx(expressions, i), labels)) {
            return false;
        }
    }
    return true;
}

/* ---- nodes ---- */

static size_t length_of(xb_json *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Of labels, too, only here. */
static bool compares(xb_json *expression, xb_json *labels)
{
    const char *operation = xb_json_str(expression, "operator", "");
    bool greater = strcmp(operation, "Gt") == 0;
    if (!greater && strcmp(operation, "Lt") != 0) {
        return expression_matches(expression, labels);
    }
    const char *value = label_of(labels, xb_json_str(expression, "key", ""));
    xb_json *values = xb_json_get(expression, "values");
    const char *bound = length_of(values) == 1
                            ? json_object_get_string(json_object_array_get_idx(values, 0))
                            : NULL;
    char *value_end = NULL, *bound_end = NULL;
    if (!value || !bound || !value[0] || !bound[0]) {
        return false;
    }
    long long a = strtoll(value, &value_end, 10), b = strtoll(bound, &bound_end, 10);
    return !*value_end && !*bound_end && (greater ? a > b : a < b);
}

static bool term_matches(xb_json *term, xb_json *labels, xb_json *fields)
{
    xb_json *expressions = xb_json_get(term, "matchExpressions");
    xb_json *of_fields = xb_json_get(term, "matchFields");
    bool matches = length_of(expressions) + length_of(of_fields) > 0;
    for (size_t i = 0; matches && i < length_of(expressions); i++) {
        matches = compares(json_object_array_get_idx(expressions, i), labels);
    }
    for (size_t i = 0; matches && i < length_of(of_fields); i++) {
        xb_json *expression = json_object_array_get_idx(of_fields, i);
        matches = strcmp(xb_json_str(expression, "key", ""), "metadata.name") == 0 &&
                  expression_matches(expression, fields);
    }
    return matches;
}

bool xb_node_selector_matches(xb_json *selector, xb_json *node)
{
    xb_json *terms = xb_json_get(selector, "nodeSelectorTerms");
    XB_CLEANUP(xb_json_putp) xb_json *fields = json_object_new_object();
    bool matches = false;
    json_object_object_add(fields, "metadata.name",
                           json_object_new_string(xb_json_str(node, "metadata.name", "")));
    for (size_t i = 0; !matches && i < length_of(terms); i++) {
        matches = term_matches(json_object_array_get_idx(terms, i),
                               xb_json_get(node, "metadata.labels"), fields);
    }
    return matches;
}

/* ---- what may be a label ---- */

enum { LABEL_BYTES_MAX = 63, PREFIX_BYTES_MAX = 253 };

/* Letters, digits, '-', '_', '.', with a letter or digit at both ends. */
static bool word_valid(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)word[i];
        if (!isalnum(c) && (i == 0 || i + 1 == len || !strchr("-_.", c))) {
            return false;
        }
    }
    return len > 0 && len <= LABEL_BYTES_MAX;
}

bool xb_label_key_valid(const char *key)
{
    const char *slash = strchr(key, '/');
    if (!slash) {
        return word_valid(key, strlen(key));
    }
    size_t prefix = (size_t)(slash - key);
    return prefix > 0 && prefix <= PREFIX_BYTES_MAX &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-.") == prefix &&
           word_valid(slash + 1, strlen(slash + 1));
}

bool xb_label_value_valid(const char *value)
{
    return !value[0] || word_valid(value, strlen(value));
}
