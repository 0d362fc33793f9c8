/* SPDX-License-Identifier: Apache-2.0
 *
 * strategic_internal.h - strategic merge patches from within; for strategic.c (mappings) and
 * strategic_list.c (lists).
 *
 * What for:  mappings and lists hold one another. `target` is changed in place, `patch` never.
 */
#pragma once

#include "coordinator/modify/patch_internal.h"
#include "coordinator/modify/types.h"

#define XB_PATCH_DIRECTIVE "$patch"
#define XB_PATCH_RETAIN "$retainKeys"
#define XB_PATCH_ORDER "$setElementOrder/"
#define XB_PATCH_DELETE "$deleteFromPrimitiveList/"

enum { XB_PATCH_PATH_BYTES = 300 };

/* Where in the patch we are, for errors: "spec.containers". It is cut when it is too long. */
struct xb_patch_path {
    char text[XB_PATCH_PATH_BYTES];
    size_t len;
};

/* Adds ".name" (or "[name]"), and returns what xb_patch_path_leave wants. */
size_t xb_patch_path_enter(struct xb_patch_path *path, const char *name, bool element);
void xb_patch_path_leave(struct xb_patch_path *path, size_t before);
int xb_patch_refused(const struct xb_patch_path *path, struct xb_error *err, const char *format,
                     ...) XB_PRINTF(3, 4);

/* `*target` (a mapping; its reference may be exchanged) gets what the patch says. */
int xb_strategic_map(struct xb_patch_path *path, xb_json **target, xb_json *patch,
                     const struct xb_patch_type *type, struct xb_error *err) XB_MUST_CHECK;

/* A list and what is to come into it; each may be NULL. */
struct xb_patch_lists {
    xb_json *target, *patch;
    xb_json *order; /* of $setElementOrder; NULL: the patch's own */
};
/* The list that comes of both, whatever the field's strategy is. */
int xb_strategic_list(struct xb_patch_path *path, const struct xb_patch_lists *lists,
                      const struct xb_patch_field *field, xb_json **ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* The target's elements without those scalars that `away` lists. */
int xb_strategic_delete(struct xb_patch_path *path, xb_json *target, xb_json *away, xb_json **ret,
                        struct xb_error *err) XB_MUST_CHECK;

/* A copy of what comes from a patch as it is: without directives, and without nulls in mappings.
 * `*keep` false: it is nothing but a directive. That is also a mapping with any `$patch` where a
 * field is new, as with Kubernetes; where something is replaced as a `whole`, only one with
 * `$patch: delete`. */
int xb_strategic_plain(xb_json *value, bool whole, xb_json **ret, bool *keep,
                       struct xb_error *err) XB_MUST_CHECK;
