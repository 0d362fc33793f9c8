/* SPDX-License-Identifier: Apache-2.0
 * The index as it stands in the store: which blobs, and when to look again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fnv.h"
#include "shared/repository/state.h"

enum { LOAD_TRIES = 10 };

#define LOAD_PAUSE_NS (100 * XB_NS_PER_MS) /* doubled each time */

static int collect_name(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct xb_index_listing *listing = context;
    if (listing->count == XB_EPOCH_NAMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d index blobs",
                            XB_EPOCH_NAMES_MAX);
    }
    if (listing->count == listing->cap) {
        size_t cap = listing->cap ? 2 * listing->cap : 64;
        char **names = reallocarray(listing->names, cap, sizeof *names);
        if (!names) {
            return xb_error_no_memory(err, "a list of index blobs");
        }
        listing->names = names;
        listing->cap = cap;
    }
    size_t len = strlen(item->name) + 1;
    struct xb_index_item *kept = malloc(sizeof *kept + len);
    if (!kept) {
        return xb_error_no_memory(err, "a list of index blobs");
    }
    kept->size = item->size;
    memcpy(kept->name, item->name, len);
    listing->names[listing->count++] = kept->name;
    return 0;
}

/* Order does not matter: the sum over names of a hash of each. */
static uint64_t hash_set(const struct xb_epoch_set *set)
{
    uint64_t sum = (uint64_t)set->watermark_s * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < set->active_count; i++) {
        sum += xb_fnv1a(set->active[i]);
    }
    return sum;
}

int xb_index_listing_load(struct xb_repository *repository, struct xb_index_listing *ret,
                          struct xb_error *err)
{
    struct xb_index_listing listing = {.listed_ns = xb_repository_elapsed_ns(repository)};
    int r = xb_store_list(repository->store, "x", collect_name, &listing, err);
    if (r == 0) {
        r = xb_epoch_compute((const char *const *)listing.names, listing.count, &listing.set, err);
    }
    if (r < 0) {
        xb_index_listing_free(&listing);
        return xb_error_wrap(err, "listing the repository's index");
    }
    listing.names_hash = hash_set(&listing.set);
    *ret = listing;
    return 0;
}

void xb_index_listing_free(struct xb_index_listing *listing)
{
    xb_epoch_set_free(&listing->set);
    for (size_t i = 0; i < listing->count; i++) {
        free(xb_index_item_of(listing->names[i]));
    }
    free(listing->names);
    *listing = (struct xb_index_listing){.count = 0};
}

static int follow(struct xb_repository *repository, const struct xb_index_listing *listing,
                  struct xb_error *err)
{
    pthread_mutex_lock(&repository->lock);
    bool same = repository->table && listing->names_hash == repository->index_names_hash;
    if (same) {
        repository->table_listed_ns = listing->listed_ns;
        repository->write_epoch = listing->set.write_epoch;
        repository->index_blobs = listing->set.active_count;
    }
    pthread_mutex_unlock(&repository->lock);
    return same ? 0 : xb_repository_load_table(repository, listing, err);
}

/* A state that took longer to load than it is valid tells nothing: *ret_expired. The next look
 * finds the blobs loaded already, unless they are others. */
static int refresh_once(struct xb_repository *repository, bool *ret_expired, struct xb_error *err)
{
    struct xb_index_listing listing = {.count = 0};
    int r = xb_index_listing_load(repository, &listing, err);
    if (r < 0) {
        return r;
    }
    r = follow(repository, &listing, err);
    pthread_mutex_lock(&repository->lock);
    *ret_expired = xb_repository_elapsed_ns(repository) - listing.listed_ns >=
                   repository->format.epoch_refresh_ns;
    pthread_mutex_unlock(&repository->lock);
    xb_index_listing_free(&listing);
    return r;
}

int xb_repository_refresh_locked(struct xb_repository *repository, struct xb_error *err)
{
    int64_t pause_ns = LOAD_PAUSE_NS;
    for (int try = 1;; try++) {
        struct xb_error why = XB_ERROR_INIT;
        bool expired = false;
        int r = refresh_once(repository, &expired, &why);
        if (r == 0 && expired) {
            r = xb_error_set(&why, XB_ERR_RETRY, -ETIME,
                             "loading the index takes longer than it is valid");
        } else if (r == 0) {
            return 0;
        }
        /* A blob that vanished while it was loaded has been compacted: list again. */
        if ((why.kind != XB_ERR_NOT_FOUND && !expired) || try == LOAD_TRIES) {
            *err = why;
            return r;
        }
        if (!expired) {
            repository->clock->sleep_ns(repository->clock->context, pause_ns);
            pause_ns *= 2;
        }
    }
}

int xb_repository_follow(struct xb_repository *repository, const struct xb_index_listing *listing,
                         struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = follow(repository, listing, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return xb_repository_refresh_locked(repository, err);
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}
