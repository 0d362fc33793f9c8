/* SPDX-License-Identifier: Apache-2.0
 *
 * fields.h - which fields an object may have, checked strictly.
 *
 * What for:  what users write in ConfigMaps (resource policies, resource modifiers): a misspelt or
 *            ill-typed field must be told, not passed over.
 * Ownership: lends.
 * Threads:   an object belongs to one thread.    Blocking: never (pure).
 * Shapes:    a text is any scalar, as with Go's YAML readers, which make texts of numbers and
 *            booleans where a text is wanted. Null is absent.
 * Errors:    INVALID: unknown or ill-typed fields, each by its path.
 */
#pragma once

#include "shared/codec/json.h"

enum xb_field_shape {
    XB_FIELD_TEXT,
    XB_FIELD_TEXTS,
    XB_FIELD_TEXT_MAP,
    XB_FIELD_OBJECT,
    XB_FIELD_LIST
};

struct xb_field {
    const char *name; /* NULL: the table's end */
    enum xb_field_shape shape;
};

/* `where` names the object: it ends in a dot, or is empty. `object` may be NULL. */
int xb_fields_check(xb_json *object, const char *where, const struct xb_field *fields,
                    struct xb_error *err) XB_MUST_CHECK;

/* A field of an object whose keys may have dots; NULL: absent or null. */
xb_json *xb_field(xb_json *object, const char *key);

/* A scalar as the text that it is; null is "". Lent; it may be written into the scalar, so that a
 * scalar that threads share must be a string. */
const char *xb_field_text(xb_json *scalar);

/* The only key of a ConfigMap's data, and its text. INVALID: there are none, or more. */
int xb_field_only_text(xb_json *data, const char **ret_key, const char **ret_text,
                       struct xb_error *err) XB_MUST_CHECK;
