/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/filter_internal.h"

enum { KIND_BYTES = 640 };

static const char exclude_label[] = "velero\\.io/exclude-from-backup";

const char *const xb_filter_fields[FILTER_LISTS] = {
    [INCLUDED_NAMESPACES] = "includedNamespaces",
    [EXCLUDED_NAMESPACES] = "excludedNamespaces",
    [INCLUDED_RESOURCES] = "includedResources",
    [EXCLUDED_RESOURCES] = "excludedResources",
    [INCLUDED_CLUSTER_SCOPED] = "includedClusterScopedResources",
    [EXCLUDED_CLUSTER_SCOPED] = "excludedClusterScopedResources",
    [INCLUDED_NAMESPACE_SCOPED] = "includedNamespaceScopedResources",
    [EXCLUDED_NAMESPACE_SCOPED] = "excludedNamespaceScopedResources",
};

int xb_filter_new(xb_json *spec, struct xb_filter **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = calloc(1, sizeof *filter);
    if (!filter) {
        return xb_error_no_memory(err, "a filter");
    }
    filter->spec = json_object_get(spec);
    int r = xb_filter_read_lists(filter, err);
    if (r < 0) {
        return r;
    }
    xb_filter_check(filter);
    *ret = XB_TAKE(filter);
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

static void forget_words(struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->words[i]);
    }
    free(words->words);
    *words = (struct words){.count = 0};
}

void xb_filter_free(struct xb_filter *filter)
{
    if (!filter) {
        return;
    }
    for (size_t i = 0; i < filter->problem_count; i++) {
        free(filter->problems[i]);
    }
    for (size_t i = 0; i < FILTER_LISTS; i++) {
        forget_words(&filter->lists[i]);
        forget_words(&filter->added[i]);
    }
    json_object_put(filter->spec);
    free(filter);
}

/* ---- namespaces ---- */

static bool words_match(const struct words *words, const char *text)
{
    for (size_t i = 0; i < words->count; i++) {
        if (fnmatch(words->words[i], text, 0) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_glob(const char *word)
{
    return strpbrk(word, "*?[") != NULL;
}

bool xb_filter_excludes_namespace(const struct xb_filter *filter, const char *namespace)
{
    return words_match(&filter->lists[EXCLUDED_NAMESPACES], namespace);
}

bool xb_filter_takes_namespace(const struct xb_filter *filter, const char *namespace)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    return !xb_filter_excludes_namespace(filter, namespace) &&
           (included->count == 0 || words_match(included, namespace));
}

bool xb_filter_takes_all_namespaces(const struct xb_filter *filter)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    return filter->all_namespaces || ((included->count == 0 || included->any) &&
                                      filter->lists[EXCLUDED_NAMESPACES].count == 0);
}

void xb_filter_tell_all_namespaces(struct xb_filter *filter)
{
    filter->all_namespaces = true;
}

bool xb_filter_lists_namespaces(const struct xb_filter *filter)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    return included->count > 0 && !included->any;
}

/* An empty name names nothing. */
static bool is_name(const char *word)
{
    return word[0] && !is_glob(word);
}

size_t xb_filter_named_count(const struct xb_filter *filter)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    size_t count = 0;
    for (size_t i = 0; i < included->count; i++) {
        count += is_name(included->words[i]);
    }
    return count;
}

bool xb_filter_only_named(const struct xb_filter *filter)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    return included->count > 0 && included->count == xb_filter_named_count(filter);
}

const char *xb_filter_named(const struct xb_filter *filter, size_t index)
{
    const struct words *included = &filter->lists[INCLUDED_NAMESPACES];
    for (size_t i = 0; i < included->count; i++) {
        if (is_name(included->words[i]) && index-- == 0) {
            return included->words[i];
        }
    }
    return NULL;
}

