/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h - what a repository's own policy says about compressing files.
 *
 * What for:  kopia keeps policies as manifests; the global one names a compressor. A repository
 *            that xebec makes says zstd-fastest there, and one that Velero makes says nothing, so
 *            its files stay raw as Velero's users expect. `kopia policy set --global --compression`
 *            changes it.
 * Threads:   any.    Blocking: yes.
 * Errors:    CORRUPT for a policy that is no JSON of kopia's kind.
 * Source:    kopia-format section 10.
 */
#pragma once

#include "shared/repository/repository.h"

/* zstd where the policy names it, zstd-fastest where it names another compressor, else none. */
int xb_policy_compression(struct xb_repository *repository, enum xb_compression *ret,
                          struct xb_error *err) XB_MUST_CHECK;

/* Puts a global policy that names zstd-fastest; durable after a flush. */
int xb_policy_put_compression(struct xb_repository *repository, struct xb_error *err) XB_MUST_CHECK;
