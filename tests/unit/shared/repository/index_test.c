/* SPDX-License-Identifier: Apache-2.0
 *
 * Index bytes are those of kopia's format, impossible ones are refused, and merging picks the
 * entry that every client picks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/index_table.h"

#define PACK_P "p00000000000000000000000000000000-s0123456789abcdef147"
#define PACK_Q "q22222222222222222222222222222222-s0123456789abcdef147"

enum { HASH_BYTES = 16, GOT_MAX = 16 };

static struct xb_content_id id_of(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_id id;
    assert_int_equal(xb_content_id_parse(text, strlen(text), &id, &err), 0);
    return id;
}

static uint32_t intern(struct xb_names *names, const char *name)
{
    struct xb_error err = XB_ERROR_INIT;
    uint32_t number = 0;
    assert_int_equal(xb_names_intern(names, name, strlen(name), &number, &err), 0);
    return number;
}

static void unhex(const char *text, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t bytes = strlen(text) / 2;
    assert_int_equal(xb_buf_reserve(out, bytes, &err), 0);
    assert_int_equal(xb_hex_decode(text, 2 * bytes, out->data + out->len, &err), 0);
    out->len += bytes;
    out->data[out->len] = '\0';
}

struct got {
    struct xb_index_entry entries[GOT_MAX];
    size_t count;
};

static int take(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct got *got = context;
    (void)err;
    if (got->count < GOT_MAX) {
        got->entries[got->count] = *entry;
    }
    got->count++;
    return 0;
}

/* Decodes a copy that ends where its memory ends. */
static int decode(const void *data, size_t len, size_t hash_bytes, struct xb_names *packs,
                  struct got *got, struct xb_error *err)
{
    void *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    int r = xb_index_decode(copy, len, hash_bytes, packs, take, got, err);
    free(copy);
    return r;
}

static void assert_entry(const struct xb_index_entry *a, const struct xb_index_entry *b)
{
    assert_int_equal(xb_content_id_compare(&a->id, &b->id), 0);
    assert_int_equal(a->deleted, b->deleted);
    assert_int_equal(a->format_version, b->format_version);
    assert_int_equal(a->key_id, b->key_id);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->packed_bytes, b->packed_bytes);
    assert_int_equal(a->plain_bytes, b->plain_bytes);
    assert_int_equal(a->compression, b->compression);
    assert_int_equal(a->timestamp_s, b->timestamp_s);
}

/* The two entries of the synthetic repository. */
static void synthetic(struct xb_index_entry entries[2], struct xb_names *packs)
{
    entries[0] = (struct xb_index_entry){.id = id_of("5d9461aff732d77d0cc98725ea29298c"),
                                         .format_version = 3,
                                         .pack = intern(packs, PACK_P),
                                         .offset = 32,
                                         .packed_bytes = 71,
                                         .plain_bytes = 43,
                                         .timestamp_s = 1700000000};
    entries[1] = (struct xb_index_entry){.id = id_of("k11111111111111111111111111111111"),
                                         .deleted = true,
                                         .format_version = 3,
                                         .pack = intern(packs, PACK_Q),
                                         .offset = 1 << 29,
                                         .packed_bytes = 70,
                                         .plain_bytes = (1 << 24) + 5,
                                         .compression = 0x1101,
                                         .timestamp_s = 1700000001};
}

static const char synthetic_hex[] =
    "0211001300000002000000020200000000005d9461aff732d77d0cc98725ea29298c6553f1000000002000002b"
    "00004700000000006b111111111111111111111111111111116553f101a0000000000005000046000101001036"
    "0000006f36000000a5000000000300000011010300";

