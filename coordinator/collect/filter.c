/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

enum { PATTERN_BYTES_MAX = 63 };

struct xb_filter {
    xb_json *spec;
    char *problems[XB_FILTER_PROBLEMS_MAX];
    size_t problem_count;
};

static const char exclude_label[] = "velero\\.io/exclude-from-backup";

/* Text `index` of list `field`, or NULL past its end or when it is no string. */
static const char *list_text(xb_json *spec, const char *field, size_t index)
{
    xb_json *list = xb_json_get(spec, field);
    if (!list || !json_object_is_type(list, json_type_array) ||
        index >= json_object_array_length(list)) {
        return NULL;
    }
    xb_json *text = json_object_array_get_idx(list, index);
    return text && json_object_is_type(text, json_type_string) ? json_object_get_string(text)
                                                               : NULL;
}

static bool list_empty(xb_json *spec, const char *field)
{
    return list_text(spec, field, 0) == NULL;
}

static void problem(struct xb_filter *filter, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void problem(struct xb_filter *filter, const char *format, ...)
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

static void check_excluded(struct xb_filter *filter, const char *included, const char *excluded,
                           bool scoped)
{
    const char *text;
    for (size_t i = 0; (text = list_text(filter->spec, excluded, i)) != NULL; i++) {
        if (strcmp(text, "*") != 0) {
            continue;
        }
        if (!scoped) {
            problem(filter, "Invalid included/excluded lists: %s may not hold '*'", excluded);
        } else if (i > 0 || list_text(filter->spec, excluded, 1)) {
            problem(filter, "Invalid included/excluded lists: %s: '*' must be the only item",
                    excluded);
        } else if (!list_empty(filter->spec, included)) {
            problem(filter, "Invalid included/excluded lists: %s must be empty when %s is '*'",
                    included, excluded);
        }
    }
}

/* Velero's rules for an include and an exclude list: "*" stands alone in includes, and in excludes
 * only of the new, scoped filters, which then include nothing; nothing is in both. */
static void check_lists(struct xb_filter *filter, const char *included, const char *excluded,
                        bool scoped)
{
    const char *text;
    for (size_t i = 0; (text = list_text(filter->spec, included, i)) != NULL; i++) {
        if (strcmp(text, "*") == 0 && (i > 0 || list_text(filter->spec, included, 1))) {
            problem(filter, "Invalid included/excluded lists: %s: '*' must be the only item",
                    included);
        }
        const char *other;
        for (size_t j = 0; (other = list_text(filter->spec, excluded, j)) != NULL; j++) {
            if (strcmp(text, other) == 0) {
                problem(filter, "Invalid included/excluded lists: %s is in both %s and %s", text,
                        included, excluded);
            }
        }
    }
    check_excluded(filter, included, excluded, scoped);
}

/* Whether fnmatch means by it what Velero 1.18 means: letters of namespaces, "*", "?", "[a-z]". A
 * pattern that is taken and fits nothing would make an empty backup look good. */
static bool pattern_valid(const char *pattern)
{
    const char *open = NULL;
    size_t len = strlen(pattern);
    if (len > PATTERN_BYTES_MAX || strstr(pattern, "**") ||
        strspn(pattern, "abcdefghijklmnopqrstuvwxyz0123456789-*?[]") != len) {
        return false;
    }
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

static void check_patterns(struct xb_filter *filter, const char *field)
{
    const char *text;
    for (size_t i = 0; (text = list_text(filter->spec, field, i)) != NULL; i++) {
        if (!pattern_valid(text)) {
            problem(filter,
                    "Invalid included/excluded namespace lists: '%.100s' in %s is neither a "
                    "namespace's name nor a pattern of *, ? and [a-z]",
                    text, field);
        }
    }
}

static bool uses_new_style(xb_json *spec)
{
    return !list_empty(spec, "includedClusterScopedResources") ||
           !list_empty(spec, "excludedClusterScopedResources") ||
           !list_empty(spec, "includedNamespaceScopedResources") ||
           !list_empty(spec, "excludedNamespaceScopedResources");
}

static bool uses_old_style(xb_json *spec)
{
    return !list_empty(spec, "includedResources") || !list_empty(spec, "excludedResources") ||
           xb_json_get(spec, "includeClusterResources") != NULL;
}

int xb_filter_new(xb_json *spec, struct xb_filter **ret, struct xb_error *err)
{
    struct xb_filter *filter = calloc(1, sizeof *filter);
    if (!filter) {
        return xb_error_no_memory(err, "a filter");
    }
    filter->spec = json_object_get(spec);
    check_lists(filter, "includedNamespaces", "excludedNamespaces", false);
    check_lists(filter, "includedResources", "excludedResources", false);
    check_lists(filter, "includedClusterScopedResources", "excludedClusterScopedResources", true);
    check_lists(filter, "includedNamespaceScopedResources", "excludedNamespaceScopedResources",
                true);
    check_patterns(filter, "includedNamespaces");
    check_patterns(filter, "excludedNamespaces");
    if (uses_new_style(spec) && uses_old_style(spec)) {
        problem(filter, "include-resources, exclude-resources and include-cluster-resources are "
                        "old filter parameters; they cannot be used together with the "
                        "cluster-scoped and namespace-scoped ones");
    }
    if (xb_json_get(spec, "labelSelector") && xb_json_get(spec, "orLabelSelectors")) {
        problem(filter, "encountered labelSelector as well as orLabelSelectors in spec, only one "
                        "can be specified");
    }
    *ret = filter;
    return 0;
}

size_t xb_filter_problem_count(const struct xb_filter *filter)
{
    return filter->problem_count;
}

const char *xb_filter_problem(const struct xb_filter *filter, size_t index)
{
    return filter->problems[index];
}

static bool list_matches_glob(xb_json *spec, const char *field, const char *text)
{
    const char *pattern;
    for (size_t i = 0; (pattern = list_text(spec, field, i)) != NULL; i++) {
        if (fnmatch(pattern, text, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool xb_filter_takes_namespace(const struct xb_filter *filter, const char *namespace)
{
    if (list_matches_glob(filter->spec, "excludedNamespaces", namespace)) {
        return false;
    }
    return list_empty(filter->spec, "includedNamespaces") ||
           list_matches_glob(filter->spec, "includedNamespaces", namespace);
}

bool xb_filter_takes_all_namespaces(const struct xb_filter *filter)
{
    const char *first = list_text(filter->spec, "includedNamespaces", 0);
    return (!first || strcmp(first, "*") == 0) && list_empty(filter->spec, "excludedNamespaces");
}

size_t xb_filter_named_count(const struct xb_filter *filter)
{
    size_t count = 0;
    const char *text;
    for (size_t i = 0; (text = list_text(filter->spec, "includedNamespaces", i)) != NULL; i++) {
        count += strpbrk(text, "*?[") == NULL;
    }
    return count;
}

bool xb_filter_only_named(const struct xb_filter *filter)
{
    size_t count = 0;
    while (list_text(filter->spec, "includedNamespaces", count)) {
        count++;
    }
    return count > 0 && count == xb_filter_named_count(filter);
}

const char *xb_filter_named(const struct xb_filter *filter, size_t index)
{
    const char *text;
    for (size_t i = 0; (text = list_text(filter->spec, "includedNamespaces", i)) != NULL; i++) {
        if (strpbrk(text, "*?[") == NULL && index-- == 0) {
            return text;
        }
    }
    return NULL;
}

/* Whether `text` of a filter means this kind: "pods", "po", "pod", "Pod", "deployments.apps",
 * "deployments". */
static bool names_kind(const char *text, const struct xb_filter_kind *kind)
{
    size_t len = strcspn(text, ".");
    const char *group = text[len] ? text + len + 1 : NULL;
    if (group && strcasecmp(group, kind->group) != 0) {
        return false;
    }
    const char *names[] = {kind->plural, kind->singular, kind->kind};
    for (size_t i = 0; i < 3; i++) {
        if (names[i] && strlen(names[i]) == len && strncasecmp(names[i], text, len) == 0) {
            return true;
        }
    }
    for (const char *const *name = kind->short_names; name && *name; name++) {
        if (strlen(*name) == len && strncasecmp(*name, text, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool list_names_kind(xb_json *spec, const char *field, const struct xb_filter_kind *kind)
{
    const char *text;
    for (size_t i = 0; (text = list_text(spec, field, i)) != NULL; i++) {
        if (strcmp(text, "*") == 0 || names_kind(text, kind)) {
            return true;
        }
    }
    return false;
}

/* Included by the first list (or that is empty and `by_default`), and not excluded by the second.
 */
static bool lists_take(xb_json *spec, const char *included, const char *excluded,
                       const struct xb_filter_kind *kind, bool by_default)
{
    if (list_names_kind(spec, excluded, kind)) {
        return false;
    }
    return list_empty(spec, included) ? by_default : list_names_kind(spec, included, kind);
}

bool xb_filter_takes_kind(const struct xb_filter *filter, const struct xb_filter_kind *kind)
{
    xb_json *spec = filter->spec;
    if (uses_new_style(spec)) {
        if (kind->namespaced) {
            return lists_take(spec, "includedNamespaceScopedResources",
                              "excludedNamespaceScopedResources", kind, true);
        }
        /* By default cluster-scoped kinds come along only with a backup of everything. */
        const char *first = list_text(spec, "includedNamespaceScopedResources", 0);
        bool everything = xb_filter_takes_all_namespaces(filter) &&
                          (!first || strcmp(first, "*") == 0) &&
                          list_empty(spec, "excludedNamespaceScopedResources") &&
                          list_empty(spec, "excludedClusterScopedResources");
        return lists_take(spec, "includedClusterScopedResources", "excludedClusterScopedResources",
                          kind, everything);
    }
    if (!lists_take(spec, "includedResources", "excludedResources", kind, true)) {
        return false;
    }
    return kind->namespaced ||
           xb_json_bool(spec, "includeClusterResources", xb_filter_takes_all_namespaces(filter));
}

bool xb_filter_takes_related(const struct xb_filter *filter, const struct xb_filter_kind *kind)
{
    xb_json *spec = filter->spec;
    /* A claim, say, is taken or not whoever asks for it. */
    if (kind->namespaced) {
        return xb_filter_takes_kind(filter, kind);
    }
    if (uses_new_style(spec)) {
        return !list_names_kind(spec, "excludedClusterScopedResources", kind);
    }
    xb_json *cluster = xb_json_get(spec, "includeClusterResources");
    if (cluster && json_object_get_boolean(cluster)) {
        return !list_names_kind(spec, "excludedResources", kind);
    }
    return !cluster && lists_take(spec, "includedResources", "excludedResources", kind, true);
}

bool xb_filter_excluded_by_label(xb_json *object)
{
    xb_json *labels = xb_json_get(object, "metadata.labels");
    return strcmp(xb_json_str(labels, exclude_label, ""), "true") == 0;
}

bool xb_filter_takes_object(const struct xb_filter *filter, xb_json *object)
{
    xb_json *labels = xb_json_get(object, "metadata.labels");
    if (xb_filter_excluded_by_label(object)) {
        return false;
    }
    xb_json *selector = xb_json_get(filter->spec, "labelSelector");
    if (selector) {
        return xb_selector_matches(selector, labels);
    }
    xb_json *any = xb_json_get(filter->spec, "orLabelSelectors");
    if (!any || !json_object_is_type(any, json_type_array) || json_object_array_length(any) == 0) {
        return true;
    }
    for (size_t i = 0; i < json_object_array_length(any); i++) {
        if (xb_selector_matches(json_object_array_get_idx(any, i), labels)) {
            return true;
        }
    }
    return false;
}

void xb_filter_free(struct xb_filter *filter)
{
    if (!filter) {
        return;
    }
    for (size_t i = 0; i < filter->problem_count; i++) {
        free(filter->problems[i]);
    }
    json_object_put(filter->spec);
    free(filter);
}
