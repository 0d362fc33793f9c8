/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { NAME_RANDOM_BYTES = 16, TAIL_BYTES_MAX = 255, LOCAL_INDEX_BYTES_MAX = 256 << 20 };

struct xb_pack {
    struct xb_store_upload *upload;
    char name[XB_PACK_NAME_BYTES];
    uint64_t len;
    struct xb_index_entry *entries;
    size_t count, cap;
    struct xb_names names; /* number 0: this pack */
};

static int write_random(struct xb_pack *pack, size_t len, struct xb_error *err)
{
    unsigned char bytes[XB_PACK_ALIGN_BYTES];
    xb_random_bytes(bytes, len);
    int r = xb_store_upload_write(pack->upload, bytes, len, err);
    pack->len += r == 0 ? len : 0;
    return r;
}

int xb_pack_new(struct xb_store *store, char kind, const char *session, struct xb_pack **ret,
                struct xb_error *err)
{
    XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = calloc(1, sizeof *pack);
    if (!pack) {
        return xb_error_no_memory(err, "a pack");
    }
    unsigned char random[NAME_RANDOM_BYTES];
    char hex[2 * NAME_RANDOM_BYTES + 1];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    int written = snprintf(pack->name, sizeof pack->name, "%c%s-%s", kind, hex, session);
    if (written < 0 || (size_t)written >= sizeof pack->name) {
        return xb_error_set(err, XB_ERR_BUG, -ENAMETOOLONG, "the name of a pack is too long");
    }
    const struct xb_store_put_options options = {.sealed = true};
    uint32_t number = 0;
    int r = xb_names_intern(&pack->names, pack->name, strlen(pack->name), &number, err);
    if (r < 0 || (r = xb_store_upload_begin(store, pack->name, &options, &pack->upload, err)) < 0 ||
        (r = write_random(pack, XB_PACK_PREAMBLE_BYTES, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(pack);
    return 0;
}

const char *xb_pack_name(const struct xb_pack *pack)
{
    return pack->name;
}

uint64_t xb_pack_bytes(const struct xb_pack *pack)
{
    return pack->len;
}

static int make_room(struct xb_pack *pack, size_t more, struct xb_error *err)
{
    size_t cap = pack->cap;
    while (cap - pack->count < more) {
        cap = cap ? 2 * cap : 64;
    }
    if (cap > pack->cap) {
        struct xb_index_entry *entries = reallocarray(pack->entries, cap, sizeof *entries);
        if (!entries) {
            return xb_error_no_memory(err, "a pack's index");
        }
        pack->entries = entries;
        pack->cap = cap;
    }
    return 0;
}

/* Entries are placed first, so that nothing is written of what does not fit. */
static int place(const struct xb_pack *pack, struct xb_index_entry *const *entries, size_t count,
                 struct xb_error *err)
{
    uint64_t at = pack->len;
    for (size_t i = 0; i < count; i++) {
        if (at > XB_INDEX_OFFSET_MAX || entries[i]->packed_bytes > XB_INDEX_LENGTH_MAX) {
            return xb_error_set(err, XB_ERR_BUG, -EFBIG, "pack %s is too large", pack->name);
        }
        entries[i]->offset = (uint32_t)at;
        at += entries[i]->packed_bytes;
    }
    return 0;
}

int xb_pack_append_many(struct xb_pack *pack, const struct iovec *parts, size_t part_count,
                        struct xb_index_entry *const *entries, size_t count, struct xb_error *err)
{
    int r = make_room(pack, count, err);
    if (r < 0 || (r = place(pack, entries, count, err)) < 0 ||
        (r = xb_store_upload_writev(pack->upload, parts, part_count, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        struct xb_index_entry *own = &pack->entries[pack->count++];
        *own = *entries[i];
        own->pack = 0;
        pack->len += own->packed_bytes;
    }
    return 0;
}

int xb_pack_add_deletion(struct xb_pack *pack, const struct xb_index_entry *entry,
                         const char *in_pack, struct xb_error *err)
{
    uint32_t number = 0;
    int r = make_room(pack, 1, err);
    if (r < 0 || (r = xb_names_intern(&pack->names, in_pack, strlen(in_pack), &number, err)) < 0) {
        return r;
    }
    pack->entries[pack->count] = *entry;
    pack->entries[pack->count++].pack = number;
    return 0;
}

static size_t put_uvarint(unsigned char *out, uint64_t value)
{
    size_t len = 0;
    while (value > 127) {
        out[len++] = (unsigned char)(value & 127) | 128;
        value >>= 7;
    }
    out[len++] = (unsigned char)value;
    return len;
}

static size_t make_tail(const struct xb_pack_tail *tail, unsigned char out[TAIL_BYTES_MAX + 1])
{
    size_t len = put_uvarint(out, 1);
    len += put_uvarint(out + len, tail->iv_len);
    memcpy(out + len, tail->iv, tail->iv_len);
    len += tail->iv_len;
    len += put_uvarint(out + len, tail->index_offset);
    len += put_uvarint(out + len, tail->index_len);
    uint32_t crc = (uint32_t)crc32(0, out, (unsigned)len);
    for (int shift = 24; shift >= 0; shift -= 8) {
        out[len++] = (unsigned char)(crc >> shift);
    }
    out[len] = (unsigned char)len;
    return len + 1;
}

/* Of two entries of one content the merge rule decides; one that was written again within the same
 * second lies further back. */
static bool counts_more(const struct xb_pack *pack, const struct xb_index_entry *a,
                        const struct xb_index_entry *b)
{
    const char *a_pack = xb_names_at(&pack->names, a->pack);
    const char *b_pack = xb_names_at(&pack->names, b->pack);
    return xb_index_entry_beats(a, a_pack, b, b_pack) ||
           (!xb_index_entry_beats(b, b_pack, a, a_pack) && a->offset > b->offset);
}

static void sort_entries(struct xb_pack *pack)
{
    size_t kept = 0;
    xb_index_sort(pack->entries, pack->count);
    for (size_t i = 0; i < pack->count; i++) {
        struct xb_index_entry *last = kept ? &pack->entries[kept - 1] : NULL;
        const struct xb_index_entry *entry = &pack->entries[i];
        if (!last || xb_content_id_compare(&last->id, &entry->id) != 0) {
            pack->entries[kept++] = *entry;
        } else if (counts_more(pack, entry, last)) {
            *last = *entry;
        }
    }
    pack->count = kept;
}

static int make_local_index(struct xb_pack *pack, struct xb_buf *out, struct xb_error *err)
{
    unsigned char random[32];
    sort_entries(pack);
    xb_random_bytes(random, sizeof random);
    int r = xb_index_encode(pack->entries, pack->count, &pack->names, out, err);
    return r < 0 ? r : xb_buf_append(out, random, sizeof random, err);
}

int xb_pack_close(struct xb_pack *pack, const struct xb_sealer *sealer, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(LOCAL_INDEX_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(LOCAL_INDEX_BYTES_MAX);
    int r = write_random(pack, XB_PACK_ALIGN_BYTES - pack->len % XB_PACK_ALIGN_BYTES, err);
    struct xb_pack_tail tail = {.index_offset = pack->len, .iv_len = xb_sealer_hash_bytes(sealer)};
    if (r < 0 || (r = make_local_index(pack, &plain, err)) < 0 ||
        (r = xb_sealer_hash(sealer, plain.data, plain.len, tail.iv, err)) < 0 ||
        (r = xb_seal(sealer, tail.iv, tail.iv_len, NULL, plain.data, plain.len, &sealed, err)) <
            0 ||
        (r = xb_store_upload_write(pack->upload, sealed.data, sealed.len, err)) < 0) {
        return r;
    }
    unsigned char bytes[TAIL_BYTES_MAX + 1];
    tail.index_len = sealed.len;
    size_t len = make_tail(&tail, bytes);
    r = xb_store_upload_write(pack->upload, bytes, len, err);
    if (r < 0 || (r = xb_store_upload_commit(pack->upload, err)) < 0) {
        return r;
    }
    pack->len += sealed.len + len;
    return 0;
}

void xb_pack_free(struct xb_pack *pack)
{
    if (!pack) {
        return;
    }
    xb_store_upload_free(pack->upload);
    xb_names_free(&pack->names);
    free(pack->entries);
    free(pack);
}

static bool get_uvarint(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63 && *at < end; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool parse_tail(const unsigned char *at, const unsigned char *end, struct xb_pack_tail *tail)
{
    uint64_t version = 0;
    uint64_t iv_len = 0;
    if (!get_uvarint(&at, end, &version) || version != 1 || !get_uvarint(&at, end, &iv_len) ||
        iv_len == 0 || iv_len > sizeof tail->iv || (uint64_t)(end - at) < iv_len) {
        return false;
    }
    memcpy(tail->iv, at, iv_len);
    tail->iv_len = iv_len;
    at += iv_len;
    return get_uvarint(&at, end, &tail->index_offset) && get_uvarint(&at, end, &tail->index_len) &&
           at == end;
}

int xb_pack_tail_parse(const void *data, size_t len, struct xb_pack_tail *ret, struct xb_error *err)
{
    const unsigned char *bytes = data;
    size_t tail_len = len ? bytes[len - 1] : 0;
    struct xb_pack_tail tail = {.iv_len = 0};
    if (tail_len < 5 || tail_len > len - 1) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the pack's end is cut off");
    }
    const unsigned char *start = bytes + len - 1 - tail_len;
    const unsigned char *crc = start + tail_len - 4;
    uint32_t want =
        (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 | (uint32_t)crc[2] << 8 | (uint32_t)crc[3];
    if ((uint32_t)crc32(0, start, (unsigned)(tail_len - 4)) != want ||
        !parse_tail(start, crc, &tail)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the pack's end is damaged");
    }
    *ret = tail;
    return 0;
}
