/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/repository.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"
#include "shared/repository/retention.h"
#include "shared/repository/snapshot.h"
#include "shared/repository/state.h"

static int read_outer(struct xb_store *store, struct xb_format_outer *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    int r = xb_store_get(store, XB_FORMAT_BLOB, 0, XB_STORE_TO_END, &text, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND
                   ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                                  "there is no repository in %s (no %s)", xb_store_describe(store),
                                  XB_FORMAT_BLOB)
                   : r;
    }
    return xb_format_outer_parse(text.data, text.len, ret, err);
}

static void init_locks(struct xb_repository *repository)
{
    pthread_mutex_init(&repository->flush_lock, NULL);
    pthread_mutex_init(&repository->session_lock, NULL);
    pthread_mutex_init(&repository->lock, NULL);
    pthread_cond_init(&repository->turn, NULL);
    for (size_t i = 0; i < XB_PACK_KINDS; i++) {
        xb_pack_slot_init(&repository->packs[i]);
    }
}

/* Owns the store at once, so that every way out frees it. */
static int new_repository(struct xb_store *store, const struct xb_repository_open_options *options,
                          struct xb_repository **ret, struct xb_error *err)
{
    struct xb_repository *repository = calloc(1, sizeof *repository);
    if (!repository) {
        xb_store_free(store);
        return xb_error_no_memory(err, "a repository");
    }
    init_locks(repository);
    repository->store = store;
    repository->clock = options && options->clock ? options->clock : &xb_clock_system;
    repository->shard_entries_max = XB_INDEX_SHARD_ENTRIES_MAX;
    repository->read_only = options && options->read_only;
    repository->tolerate_damage = repository->read_only && options->tolerate_damage;
    const char *username = options && options->username ? options->username : "default";
    const char *hostname = options && options->hostname ? options->hostname : "default";
    repository->username = strdup(username);
    repository->hostname = strdup(hostname);
    if (!repository->username || !repository->hostname ||
        xb_readahead_new(&repository->readahead, err) < 0) {
        xb_repository_free(repository);
        return xb_error_no_memory(err, "a repository");
    }
    *ret = repository;
    return 0;
}

static int copy_keys(const struct xb_format_keys *from, struct xb_format_keys *ret,
                     struct xb_error *err)
{
    int r = xb_secret_new(from->key->data, from->key->len, &ret->key, err);
    return r < 0 ? r
                 : xb_secret_new(from->associated->data, from->associated->len, &ret->associated,
                                 err);
}

/* With the keys, or with those that the password gives. */
static int open_format(struct xb_repository *repository, const struct xb_secret *password,
                       const struct xb_format_keys *keys, struct xb_error *err)
{
    struct xb_format_outer outer;
    int64_t now_ns = xb_repository_elapsed_ns(repository);
    int r = read_outer(repository->store, &outer, err);
    if (r < 0) {
        return r;
    }
    r = keys ? copy_keys(keys, &repository->keys, err)
             : xb_format_keys_derive(&outer, password, &repository->keys, err);
    if (r == 0) {
        r = xb_format_open(&outer, &repository->keys, xb_repository_wall_ns(repository),
                           &repository->format, err);
    }
    if (r == 0) {
        memcpy(repository->unique_id, outer.unique_id, outer.unique_id_len);
        repository->unique_id_len = outer.unique_id_len;
        repository->format_checked_ns = now_ns;
        r = xb_sealer_new(repository->format.hash, repository->format.encryption,
                          repository->format.hash_secret, repository->format.master_key,
                          &repository->sealer, err);
    }
    xb_format_outer_free(&outer);
    if (r == 0 && !repository->read_only) {
        r = xb_retention_check(repository->store, &repository->keys, err);
    }
    return r;
}

/* Without it everything works, only slower. */
static void open_cache(struct xb_repository *repository,
                       const struct xb_repository_open_options *options)
{
    struct xb_error err = XB_ERROR_INIT;
    if (!options || !options->cache_folder || repository->tolerate_damage) {
        return;
    }
    const struct xb_index_cache_options wanted = {.folder = options->cache_folder,
                                                  .unique_id = repository->unique_id,
                                                  .unique_id_len = repository->unique_id_len,
                                                  .key = repository->format.master_key,
                                                  .bytes_max = options->cache_bytes_max};
    if (xb_index_cache_open(&wanted, &repository->cache, &err) < 0) {
        static atomic_bool said;
        bool warn = options->cache_wanted && !atomic_exchange(&said, true);
        xb_log_err(warn ? XB_LOG_WARNING : XB_LOG_DEBUG, &err,
                   "the index is not kept for the next time (--cache-dir, XEBEC_CACHE_DIR)",
                   (char *)NULL);
    }
}

