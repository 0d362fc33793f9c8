/* SPDX-License-Identifier: Apache-2.0
 *
 * sorter.h - sorts any number of records in bounded memory.
 *
 * What for:  the entries of one folder, whose number comes from outside: a few are sorted where
 *            they lie, a million go through sorted runs in a file without a name (scratch.h).
 * Ownership: adding copies. A record that a cursor hands out lives until the cursor's next step.
 * Threads:   one at a time per sorter and its cursors.     Blocking: yes, beyond the limit.
 * Shapes:    keys are compared as bytes, a shorter one before a longer one that begins with it.
 *            Records of equal keys come in any order.
 * Errors:    FULL: the scratch folder is full, or a record is larger than allowed.
 * Limits:    about memory_max bytes of records, and 16 KiB for each of at most XB_SORTER_RUNS_MAX
 *            runs while a cursor is open (more runs are merged into one); a record <=
 *            XB_SORTER_RECORD_BYTES_MAX.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_SORTER_RUNS_MAX = 128, XB_SORTER_RECORD_BYTES_MAX = 64 << 20 };

struct xb_sorter_record {
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
};

struct xb_sorter;

/* `what` says in errors what is sorted; it must outlive the sorter. */
int xb_sorter_new(const char *what, size_t memory_max, struct xb_sorter **ret,
                  struct xb_error *err) XB_MUST_CHECK;
/* Not while a cursor is open. */
int xb_sorter_add(struct xb_sorter *sorter, const struct xb_sorter_record *record,
                  struct xb_error *err) XB_MUST_CHECK;
uint64_t xb_sorter_count(const struct xb_sorter *sorter);
void xb_sorter_free(struct xb_sorter *sorter);
XB_DEFINE_CLEANUP(xb_sorter_freep, struct xb_sorter, xb_sorter_free);

/* Goes through all records in order; as often as wanted, and more may be added afterwards. */
struct xb_sorter_cursor;
int xb_sorter_open(struct xb_sorter *sorter, struct xb_sorter_cursor **ret,
                   struct xb_error *err) XB_MUST_CHECK;
/* ret->key NULL at the end. */
int xb_sorter_next(struct xb_sorter_cursor *cursor, struct xb_sorter_record *ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_sorter_close(struct xb_sorter_cursor *cursor);
XB_DEFINE_CLEANUP(xb_sorter_closep, struct xb_sorter_cursor, xb_sorter_close);

/* As the sorter compares keys. */
int xb_sorter_compare(const struct xb_sorter_record *a, const struct xb_sorter_record *b);
