/* SPDX-License-Identifier: Apache-2.0
 *
 * Index bytes of any kind: refused, or entries that are possible, that merge, and that, written
 * anew, read back the same.
 */
#include "shared/repository/index_table.h"
#include "tests/harness/fuzz.h"

enum { ENTRIES_MAX = 4096 };

struct collected {
    struct xb_index_entry *entries;
    size_t count, hash_bytes;
    const struct xb_names *packs;
};

static int collect(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct collected *all = context;
    need(entry->id.len == all->hash_bytes && entry->pack < all->packs->count);
    need(entry->packed_bytes <= XB_INDEX_LENGTH_MAX && entry->plain_bytes <= XB_INDEX_LENGTH_MAX);
    need(all->count == 0 ||
         xb_content_id_compare(&all->entries[all->count - 1].id, &entry->id) < 0);
    if (all->count == ENTRIES_MAX) {
        return xb_error_set(err, XB_ERR_CANCELLED, -1, "enough");
    }
    all->entries[all->count++] = *entry;
    return 0;
}

static void check_merge(const uint8_t *data, size_t len, const struct collected *all)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_merge *merge = NULL;
    XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
    need(xb_index_merge_new(all->hash_bytes, &merge, &err) == 0);
    need(xb_index_merge_add_index(merge, data, len, &err) == 0);
    need(xb_index_merge_add_index(merge, data, len, &err) == 0);
    need(xb_index_merge_finish(merge, INT64_MIN, &table, &err) == 0);
    xb_index_merge_free(merge);
    need(xb_index_table_count(table) == all->count);
    for (size_t i = 0; i < all->count; i++) {
        size_t at = SIZE_MAX;
        need(xb_index_table_find(table, &all->entries[i].id, &at) && at == i);
    }
}

static void check_again(const struct collected *all)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf bytes = XB_BUF_INIT(XB_INDEX_BLOB_BYTES_MAX);
    struct xb_names packs = {.count = 0};
    if (xb_index_encode(all->entries, all->count, all->packs, &bytes, &err) < 0) {
        need(err.kind == XB_ERR_INVALID || err.kind == XB_ERR_FULL); /* version 1 says more */
        xb_buf_free(&bytes);
        return;
    }
    struct collected again = {.hash_bytes = all->hash_bytes, .packs = &packs};
    again.entries = calloc(all->count, sizeof *again.entries);
    need(again.entries && xb_index_decode(bytes.data, bytes.len, all->hash_bytes, &packs, collect,
                                          &again, &err) == 0);
    need(again.count == all->count);
    for (size_t i = 0; i < all->count; i++) {
        const struct xb_index_entry *a = &all->entries[i], *b = &again.entries[i];
        need(xb_content_id_compare(&a->id, &b->id) == 0 && a->timestamp_s == b->timestamp_s);
        need(a->offset == b->offset && a->packed_bytes == b->packed_bytes);
        need(a->plain_bytes == b->plain_bytes && a->compression == b->compression);
        need(a->deleted == b->deleted && a->format_version == b->format_version);
        need(a->key_id == b->key_id);
        need(strcmp(xb_names_at(all->packs, a->pack), xb_names_at(&packs, b->pack)) == 0);
    }
    free(again.entries);
    xb_buf_free(&bytes);
    xb_names_free(&packs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct xb_index_entry entries[ENTRIES_MAX];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0};
    bool sized = len > 1 && data[1] >= 2 && data[1] <= 1 + XB_CONTENT_HASH_BYTES_MAX;
    struct collected all = {
        .entries = entries, .hash_bytes = sized ? data[1] - 1 : 16, .packs = &packs};
    int r = xb_index_decode(data, len, all.hash_bytes, &packs, collect, &all, &err);
    need(r == 0 || err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_CANCELLED);
    if (r == 0 && all.count > 0) {
        check_merge(data, len, &all);
        check_again(&all);
    }
    xb_names_free(&packs);
    return 0;
}
