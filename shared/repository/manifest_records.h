/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest_records.h - what is in an `m` content: the records, as they are written.
 *
 * What for:  reading them, before they are merged. Internal.
 * Ownership: records are freed with xb_manifest_records_free, whether parsing succeeded or not.
 * Threads:   none shared.    Blocking: never (pure).
 * Errors:    CORRUPT for what is no such content; FULL beyond XB_MANIFESTS_MAX.
 * Source:    kopia-format section 10.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/repository/snapshot.h"

enum { XB_MANIFESTS_MAX = 4000000 };

struct xb_manifest_record {
    struct xb_manifest manifest;
    bool deleted;
};

struct xb_manifest_records {
    struct xb_manifest_record *items;
    size_t count, cap;
};

/* Appends the records of the (decompressed) text; some may be there when it fails. */
int xb_manifest_records_parse(const char *text, size_t len, struct xb_manifest_records *records,
                              struct xb_error *err) XB_MUST_CHECK;
void xb_manifest_records_free(struct xb_manifest_records *records); /* what it owns */

/* Frees what the manifest owns. */
void xb_manifest_empty(struct xb_manifest *manifest);
