/* SPDX-License-Identifier: Apache-2.0
 * What makes a filter invalid: types, limits, names, and Velero's rules for its lists. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/filter_internal.h"

enum { NAMESPACE_BYTES_MAX = 63 };

void xb_filter_add_problem(struct xb_filter *filter, const char *format, ...)
{
    if (filter->problem_count == XB_FILTER_PROBLEMS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    char *text = NULL;
    if (vasprintf(&text, format, args) >= 0) {
        filter->problems[filter->problem_count++] = text;
    }
    va_end(args);
}

/* ---- lists ---- */

/* A word of a list; NULL when it is none. */
static const char *word_at(struct xb_filter *filter, const char *field, xb_json *list, size_t index)
{
    xb_json *value = json_object_array_get_idx(list, index);
    if (!value || !json_object_is_type(value, json_type_string)) {
        xb_filter_add_problem(filter, "spec.%s[%zu]: want a string, have %s", field, index,
                              json_type_to_name(json_object_get_type(value)));
        return NULL;
    }
    const char *word = json_object_get_string(value);
    size_t len = strlen(word);
    if (len != (size_t)json_object_get_string_len(value) || len > XB_FILTER_NAME_BYTES_MAX) {
        xb_filter_add_problem(filter, "spec.%s[%zu]: '%.60s' holds a NUL byte or is longer than %d",
                              field, index, word, XB_FILTER_NAME_BYTES_MAX);
        return NULL;
    }
    return word;
}

int xb_filter_add_word(struct words *words, const char *word, struct xb_error *err)
{
    if (words->count == words->cap) {
        size_t cap = words->cap ? 2 * words->cap : 8;
        char **grown = reallocarray(words->words, cap, sizeof *grown);
        if (!grown) {
            return xb_error_no_memory(err, "a filter");
        }
        words->words = grown;
        words->cap = cap;
    }
    if (!(words->words[words->count] = strdup(word))) {
        return xb_error_no_memory(err, "a filter");
    }
    words->any = words->any || strcmp(word, "*") == 0;
    words->count++;
    return 0;
}

static int read_list(struct xb_filter *filter, enum filter_list which, struct xb_error *err)
{
    const char *field = xb_filter_fields[which];
    struct words *words = &filter->lists[which];
    xb_json *list = xb_json_get(filter->spec, field);
    if (!list) {
        return 0;
    }
    if (!json_object_is_type(list, json_type_array)) {
        xb_filter_add_problem(filter, "spec.%s: want a list of strings, have %s", field,
                              json_type_to_name(json_object_get_type(list)));
        return 0;
    }
    size_t count = json_object_array_length(list);
    if (count > XB_FILTER_LIST_MAX) {
        xb_filter_add_problem(filter, "spec.%s: %zu entries are more than %d", field, count,
                              XB_FILTER_LIST_MAX);
        return 0;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *word = word_at(filter, field, list, i);
        r = word ? xb_filter_add_word(words, word, err) : 0;
    }
    return r;
}

int xb_filter_read_lists(struct xb_filter *filter, struct xb_error *err)
{
    int r = 0;
    if (filter->spec && !json_object_is_type(filter->spec, json_type_object)) {
        xb_filter_add_problem(filter, "spec: want an object, have %s",
                              json_type_to_name(json_object_get_type(filter->spec)));
        return 0;
    }
    for (int which = 0; r == 0 && which < FILTER_LISTS; which++) {
        r = read_list(filter, (enum filter_list)which, err);
    }
    return r;
}

/* ---- rules for lists ---- */

static const char *const list_names[] = {
    "included/excluded namespace", "included/excluded resource",
    "cluster-scoped included/excluded resource", "namespace-scoped included/excluded resource"};