static void synthetic_vector(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_names packs = {.count = 0}, back = {.count = 0};
    struct xb_index_entry entries[2];
    struct xb_buf want = XB_BUF_INIT(1000), out = XB_BUF_INIT(1000);
    intern(&packs, "p-not-used");
    synthetic(entries, &packs);
    unhex(synthetic_hex, &want);
    assert_int_equal(xb_buf_append_str(&want, PACK_P PACK_Q, &err), 0);
    assert_int_equal(xb_index_encode(entries, 2, &packs, &out, &err), 0);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(out.data, want.data, want.len);
    struct got got = {.count = 0};
    assert_int_equal(decode(want.data, want.len, HASH_BYTES, &back, &got, &err), 0);
    assert_int_equal(got.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_entry(&got.entries[i], &entries[i]);
        assert_string_equal(xb_names_at(&back, got.entries[i].pack), i ? PACK_Q : PACK_P);
    }
    /* The local index of a pack has random bytes behind it; what was in the buffer stays. */
    for (int i = 0; i < 32; i++) {
        assert_int_equal(xb_buf_append(&want, "\xfe", 1, &err), 0);
    }
    got.count = 0;
    assert_int_equal(decode(want.data, want.len, HASH_BYTES, &back, &got, &err), 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(back.count, 2);
    xb_buf_clear(&out);
    assert_int_equal(xb_buf_append(&out, "abc", 3, &err), 0);
    assert_int_equal(xb_index_encode(entries, 2, &packs, &out, &err), 0);
    assert_memory_equal(out.data, "abc", 3);
    assert_memory_equal(out.data + 3, want.data, want.len - 32);
    xb_buf_free(&want);
    xb_buf_free(&out);
    xb_names_free(&packs);
    xb_names_free(&back);
}

/* An index that Velero's kopia wrote. */
static void fixture_vector(void **state)
{
    (void)state;
    static const char pack[] = "qf72c764df7a38285e32301c405c34bcc-s22c915187800405e147";
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf bytes = XB_BUF_INIT(1000), out = XB_BUF_INIT(1000);
    struct xb_names packs = {.count = 0};
    struct got got = {.count = 0};
    unhex("0211001000000001000000010100000000"
          "6dd3539fa670ed6ab7515ba67eb8972999"
          "6b0390a0000000200001eb0002070000360000003d000000000300",
          &bytes);
    assert_int_equal(xb_buf_append_str(&bytes, pack, &err), 0);
    assert_int_equal(bytes.len, 115);
    assert_int_equal(decode(bytes.data, bytes.len, HASH_BYTES, &packs, &got, &err), 0);
    assert_int_equal(got.count, 1);
    struct xb_index_entry want = {.id = id_of("md3539fa670ed6ab7515ba67eb8972999"),
                                  .format_version = 3,
                                  .offset = 32,
                                  .plain_bytes = 491,
                                  .packed_bytes = 519,
                                  .timestamp_s = 1795395744};
    assert_entry(&got.entries[0], &want);
    assert_string_equal(xb_names_at(&packs, got.entries[0].pack), pack);
    assert_int_equal(xb_index_encode(got.entries, 1, &packs, &out, &err), 0);
    assert_int_equal(out.len, bytes.len);
    assert_memory_equal(out.data, bytes.data, bytes.len);
    /* kopia writes base 0, but readers add it. */
    memcpy(bytes.data + 13, "\x00\x00\x00\x0a", 4);
    got.count = 0;
    assert_int_equal(decode(bytes.data, bytes.len, HASH_BYTES, &packs, &got, &err), 0);
    assert_int_equal(got.entries[0].timestamp_s, 1795395754);
    xb_buf_free(&bytes);
    xb_buf_free(&out);
    xb_names_free(&packs);
}

/* Version 1 is read: wider time, plain length by the seal, no compression. */
static void version_1(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf bytes = XB_BUF_INIT(1000);
    struct xb_names packs = {.count = 0};
    struct got got = {.count = 0};
    unhex("0103001400000002"
          "00aabb"
          "00006553f100"
          "01"
          "04"
          "00000036"
          "00000020"
          "00000047"
          "6d0102"
          "00016553f101"
          "02"
          "05"
          "0000003a"
          "80001000"
          "0000001c",
          &bytes);
    assert_int_equal(bytes.len, 54);
    assert_int_equal(xb_buf_append_str(&bytes, "pabcq1234", &err), 0);
    assert_int_equal(decode(bytes.data, bytes.len, 2, &packs, &got, &err), 0);
    assert_int_equal(got.count, 2);
    struct xb_index_entry first = {.id = id_of("aabb"),
                                   .format_version = 1,
                                   .offset = 32,
                                   .plain_bytes = 43,
                                   .packed_bytes = 71,
                                   .timestamp_s = 1700000000};
    struct xb_index_entry second = {.id = id_of("m0102"),
                                    .deleted = true,
                                    .format_version = 2,
                                    .offset = 4096,
                                    .packed_bytes = 28,
                                    .timestamp_s = 1700000001 + (UINT64_C(1) << 32)};
    assert_entry(&got.entries[0], &first);
    assert_entry(&got.entries[1], &second);
    assert_string_equal(xb_names_at(&packs, got.entries[0].pack), "pabc");
    assert_string_equal(xb_names_at(&packs, got.entries[1].pack), "q1234");
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(decode(bytes.data, len, 2, &packs, &got, &err), -EBADMSG);
    }
    bytes.data[30] = 27; /* less than the seal alone */
    assert_int_equal(decode(bytes.data, bytes.len, 2, &packs, &got, &err), -EBADMSG);
    xb_buf_free(&bytes);
    xb_names_free(&packs);
}

