/* SPDX-License-Identifier: Apache-2.0
 * Finding contents, reading and opening them. */
#include <errno.h>
#include <string.h>

#include "shared/compress/compress.h"
#include "shared/repository/state.h"

/* ---- where they lie ---- */

static bool find_pending(struct xb_repository *repository, const struct xb_content_id *id,
                         struct xb_content_place *ret)
{
    const struct xb_index_entry *entry = xb_pending_find(&repository->pending, id);
    if (!entry || entry->packed_bytes == 0) {
        return false; /* not there, or still on its way into a pack */
    }
    ret->entry = *entry;
    const char *pack = xb_names_at(&repository->pending.packs, entry->pack);
    memcpy(ret->pack, pack, strlen(pack) + 1);
    return true;
}

static bool find_place(struct xb_repository *repository, const struct xb_content_id *id,
                       struct xb_content_place *ret)
{
    pthread_mutex_lock(&repository->lock);
    bool found = find_pending(repository, id, ret);
    size_t i = 0;
    if (!found && xb_index_table_find(repository->table, id, &i)) {
        found = true;
        xb_index_table_at(repository->table, i, &ret->entry);
        const char *pack = xb_index_table_pack(repository->table, ret->entry.pack);
        memcpy(ret->pack, pack, strlen(pack) + 1);
    }
    pthread_mutex_unlock(&repository->lock);
    return found;
}

void xb_content_info_fill(const struct xb_index_entry *entry, const char *pack,
                          struct xb_content_info *ret)
{
    *ret = (struct xb_content_info){.id = entry->id,
                                    .timestamp_s = entry->timestamp_s,
                                    .deleted = entry->deleted,
                                    .key_id = entry->key_id,
                                    .plain_bytes = entry->plain_bytes,
                                    .packed_bytes = entry->packed_bytes,
                                    .compression = entry->compression,
                                    .pack_offset = entry->offset};
    memcpy(ret->pack, pack, strnlen(pack, sizeof ret->pack - 1));
}

int xb_content_stat(struct xb_repository *repository, const struct xb_content_id *id,
                    struct xb_content_info *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    size_t i = 0;
    if (!xb_index_table_find(table, id, &i)) {
        char text[XB_CONTENT_ID_TEXT_BYTES];
        xb_content_id_format(id, text);
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "content %s is not in the repository",
                            text);
    }
    struct xb_index_entry entry;
    xb_index_table_at(table, i, &entry);
    xb_content_info_fill(&entry, xb_index_table_pack(table, entry.pack), ret);
    return 0;
}

int xb_content_list(struct xb_repository *repository, int prefix, xb_content_fn *fn, void *context,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    int r = 0;
    size_t i = prefix < 0 ? 0 : xb_index_table_lower(table, (char)prefix);
    for (; r == 0 && i < xb_index_table_count(table); i++) {
        struct xb_index_entry entry;
        struct xb_content_info info;
        xb_index_table_at(table, i, &entry);
        if (prefix >= 0 && entry.id.prefix != (char)prefix) {
            break;
        }
        xb_content_info_fill(&entry, xb_index_table_pack(table, entry.pack), &info);
        r = fn(context, &info, err);
    }
    return r;
}

int xb_repository_refresh_old(struct xb_repository *repository, struct xb_error *err)
{
    /* Looked at under the lock of those who refresh: who waited for one need not do it again. */
    pthread_mutex_lock(&repository->flush_lock);
    bool old =
        xb_repository_elapsed_ns(repository) - repository->table_listed_ns >= XB_TABLE_AGE_NS_MIN;
    int r = old ? xb_repository_refresh_locked(repository, err) : 0;
    pthread_mutex_unlock(&repository->flush_lock);
    return r;
}

/* No view older than 15 minutes is read by; and others may have written it since a younger one. */
static int find_or_refresh(struct xb_repository *repository, const struct xb_content_id *id,
                           struct xb_content_place *ret, struct xb_error *err)
{
    int r = xb_repository_renew(repository, err);
    if (r < 0 || find_place(repository, id, ret)) {
        return r;
    }
    r = xb_repository_refresh_old(repository, err);
    if (r < 0 || find_place(repository, id, ret)) {
        return r;
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -ENOENT, "it is not in the repository's index");
}

int xb_content_locate(struct xb_repository *repository, const struct xb_content_id *id,
                      struct xb_content_info *ret, struct xb_error *err)
{
    struct xb_content_place place;
    int r = find_or_refresh(repository, id, &place, err);
    if (r < 0) {
        return xb_content_wrap(err, id);
    }
    xb_content_info_fill(&place.entry, place.pack, ret);
    return 0;
}

/* ---- their bytes ---- */

int xb_content_fetch(struct xb_repository *repository, const char *pack, uint64_t offset,
                     uint64_t len, struct xb_buf *out, struct xb_error *err)
{
    size_t before = out->len;
    int r = xb_store_get(repository->store, pack, offset, len, out, err);
    if (r == 0 && out->len - before != len) {
        out->len = before;
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the store sent another number of bytes");
    }
    return r;
}

int xb_content_identify(struct xb_repository *repository, char prefix, const void *data, size_t len,
                        struct xb_content_id *ret, struct xb_error *err)
{
    return xb_sealer_content_id(repository->sealer, prefix, data, len, ret, err);
}

static int check_key(const struct xb_content_info *info, struct xb_error *err)
{
    return info->key_id == 0 ? 0
                             : xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                                            "encrypted with an unknown key (%u)", info->key_id);
}

static int wrong_length(const struct xb_content_info *info, size_t len, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%zu bytes long instead of %u", len,
                        info->plain_bytes);
}

