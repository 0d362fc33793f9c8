/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h - resource policies: what a ConfigMap says of volumes by what they are.
 *
 * What for:  a backup may name a ConfigMap whose rules say, for volumes of a size, class, type or
 *            claim, that they are skipped or backed up from their file system, whatever the pods'
 *            annotations say; and which may add to the backup's filters.
 * Ownership: the caller owns the policy (xb_policy_free). What it is asked about is lent.
 * Threads:   read-only once it is made.    Blocking: never (pure).
 * Shapes:    YAML with the fields of velero-contract section 3, "Choosing volumes". The first rule
 *            all of whose conditions hold decides; a rule without conditions holds for all.
 * Errors:    INVALID: text that is no YAML, unknown, doubled or ill-typed fields, each by its path.
 * Limits:    those of xb_kube_yaml_parse.
 * Source:    velero-contract section 3.
 */
#pragma once

#include "shared/base/cleanup.h"
#include "shared/codec/json.h"

enum xb_policy_action {
    XB_POLICY_NONE, /* no rule is about it */
    XB_POLICY_SKIP,
    XB_POLICY_FS_BACKUP,
    XB_POLICY_SNAPSHOT,
    XB_POLICY_CUSTOM /* a plugin of Velero's takes it */
};

struct xb_policy;

/* `config_map`: the object; it must have exactly one key. */
int xb_policy_from_config_map(xb_json *config_map, struct xb_policy **ret,
                              struct xb_error *err) XB_MUST_CHECK;
int xb_policy_parse(const char *text, size_t len, struct xb_policy **ret,
                    struct xb_error *err) XB_MUST_CHECK;
void xb_policy_free(struct xb_policy *policy);
XB_DEFINE_CLEANUP(xb_policy_freep, struct xb_policy, xb_policy_free);

/* Puts the rules of `after` behind those of `policy`, for volumes that none of these is about; the
 * filters of `after` do not count. Both are taken over, and each may be NULL. */
struct xb_policy *xb_policy_follow(struct xb_policy *policy, struct xb_policy *after);

/* A volume as it is known: each may be NULL. Of a volume with a PersistentVolume, that one counts;
 * else the pod's entry. */
struct xb_policy_volume {
    xb_json *pod_volume, *claim, *persistent_volume;
};
/* `policy` may be NULL. */
enum xb_policy_action xb_policy_match(const struct xb_policy *policy,
                                      const struct xb_policy_volume *volume);

/* The policy's own lists, for xb_filter_combine; NULL: none. Lent. `policy` may be NULL. */
xb_json *xb_policy_filters(const struct xb_policy *policy);
/* Why they cannot go with those of a backup's spec; NULL: they can. */
const char *xb_policy_filters_problem(const struct xb_policy *policy, xb_json *spec);
