/* SPDX-License-Identifier: Apache-2.0
 *
 * existing.h - what is to change about an object that is there already.
 *
 * What for:  a restore with existingResourcePolicy `update` makes what is there like what the
 *            backup has, by a JSON merge patch; where that is refused, only the labels that tell of
 *            backup and restore are put on.
 * Ownership: objects are lent; the patch is the caller's, and may share parts with `wanted`.
 * Threads:   an object belongs to one thread.    Blocking: never (pure).
 * Shapes:    any JSON; what is not an object has no labels.
 * Errors:    CORRUPT (not an object), FULL (no memory).
 * Source:    velero-contract section 4, "Per item"; RFC 7386.
 */
#pragma once

#include "shared/codec/json.h"

/* From the object in the cluster to the wanted (transformed) one. What the cluster itself says
 * about an object (status, uid and the like) is no difference. Fields that the wanted one lacks are
 * taken away. *ret: NULL when there is nothing to change. */
int xb_restore_update_patch(xb_json *existing, xb_json *wanted, xb_json **ret,
                            struct xb_error *err) XB_MUST_CHECK;

/* Puts the wanted one's labels velero.io/backup-name and restore-name on. *ret: NULL when they are
 * there. */
int xb_restore_label_patch(xb_json *existing, xb_json *wanted, xb_json **ret,
                           struct xb_error *err) XB_MUST_CHECK;
