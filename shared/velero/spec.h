/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.h - whether a spec of Velero's is one: every field known, of its type, within its limits.
 *
 * What for:  the API server's schemas refuse most of what makes no sense, but not in objects that
 *            are older than the schema, nor where another version's schema is installed or one is
 *            loosened. Whoever reads such a spec leniently takes a wrong type for "nothing said",
 *            and a backup is another than was asked for. So each spec is checked by a table first.
 * Ownership: lends the object; the list of problems is the caller's.
 * Threads:   any.
 * Blocking:  never (pure).
 * Shapes:    a problem is a text that begins with the field ("spec.hooks.resources[0].name: ...")
 *            and is worded for status.validationErrors. An unknown field is one, too: nobody can
 *            say whether leaving it out changes what is backed up. null counts as absent.
 * Errors:    no memory.
 * Limits:    XB_SPEC_*; the rest of the limits is in the tables of spec_fields.c.
 * Source:    velero-contract section 1.
 */
#pragma once

#include "shared/codec/json.h"

enum {
    XB_SPEC_PROBLEMS_MAX = 32,
    XB_SPEC_LIST_MAX = 10000,
    XB_SPEC_TTL_YEARS_MAX = 200,
    XB_SPEC_FILES_AT_ONCE_MAX = 10000,
    XB_SPEC_ANNOTATIONS_BYTES_MAX = 256 * 1024 /* Kubernetes' own limit */
};

enum xb_spec_of {
    XB_SPEC_BACKUP,
    XB_SPEC_SCHEDULE,
    XB_SPEC_LOCATION,
    XB_SPEC_DELETION,
    XB_SPEC_RESTORE
};

/* Adds what is wrong with object.spec to `problems`, an array: XB_SPEC_PROBLEMS_MAX at most. */
int xb_spec_check(enum xb_spec_of what, xb_json *object, xb_json *problems,
                  struct xb_error *err) XB_MUST_CHECK;
/* The same where one reason is enough: INVALID with the first problem. */
int xb_spec_need(enum xb_spec_of what, xb_json *object, struct xb_error *err) XB_MUST_CHECK;
