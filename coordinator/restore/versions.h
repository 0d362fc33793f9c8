/* SPDX-License-Identifier: Apache-2.0
 *
 * versions.h - in which version a kind is restored, where a record has it in several.
 *
 * What for:  a backup made with EnableAPIGroupVersions holds every object in every version that its
 *            cluster served. The first of these that is in the record and served here: what the
 *            user put first; the version that this cluster prefers; the one that the backup's
 *            cluster preferred; the best of the others, as Kubernetes ranks versions. If there is
 *            none, the one that the backup's cluster preferred, and its objects fail by name.
 *            Names: plural and group as the record's folders have them: "pods", "deployments.apps".
 * Ownership: the caller owns the choice; what it is asked with is lent for its life.
 * Threads:   one at a time.
 * Blocking:  never (pure, but for the caller's questions to discovery).
 * Limits:    XB_RESTORE_VERSIONS_MAX of a kind.
 * Source:    velero-contract, EnableAPIGroupVersions.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_RESTORE_VERSIONS_MAX = 64, XB_RESTORE_KINDS_MAX = 65536 };

/* What the cluster serves. */
struct xb_restore_served {
    bool (*serves)(void *context, const char *resource, const char *version);
    const char *(*preferred)(void *context, const char *resource); /* NULL: not served at all */
    void *context;
};

struct xb_restore_versions;

/* `priorities`: the user's, one kind a line, "rockbands.music.example.io=v2beta1,v2"; may be NULL.
 * Lines that are not of this form are passed over. */
int xb_restore_versions_new(const struct xb_restore_served *served, const char *priorities,
                            struct xb_restore_versions **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_restore_versions_free(struct xb_restore_versions *versions);
XB_DEFINE_CLEANUP(xb_restore_versions_freep, struct xb_restore_versions, xb_restore_versions_free);

/* The record has the kind in this version. */
int xb_restore_versions_seen(struct xb_restore_versions *versions, const char *resource,
                             const char *version, bool preferred,
                             struct xb_error *err) XB_MUST_CHECK;

/* The version to restore; NULL for a kind that was not seen. Valid until the free. */
const char *xb_restore_versions_chosen(struct xb_restore_versions *versions, const char *resource);

/* Kubernetes' rank: v10 before v2 before v11beta2 before v1alpha1 before any other word. As
 * strcmp: negative when `a` comes first. */
int xb_restore_version_compare(const char *a, const char *b);
