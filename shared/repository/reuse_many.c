/* SPDX-License-Identifier: Apache-2.0
 * Taking contents over from an earlier snapshot: many at a time, because a folder names many. */
#include "shared/repository/state.h"

/* `lock` is held. */
static bool reuse_one(struct xb_repository *repository, const struct xb_content_id *id)
{
    size_t i = 0;
    struct xb_index_entry entry;
    const struct xb_index_entry *pending = xb_pending_find(&repository->pending, id);
    if (pending) {
        return !pending->deleted;
    }
    if (!xb_index_table_find(repository->table, id, &i)) {
        return false;
    }
    xb_index_table_at(repository->table, i, &entry);
    if (!entry.deleted) {
        xb_index_table_mark(repository->table, i);
    }
    return !entry.deleted;
}

void xb_content_reuse_many(struct xb_repository *repository, const struct xb_content_id *ids,
                           size_t count, bool *ret_live)
{
    struct xb_error ignored = XB_ERROR_INIT;
    /* Whoever reads it anew hears of the failure when it is written. */
    bool fresh = xb_repository_renew(repository, &ignored) == 0;
    pthread_mutex_lock(&repository->lock);
    for (size_t i = 0; i < count; i++) {
        ret_live[i] = fresh && reuse_one(repository, &ids[i]);
    }
    pthread_mutex_unlock(&repository->lock);
}

bool xb_content_reuse(struct xb_repository *repository, const struct xb_content_id *id)
{
    bool live = false;
    xb_content_reuse_many(repository, id, 1, &live);
    return live;
}
