/* SPDX-License-Identifier: Apache-2.0
 *
 * json_patch.h - JSON patches and JSON merge patches.
 *
 * What for:  two of the three ways in which a resource modifier changes an object.
 * Ownership: documents, steps and patches are lent and not changed; a result is the caller's and
 *            shares nothing with them.
 * Threads:   steps and patches may be shared by threads that only apply them.
 * Blocking:  never (pure).
 * Shapes:    pointers are RFC 6901's. Beyond it, as kubectl and Velero have it, a list's index may
 *            count from its end: -1 is the last element (of `add`: behind the last).
 * Errors:    NOT_FOUND: a path that leads nowhere. CONFLICT: a test that does not hold. INVALID: a
 *            pointer or a step that makes no sense here. FULL: the result would be larger or deeper
 *            than an object may be. All or nothing: on an error there is no result.
 * Limits:    XB_PATCH_BYTES_MAX, XB_JSON_DEPTH_MAX of a result.
 * Source:    RFC 6901, 6902, 7386.
 */
#pragma once

#include "shared/codec/json.h"

enum { XB_PATCH_BYTES_MAX = 8 << 20 /* of a document, as xb_patch_weight counts */ };

enum xb_patch_operation {
    XB_PATCH_ADD,
    XB_PATCH_REMOVE,
    XB_PATCH_REPLACE,
    XB_PATCH_MOVE,
    XB_PATCH_COPY,
    XB_PATCH_TEST
};

struct xb_patch_step {
    enum xb_patch_operation operation;
    const char *path, *from; /* `from`: of move and copy only */
    xb_json *value;          /* of add, replace and test; NULL is null */
};

const char *xb_patch_operation_name(enum xb_patch_operation operation);

/* What makes a text no JSON pointer; NULL: it is one. */
const char *xb_json_pointer_problem(const char *path);

int xb_json_patch(xb_json *document, const struct xb_patch_step *steps, size_t count, xb_json **ret,
                  struct xb_error *err) XB_MUST_CHECK;
/* Whether a test step holds. A value that is not there is null. NOT_FOUND: what should hold the
 * value is not there either. */
int xb_json_patch_test(xb_json *document, const struct xb_patch_step *step, bool *ret,
                       struct xb_error *err) XB_MUST_CHECK;

int xb_json_merge_patch(xb_json *document, xb_json *patch, xb_json **ret,
                        struct xb_error *err) XB_MUST_CHECK;

/* About how many bytes a value takes; counting ends beyond `limit`. */
size_t xb_patch_weight(xb_json *value, size_t limit);
