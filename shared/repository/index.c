/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"

enum {
    V1_HEADER_BYTES = 8,
    V1_VALUE_BYTES = 20,
    V1_SEAL_BYTES = 28, /* what sealing added, and so packed minus plain */
    V2_HEADER_BYTES = 17,
    V2_PACK_BYTES = 5,
    V2_FORMAT_BYTES = 6,
    V2_VALUE_BYTES_MIN = 16,
    V2_VALUE_BYTES_MAX = 19,
    V2_PACKS_SHORT_MAX = 65536,
    V2_LENGTH_SHORT_MAX = (1 << 24) - 1,
    KEY_BYTES_MAX = 1 + XB_CONTENT_HASH_BYTES_MAX
};

#define DELETED_BIT UINT32_C(0x80000000)

bool xb_index_entry_beats(const struct xb_index_entry *a, const char *a_pack,
                          const struct xb_index_entry *b, const char *b_pack)
{
    if (a->timestamp_s != b->timestamp_s) {
        return a->timestamp_s > b->timestamp_s;
    }
    if (a->deleted != b->deleted) {
        return !a->deleted;
    }
    return strcmp(a_pack, b_pack) > 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct xb_index_entry *left = a;
    const struct xb_index_entry *right = b;
    return xb_content_id_compare(&left->id, &right->id);
}

void xb_index_sort(struct xb_index_entry *entries, size_t count)
{
    if (count > 1) {
        qsort(entries, count, sizeof *entries, compare_entries);
    }
}

uint32_t xb_index_shard(const struct xb_content_id *id, uint32_t count)
{
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    uint32_t h = UINT32_C(2166136261);
    for (const char *c = text; *c; c++) {
        h = (h ^ (unsigned char)*c) * UINT32_C(16777619);
    }
    return h % count;
}

/* ---- encode ---- */

struct format {
    uint32_t compression;
    uint8_t version, key_id;
};

/* What the values refer to, numbered in order of first appearance. */
struct tables {
    uint32_t *pack_number; /* by number in the caller's names; UINT32_MAX: not used yet */
    uint32_t *packs;       /* the reverse */
    uint32_t pack_count;
    struct format formats[XB_INDEX_FORMATS_MAX];
    size_t format_count;
    size_t value_bytes;
    size_t names_bytes;
};

static void tables_free(struct tables *tables)
{
    free(tables->pack_number);
    free(tables->packs);
}

static size_t format_find(const struct tables *tables, const struct xb_index_entry *entry)
{
    size_t i = 0;
    while (i < tables->format_count && (tables->formats[i].compression != entry->compression ||
                                        tables->formats[i].version != entry->format_version ||
                                        tables->formats[i].key_id != entry->key_id)) {
        i++;
    }
    return i;
}

static int check_entry(const struct xb_index_entry *entries, size_t i, const struct xb_names *packs,
                       struct xb_error *err)
{
    const struct xb_index_entry *e = &entries[i];
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(&e->id, text);
    if (e->id.len == 0 || e->id.len > XB_CONTENT_HASH_BYTES_MAX || e->id.len != entries[0].id.len ||
        e->pack >= packs->count) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "index entry %s: mixed up", text);
    }
    if (i > 0 && xb_content_id_compare(&entries[i - 1].id, &e->id) >= 0) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "index entry %s: out of order", text);
    }
    if (e->timestamp_s > UINT32_MAX || e->offset > XB_INDEX_OFFSET_MAX ||
        e->packed_bytes > XB_INDEX_LENGTH_MAX || e->plain_bytes > XB_INDEX_LENGTH_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ERANGE,
                            "content %s cannot be indexed: time %llu s, offset %u, %u bytes packed "
                            "(%u plain) go beyond the format",
                            text, (unsigned long long)e->timestamp_s, e->offset, e->packed_bytes,
                            e->plain_bytes);
    }
    return 0;
}

static int tables_add(struct tables *tables, const struct xb_index_entry *entry,
                      const struct xb_names *packs, bool *long_length, struct xb_error *err)
{
    if (tables->pack_number[entry->pack] == UINT32_MAX) {
        tables->pack_number[entry->pack] = tables->pack_count;
        tables->packs[tables->pack_count++] = entry->pack;
        tables->names_bytes += strlen(xb_names_at(packs, entry->pack));
    }
    size_t format = format_find(tables, entry);
    if (format == XB_INDEX_FORMATS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ERANGE, "more than %d formats in one index",
                            XB_INDEX_FORMATS_MAX);
    }
    if (format == tables->format_count) {
        tables->formats[tables->format_count++] =
            (struct format){entry->compression, entry->format_version, entry->key_id};
    }
    *long_length = *long_length || entry->packed_bytes > V2_LENGTH_SHORT_MAX ||
                   entry->plain_bytes > V2_LENGTH_SHORT_MAX;
    return 0;
}

