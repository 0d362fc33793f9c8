/* SPDX-License-Identifier: Apache-2.0
 *
 * index_table.h - the merged index of a repository.
 *
 * What for:  find a content among millions; list them in order. All users go through these
 *            functions. Internal.
 * Ownership: reference counted; xb_index_table_ref / xb_index_table_unref. Names lent by
 *            xb_index_table_pack live as long as the table.
 * Threads:   a table never changes, but for its marks, which may be set and read from any thread.
 * Blocking:  building writes to a file; else only as reading memory that is a file's can block.
 * Shapes:    one sorted run, and a small one over it (index_run.h), whose records take the places
 *            of those of the same key and stand between the others: what is new costs what is new,
 *            until it is so much that both are merged into one. Numbers count both as one sequence.
 * Memory:    a bit per content, and a file that is mapped: (key, 31 bytes) per content.
 * Source:    kopia-format section 6 (merge rule, watermark).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/repository/index_run.h"

enum {
    /* A run over another is merged with it when it is larger than this and than a part of it. */
    XB_INDEX_OVER_MIN = 16384,
    XB_INDEX_OVER_PART = 8
};

struct xb_index_table;

/* Collects entries of several indexes and merges them. */
struct xb_index_merge;
int xb_index_merge_new(size_t hash_bytes, struct xb_index_merge **ret,
                       struct xb_error *err) XB_MUST_CHECK;
void xb_index_merge_free(struct xb_index_merge *merge);
XB_DEFINE_CLEANUP(xb_index_merge_freep, struct xb_index_merge, xb_index_merge_free);
/* Large parts are built in this folder (borrowed; -1, the default: none), where they can stay. */
void xb_index_merge_in(struct xb_index_merge *merge, int folder_fd);

/* Adds one index (plain bytes of xb_index_encode's layout). */
int xb_index_merge_add_index(struct xb_index_merge *merge, const void *data, size_t len,
                             struct xb_error *err) XB_MUST_CHECK;
/* Adds entries in id order, whose packs are numbers in `packs`. */
int xb_index_merge_add_entries(struct xb_index_merge *merge, const struct xb_index_entry *entries,
                               size_t count, const struct xb_names *packs,
                               struct xb_error *err) XB_MUST_CHECK;
/* Adds a whole table, with the blobs that it covers. What was added first is left as it is where
 * that is cheaper, and the rest laid over it. */
int xb_index_merge_add_table(struct xb_index_merge *merge, struct xb_index_table *table,
                             struct xb_error *err) XB_MUST_CHECK;
/* Says that the entries of this blob have been added. */
int xb_index_merge_cover(struct xb_index_merge *merge, const struct xb_index_blob_hash *blob,
                         struct xb_error *err) XB_MUST_CHECK;
/* Merges, then drops deleted entries at or before the watermark. The merge is used up. */
int xb_index_merge_finish(struct xb_index_merge *merge, int64_t watermark_s,
                          struct xb_index_table **ret, struct xb_error *err) XB_MUST_CHECK;

/* Takes over references; `over` may be NULL. */
int xb_index_table_new(struct xb_index_run *base, struct xb_index_run *over,
                       struct xb_index_table **ret, struct xb_error *err) XB_MUST_CHECK;
struct xb_index_table *xb_index_table_ref(struct xb_index_table *table);
void xb_index_table_unref(struct xb_index_table *table);
XB_DEFINE_CLEANUP(xb_index_table_unrefp, struct xb_index_table, xb_index_table_unref);

struct xb_index_run *xb_index_table_base(const struct xb_index_table *table); /* lent */
struct xb_index_run *xb_index_table_over(const struct xb_index_table *table); /* lent, or NULL */

size_t xb_index_table_count(const struct xb_index_table *table);
size_t xb_index_table_pack_count(const struct xb_index_table *table);
void xb_index_table_at(const struct xb_index_table *table, size_t i, struct xb_index_entry *ret);
const char *xb_index_table_pack(const struct xb_index_table *table, uint32_t pack);
bool xb_index_table_names_pack(const struct xb_index_table *table, const char *name);

/* Position of the id, or false. */
bool xb_index_table_find(const struct xb_index_table *table, const struct xb_content_id *id,
                         size_t *ret_i);
/* Position of the first id that is not below this prefix (0 is below all letters). */
size_t xb_index_table_lower(const struct xb_index_table *table, char prefix);

/* Marks: one bit per entry, for "was reused by this writer". Tables over one base share its marks.
 */
void xb_index_table_mark(struct xb_index_table *table, size_t i);
void xb_index_table_unmark(struct xb_index_table *table, size_t i);

/* Walks the marked entries: *ret_i is the next one's number; false at the end. Entries of the base
 * come first. `suspects_only`: leaves out those of the base unless some of them were deleted
 * already when they were marked. A cursor starts as zeros. */
struct xb_index_mark_cursor {
    bool suspects_only;
    bool in_over;
    size_t at;
};
bool xb_index_table_next_mark(const struct xb_index_table *table,
                              struct xb_index_mark_cursor *cursor, size_t *ret_i);

/* Takes over the marks of another table's base if both have the same: true. Else, and for what lies
 * over it, marks are the caller's to carry over. */
bool xb_index_table_share_marks(struct xb_index_table *table, const struct xb_index_table *from);
