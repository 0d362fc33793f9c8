/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_internal.h - the tables of fields; for spec.c and spec_fields.c only.
 *
 * What for:  what each field of a spec may be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/velero/spec.h"

enum xb_spec_shape {
    XB_SHAPE_BOOL,
    XB_SHAPE_COUNT, /* a whole number from min to max */
    XB_SHAPE_TEXT,  /* of at most max bytes */
    XB_SHAPE_NAME,  /* of an object */
    XB_SHAPE_LABEL_KEY,
    XB_SHAPE_DURATION, /* seconds from min to max */
    XB_SHAPE_ONE_OF,   /* of `words` */
    XB_SHAPE_BASE64,   /* of at most max bytes */
    XB_SHAPE_TEXTS,    /* a list */
    XB_SHAPE_TEXT_MAP, /* any keys */
    XB_SHAPE_NAME_MAP, /* of namespaces to namespaces */
    XB_SHAPE_LABELS,
    XB_SHAPE_ANNOTATIONS,
    XB_SHAPE_OBJECT,     /* with `fields` */
    XB_SHAPE_OBJECTS,    /* a list of such, of at most max */
    XB_SHAPE_ANY_OBJECTS /* the same, with whatever is in them */
};

struct xb_spec_field {
    const char *name; /* NULL ends a table */
    enum xb_spec_shape shape;
    bool required;
    int64_t min, max;
    const struct xb_spec_field *fields;
    const char *const *words; /* ended by NULL */
};

/* The spec itself, as a field. */
const struct xb_spec_field *xb_spec_root(enum xb_spec_of what);