static int tables_build(struct tables *tables, const struct xb_index_entry *entries, size_t count,
                        const struct xb_names *packs, struct xb_error *err)
{
    tables->pack_number = malloc((packs->count + 1) * sizeof *tables->pack_number);
    tables->packs = malloc((packs->count + 1) * sizeof *tables->packs);
    if (!tables->pack_number || !tables->packs) {
        return xb_error_no_memory(err, "an index");
    }
    memset(tables->pack_number, 0xff, (packs->count + 1) * sizeof *tables->pack_number);
    bool long_length = false;
    for (size_t i = 0; i < count; i++) {
        int r = check_entry(entries, i, packs, err);
        if (r < 0 || (r = tables_add(tables, &entries[i], packs, &long_length, err)) < 0) {
            return r;
        }
    }
    tables->value_bytes = long_length                               ? V2_VALUE_BYTES_MAX
                          : tables->pack_count > V2_PACKS_SHORT_MAX ? 18
                          : tables->format_count > 1                ? 17
                                                                    : V2_VALUE_BYTES_MIN;
    return 0;
}

static void put_be(unsigned char *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
    }
}

static void encode_record(const struct tables *tables, const struct xb_index_entry *e,
                          unsigned char *out)
{
    out[0] = (unsigned char)e->id.prefix;
    memcpy(out + 1, e->id.hash, e->id.len);
    unsigned char value[V2_VALUE_BYTES_MAX];
    uint32_t pack = tables->pack_number[e->pack];
    put_be(value, e->timestamp_s, 4);
    put_be(value + 4, e->offset | (e->deleted ? DELETED_BIT : 0), 4);
    put_be(value + 8, e->plain_bytes & V2_LENGTH_SHORT_MAX, 3);
    put_be(value + 11, e->packed_bytes & V2_LENGTH_SHORT_MAX, 3);
    put_be(value + 14, pack & 0xffff, 2);
    value[16] = (unsigned char)format_find(tables, e);
    value[17] = (unsigned char)(pack >> 16);
    value[18] = (unsigned char)((e->plain_bytes >> 24) << 4 | e->packed_bytes >> 24);
    memcpy(out + 1 + e->id.len, value, tables->value_bytes);
}

static int encode_names(const struct tables *tables, const struct xb_names *packs, size_t start,
                        struct xb_buf *out, struct xb_error *err)
{
    size_t name_offset = out->len - start + (size_t)tables->pack_count * V2_PACK_BYTES +
                         tables->format_count * V2_FORMAT_BYTES;
    int r = 0;
    for (uint32_t i = 0; i < tables->pack_count && r == 0; i++) {
        size_t len = strlen(xb_names_at(packs, tables->packs[i]));
        unsigned char row[V2_PACK_BYTES] = {(unsigned char)len};
        put_be(row + 1, name_offset, 4);
        name_offset += len;
        r = xb_buf_append(out, row, sizeof row, err);
    }
    for (size_t i = 0; i < tables->format_count && r == 0; i++) {
        unsigned char row[V2_FORMAT_BYTES];
        put_be(row, tables->formats[i].compression, 4);
        row[4] = tables->formats[i].version;
        row[5] = tables->formats[i].key_id;
        r = xb_buf_append(out, row, sizeof row, err);
    }
    for (uint32_t i = 0; i < tables->pack_count && r == 0; i++) {
        r = xb_buf_append_str(out, xb_names_at(packs, tables->packs[i]), err);
    }
    return r;
}

