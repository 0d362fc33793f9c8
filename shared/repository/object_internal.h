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

/* An indirect object's table. */
struct xb_object_chunk {
    uint64_t start, len;
    struct xb_object_id id;
};
struct xb_object_table {
    struct xb_object_chunk *chunks;
    size_t count;
    uint64_t len;
};
/* Pure; the fuzz target. */
int xb_object_table_parse(const char *text, size_t len, struct xb_object_table *ret,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_object_table_free(struct xb_object_table *table);
/* Loads the table of an indirect object. `level`: how many objects the caller is inside of; beyond
 * XB_OBJECT_DEPTH_MAX it is CORRUPT, so that no chain of objects uses up the stack. */
int xb_object_table_load(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_object_table *ret,
                         struct xb_error *err) XB_MUST_CHECK;
/* xb_object_read_all within others. */
int xb_object_read_level(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Says that a chunk has another length than its table has for it. */
int xb_object_wrong_length(const struct xb_object_chunk *chunk, uint64_t len, struct xb_error *err);
/* xb_object_pieces_open within others. */
int xb_object_pieces_open_inside(struct xb_repository *repository, const struct xb_object_id *id,
                                 unsigned inside, struct xb_object_pieces **ret,
                                 struct xb_error *err) XB_MUST_CHECK;
