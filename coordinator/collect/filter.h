/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.h - what a Backup or Restore takes and leaves, decided from its spec.
 *
 * What for:  one place that answers "is this namespace, this kind, this object in?" for collecting
 *            and for restoring.
 * Ownership: the filter keeps a reference on the spec.
 * Threads:   read-only after xb_filter_resolve.    Blocking: never (pure).
 * Shapes:    namespace globs are Velero 1.18's: `*`, `?`, `[a-z]`. A resource's name is turned into
 *            one "plural.group" by xb_filter_resolve; what cannot be resolved is a glob on
 *            "plural.group", as with Velero.
 * Errors:    INVALID for every rule that the spec breaks, listed in `problems`, worded for
 *            status.validationErrors: they name the field. A spec with problems must not be used.
 * Limits:    XB_FILTER_* below.
 * Source:    contract sections 1 (fields), 3 ("Preparation", "Collection") and 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/cleanup.h"
#include "shared/codec/json.h"
#include "shared/kube/selector.h"

enum {
    XB_FILTER_PROBLEMS_MAX = 32,
    XB_FILTER_LIST_MAX = 10000, /* entries of a list, requirements of a selector */
    XB_FILTER_NAME_BYTES_MAX = 317
};

/* A kind of resource. Strings live with their owner. */
struct xb_filter_kind {
    const char *group, *plural;
    bool namespaced;
};

struct xb_filter;

/* `spec` is a BackupSpec or RestoreSpec. Always makes a filter; what is wrong with the spec is in
 * its problems. */
int xb_filter_new(xb_json *spec, struct xb_filter **ret, struct xb_error *err) XB_MUST_CHECK;
size_t xb_filter_problem_count(const struct xb_filter *filter);
const char *xb_filter_problem(const struct xb_filter *filter, size_t index);

/* Adds the lists of a policy (fields named as the scoped lists of a spec; NULL: none), which become
 * part of the filter in xb_filter_resolve: a kind that the spec's own lists speak of is theirs, of
 * both scopes. Words that name nothing are problems. */
int xb_filter_combine(struct xb_filter *filter, xb_json *lists, struct xb_error *err) XB_MUST_CHECK;

/* Finds the kind that a user's word means; false: no kind that can be backed up. */
typedef bool xb_filter_resolve_fn(void *context, const char *word, struct xb_filter_kind *ret);
/* Turns all names of resources into kinds. Before it, and for words that mean no kind, a name is
 * compared as it stands. A name that has no effect where it stands (a cluster-scoped kind in the
 * list of the others) is told by one more problem, which does not make the filter invalid. */
int xb_filter_resolve(struct xb_filter *filter, xb_filter_resolve_fn *fn, void *context,
                      struct xb_error *err) XB_MUST_CHECK;

bool xb_filter_takes_namespace(const struct xb_filter *filter, const char *namespace);
/* Whether the spec takes every namespace: no include but "*", no exclude; or so told. */
bool xb_filter_takes_all_namespaces(const struct xb_filter *filter);
/* Velero takes a list of all namespaces that there are for all namespaces. */
void xb_filter_tell_all_namespaces(struct xb_filter *filter);
/* Whether a glob other than "*" chooses the namespaces, or no "*" includes them: then Velero looks
 * which there are. */
bool xb_filter_lists_namespaces(const struct xb_filter *filter);
/* Whether some exclude matches it. */
bool xb_filter_excludes_namespace(const struct xb_filter *filter, const char *namespace);
/* Namespaces named without a wildcard, for "named but missing". */
size_t xb_filter_named_count(const struct xb_filter *filter);
const char *xb_filter_named(const struct xb_filter *filter, size_t index);
/* Whether every included namespace is named so, and there is one. */
bool xb_filter_only_named(const struct xb_filter *filter);

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
/* Whether the spec selects by labels at all, and then whether it selects these. */
bool xb_filter_selects(const struct xb_filter *filter);
bool xb_filter_selects_labels(const struct xb_filter *filter, xb_json *labels);

/* The namespaces whose label keeps all of them out join the spec's excludes, as with Velero.
 * `names`: an array of strings. */
int xb_filter_exclude_namespaces(xb_json *spec, xb_json *names, struct xb_error *err) XB_MUST_CHECK;

void xb_filter_free(struct xb_filter *filter);
XB_DEFINE_CLEANUP(xb_filter_freep, struct xb_filter, xb_filter_free);