int xb_index_encode(const struct xb_index_entry *entries, size_t count,
                    const struct xb_names *packs, struct xb_buf *out, struct xb_error *err)
{
    if (count == 0 || count > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "an index of %zu entries", count);
    }
    XB_CLEANUP(tables_free) struct tables tables = {.pack_count = 0};
    int r = tables_build(&tables, entries, count, packs, err);
    if (r < 0) {
        return r;
    }
    size_t start = out->len;
    size_t key_bytes = 1 + (size_t)entries[0].id.len;
    size_t stride = key_bytes + tables.value_bytes;
    size_t total = V2_HEADER_BYTES + count * stride + tables.pack_count * (size_t)V2_PACK_BYTES +
                   tables.format_count * V2_FORMAT_BYTES + tables.names_bytes;
    if (total > UINT32_MAX) { /* names are found by 32 bits */
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "%zu entries are too many for one index",
                            count);
    }
    /* All at once: an index is appended whole or not at all. */
    if ((r = xb_buf_reserve(out, total, err)) < 0) {
        return r;
    }
    unsigned char header[V2_HEADER_BYTES] = {2, (unsigned char)key_bytes};
    put_be(header + 2, tables.value_bytes, 2);
    put_be(header + 4, count, 4);
    put_be(header + 8, tables.pack_count, 4);
    header[12] = (unsigned char)tables.format_count;
    if ((r = xb_buf_append(out, header, sizeof header, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned char record[KEY_BYTES_MAX + V2_VALUE_BYTES_MAX];
        encode_record(&tables, &entries[i], record);
        if ((r = xb_buf_append(out, record, stride, err)) < 0) {
            return r;
        }
    }
    return encode_names(&tables, packs, start, out, err);
}

/* ---- decode ---- */

static uint64_t get_be(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

struct reader {
    const unsigned char *data;
    size_t len;
    size_t key_bytes, value_bytes, count;
    struct xb_names *packs;
    uint32_t *pack_numbers; /* of the caller, by this index's */
    size_t pack_count;
    const unsigned char *formats;
    size_t format_count;
    uint32_t base_s;
};

static void reader_free(struct reader *reader)
{
    free(reader->pack_numbers);
}

static int bad(struct xb_error *err, const char *what, size_t i)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "index: %s (number %zu)", what, i);
}

/* A pack's name becomes the name of a blob to read: nothing but what packs are called. */
static int intern_pack(struct reader *in, size_t offset, size_t len, size_t i, uint32_t *ret_number,
                       struct xb_error *err)
{
    if (offset > in->len || len > in->len - offset || len == 0 || len > XB_NAMES_TEXT_BYTES_MAX) {
        return bad(err, "a pack's name lies outside", i);
    }
    const char *name = (const char *)in->data + offset;
    bool good = name[0] == 'p' || name[0] == 'q';
    for (size_t k = 1; k < len && good; k++) {
        char c = name[k];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    }
    if (!good) {
        return bad(err, "a pack's name has the wrong letters", i);
    }
    return xb_names_intern(in->packs, name, len, ret_number, err);
}

static int read_key(const struct reader *in, const unsigned char *record, size_t i,
                    struct xb_content_id *ret, struct xb_error *err)
{
    if (i > 0 && memcmp(record - in->key_bytes - in->value_bytes, record, in->key_bytes) >= 0) {
        return bad(err, "entries are out of order", i);
    }
    if (record[0] != 0 && (record[0] < 'g' || record[0] > 'z')) {
        return bad(err, "an id has a wrong prefix", i);
    }
    ret->prefix = (char)record[0];
    ret->len = (uint8_t)(in->key_bytes - 1);
    memcpy(ret->hash, record + 1, in->key_bytes - 1);
    return 0;
}

