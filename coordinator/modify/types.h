/* SPDX-License-Identifier: Apache-2.0
 *
 * types.h - how a strategic merge patch goes into the built-in kinds of Kubernetes.
 *
 * What for:  which lists are merged, and by which key; which fields there are below which. Custom
 *            resources have none of that, so that no strategic patch can be put to them.
 * Ownership: everything is constant.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    only fields that hold mappings or lists are in the table: scalars are always set.
 * Source:    the struct tags patchStrategy and patchMergeKey of the Kubernetes API 1.34
 * (types_table.c); stable versions only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct xb_patch_type {
    const char *name;
    /* Separated by spaces: `f:T` a mapping of type T; `f!:T` the same, always replaced; `f{}` a
     * mapping of scalars; `f[]` a list, always replaced; `f[+]` a list of scalars, merged;
     * `f[key]:T` a list of mappings, merged by key. T is '-' when all below it are scalars. */
    const char *fields;
};

struct xb_patch_kind {
    const char *api_version, *kind, *type;
};

extern const struct xb_patch_type xb_patch_types[];
extern const size_t xb_patch_type_count;
extern const struct xb_patch_kind xb_patch_kinds[];
extern const size_t xb_patch_kind_count;

enum { XB_PATCH_KEY_BYTES = 32 };

struct xb_patch_field {
    const struct xb_patch_type *type; /* of the mapping, or of the list's elements; NULL: scalars */
    bool list, merged;                /* a mapping is merged unless it is replaced */
    char key[XB_PATCH_KEY_BYTES];     /* of a merged list of mappings, else "" */
};

/* NULL: no such built-in kind. */
const struct xb_patch_type *xb_patch_type_of_kind(const char *api_version, const char *kind);
/* False: the type has no such field, or it is a scalar. `type` may be NULL. */
bool xb_patch_field_find(const struct xb_patch_type *type, const char *name,
                         struct xb_patch_field *ret);
