/* SPDX-License-Identifier: Apache-2.0
 *
 * filter_internal.h - a filter from within; for filter.c and filter_check.c only.
 *
 * What for:  the lists of the spec, and what is wrong with them.
 */
#pragma once

#include "coordinator/collect/filter.h"

enum filter_list {
    INCLUDED_NAMESPACES,
    EXCLUDED_NAMESPACES,
    INCLUDED_RESOURCES,
    EXCLUDED_RESOURCES,
    INCLUDED_CLUSTER_SCOPED,
    EXCLUDED_CLUSTER_SCOPED,
    INCLUDED_NAMESPACE_SCOPED,
    EXCLUDED_NAMESPACE_SCOPED,
    FILTER_LISTS
};

struct words {
    char **words;
    size_t count, cap;
    bool any; /* one of them is "*" */
};

struct xb_filter {
    xb_json *spec;
    struct words lists[FILTER_LISTS];
    struct words added[FILTER_LISTS]; /* by a policy; empty once they are resolved */
    bool all_namespaces;              /* so told */
    char *problems[XB_FILTER_PROBLEMS_MAX];
    size_t problem_count;
};

extern const char *const xb_filter_fields[FILTER_LISTS];

void xb_filter_add_problem(struct xb_filter *filter, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends a copy of the word. */
int xb_filter_add_word(struct words *words, const char *word, struct xb_error *err) XB_MUST_CHECK;
/* Reads the lists of the spec strictly: what is no list of usable words is a problem. */
int xb_filter_read_lists(struct xb_filter *filter, struct xb_error *err) XB_MUST_CHECK;
/* Everything that makes a spec invalid beyond the types of its lists. */
void xb_filter_check(struct xb_filter *filter);

static inline bool xb_filter_new_style(const struct xb_filter *filter)
{
    return filter->lists[INCLUDED_CLUSTER_SCOPED].count > 0 ||
           filter->lists[EXCLUDED_CLUSTER_SCOPED].count > 0 ||
           filter->lists[INCLUDED_NAMESPACE_SCOPED].count > 0 ||
           filter->lists[EXCLUDED_NAMESPACE_SCOPED].count > 0;
}

static inline bool xb_filter_old_style(const struct xb_filter *filter)
{
    return filter->lists[INCLUDED_RESOURCES].count > 0 ||
           filter->lists[EXCLUDED_RESOURCES].count > 0 ||
           xb_json_get(filter->spec, "includeClusterResources") != NULL;
}