static int open_all(struct xb_repository *repository, const struct xb_secret *password,
                    const struct xb_format_keys *keys,
                    const struct xb_repository_open_options *options, struct xb_error *err)
{
    int r = open_format(repository, password, keys, err);
    if (r == 0) {
        open_cache(repository, options);
        r = xb_repository_refresh_locked(repository, err);
    }
    return r < 0 ? xb_error_wrap(err, "opening the repository in %s",
                                 xb_store_describe(repository->store))
                 : 0;
}

int xb_repository_open(struct xb_store *store, const struct xb_secret *password,
                       const struct xb_repository_open_options *options, struct xb_repository **ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    int r = new_repository(store, options, &repository, err);
    if (r == 0 && (r = open_all(repository, password, NULL, options, err)) == 0) {
        *ret = XB_TAKE(repository);
    }
    return r;
}

int xb_repository_open_with(struct xb_store *store, const struct xb_format_keys *keys,
                            const struct xb_repository_open_options *options,
                            struct xb_repository **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    int r = new_repository(store, options, &repository, err);
    if (r == 0 && (r = open_all(repository, NULL, keys, options, err)) == 0) {
        *ret = XB_TAKE(repository);
    }
    return r;
}

void xb_repository_free(struct xb_repository *repository)
{
    if (!repository) {
        return;
    }
    for (size_t i = 0; i < XB_PACK_KINDS; i++) {
        xb_pack_slot_free(&repository->packs[i]);
    }
    xb_index_table_unref(repository->table);
    xb_index_cache_free(repository->cache);
    xb_pending_free(&repository->pending);
    free(repository->lost.places);
    xb_losses_free(&repository->losses);
    xb_readahead_free(repository->readahead);
    xb_sealer_free(repository->sealer);
    xb_format_free(&repository->format);
    xb_format_keys_free(&repository->keys);
    free(repository->username);
    free(repository->hostname);
    xb_store_free(repository->store);
    pthread_mutex_destroy(&repository->flush_lock);
    pthread_mutex_destroy(&repository->session_lock);
    pthread_mutex_destroy(&repository->lock);
    pthread_cond_destroy(&repository->turn);
    free(repository);
}

/* Only these may change; keys and algorithms never do. */
static void take_numbers(struct xb_repository *repository, const struct xb_format *fresh,
                         int64_t checked_ns)
{
    pthread_mutex_lock(&repository->lock);
    repository->format.version = fresh->version;
    repository->format.index_version = fresh->index_version;
    repository->format.pack_bytes_max = fresh->pack_bytes_max;
    repository->format.epoch_refresh_ns = fresh->epoch_refresh_ns;
    repository->format_checked_ns = checked_ns;
    pthread_mutex_unlock(&repository->lock);
}

static bool format_is_old(struct xb_repository *repository, int64_t now_ns)
{
    pthread_mutex_lock(&repository->lock);
    bool old = now_ns - repository->format_checked_ns >= XB_FORMAT_AGE_NS_MAX;
    pthread_mutex_unlock(&repository->lock);
    return old;
}

/* The password may change while we work: the blobs are sealed anew, the keys of contents stay. What
 * we cannot read any more we take as it was. */
static int renew_format(struct xb_repository *repository, const struct xb_format_outer *outer,
                        int64_t now_ns, struct xb_error *err)
{
    struct xb_format fresh = {.version = 0};
    struct xb_error why = XB_ERROR_INIT;
    int r =
        xb_format_open(outer, &repository->keys, xb_repository_wall_ns(repository), &fresh, &why);
    if (r == 0) {
        take_numbers(repository, &fresh, now_ns);
        xb_format_free(&fresh);
        r = repository->read_only ? 0
                                  : xb_retention_check(repository->store, &repository->keys, &why);
    }
    if (r < 0 && why.kind != XB_ERR_DENIED) {
        *err = why;
        return r;
    }
    if (r < 0) {
        xb_log_debug("the repository's password was changed meanwhile", "store",
                     xb_store_describe(repository->store));
        take_numbers(repository, &repository->format, now_ns);
    }
    return 0;
}

