/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/selector.h"

#include <ctype.h>
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
