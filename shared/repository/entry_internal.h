/* SPDX-License-Identifier: Apache-2.0
 *
 * entry_internal.h - pieces of entries and summaries that directories and snapshots share.
 *
 * What for:  the files of directory.h and snapshot.h only.
 */
#pragma once

#include "shared/codec/json.h"
#include "shared/repository/directory.h"

int xb_summary_encode(const struct xb_summary *summary, struct xb_buf *out,
                      struct xb_error *err) XB_MUST_CHECK;
int xb_summary_decode(xb_json *json, struct xb_summary *ret, struct xb_error *err) XB_MUST_CHECK;
/* Frees what it owns and zeroes it; not the struct. */
void xb_summary_clear(struct xb_summary *summary);
int xb_summary_copy(const struct xb_summary *from, struct xb_summary *ret,
                    struct xb_error *err) XB_MUST_CHECK;

/* The name under which an entry is stored: the raw one if it is UTF-8, else a stand-in that is. */
enum {
    XB_ENTRY_STORED_NAME_BYTES = XB_ENTRY_NAME_BYTES_MAX + 1,
    XB_ENTRY_JSON_NAME_BYTES_MAX = 6 * XB_ENTRY_NAME_BYTES_MAX + 64 /* escaped, with its key */
};
void xb_entry_stored_name(const char *raw, char out[XB_ENTRY_STORED_NAME_BYTES]);

/* What stands behind the name in an entry's JSON, from the comma to the brace. */
int xb_entry_encode_rest(const struct xb_entry *entry, struct xb_buf *out,
                         struct xb_error *err) XB_MUST_CHECK;

/* Names that could leave their directory, or name nothing. */
bool xb_entry_name_valid(const char *name, size_t len);
