/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.h - what a Backup or Restore takes and leaves, decided from its spec.
 *
 * What for:  one place that answers "is this namespace, this kind, this object in?" for collecting
 * and for restoring. Ownership: the filter keeps a reference on the spec. Threads: read-only after
 * creation. Blocking: never (pure). Source:    contract sections 1 (fields), 3 ("Collection",
 * "Filters") and 4. Namespace globs are Velero 1.18's: `*`, `?`, `[a-z]`. Errors:    INVALID for
 * every rule that the spec breaks, listed in `problems`, worded for status.validationErrors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/cleanup.h"
#include "shared/codec/json.h"
#include "shared/kube/selector.h"

enum { XB_FILTER_PROBLEMS_MAX = 32 };

/* A kind of resource as discovery describes it. Strings live with their owner. */
struct xb_filter_kind {
    const char *group, *plural, *singular, *kind;
    const char *const *short_names; /* NULL ended, or NULL */
    bool namespaced;
};

struct xb_filter;

/* `spec` is a BackupSpec or RestoreSpec. Always makes a filter; what is wrong with the spec is in
 * its problems. */
int xb_filter_new(xb_json *spec, struct xb_filter **ret, struct xb_error *err) XB_MUST_CHECK;
size_t xb_filter_problem_count(const struct xb_filter *filter);
const char *xb_filter_problem(const struct xb_filter *filter, size_t index);

bool xb_filter_takes_namespace(const struct xb_filter *filter, const char *namespace);
/* Whether the spec takes every namespace (no include but "*", no exclude). */
bool xb_filter_takes_all_namespaces(const struct xb_filter *filter);
/* Namespaces named without a wildcard, for "named but missing". */
size_t xb_filter_named_count(const struct xb_filter *filter);
/* Whether every included namespace is named so, and there is one. */
bool xb_filter_only_named(const struct xb_filter *filter);
const char *xb_filter_named(const struct xb_filter *filter, size_t index);

/* Whether objects of this kind are listed at all. Cluster-scoped kinds follow
 * includeClusterResources and the new-style filters; those that come in only because an item drags
 * them in are decided by xb_filter_takes_related. */
bool xb_filter_takes_kind(const struct xb_filter *filter, const struct xb_filter_kind *kind);
/* Whether an item that another one drags in (a PV for a PVC) may come in. */
bool xb_filter_takes_related(const struct xb_filter *filter, const struct xb_filter_kind *kind);

/* The label velero.io/exclude-from-backup=true, which beats whatever drags the object in. */
bool xb_filter_excluded_by_label(xb_json *object);

/* Labels: the exclude label, labelSelector and orLabelSelectors. */
bool xb_filter_takes_object(const struct xb_filter *filter, xb_json *object);

void xb_filter_free(struct xb_filter *filter);
XB_DEFINE_CLEANUP(xb_filter_freep, struct xb_filter, xb_filter_free);
