/* SPDX-License-Identifier: Apache-2.0
 *
 * object_internal.h - what object ids are made of; for the object_*.c files only.
 *
 * What for:  the writer, the reader and verification agree on ids here.
 */
#pragma once

#include "shared/repository/object.h"

struct xb_object_parts {
    unsigned depth; /* how often indirect */
    bool packed;    /* 'Z': compressed at object level, by old kopias */
    struct xb_content_id content;
};

int xb_object_id_split(const struct xb_object_id *id, struct xb_object_parts *ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* An indirect object's table, chunk by chunk, in memory that does not depend on their number. */
struct xb_object_chunk {
    uint64_t start, len;
    struct xb_object_id id;
};
struct xb_object_table;
/* `level`: how many objects the caller is inside of; beyond XB_OBJECT_DEPTH_MAX it is CORRUPT, so
 * that no chain of objects uses up the stack. */
int xb_object_table_open(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_object_table **ret,
                         struct xb_error *err) XB_MUST_CHECK;
/* The same from bytes, which must outlive it (pure; the fuzz target). */
int xb_object_table_open_text(const char *text, size_t len, struct xb_object_table **ret,
                              struct xb_error *err) XB_MUST_CHECK;
/* Each begins where the one before ends. Damage is found where it is. */
int xb_object_table_next(struct xb_object_table *table, struct xb_object_chunk *ret, bool *ret_more,
                         struct xb_error *err) XB_MUST_CHECK;
/* The sum of the chunks' lengths so far. */
uint64_t xb_object_table_length(const struct xb_object_table *table);
/* Reads all of it, and goes back to the first chunk: *ret_len is the object's length. */
int xb_object_table_measure(struct xb_object_table *table, uint64_t *ret_len,
                            struct xb_error *err) XB_MUST_CHECK;
/* Goes on with the first chunk that ends behind `offset`: *ret, until the next call; NULL: there is
 * none. */
int xb_object_table_seek(struct xb_object_table *table, uint64_t offset,
                         const struct xb_object_chunk **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_object_table_free(struct xb_object_table *table);
XB_DEFINE_CLEANUP(xb_object_table_freep, struct xb_object_table, xb_object_table_free);

/* xb_object_reader_open within others. */
int xb_object_reader_open_inside(struct xb_repository *repository, const struct xb_object_id *id,
                                 unsigned inside, struct xb_object_reader **ret,
                                 struct xb_error *err) XB_MUST_CHECK;

/* Says that a chunk has another length than its table has for it. */
int xb_object_wrong_length(const struct xb_object_chunk *chunk, uint64_t len, struct xb_error *err);
/* xb_object_pieces_open within others. */
int xb_object_pieces_open_inside(struct xb_repository *repository, const struct xb_object_id *id,
                                 unsigned inside, struct xb_object_pieces **ret,
                                 struct xb_error *err) XB_MUST_CHECK;