/* The value grows only when something in the index needs it. */
static void value_widths(void **state)
{
    (void)state;
    static const struct {
        size_t packs, formats;
        uint32_t length;
        unsigned want;
    } cases[] = {{1, 1, 5, 16},
                 {65536, 1, 5, 16},
                 {65536, 2, 5, 17},
                 {1, 255, 5, 17},
                 {65537, 1, 5, 18},
                 {65537, 2, 5, 18},
                 {1, 1, (1 << 24) - 1, 16},
                 {1, 1, 1 << 24, 19},
                 {65537, 255, (1 << 28) - 1, 19}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_names packs = {.count = 0};
        size_t count = cases[c].packs > 255 ? cases[c].packs : 255;
        struct xb_index_entry *entries = calloc(count, sizeof *entries);
        assert_non_null(entries);
        for (size_t i = 0; i < count; i++) {
            char name[20];
            snprintf(name, sizeof name, "p%06zx", i % cases[c].packs);
            entries[i] =
                (struct xb_index_entry){.id = {.len = 4},
                                        .format_version = 3,
                                        .pack = intern(&packs, name),
                                        .compression = (uint32_t)(i % cases[c].formats),
                                        .packed_bytes = 40,
                                        .plain_bytes = i + 1 == count ? cases[c].length : 12};
            for (size_t k = 0; k < 4; k++) {
                entries[i].id.hash[k] = (uint8_t)(i >> (24 - 8 * k));
            }
        }
        struct xb_buf out = XB_BUF_INIT(10 << 20);
        assert_int_equal(xb_index_encode(entries, count, &packs, &out, &err), 0);
        assert_int_equal((unsigned char)out.data[3], cases[c].want);
        struct xb_index_merge *merge = NULL;
        XB_CLEANUP(xb_index_table_unrefp) struct xb_index_table *table = NULL;
        assert_int_equal(xb_index_merge_new(4, &merge, &err), 0);
        assert_int_equal(xb_index_merge_add_index(merge, out.data, out.len, &err), 0);
        assert_int_equal(xb_index_merge_finish(merge, INT64_MIN, &table, &err), 0);
        xb_index_merge_free(merge);
        assert_int_equal(xb_index_table_count(table), count);
        assert_int_equal(xb_index_table_pack_count(table), cases[c].packs);
        for (size_t i = 0; i < count; i++) {
            struct xb_index_entry entry;
            xb_index_table_at(table, i, &entry);
            assert_entry(&entry, &entries[i]);
            assert_string_equal(xb_index_table_pack(table, entry.pack),
                                xb_names_at(&packs, entries[i].pack));
        }
        xb_buf_free(&out);
        xb_names_free(&packs);
        free(entries);
    }
}