int xb_filter_exclude_namespaces(xb_json *spec, xb_json *names, struct xb_error *err)
{
    size_t count = json_object_array_length(names);
    xb_json *excluded = xb_json_get(spec, "excludedNamespaces");
    if (count == 0 || !json_object_is_type(spec, json_type_object) ||
        (excluded && !json_object_is_type(excluded, json_type_array))) {
        return 0; /* nothing to add, or nothing to add to: that is a problem of its own */
    }
    if (!excluded) {
        excluded = json_object_new_array();
        json_object_object_add(spec, "excludedNamespaces", excluded);
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *name = json_object_array_get_idx(names, i);
        bool there = false;
        for (size_t k = 0; !there && k < json_object_array_length(excluded); k++) {
            there = json_object_equal(json_object_array_get_idx(excluded, k), name) != 0;
        }
        if (!there && json_object_array_add(excluded, json_object_get(name)) < 0) {
            json_object_put(name);
            return xb_error_no_memory(err, "the excluded namespaces");
        }
    }
    return 0;
}

/* ---- kinds ---- */

static void kind_text(const struct xb_filter_kind *kind, char out[KIND_BYTES])
{
    snprintf(out, KIND_BYTES, "%s%s%s", kind->plural, kind->group[0] ? "." : "", kind->group);
}

struct resolver {
    xb_filter_resolve_fn *fn;
    void *context;
};

static void drop_word(struct words *words, size_t index)
{
    free(words->words[index]);
    memmove(&words->words[index], &words->words[index + 1],
            (words->count - index - 1) * sizeof *words->words);
    words->count--;
}

/* A scoped list only holds kinds of its scope: others are dropped from it, and told. */
static int resolve_words(struct xb_filter *filter, enum filter_list which, struct words *words,
                         const struct resolver *resolver, struct xb_error *err)
{
    bool scoped = which >= INCLUDED_CLUSTER_SCOPED;
    bool namespaced = which >= INCLUDED_NAMESPACE_SCOPED;
    for (size_t i = 0; i < words->count;) {
        char text[KIND_BYTES];
        struct xb_filter_kind kind;
        if (strcmp(words->words[i], "*") == 0 ||
            !resolver->fn(resolver->context, words->words[i], &kind)) {
            i++;
            continue;
        }
        if (scoped && kind.namespaced != namespaced) {
            xb_filter_add_problem(filter, "%s.%s: %s are %s, so they have no effect there",
                                  words == &filter->added[which] ? "includeExcludePolicy" : "spec",
                                  xb_filter_fields[which], words->words[i],
                                  kind.namespaced ? "in namespaces" : "cluster-scoped");
            drop_word(words, i);
            continue;
        }
        kind_text(&kind, text);
        char *copy = strdup(text);
        if (!copy) {
            return xb_error_no_memory(err, "a filter");
        }
        free(words->words[i]);
        words->words[i++] = copy;
    }
    return 0;
}

/* What a policy says of a kind counts where the lists, with what was added before, say nothing. */
static int add_words(struct xb_filter *filter, enum filter_list which,
                     const struct resolver *resolver, struct xb_error *err)
{
    struct words *added = &filter->added[which];
    enum filter_list included = (enum filter_list)(which - which % 2);
    int r = resolve_words(filter, which, added, resolver, err);
    for (size_t i = 0; r == 0 && i < added->count; i++) {
        if (!words_match(&filter->lists[included], added->words[i]) &&
            !words_match(&filter->lists[included + 1], added->words[i])) {
            r = xb_filter_add_word(&filter->lists[which], added->words[i], err);
        }
    }
    forget_words(added);
    return r;
}

int xb_filter_resolve(struct xb_filter *filter, xb_filter_resolve_fn *fn, void *context,
                      struct xb_error *err)
{
    const struct resolver resolver = {fn, context};
    int r = 0;
    for (int which = INCLUDED_RESOURCES; r == 0 && which < FILTER_LISTS; which++) {
        r = resolve_words(filter, (enum filter_list)which, &filter->lists[which], &resolver, err);
    }
    /* The excludes first, as Velero does: a kind that a policy has in both is left out. */
    for (int which = INCLUDED_CLUSTER_SCOPED; r == 0 && which < FILTER_LISTS; which += 2) {
        r = add_words(filter, (enum filter_list)(which + 1), &resolver, err);
        r = r ? r : add_words(filter, (enum filter_list)which, &resolver, err);
    }
    return r;
}

static bool included_or_empty(const struct words *words, const char *kind)
{
    return words->count == 0 || words_match(words, kind);
}

