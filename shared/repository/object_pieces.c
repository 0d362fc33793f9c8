/* SPDX-License-Identifier: Apache-2.0
 * Which contents an object's bytes are, in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_internal.h"

/* Chunks that are indirect themselves open a level below, one at a time. */
struct level {
    struct xb_object_table *table;
    uint64_t start, len; /* of the table's bytes in the whole object */
};

/* A direct object is one piece, and has no level. */
struct xb_object_pieces {
    struct xb_repository *repository;
    struct level levels[XB_OBJECT_DEPTH_MAX + 1];
    unsigned depth;  /* how many are open */
    unsigned inside; /* of how many objects the caller is */
    uint64_t len;
    struct xb_object_piece direct;
    bool is_direct, direct_done;
};

static int no_packed_objects(const struct xb_object_id *id, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                        "object %s is compressed as a whole, which only kopia before 0.9 did and "
                        "is not supported",
                        id->text);
}

static int open_direct(struct xb_object_pieces *pieces, const struct xb_object_id *id,
                       const struct xb_object_parts *parts, struct xb_error *err)
{
    struct xb_content_info info;
    int r = parts->packed ? no_packed_objects(id, err)
                          : xb_content_locate(pieces->repository, &parts->content, &info, err);
    if (r < 0) {
        return r;
    }
    pieces->direct = (struct xb_object_piece){.len = info.plain_bytes, .content = parts->content};
    pieces->len = info.plain_bytes;
    pieces->is_direct = true;
    return 0;
}

static int push(struct xb_object_pieces *pieces, const struct xb_object_id *id, uint64_t start,
                struct xb_error *err)
{
    if (pieces->inside + pieces->depth > XB_OBJECT_DEPTH_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "object %s is nested too deeply",
                            id->text);
    }
    struct level *level = &pieces->levels[pieces->depth];
    *level = (struct level){.start = start};
    int r = xb_object_table_open(pieces->repository, id, pieces->inside + pieces->depth,
                                 &level->table, err);
    if (r < 0) {
        return r;
    }
    pieces->depth++;
    return xb_object_table_measure(level->table, &level->len, err);
}

static void pop(struct xb_object_pieces *pieces)
{
    xb_object_table_free(pieces->levels[--pieces->depth].table);
}

int xb_object_pieces_open_inside(struct xb_repository *repository, const struct xb_object_id *id,
                                 unsigned inside, struct xb_object_pieces **ret,
                                 struct xb_error *err)
{
    struct xb_object_parts parts;
    int r = xb_object_id_split(id, &parts, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_object_pieces_freep) struct xb_object_pieces *pieces = calloc(1, sizeof *pieces);
    if (!pieces) {
        return xb_error_no_memory(err, "an object");
    }
    pieces->repository = repository;
    pieces->inside = inside;
    r = parts.depth ? push(pieces, id, 0, err) : open_direct(pieces, id, &parts, err);
    if (r < 0) {
        return r;
    }
    pieces->len = pieces->is_direct ? pieces->len : pieces->levels[0].len;
    *ret = XB_TAKE(pieces);
    return 0;
}

int xb_object_pieces_open(struct xb_repository *repository, const struct xb_object_id *id,
                          struct xb_object_pieces **ret, struct xb_error *err)
{
    return xb_object_pieces_open_inside(repository, id, 0, ret, err);
}

uint64_t xb_object_pieces_length(const struct xb_object_pieces *pieces)
{
    return pieces->len;
}

/* Nobody will read it, so its length is looked at here. */
static int check_empty(struct xb_object_pieces *pieces, const struct xb_object_piece *piece,
                       struct xb_error *err)
{
    struct xb_content_info info;
    int r = xb_content_locate(pieces->repository, &piece->content, &info, err);
    return r < 0 ? r : xb_object_piece_check(piece, info.plain_bytes, err);
}

/* The chunk becomes a piece, or a level below. */
static int enter(struct xb_object_pieces *pieces, const struct xb_object_chunk *chunk,
                 struct xb_object_piece *ret, struct xb_error *err)
{
    uint64_t start = pieces->levels[pieces->depth - 1].start + chunk->start;
    struct xb_object_parts parts;
    int r = xb_object_id_split(&chunk->id, &parts, err);
    if (r < 0) {
        return r;
    }
    if (parts.packed) {
        return no_packed_objects(&chunk->id, err);
    }
    if (parts.depth == 0) {
        *ret =
            (struct xb_object_piece){.offset = start, .len = chunk->len, .content = parts.content};
        return chunk->len ? 0 : check_empty(pieces, ret, err);
    }
    r = push(pieces, &chunk->id, start, err);
    if (r == 0 && pieces->levels[pieces->depth - 1].len != chunk->len) {
        r = xb_object_wrong_length(chunk, pieces->levels[pieces->depth - 1].len, err);
    }
    return r;
}

int xb_object_pieces_next(struct xb_object_pieces *pieces, struct xb_object_piece *ret,
                          struct xb_error *err)
{
    struct xb_object_piece piece = {.len = 0};
    if (pieces->is_direct && !pieces->direct_done) {
        piece = pieces->direct;
        pieces->direct_done = true;
    }
    while (piece.len == 0 && pieces->depth > 0) {
        struct xb_object_chunk chunk;
        bool more = false;
        int r = xb_object_table_next(pieces->levels[pieces->depth - 1].table, &chunk, &more, err);
        if (r < 0) {
            return r;
        }
        if (more) {
            r = enter(pieces, &chunk, &piece, err);
            if (r < 0) {
                return r;
            }
        } else if (pieces->depth > 1) {
            pop(pieces);
        } else {
            break;
        }
    }
    *ret = piece;
    return 0;
}

int xb_object_pieces_seek(struct xb_object_pieces *pieces, uint64_t offset, struct xb_error *err)
{
    if (offset > xb_object_pieces_length(pieces)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "offset %llu is beyond the end (%llu)",
                            (unsigned long long)offset,
                            (unsigned long long)xb_object_pieces_length(pieces));
    }
    pieces->direct_done = offset == pieces->len;
    while (pieces->depth > 1) {
        pop(pieces);
    }
    while (pieces->depth > 0) {
        const struct level *level = &pieces->levels[pieces->depth - 1];
        const struct xb_object_chunk *found = NULL;
        struct xb_object_parts parts;
        int r = xb_object_table_seek(level->table, offset - level->start, &found, err);
        if (r < 0 || !found) {
            return r;
        }
        r = xb_object_id_split(&found->id, &parts, err);
        if (r < 0 || parts.depth == 0) {
            return r;
        }
        struct xb_object_chunk chunk;
        struct xb_object_piece none = {.len = 0};
        bool more = false;
        r = xb_object_table_next(level->table, &chunk, &more, err);
        r = r < 0 ? r : enter(pieces, &chunk, &none, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

void xb_object_pieces_free(struct xb_object_pieces *pieces)
{
    if (!pieces) {
        return;
    }
    while (pieces->depth > 0) {
        pop(pieces);
    }
    free(pieces);
}
