/* SPDX-License-Identifier: Apache-2.0
 *
 * import.h - records of a store as objects of this cluster, or the reason why not.
 *
 * What for:  whoever can write into a bucket can put a record there. What comes back is made anew
 *            from the fields that a record has: a backup that has ended and orders that have ended,
 *            with nothing in them that anybody would carry out. Everything else is refused.
 * Ownership: the caller puts what is handed out.    Threads: any.    Blocking: never (pure).
 * Shapes:    a marker is the text of velero-backup.json; orders are the array of
 *            <b>-podvolumebackups.json.gz, which Velero writes without apiVersion and kind.
 * Errors:    INVALID: refused, with the reason; CORRUPT: not JSON.
 * Limits:    XB_IMPORT_*.
 * Source:    velero-contract section 3 (Sync).
 */
#pragma once

#include <stdint.h>

#include "shared/codec/json.h"

enum {
    XB_IMPORT_MARKER_BYTES_MAX = 8 << 20,
    XB_IMPORT_ORDERS_BYTES_MAX = 64 << 20,
    XB_IMPORT_ORDERS_MAX = 100000,
    XB_IMPORT_OWNERS_MAX = 16
};

/* On a Backup whose orders are not all there yet: the next sync goes on with them. */
#define XB_IMPORT_PENDING_ANNOTATION "xebec.io/orders-pending"

struct xb_import_place {
    const char *namespace; /* of the objects */
    const char *location;  /* the storage location's name */
    int64_t now_ns;        /* wall */
};

/* The Backup of folder `name`. *ret stays NULL, without a failure, while the backup has not ended:
 * somebody may be making it. One that never ended and has expired comes as PartiallyFailed, to be
 * collected. Owners are Schedules only; whether they are there must be asked. */
int xb_import_backup(const char *name, const char *text, size_t len,
                     const struct xb_import_place *place, xb_json **ret,
                     struct xb_error *err) XB_MUST_CHECK;

/* An order of a record, owned by `backup`, the object that is in the cluster now. */
int xb_import_order(xb_json *order, xb_json *backup, const struct xb_import_place *place,
                    xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