static bool old_takes(const struct xb_filter *filter, const char *kind)
{
    return !words_match(&filter->lists[EXCLUDED_RESOURCES], kind) &&
           included_or_empty(&filter->lists[INCLUDED_RESOURCES], kind);
}

static bool is_namespaces(const struct xb_filter_kind *kind)
{
    return kind->group[0] == '\0' && strcmp(kind->plural, "namespaces") == 0;
}

/* By default cluster-scoped kinds come along only with a backup of everything; namespaces always.
 */
static bool new_takes_cluster(const struct xb_filter *filter, const struct xb_filter_kind *kind,
                              const char *text)
{
    const struct words *included = &filter->lists[INCLUDED_CLUSTER_SCOPED];
    const struct words *excluded = &filter->lists[EXCLUDED_CLUSTER_SCOPED];
    const struct words *namespaced = &filter->lists[INCLUDED_NAMESPACE_SCOPED];
    if (words_match(excluded, text)) {
        return false;
    }
    if (included->count > 0) {
        return words_match(included, text) || is_namespaces(kind);
    }
    return is_namespaces(kind) || (excluded->count == 0 && xb_filter_takes_all_namespaces(filter) &&
                                   (namespaced->count == 0 || namespaced->any) &&
                                   filter->lists[EXCLUDED_NAMESPACE_SCOPED].count == 0);
}

bool xb_filter_takes_kind(const struct xb_filter *filter, const struct xb_filter_kind *kind)
{
    char text[KIND_BYTES];
    kind_text(kind, text);
    if (xb_filter_new_style(filter)) {
        return kind->namespaced
                   ? !words_match(&filter->lists[EXCLUDED_NAMESPACE_SCOPED], text) &&
                         included_or_empty(&filter->lists[INCLUDED_NAMESPACE_SCOPED], text)
                   : new_takes_cluster(filter, kind, text);
    }
    bool by_default = is_namespaces(kind) || xb_filter_takes_all_namespaces(filter);
    return old_takes(filter, text) &&
           (kind->namespaced || xb_json_bool(filter->spec, "includeClusterResources", by_default));
}

bool xb_filter_takes_related(const struct xb_filter *filter, const struct xb_filter_kind *kind)
{
    char text[KIND_BYTES];
    /* A claim, say, is taken or not whoever asks for it. */
    if (kind->namespaced) {
        return xb_filter_takes_kind(filter, kind);
    }
    kind_text(kind, text);
    if (xb_filter_new_style(filter)) {
        return !words_match(&filter->lists[EXCLUDED_CLUSTER_SCOPED], text);
    }
    xb_json *cluster = xb_json_get(filter->spec, "includeClusterResources");
    if (cluster) {
        return json_object_get_boolean(cluster) &&
               !words_match(&filter->lists[EXCLUDED_RESOURCES], text);
    }
    return old_takes(filter, text);
}

/* ---- labels ---- */

bool xb_filter_excluded_by_label(xb_json *object)
{
    xb_json *labels = xb_json_get(object, "metadata.labels");
    return strcmp(xb_json_str(labels, exclude_label, ""), "true") == 0;
}

static xb_json *or_selectors(const struct xb_filter *filter)
{
    xb_json *any = xb_json_get(filter->spec, "orLabelSelectors");
    return any && json_object_is_type(any, json_type_array) && json_object_array_length(any) > 0
               ? any
               : NULL;
}

bool xb_filter_selects(const struct xb_filter *filter)
{
    return xb_json_get(filter->spec, "labelSelector") || or_selectors(filter);
}

bool xb_filter_selects_labels(const struct xb_filter *filter, xb_json *labels)
{
    xb_json *selector = xb_json_get(filter->spec, "labelSelector");
    xb_json *any = or_selectors(filter);
    if (selector) {
        return xb_selector_matches(selector, labels);
    }
    for (size_t i = 0; any && i < json_object_array_length(any); i++) {
        if (xb_selector_matches(json_object_array_get_idx(any, i), labels)) {
            return true;
        }
    }
    return false;
}

bool xb_filter_takes_object(const struct xb_filter *filter, xb_json *object)
{
    return !xb_filter_excluded_by_label(object) &&
           (!xb_filter_selects(filter) ||
            xb_filter_selects_labels(filter, xb_json_get(object, "metadata.labels")));
}