int xb_repository_check_format(struct xb_repository *repository, struct xb_error *err)
{
    int64_t now_ns = xb_repository_elapsed_ns(repository);
    if (!format_is_old(repository, now_ns)) {
        return 0;
    }
    struct xb_format_outer outer;
    int r = read_outer(repository->store, &outer, err);
    if (r < 0) {
        return r;
    }
    if (outer.unique_id_len != repository->unique_id_len ||
        memcmp(outer.unique_id, repository->unique_id, outer.unique_id_len) != 0) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -ESTALE,
                         "the repository in %s was replaced by another one",
                         xb_store_describe(repository->store));
    } else {
        r = renew_format(repository, &outer, now_ns, err);
    }
    xb_format_outer_free(&outer);
    return r;
}

static bool table_is_old(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    bool old =
        xb_repository_elapsed_ns(repository) - repository->table_listed_ns > XB_TABLE_AGE_NS_MAX;
    pthread_mutex_unlock(&repository->lock);
    return old;
}

int xb_repository_renew(struct xb_repository *repository, struct xb_error *err)
{
    if (!table_is_old(repository) &&
        !format_is_old(repository, xb_repository_elapsed_ns(repository))) {
        return 0;
    }
    /* Of several that find it old one renews it; the others wait and then find it young. */
    pthread_mutex_lock(&repository->flush_lock);
    int r = xb_repository_check_format(repository, err);
    if (r == 0 && table_is_old(repository)) {
        r = xb_repository_refresh_locked(repository, err);
    }
    pthread_mutex_unlock(&repository->flush_lock);
    return r;
}

int xb_repository_refresh(struct xb_repository *repository, struct xb_error *err)
{
    pthread_mutex_lock(&repository->flush_lock);
    int r = xb_repository_refresh_locked(repository, err);
    pthread_mutex_unlock(&repository->flush_lock);
    return r;
}

struct xb_index_table *xb_repository_table(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    struct xb_index_table *table = xb_index_table_ref(repository->table);
    pthread_mutex_unlock(&repository->lock);
    return table;
}

const char *xb_repository_splitter(const struct xb_repository *repository)
{
    return repository->format.splitter;
}

int xb_repository_info(struct xb_repository *repository, struct xb_repository_info *ret,
                       struct xb_error *err)
{
    (void)err;
    struct xb_repository_info info = {.hash = repository->format.hash,
                                      .encryption = repository->format.encryption,
                                      .splitter = repository->format.splitter,
                                      .description = xb_store_describe(repository->store)};
    xb_hex_encode(repository->unique_id, repository->unique_id_len, info.unique_id_hex);
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    info.packs = xb_index_table_pack_count(table);
    for (size_t i = 0; i < xb_index_table_count(table); i++) {
        struct xb_index_entry entry;
        xb_index_table_at(table, i, &entry);
        info.deleted_contents += entry.deleted;
        info.contents += !entry.deleted;
        info.packed_bytes += entry.deleted ? 0 : entry.packed_bytes;
        info.plain_bytes += entry.deleted ? 0 : entry.plain_bytes;
    }
    pthread_mutex_lock(&repository->lock);
    info.format_version = repository->format.version;
    info.index_version = repository->format.index_version;
    info.pack_bytes_max = repository->format.pack_bytes_max;
    info.write_epoch = (int)repository->write_epoch;
    info.index_blobs = repository->index_blobs;
    pthread_mutex_unlock(&repository->lock);
    *ret = info;
    return 0;
}

bool xb_repository_flush_due(struct xb_repository *repository, int64_t age_ns_max)
{
    pthread_mutex_lock(&repository->lock);
    bool due = repository->first_pending_ns &&
               (repository->pending.count >= XB_PENDING_DUE ||
                xb_repository_elapsed_ns(repository) - repository->first_pending_ns >= age_ns_max);
    pthread_mutex_unlock(&repository->lock);
    return due;
}

bool xb_repository_failed(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    bool failed = repository->failed.code != 0;
    pthread_mutex_unlock(&repository->lock);
    return failed;
}

int xb_repository_list_packs(struct xb_repository *repository, xb_store_item_fn *fn, void *context,
                             struct xb_error *err)
{
    int r = xb_store_list(repository->store, "p", fn, context, err);
    return r < 0 ? r : xb_store_list(repository->store, "q", fn, context, err);
}
