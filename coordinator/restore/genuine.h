/* SPDX-License-Identifier: Apache-2.0
 *
 * genuine.h - whether an object of a record is the one that its place in the record says.
 *
 * What for:  a restore chooses by the folders of the record: by kind, namespace and name. An object
 *            that says otherwise of itself would get past the filters, into a namespace or under a
 *            name that nobody asked for. No writer of records makes such: it is damage or malice.
 * Ownership: lends.    Threads: any.    Blocking: never (pure).
 * Errors:    CORRUPT, which says what contradicts what.
 * Source:    velero-contract section 2, "Tarball".
 */
#pragma once

#include "shared/codec/json.h"

struct xb_restore_place {
    const char *group, *kind;
    const char *namespace; /* "" for cluster scope */
    const char *name;
};

int xb_restore_check_place(xb_json *object, const struct xb_restore_place *place,
                           struct xb_error *err) XB_MUST_CHECK;
