/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/view.h"

#include <stdlib.h>

#include "shared/repository/state.h"

struct xb_content_view {
    struct xb_index_table *table;
};

int xb_content_view_open(struct xb_repository *repository, struct xb_content_view **ret,
                         struct xb_error *err)
{
    struct xb_content_view *view = calloc(1, sizeof *view);
    if (!view) {
        return xb_error_no_memory(err, "a view of the index");
    }
    view->table = xb_repository_table(repository);
    *ret = view;
    return 0;
}

void xb_content_view_free(struct xb_content_view *view)
{
    if (view) {
        xb_index_table_unref(view->table);
        free(view);
    }
}

size_t xb_content_view_count(const struct xb_content_view *view)
{
    return xb_index_table_count(view->table);
}

bool xb_content_view_find(const struct xb_content_view *view, const struct xb_content_id *id,
                          size_t *ret_number)
{
    return xb_index_table_find(view->table, id, ret_number);
}

void xb_content_view_at(const struct xb_content_view *view, size_t number,
                        struct xb_content_info *ret)
{
    struct xb_index_entry entry;
    xb_index_table_at(view->table, number, &entry);
    xb_content_info_fill(&entry, xb_index_table_pack(view->table, entry.pack), ret);
}

void xb_content_view_spot(const struct xb_content_view *view, size_t number,
                          struct xb_content_spot *ret)
{
    struct xb_index_entry entry;
    xb_index_table_at(view->table, number, &entry);
    *ret = (struct xb_content_spot){.pack = entry.pack,
                                    .packed_bytes = entry.packed_bytes,
                                    .plain_bytes = entry.plain_bytes,
                                    .offset = entry.offset};
}

size_t xb_content_view_pack_count(const struct xb_content_view *view)
{
    return xb_index_table_pack_count(view->table);
}

const char *xb_content_view_pack(const struct xb_content_view *view, uint32_t pack)
{
    return xb_index_table_pack(view->table, pack);
}

bool xb_content_view_names_pack(const struct xb_content_view *view, const char *name)
{
    return xb_index_table_names_pack(view->table, name);
}
