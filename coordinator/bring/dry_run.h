/* SPDX-License-Identifier: Apache-2.0
 *
 * dry_run.h - whether a Restore only asks what it would do.
 *
 * What for:  the annotation XB_DRY_RUN_ANNOTATION, which `velero restore create --annotations` can
 *            set. Nothing is written then but the Restore itself and its record.
 * Threads:   any.    Blocking: never (pure).
 */
#pragma once

#include "shared/codec/json.h"

#define XB_DRY_RUN_ANNOTATION "xebec.io/dry-run"

/* INVALID: it says neither "true" nor "false". A typo must not become a restore. */
int xb_restore_is_dry_run(xb_json *restore, bool *ret, struct xb_error *err) XB_MUST_CHECK;