static bool holds(const struct words *words, const char *text)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strcmp(words->words[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static void check_excluded(struct xb_filter *filter, enum filter_list included, bool scoped)
{
    enum filter_list excluded = (enum filter_list)(included + 1);
    const char *name = list_names[included / 2];
    const char *field = xb_filter_fields[excluded];
    if (!filter->lists[excluded].any) {
        return;
    }
    if (!scoped) {
        xb_filter_add_problem(filter, "Invalid %s lists: spec.%s may not hold '*'", name, field);
    } else if (filter->lists[excluded].count > 1) {
        xb_filter_add_problem(filter, "Invalid %s lists: spec.%s: '*' must be the only item", name,
                              field);
    } else if (filter->lists[included].count > 0) {
        xb_filter_add_problem(filter, "Invalid %s lists: spec.%s must be empty when %s is '*'",
                              name, xb_filter_fields[included], field);
    }
}

/* Velero's rules for an include and an exclude list: "*" stands alone in includes, and in excludes
 * only of the new, scoped filters, which then include nothing; nothing is in both. */
static void check_lists(struct xb_filter *filter, enum filter_list included, bool scoped)
{
    enum filter_list excluded = (enum filter_list)(included + 1);
    const struct words *words = &filter->lists[included];
    const char *name = list_names[included / 2];
    if (words->any && words->count > 1) {
        xb_filter_add_problem(filter, "Invalid %s lists: spec.%s: '*' must be the only item", name,
                              xb_filter_fields[included]);
    }
    for (size_t i = 0; i < words->count; i++) {
        if (filter->problem_count < XB_FILTER_PROBLEMS_MAX && strcmp(words->words[i], "*") != 0 &&
            holds(&filter->lists[excluded], words->words[i])) {
            xb_filter_add_problem(filter, "Invalid %s lists: %s is in both spec.%s and spec.%s",
                                  name, words->words[i], xb_filter_fields[included],
                                  xb_filter_fields[excluded]);
        }
    }
    check_excluded(filter, included, scoped);
}

/* ---- names ---- */

static bool brackets_valid(const char *pattern)
{
    const char *open = NULL;
    for (const char *at = pattern; *at; at++) {
        if (*at == '[') {
            open = open ? open : at;
        } else if (*at == ']') {
            if (!open || at == open + 1) {
                return false;
            }
            open = NULL;
        }
    }
    return open == NULL;
}

/* Whether fnmatch means by it what Velero 1.18 means: letters of namespaces, "*", "?", "[a-z]". A
 * pattern that is taken and fits nothing would make an empty backup look good. */
static bool namespace_valid(const char *pattern)
{
    size_t len = strlen(pattern);
    return len == 0 || (len <= NAMESPACE_BYTES_MAX && !strstr(pattern, "**") && pattern[0] != '-' &&
                        pattern[len - 1] != '-' &&
                        strspn(pattern, "abcdefghijklmnopqrstuvwxyz0123456789-*?[]") == len &&
                        brackets_valid(pattern));
}

static void check_namespaces(struct xb_filter *filter, enum filter_list which)
{
    const struct words *words = &filter->lists[which];
    for (size_t i = 0; i < words->count; i++) {
        if (!namespace_valid(words->words[i])) {
            xb_filter_add_problem(filter,
                                  "Invalid included/excluded namespace lists: '%.100s' in spec.%s "
                                  "is neither a namespace's name nor a pattern of *, ? and [a-z]",
                                  words->words[i], xb_filter_fields[which]);
        }
    }
}

/* A resource's name with its group, or a pattern of such. */
static bool resource_valid(const char *word)
{
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-.*?[]");
    return word[0] && !word[len] && brackets_valid(word) && len <= XB_FILTER_NAME_BYTES_MAX;
}

static void check_resources(struct xb_filter *filter, enum filter_list which)
{
    const struct words *words = &filter->lists[which];
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->words[i];
        if (!resource_valid(word)) {
            xb_filter_add_problem(filter,
                                  "Invalid %s lists: '%.100s' in spec.%s is no resource's name "
                                  "(pods, deploy, deployments.apps)",
                                  list_names[which / 2], word, xb_filter_fields[which]);
        }
    }
}

/* ---- the rest ---- */

static void check_cluster_resources(struct xb_filter *filter)
{
    xb_json *value = xb_json_get(filter->spec, "includeClusterResources");
    if (value && !json_object_is_type(value, json_type_boolean)) {
        xb_filter_add_problem(filter, "spec.includeClusterResources: want true or false, have %s",
                              json_type_to_name(json_object_get_type(value)));
    }
}

static void add_problem(void *context, const char *problem)
{
    xb_filter_add_problem(context, "%s", problem);
}

static void check_selectors(struct xb_filter *filter)
{
    xb_json *selector = xb_json_get(filter->spec, "labelSelector");
    xb_json *any = xb_json_get(filter->spec, "orLabelSelectors");
    if (selector && any) {
        xb_filter_add_problem(filter, "encountered labelSelector as well as orLabelSelectors in "
                                      "backup spec, only one can be specified");
    }
    if (selector) {
        xb_selector_check(selector, "spec.labelSelector", add_problem, filter);
    }
    if (any && !json_object_is_type(any, json_type_array)) {
        xb_filter_add_problem(filter, "spec.orLabelSelectors: want a list, have %s",
                              json_type_to_name(json_object_get_type(any)));
        return;
    }
    size_t count = any ? json_object_array_length(any) : 0;
    if (count > XB_FILTER_LIST_MAX) {
        xb_filter_add_problem(filter, "spec.orLabelSelectors: %zu entries are more than %d", count,
                              XB_FILTER_LIST_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char field[64];
        snprintf(field, sizeof field, "spec.orLabelSelectors[%zu]", i);
        xb_selector_check(json_object_array_get_idx(any, i), field, add_problem, filter);
    }
}

/* "ns/name" or "name", as Kubernetes names objects. */
static bool place_valid(const char *place, size_t len)
{
    const char *slash = memchr(place, '/', len);
    size_t namespace = slash ? (size_t)(slash - place) : 0;
    const char *name = slash ? slash + 1 : place;
    size_t rest = len - (size_t)(name - place);
    bool dots = rest <= 2 && strspn(name, ".") >= rest;
    return (!slash || (namespace > 0 && namespace <= NAMESPACE_BYTES_MAX &&
                       strspn(place, "abcdefghijklmnopqrstuvwxyz0123456789-") == namespace)) &&
           rest > 0 && rest <= 253 && !dots && !memchr(name, '/', rest) && !memchr(name, '%', rest);
}

static void check_order(struct xb_filter *filter, const char *kind, xb_json *value)
{
    if (!value || !json_object_is_type(value, json_type_string) ||
        strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value)) {
        xb_filter_add_problem(filter,
                              "spec.orderedResources.%.100s: want a text like "
                              "'ns/name1,ns/name2'",
                              kind);
        return;
    }
    for (const char *at = json_object_get_string(value); *at;) {
        at += strspn(at, " ,");
        size_t len = strcspn(at, " ,");
        if (len > 0 && !place_valid(at, len)) {
            xb_filter_add_problem(filter,
                                  "spec.orderedResources.%.100s: '%.*s' is neither namespace/name "
                                  "nor the name of a cluster-scoped object",
                                  kind, len > 100 ? 100 : (int)len, at);
            return;
        }
        at += len;
    }
}

static void check_orders(struct xb_filter *filter)
{
    xb_json *ordered = xb_json_get(filter->spec, "orderedResources");
    if (!ordered) {
        return;
    }
    if (!json_object_is_type(ordered, json_type_object)) {
        xb_filter_add_problem(filter, "spec.orderedResources: want an object, have %s",
                              json_type_to_name(json_object_get_type(ordered)));
        return;
    }
    json_object_object_foreach(ordered, kind, value)
    {
        check_order(filter, kind, value);
    }
}

void xb_filter_check(struct xb_filter *filter)
{
    check_orders(filter);
    check_lists(filter, INCLUDED_NAMESPACES, false);
    check_lists(filter, INCLUDED_RESOURCES, false);
    check_lists(filter, INCLUDED_CLUSTER_SCOPED, true);
    check_lists(filter, INCLUDED_NAMESPACE_SCOPED, true);
    check_namespaces(filter, INCLUDED_NAMESPACES);
    check_namespaces(filter, EXCLUDED_NAMESPACES);
    for (int which = INCLUDED_RESOURCES; which < FILTER_LISTS; which++) {
        check_resources(filter, (enum filter_list)which);
    }
    if (xb_filter_new_style(filter) && xb_filter_old_style(filter)) {
        xb_filter_add_problem(
            filter, "include-resources, exclude-resources and include-cluster-resources are old "
                    "filter parameters (spec.includedResources, spec.excludedResources, "
                    "spec.includeClusterResources); they cannot be used together with the "
                    "cluster-scoped and namespace-scoped ones");
    }
    check_cluster_resources(filter);
    check_selectors(filter);
}

/* ---- a policy's lists ---- */

static int add_list(struct xb_filter *filter, enum filter_list which, xb_json *list,
                    struct xb_error *err)
{
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    int r = 0;
    if (count > XB_FILTER_LIST_MAX) {
        xb_filter_add_problem(filter, "includeExcludePolicy.%s: %zu entries are more than %d",
                              xb_filter_fields[which], count, XB_FILTER_LIST_MAX);
        return 0;
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *word = json_object_get_string(json_object_array_get_idx(list, i));
        if (word && resource_valid(word)) {
            r = xb_filter_add_word(&filter->added[which], word, err);
        } else {
            xb_filter_add_problem(filter,
                                  "includeExcludePolicy.%s: '%.100s' is no resource's name (pods, "
                                  "deploy, deployments.apps)",
                                  xb_filter_fields[which], word ? word : "null");
        }
    }
    return r;
}

int xb_filter_combine(struct xb_filter *filter, xb_json *lists, struct xb_error *err)
{
    int r = 0;
    for (int which = INCLUDED_CLUSTER_SCOPED; r == 0 && which < FILTER_LISTS; which++) {
        r = add_list(filter, (enum filter_list)which, xb_json_get(lists, xb_filter_fields[which]),
                     err);
    }
    return r;
}