/* What the format cannot express is refused before anything is written. */
static void encode_refused(void **state)
{
    (void)state;
    struct xb_names packs = {.count = 0};
    struct xb_index_entry good[2];
    synthetic(good, &packs);
    for (int i = 0; i < 9; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(1000);
        struct xb_index_entry entries[2] = {good[0], good[1]};
        enum xb_error_kind want = i < 5 ? XB_ERR_BUG : XB_ERR_INVALID;
        size_t count = i == 0 ? 0 : 2;
        if (i == 1) {
            entries[1].id = entries[0].id;
        } else if (i == 2) {
            entries[1].id.prefix = 0; /* out of order */
        } else if (i == 3) {
            entries[1].id.len = 15;
        } else if (i == 4) {
            entries[1].pack = 2;
        } else if (i == 5) {
            entries[0].timestamp_s = UINT64_C(1) << 32;
        } else if (i == 6) {
            entries[0].offset = 1 << 30;
        } else if (i == 7) {
            entries[1].packed_bytes = 1 << 28;
        } else if (i == 8) {
            entries[1].plain_bytes = 1 << 28;
        }
        assert_true(xb_index_encode(entries, count, &packs, &out, &err) < 0);
        assert_int_equal(err.kind, want);
        assert_int_equal(out.len, 0);
        xb_buf_free(&out);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(10 << 20);
    static struct xb_index_entry many[256];
    for (unsigned i = 0; i < 256; i++) {
        many[i] = good[0];
        many[i].id.hash[0] = (uint8_t)i;
        many[i].compression = i;
    }
    assert_int_equal(xb_index_encode(many, 256, &packs, &out, &err), -ERANGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(xb_index_encode(many, 255, &packs, &out, &err), 0);
    xb_buf_free(&out);
    struct xb_buf tight = XB_BUF_INIT(200); /* the index has 219 bytes */
    assert_int_equal(xb_index_encode(good, 2, &packs, &tight, &err), -E2BIG);
    assert_int_equal(tight.len, 0);
    xb_buf_free(&tight);
    xb_names_free(&packs);
}

/* One wrong byte in a field that has only few right values. */
static void decode_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned char value;
        const char *what;
    } wrong[] = {{0, 0, "version"},
                 {0, 3, "version"},
                 {0, 1, "version 1 frame"},
                 {1, 16, "key length"},
                 {1, 33, "key length"},
                 {1, 0, "key length"},
                 {2, 1, "value length"},
                 {3, 15, "value length"},
                 {3, 20, "value length"},
                 {7, 3, "entry count"},
                 {4, 255, "entry count"},
                 {11, 3, "pack count"},
                 {8, 255, "pack count"},
                 {12, 255, "formats"},
                 {12, 0, "formats"},
                 {17, 'a', "prefix"},
                 {17, 'z' + 1, "prefix"},
                 {17, 'l', "order"},
                 {17 + 31, 2, "pack"},
                 {17 + 32 + 1, 2, "format number"},
                 {17 + 17 + 17, 1, "pack, high bits"},
                 {89, 96, "name length"},
                 {89, 0, "name length"},
                 {90, 1, "name offset"},
                 {93, 0xd8, "name offset"},
                 {111, 'r', "pack's letter"},
                 {112, '/', "pack's letters"},
                 {113, '.', "pack's letters"},
                 {114, 0, "pack's letters"},
                 {17 + 4, 0x40, "offset"}};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf bytes = XB_BUF_INIT(1000);
    unhex(synthetic_hex, &bytes);
    assert_int_equal(xb_buf_append_str(&bytes, PACK_P PACK_Q, &err), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct xb_names packs = {.count = 0};
        struct got got = {.count = 0};
        size_t at = strcmp(wrong[i].what, "offset") == 0 ? 17 + 17 + 4 : wrong[i].at;
        char kept = bytes.data[at];
        bytes.data[at] = (char)wrong[i].value;
        struct xb_error told = XB_ERROR_INIT;
        int r = decode(bytes.data, bytes.len, HASH_BYTES, &packs, &got, &told);
        if (r != -EBADMSG) {
            print_error("%s, byte %zu: %d\n", wrong[i].what, at, r);
        }
        assert_int_equal(r, -EBADMSG);
        assert_int_equal(told.kind, XB_ERR_CORRUPT);
        bytes.data[at] = kept;
        xb_names_free(&packs);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct xb_names packs = {.count = 0};
        struct got got = {.count = 0};
        assert_int_equal(decode(bytes.data, len, HASH_BYTES, &packs, &got, &err), -EBADMSG);
        xb_names_free(&packs);
    }
    xb_buf_free(&bytes);
}

/* A caller that has seen enough ends the decoding with its own error. */
static int stop(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    (void)entry;
    ++*(int *)context;
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough");
}

static void decode_stopped(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf bytes = XB_BUF_INIT(1000);
    struct xb_names packs = {.count = 0};
    int calls = 0;
    unhex(synthetic_hex, &bytes);
    assert_int_equal(xb_buf_append_str(&bytes, PACK_P PACK_Q, &err), 0);
    assert_int_equal(xb_index_decode(bytes.data, bytes.len, HASH_BYTES, &packs, stop, &calls, &err),
                     -ECANCELED);
    assert_string_equal(err.text, "enough");
    assert_int_equal(calls, 1);
    xb_buf_free(&bytes);
    xb_names_free(&packs);
}

/* FNV-1a of the id's text, checked against a second implementation. */
static void shards(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t of_2, of_3, of_1000;
    } ids[] = {{"5d9461aff732d77d0cc98725ea29298c", 1, 0, 545},
               {"k11111111111111111111111111111111", 0, 2, 794},
               {"md3539fa670ed6ab7515ba67eb8972999", 0, 2, 486}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct xb_content_id id = id_of(ids[i].text);
        assert_int_equal(xb_index_shard(&id, 1), 0);
        assert_int_equal(xb_index_shard(&id, 2), ids[i].of_2);
        assert_int_equal(xb_index_shard(&id, 3), ids[i].of_3);
        assert_int_equal(xb_index_shard(&id, 1000), ids[i].of_1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_vector), cmocka_unit_test(fixture_vector),
        cmocka_unit_test(version_1),        cmocka_unit_test(value_widths),
        cmocka_unit_test(encode_refused),   cmocka_unit_test(decode_refused),
        cmocka_unit_test(decode_stopped),   cmocka_unit_test(shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
