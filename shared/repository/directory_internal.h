/* SPDX-License-Identifier: Apache-2.0
 *
 * directory_internal.h - what the files of directory.h share beyond entry_internal.h.
 *
 * What for:  the directory_*.c files only.
 */
#pragma once

#include "shared/base/fnv.h"
#include "shared/base/sorter.h"
#include "shared/repository/entry_internal.h"

/* Entries keep the names that are stored, however often one comes. */
void xb_directory_cursor_as_stored(struct xb_directory_cursor *cursor);

static inline void xb_directory_tally_add(struct xb_directory_tally *tally, const char *name)
{
    tally->count++;
    tally->names += xb_fnv1a(name);
}

/* ---- builders ---- */

/* The groups of a directory object, in the order in which they are written. */
enum xb_directory_group { XB_GROUP_FOLDERS, XB_GROUP_OTHERS, XB_GROUP_SPECIAL, XB_GROUPS };

/* An entry is a record: its key the stored name, a NUL, and the raw name if that is another one;
 * its value the group as a byte, and the JSON behind the name. */
struct xb_directory_builder {
    struct xb_sorter *sorter;
    struct xb_buf text; /* of one value */
    uint64_t counts[XB_GROUPS];
    uint64_t stand_ins; /* names that are no UTF-8 */
    struct xb_summary summary;
    bool has_time;

    struct xb_object_id parent; /* text "": none */
    struct xb_directory_tally parent_tally, kept;
    struct xb_summary parent_summary;
};

/* Writes the entries of both (more may be NULL) as one object with this summary. */
int xb_directory_write_both(const struct xb_directory_builder *builder,
                            const struct xb_directory_builder *more,
                            const struct xb_summary *summary, struct xb_repository *repository,
                            struct xb_object_id *ret, struct xb_error *err) XB_MUST_CHECK;

/* ---- going through the records of two builders at once ---- */

struct xb_directory_records {
    struct xb_sorter_cursor *cursors[2];
    struct xb_sorter_record heads[2];
    int last;             /* which one was handed out; -1: none yet */
    struct xb_buf before; /* the key before */
    const char *name;     /* as stored */
    enum xb_directory_group group;
    const char *rest;
    size_t rest_len;
    bool again; /* the record before has the same stored name: this one needs another */
};

int xb_directory_records_open(const struct xb_directory_builder *builder,
                              const struct xb_directory_builder *more,
                              struct xb_directory_records *ret, struct xb_error *err) XB_MUST_CHECK;
/* name NULL at the end. INVALID if two entries are called the same. */
int xb_directory_records_next(struct xb_directory_records *records,
                              struct xb_error *err) XB_MUST_CHECK;
void xb_directory_records_close(struct xb_directory_records *records);

/* ---- stand-ins that are taken ---- */

/* An entry that is written under another name than the one it has in its record. */
struct xb_directory_moved {
    char *base, *name, *rest;
    size_t rest_len;
    enum xb_directory_group group;
};

struct xb_directory_moves {
    struct xb_directory_moved *list; /* by name */
    size_t count, cap, bytes;
    char **taken; /* names that a new one could have, in order */
    size_t taken_count, taken_cap;
};

int xb_directory_find_moves(const struct xb_directory_builder *builder,
                            const struct xb_directory_builder *more, struct xb_directory_moves *ret,
                            struct xb_error *err) XB_MUST_CHECK;
void xb_directory_moves_free(struct xb_directory_moves *moves);