static int decode_v1(struct reader *in, xb_index_entry_fn *fn, void *context, struct xb_error *err)
{
    size_t stride = in->key_bytes + in->value_bytes;
    if (in->value_bytes != V1_VALUE_BYTES || in->count > (in->len - V1_HEADER_BYTES) / stride) {
        return bad(err, "version 1, entries do not fit", in->count);
    }
    for (size_t i = 0; i < in->count; i++) {
        const unsigned char *record = in->data + V1_HEADER_BYTES + i * stride;
        const unsigned char *v = record + in->key_bytes;
        struct xb_index_entry e = {.format_version = v[6],
                                   .timestamp_s = get_be(v, 6),
                                   .deleted = (v[12] & 0x80) != 0,
                                   .offset = (uint32_t)get_be(v + 12, 4) & ~DELETED_BIT,
                                   .packed_bytes = (uint32_t)get_be(v + 16, 4)};
        int r = read_key(in, record, i, &e.id, err);
        if (r < 0 || (r = intern_pack(in, get_be(v + 8, 4), v[7], i, &e.pack, err)) < 0) {
            return r;
        }
        if (e.packed_bytes < V1_SEAL_BYTES || e.packed_bytes > XB_INDEX_LENGTH_MAX) {
            return bad(err, "an entry's length is impossible", i);
        }
        e.plain_bytes = e.packed_bytes - V1_SEAL_BYTES;
        if ((r = fn(context, &e, err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* Checks that all tables lie inside, and reads the packs' names. */
static int open_v2(struct reader *in, struct xb_error *err)
{
    if (in->len < V2_HEADER_BYTES || in->value_bytes < V2_VALUE_BYTES_MIN ||
        in->value_bytes > V2_VALUE_BYTES_MAX) {
        return bad(err, "version 2, header is impossible; value bytes", in->value_bytes);
    }
    in->pack_count = get_be(in->data + 8, 4);
    in->format_count = in->data[12];
    in->base_s = (uint32_t)get_be(in->data + 13, 4);
    /* Each count is below 2^32 and each row below 64 bytes: no overflow in 64 bits. */
    size_t packs_at = V2_HEADER_BYTES + in->count * (in->key_bytes + in->value_bytes);
    size_t formats_at = packs_at + in->pack_count * V2_PACK_BYTES;
    if (formats_at + in->format_count * V2_FORMAT_BYTES > in->len) {
        return bad(err, "version 2, tables do not fit; entries", in->count);
    }
    in->formats = in->data + formats_at;
    in->pack_numbers = malloc((in->pack_count + 1) * sizeof *in->pack_numbers);
    if (!in->pack_numbers) {
        return xb_error_no_memory(err, "an index");
    }
    for (size_t i = 0; i < in->pack_count; i++) {
        const unsigned char *row = in->data + packs_at + i * V2_PACK_BYTES;
        int r = intern_pack(in, get_be(row + 1, 4), row[0], i, &in->pack_numbers[i], err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int decode_v2(struct reader *in, xb_index_entry_fn *fn, void *context, struct xb_error *err)
{
    int r = open_v2(in, err);
    if (r < 0) {
        return r;
    }
    size_t stride = in->key_bytes + in->value_bytes;
    for (size_t i = 0; i < in->count; i++) {
        const unsigned char *record = in->data + V2_HEADER_BYTES + i * stride;
        unsigned char v[V2_VALUE_BYTES_MAX] = {0};
        memcpy(v, record + in->key_bytes, in->value_bytes);
        size_t pack = get_be(v + 14, 2) | (size_t)v[17] << 16;
        size_t format = v[16];
        if (pack >= in->pack_count || format >= in->format_count) {
            return bad(err, "an entry names a pack or format that is not there", i);
        }
        if ((get_be(v + 4, 4) & ~(uint64_t)DELETED_BIT) > XB_INDEX_OFFSET_MAX) {
            return bad(err, "an entry's offset is impossible", i);
        }
        const unsigned char *row = in->formats + format * V2_FORMAT_BYTES;
        struct xb_index_entry e = {
            .timestamp_s = get_be(v, 4) + in->base_s,
            .deleted = (v[4] & 0x80) != 0,
            .offset = (uint32_t)get_be(v + 4, 4) & ~DELETED_BIT,
            .plain_bytes = (uint32_t)(get_be(v + 8, 3) | (uint64_t)(v[18] >> 4) << 24),
            .packed_bytes = (uint32_t)(get_be(v + 11, 3) | (uint64_t)(v[18] & 15) << 24),
            .pack = in->pack_numbers[pack],
            .compression = (uint32_t)get_be(row, 4),
            .format_version = row[4],
            .key_id = row[5]};
        if ((r = read_key(in, record, i, &e.id, err)) < 0 || (r = fn(context, &e, err)) < 0) {
            return r;
        }
    }
    return 0;
}

int xb_index_decode(const void *data, size_t len, size_t hash_bytes, struct xb_names *packs,
                    xb_index_entry_fn *fn, void *context, struct xb_error *err)
{
    const unsigned char *bytes = data;
    if (len < V1_HEADER_BYTES || (bytes[0] != 1 && bytes[0] != 2)) {
        return bad(err, "neither version 1 nor 2; bytes", len);
    }
    XB_CLEANUP(reader_free)
    struct reader in = {.data = bytes,
                        .len = len,
                        .key_bytes = bytes[1],
                        .value_bytes = get_be(bytes + 2, 2),
                        .count = get_be(bytes + 4, 4),
                        .packs = packs};
    if (in.key_bytes < 2 || in.key_bytes != 1 + hash_bytes) {
        return bad(err, "its ids are not as long as this repository's; bytes", in.key_bytes);
    }
    return bytes[0] == 1 ? decode_v1(&in, fn, context, err) : decode_v2(&in, fn, context, err);
}
