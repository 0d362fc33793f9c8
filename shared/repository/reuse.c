/* SPDX-License-Identifier: Apache-2.0
 * What was reused must still be there when a snapshot is published. Every content that this handle
 * reused or wrote is marked in the table; a mark whose content is in no index any more becomes a
 * lost place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/state.h"

static void place_at(const struct xb_index_table *table, size_t i, struct xb_content_place *ret)
{
    xb_index_table_at(table, i, &ret->entry);
    const char *pack = xb_index_table_pack(table, ret->entry.pack);
    memcpy(ret->pack, pack, strlen(pack) + 1);
}

static int add_lost(struct xb_lost *lost, const struct xb_content_place *place,
                    struct xb_error *err)
{
    if (lost->count == lost->cap) {
        size_t cap = lost->cap ? 2 * lost->cap : 16;
        struct xb_content_place *places = reallocarray(lost->places, cap, sizeof *places);
        if (!places) {
            return xb_error_no_memory(err, "the list of contents that are gone");
        }
        lost->places = places;
        lost->cap = cap;
    }
    lost->places[lost->count++] = *place;
    return 0;
}

int xb_reuse_carry(struct xb_repository *repository, const struct xb_index_table *from,
                   struct xb_index_table *to, struct xb_error *err)
{
    size_t i = 0;
    struct xb_index_mark_cursor cursor = {.in_over = xb_index_table_share_marks(to, from)};
    while (xb_index_table_next_mark(from, &cursor, &i)) {
        struct xb_content_place place;
        size_t found = 0;
        place_at(from, i, &place);
        if (xb_index_table_find(to, &place.entry.id, &found)) {
            xb_index_table_mark(to, found);
            continue;
        }
        int r = add_lost(&repository->lost, &place, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The bytes are gone with their pack: nobody but who has the file can bring them back. */
static int fail_gone(struct xb_error *err, const struct xb_content_place *place)
{
    struct xb_error why = *err;
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(&place->entry.id, text);
    return xb_error_set(
        err, XB_ERR_CONFLICT, -ESTALE,
        "content %s, which this backup reuses, was deleted meanwhile, and its bytes "
        "are gone (%.300s): start the backup again, it reads the file anew",
        text, why.text);
}

/* Writes a content again from the place where it lies deleted, younger than the deletion. */
static int write_again(struct xb_repository *repository, const struct xb_content_place *place,
                       struct xb_error *err)
{
    const struct xb_index_entry *old = &place->entry;
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    const struct xb_index_entry *pending = xb_pending_find(&repository->pending, &old->id);
    if (pending) {
        return 0; /* written again already, or deleted by this very handle */
    }
    int r = xb_content_read_at(repository, place, true, &plain, err);
    if (r < 0) {
        r = err->kind == XB_ERR_NOT_FOUND ? fail_gone(err, place)
                                          : xb_error_wrap(err, "writing a reused content again");
        if (err->kind == XB_ERR_CONFLICT) {
            xb_repository_fail(repository, err); /* no later try can end otherwise */
        }
        return r;
    }
    const struct iovec part = {.iov_base = plain.data, .iov_len = plain.len};
    struct xb_packing packing = {.entry = {.id = old->id, .plain_bytes = old->plain_bytes},
                                 .parts = &part,
                                 .part_count = 1,
                                 .in_place = true,
                                 .compression = old->compression == XB_COMPRESSION_ZSTD
                                                    ? XB_COMPRESSION_ZSTD
                                                : old->compression ? XB_COMPRESSION_ZSTD_FASTEST
                                                                   : XB_COMPRESSION_NONE};
    struct xb_index_entry *entry = &packing.entry;
    pthread_mutex_lock(&repository->lock);
    entry->timestamp_s = xb_repository_timestamp(repository, old->timestamp_s);
    entry->format_version = (uint8_t)repository->format.version;
    r = xb_pending_add(&repository->pending, entry, err);
    pthread_mutex_unlock(&repository->lock);
    return r < 0 ? r : xb_content_store(repository, &packing, 1, err);
}

static int check_marked(struct xb_repository *repository, const struct xb_index_table *table,
                        struct xb_error *err)
{
    int r = 0;
    size_t i = 0;
    struct xb_index_mark_cursor cursor = {.suspects_only = true};
    while (r == 0 && xb_index_table_next_mark(table, &cursor, &i)) {
        struct xb_content_place place;
        place_at(table, i, &place);
        if (place.entry.deleted) {
            r = write_again(repository, &place, err);
        }
    }
    return r;
}

/* Somebody may have written a lost content again, or deleted it once more, since. */
static int check_lost(struct xb_repository *repository, struct xb_index_table *table,
                      const struct xb_content_place *lost, struct xb_error *err)
{
    size_t i = 0;
    struct xb_content_place place = *lost;
    if (xb_index_table_find(table, &lost->entry.id, &i)) {
        place_at(table, i, &place);
        xb_index_table_mark(table, i);
        if (!place.entry.deleted) {
            return 0;
        }
    }
    return write_again(repository, &place, err);
}

int xb_reuse_check(struct xb_repository *repository, struct xb_error *err)
{
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    int r = check_marked(repository, table, err);
    /* The list changes only when a table is loaded, and that needs the flush_lock. */
    while (r == 0 && repository->lost.count > 0) {
        r = check_lost(repository, table, &repository->lost.places[repository->lost.count - 1],
                       err);
        repository->lost.count -= r == 0;
    }
    return r;
}