static int unseal(struct xb_repository *repository, const struct xb_content_info *info,
                  const void *sealed, struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf stream = XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    size_t before = out->len;
    struct xb_buf *opened = info->compression ? &stream : out;
    int r = check_key(info, err);
    if (r < 0) {
        return r;
    }
    r = xb_unseal_content(repository->sealer, &info->id, sealed, info->packed_bytes, opened, err);
    if (r == 0 && info->compression) {
        r = xb_compress_decode(info->compression, stream.data, stream.len, info->plain_bytes, out,
                               err);
    }
    if (r == 0 && out->len - before != info->plain_bytes) {
        r = wrong_length(info, out->len - before, err);
    }
    return r;
}

static int check_hash(struct xb_repository *repository, const struct xb_content_info *info,
                      const void *plain, struct xb_error *err)
{
    struct xb_content_id again;
    int r = xb_content_identify(repository, info->id.prefix, plain, info->plain_bytes, &again, err);
    if (r == 0 && xb_content_id_compare(&again, &info->id) != 0) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "its bytes have another hash");
    }
    return r;
}

int xb_content_open(struct xb_repository *repository, const struct xb_content_info *info,
                    const void *sealed, bool verify, struct xb_buf *out, struct xb_error *err)
{
    size_t before = out->len;
    int r = unseal(repository, info, sealed, out, err);
    if (r == 0 && verify) {
        r = check_hash(repository, info, out->data + before, err);
    }
    if (r < 0 && out->len > before) {
        out->len = before;
        out->data[before] = '\0';
    }
    return r < 0 ? xb_error_wrap(err, "pack %s", info->pack) : 0;
}

static int unseal_here(struct xb_repository *repository, const struct xb_content_info *info,
                       char *sealed, struct xb_buf *scratch, const char **ret_data,
                       struct xb_error *err)
{
    size_t len = info->packed_bytes - XB_SEAL_OVERHEAD_BYTES; /* once it is opened */
    *ret_data = sealed + XB_AEAD_NONCE_BYTES;
    int r = check_key(info, err);
    if (r == 0) {
        r = xb_unseal_content_here(repository->sealer, &info->id, sealed, info->packed_bytes, err);
    }
    if (r == 0 && info->compression) {
        xb_buf_clear(scratch);
        r = xb_compress_decode(info->compression, *ret_data, len, info->plain_bytes, scratch, err);
        len = scratch->len;
        *ret_data = scratch->data;
    }
    return r == 0 && len != info->plain_bytes ? wrong_length(info, len, err) : r;
}

int xb_content_open_here(struct xb_repository *repository, const struct xb_content_info *info,
                         char *sealed, bool verify, struct xb_buf *scratch, const char **ret_data,
                         struct xb_error *err)
{
    const char *data = NULL;
    int r = unseal_here(repository, info, sealed, scratch, &data, err);
    if (r == 0 && verify) {
        r = check_hash(repository, info, data, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, "pack %s", info->pack);
    }
    *ret_data = data;
    return 0;
}

/* Contents with a prefix (folders, indexes of objects, manifests) are small and many, and whoever
 * reads one will read its neighbours. */
static int fetch_and_open(struct xb_repository *repository, const struct xb_content_info *info,
                          bool verify, struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    int r = info->id.prefix
                ? xb_readahead_read(repository->readahead, repository->store, info->pack,
                                    info->pack_offset, info->packed_bytes, &sealed, err)
                : xb_content_fetch(repository, info->pack, info->pack_offset, info->packed_bytes,
                                   &sealed, err);
    return r < 0 ? xb_error_wrap(err, "pack %s", info->pack)
                 : xb_content_open(repository, info, sealed.data ? sealed.data : "", verify, out,
                                   err);
}

int xb_content_read_at(struct xb_repository *repository, const struct xb_content_place *place,
                       bool verify, struct xb_buf *out, struct xb_error *err)
{
    struct xb_content_info info;
    struct xb_error first = XB_ERROR_INIT;
    xb_content_info_fill(&place->entry, place->pack, &info);
    int r = fetch_and_open(repository, &info, verify, out, &first);
    if (r == 0) {
        return 0;
    }
    if (first.kind != XB_ERR_CORRUPT) {
        *err = first;
        return r;
    }
    /* What came wrong over a wire comes right the next time; damage stays. */
    xb_readahead_forget(repository->readahead, info.pack);
    return fetch_and_open(repository, &info, verify, out, err);
}

void xb_repository_read_anew(struct xb_repository *repository)
{
    xb_readahead_forget(repository->readahead, NULL);
}

static int read_content(struct xb_repository *repository, const struct xb_content_id *id,
                        bool verify, struct xb_buf *out, struct xb_error *err)
{
    struct xb_content_place place;
    struct xb_error gone = XB_ERROR_INIT;
    int r = find_or_refresh(repository, id, &place, err);
    if (r < 0) {
        return r;
    }
    r = xb_content_read_at(repository, &place, verify, out, &gone);
    if (r == 0) {
        return 0;
    }
    if (gone.kind != XB_ERR_NOT_FOUND) {
        *err = gone;
        return r;
    }
    /* Maintenance may have moved it since the index was read (kopia-format section 13). */
    r = xb_repository_refresh_old(repository, err);
    if (r == 0) {
        r = find_or_refresh(repository, id, &place, err);
    }
    if (r == 0) {
        r = xb_content_read_at(repository, &place, verify, out, err);
    }
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        err->kind = XB_ERR_CORRUPT; /* whoever names a content relies on it */
    }
    return r;
}

int xb_content_read(struct xb_repository *repository, const struct xb_content_id *id, bool verify,
                    struct xb_buf *out, struct xb_error *err)
{
    int r = read_content(repository, id, verify, out, err);
    return r < 0 ? xb_content_wrap(err, id) : 0;
}
