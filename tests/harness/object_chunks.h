/* SPDX-License-Identifier: Apache-2.0
 *
 * object_chunks.h - the whole table of an indirect object, for looking at.
 */
#pragma once

#include <stdlib.h>

#include "shared/repository/object_internal.h"

struct object_chunks {
    struct xb_object_chunk *chunks;
    size_t count;
    uint64_t len;
};

static inline void object_chunks_free(struct object_chunks *all)
{
    free(all->chunks);
    *all = (struct object_chunks){.count = 0};
}

/* Takes the table over. */
static inline int object_chunks_collect(struct xb_object_table *table, struct object_chunks *ret,
                                        struct xb_error *err)
{
    struct object_chunks all = {.count = 0};
    bool more = true;
    int r = 0;
    while (r == 0 && more) {
        all.chunks = reallocarray(all.chunks, all.count + 1, sizeof *all.chunks);
        r = all.chunks ? xb_object_table_next(table, &all.chunks[all.count], &more, err)
                       : xb_error_no_memory(err, "a table");
        all.count += r == 0 && more;
    }
    all.len = xb_object_table_length(table);
    xb_object_table_free(table);
    if (r < 0) {
        object_chunks_free(&all);
        return r;
    }
    *ret = all;
    return 0;
}

static inline int object_chunks_load(struct xb_repository *repository,
                                     const struct xb_object_id *id, struct object_chunks *ret,
                                     struct xb_error *err)
{
    struct xb_object_table *table = NULL;
    int r = xb_object_table_open(repository, id, 0, &table, err);
    return r < 0 ? r : object_chunks_collect(table, ret, err);
}

static inline int object_chunks_parse(const char *text, size_t len, struct object_chunks *ret,
                                      struct xb_error *err)
{
    struct xb_object_table *table = NULL;
    int r = xb_object_table_open_text(text, len, &table, err);
    return r < 0 ? r : object_chunks_collect(table, ret, err);
}
