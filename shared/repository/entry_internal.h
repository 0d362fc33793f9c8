/* SPDX-License-Identifier: Apache-2.0
 *
 * entry_internal.h - pieces of entries and summaries that directories and snapshots share.
 *
 * What for:  the files of directory.h and snapshot.h only.
 */
#pragma once

#include "shared/codec/json_reader.h"
#include "shared/repository/directory.h"

int xb_summary_encode(const struct xb_summary *summary, struct xb_buf *out,
                      struct xb_error *err) XB_MUST_CHECK;
/* The object whose opening brace was read last. *plain becomes false unless the text is what
 * xb_summary_encode writes. */
int xb_summary_read(struct xb_json_reader *reader, struct xb_summary *ret, bool *plain,
                    struct xb_error *err) XB_MUST_CHECK;
bool xb_summary_equal(const struct xb_summary *a, const struct xb_summary *b);
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

/* The entry whose opening brace was read last. *ret_plain: its text is just what xb_entry_encode
 * writes, but for white space. */
int xb_entry_read(struct xb_json_reader *reader, struct xb_entry *ret, bool *ret_plain,
                  struct xb_error *err) XB_MUST_CHECK;
/* Lists of an entry; `first` is the value's first token. */
int xb_entry_read_xattrs(struct xb_json_reader *reader, const struct xb_json_token *first,
                         struct xb_entry *entry, struct xb_error *err) XB_MUST_CHECK;
int xb_entry_read_holes(struct xb_json_reader *reader, const struct xb_json_token *first,
                        struct xb_entry *entry, bool *plain, struct xb_error *err) XB_MUST_CHECK;

/* Values of fields. *plain becomes false unless the text is what we write. A text that *ret had is
 * freed. */
int xb_json_read_text(const struct xb_json_token *token, const char *field, char **ret,
                      struct xb_error *err) XB_MUST_CHECK;
int xb_json_read_count(const struct xb_json_token *token, const char *field, uint64_t *ret,
                       bool *plain, struct xb_error *err) XB_MUST_CHECK;
int xb_json_read_time(const struct xb_json_token *token, const char *field, int64_t *ret,
                      bool *plain, struct xb_error *err) XB_MUST_CHECK;

/* What stands behind the name in an entry's JSON, from the comma to the brace. */
int xb_entry_encode_rest(const struct xb_entry *entry, struct xb_buf *out,
                         struct xb_error *err) XB_MUST_CHECK;

/* Names that could leave their directory, or name nothing. */
bool xb_entry_name_valid(const char *name, size_t len);
