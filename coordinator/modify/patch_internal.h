/* SPDX-License-Identifier: Apache-2.0
 *
 * patch_internal.h - small steps that all patches are made of; for the files of this folder only.
 *
 * What for:  json-c leaves a value with the caller when it cannot be put; here nobody forgets it.
 */
#pragma once

#include "shared/codec/json.h"

/* A copy that shares nothing, so that threads may have one each. NULL is null. */
int xb_patch_copy(xb_json *value, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
/* Both take `value` over, also when they fail. */
int xb_patch_set(xb_json *object, const char *key, xb_json *value,
                 struct xb_error *err) XB_MUST_CHECK;
int xb_patch_append(xb_json *list, xb_json *value, struct xb_error *err) XB_MUST_CHECK;
