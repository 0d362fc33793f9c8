/* SPDX-License-Identifier: Apache-2.0
 *
 * object_text.h - an object that is JSON, read as a stream.
 *
 * What for:  directory objects (directory_cursor.c) and the indexes of objects (object_table.c).
 * Ownership: the struct is the caller's, does not move while it is open, and ends with
 *            xb_object_text_close.
 * Threads:   one at a time.    Blocking: yes.
 * Limits:    a chunk of the object and the reader's window; nothing of both while it rests.
 */
#pragma once

#include "shared/codec/json_reader.h"
#include "shared/repository/object.h"

struct xb_object_text {
    struct xb_json_reader json;
    struct xb_repository *repository; /* NULL: a text in memory */
    struct xb_object_id id;
    unsigned inside;
    struct xb_object_reader *object; /* NULL: it rests */
    const char *piece;               /* of the object, not yet in the window */
    size_t piece_len, held;          /* held: bytes of the object's chunk */
    uint64_t length;
};

/* `inside`: of how many objects the caller is (object_internal.h). Nothing is to be closed if it
 * fails. */
int xb_object_text_open(struct xb_object_text *text, struct xb_repository *repository,
                        const struct xb_object_id *id, unsigned inside,
                        struct xb_error *err) XB_MUST_CHECK;
/* The same of bytes that outlive it. */
void xb_object_text_init(struct xb_object_text *text, const char *data, size_t len);
/* Goes on at a place where its reader has been. */
void xb_object_text_go(struct xb_object_text *text, const struct xb_json_place *place);
/* Gives the memory back; what is needed is read again when it goes on. */
void xb_object_text_rest(struct xb_object_text *text);
size_t xb_object_text_memory(const struct xb_object_text *text);
void xb_object_text_close(struct xb_object_text *text);
