/* SPDX-License-Identifier: Apache-2.0
 *
 * A pack lies in the store as kopia's do, and its end leads back to what is in it.
 */
#include "tests/harness/repository_probe.h"

#include "shared/codec/text.h"
#include "shared/repository/pack.h"
#include "shared/store/fault/fault.h"
#include "tests/harness/pack_probe.h"

static struct xb_sealer *make_sealer(const char *hash)
{
    unsigned char keys[64];
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = (unsigned char)i;
    }
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *master = NULL;
    struct xb_sealer *sealer = NULL;
    PROBE_OK(xb_secret_new(keys, 32, &secret, &err));
    PROBE_OK(xb_secret_new(keys + 32, 32, &master, &err));
    PROBE_OK(xb_sealer_new(hash, "AES256-GCM-HMAC-SHA256", secret, master, &sealer, &err));
    return sealer;
}

/* Appends `len` sealed bytes of `fill`; the entry gets an id of its own. */
static struct xb_index_entry append(struct xb_pack *pack, const struct xb_sealer *sealer, int fill,
                                    size_t len)
{
    struct xb_index_entry entry = {.format_version = 3, .timestamp_s = 1700000000};
    char *data = malloc(len ? len : 1);
    assert_non_null(data);
    memset(data, fill, len);
    PROBE_OK(xb_sealer_content_id(sealer, 'k', data, len, &entry.id, &err));
    entry.plain_bytes = (uint32_t)len;
    PROBE_OK(probe_pack_append(pack, data, (uint32_t)len, &entry, &err));
    assert_int_equal(entry.packed_bytes, len);
    free(data);
    return entry;
}

static void load(struct xb_store *store, const char *name, struct xb_buf *out)
{
    PROBE_OK(xb_store_get(store, name, 0, XB_STORE_TO_END, out, &err));
}

struct found {
    struct xb_index_entry entries[8];
    size_t count;
};

static int collect(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    (void)err;
    struct found *found = context;
    assert_true(found->count < 8);
    found->entries[found->count++] = *entry;
    return 0;
}

static void layout(const char *hash)
{
    static const size_t sizes[] = {100, 0, 5000, 4096 - 32 - 100};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_empty_store();
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = make_sealer(hash);
    XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = NULL;
    struct xb_index_entry entries[4];
    char name[XB_PACK_NAME_BYTES];
    PROBE_OK(xb_pack_new(store, 'q', "s0123456789abcdef147", &pack, &err));
    snprintf(name, sizeof name, "%s", xb_pack_name(pack));
    assert_int_equal(strlen(name), 1 + 32 + 1 + 20);
    assert_int_equal(name[0], 'q');
    assert_int_equal(strspn(name + 1, "0123456789abcdef"), 32);
    assert_string_equal(name + 33, "-s0123456789abcdef147");
    size_t at = XB_PACK_PREAMBLE_BYTES;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(xb_pack_bytes(pack), at);
        entries[i] = append(pack, sealer, 'a' + (int)i, sizes[i]);
        assert_int_equal(entries[i].offset, at);
        at += sizes[i];
    }
    assert_int_equal(probe_count(store, ""), 0); /* nothing is visible before it is whole */
    PROBE_OK(xb_pack_close(pack, sealer, &err));

    XB_CLEANUP(xb_buf_free) struct xb_buf blob = XB_BUF_INIT(100000);
    struct xb_pack_tail tail;
    load(store, name, &blob);
    assert_int_equal(blob.len, xb_pack_bytes(pack));
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(blob.data[entries[i].offset + k], 'a' + (int)i);
        }
    }
    PROBE_OK(xb_pack_tail_parse(blob.data, blob.len, &tail, &err));
    assert_int_equal(tail.iv_len, xb_sealer_hash_bytes(sealer));
    assert_int_equal(tail.index_offset, (at / 4096 + 1) * 4096);
    size_t tail_bytes = (unsigned char)blob.data[blob.len - 1];
    assert_int_equal(tail.index_offset + tail.index_len + tail_bytes + 1, blob.len);

    /* The local index is sealed under the hash of its bytes, which end in 32 random ones. */
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    unsigned char again[XB_CONTENT_HASH_BYTES_MAX];
    PROBE_OK(xb_unseal(sealer, tail.iv, tail.iv_len, blob.data + tail.index_offset, tail.index_len,
                       &plain, &err));
    PROBE_OK(xb_sealer_hash(sealer, plain.data, plain.len, again, &err));
    assert_memory_equal(again, tail.iv, tail.iv_len);
    struct xb_names names = {.count = 0};
    struct found found = {.count = 0};
    PROBE_OK(xb_index_decode(plain.data, plain.len, xb_sealer_hash_bytes(sealer), &names, collect,
                             &found, &err));
    assert_int_equal(plain.len, 17 + 4 * (1 + tail.iv_len + 16) + 5 + 6 + strlen(name) + 32);
    assert_int_equal(found.count, 4);
    assert_int_equal(names.count, 1);
    assert_string_equal(xb_names_at(&names, 0), name);
    for (size_t i = 0; i < 4; i++) {
        size_t k = 0;
        while (k < 4 && xb_content_id_compare(&found.entries[k].id, &entries[i].id) != 0) {
            k++;
        }
        assert_true(k < 4);
        assert_int_equal(found.entries[k].offset, entries[i].offset);
        assert_int_equal(found.entries[k].packed_bytes, entries[i].packed_bytes);
        assert_int_equal(found.entries[k].timestamp_s, 1700000000);
    }
    xb_names_free(&names);
}

static void layouts(void **state)
{
    (void)state;
    layout("BLAKE2B-256-128");
    layout("HMAC-SHA224");
    layout("BLAKE2B-256");
}

/* Padding is one to 4096 bytes, never none. */
static void an_aligned_pack_gets_a_whole_block(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096 - 32, 4096 - 32 - 1, 4096 - 32 + 1};
    static const uint64_t offsets[] = {8192, 4096, 8192};
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = make_sealer("BLAKE2B-256-128");
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_empty_store();
        XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = NULL;
        XB_CLEANUP(xb_buf_free) struct xb_buf blob = XB_BUF_INIT(100000);
        struct xb_pack_tail tail;
        PROBE_OK(xb_pack_new(store, 'p', "s1", &pack, &err));
        (void)append(pack, sealer, 'x', sizes[i]);
        PROBE_OK(xb_pack_close(pack, sealer, &err));
        load(store, xb_pack_name(pack), &blob);
        PROBE_OK(xb_pack_tail_parse(blob.data, blob.len, &tail, &err));
        assert_int_equal(tail.index_offset, offsets[i]);
    }
}

static void names_and_preambles_differ(void **state)
{
    (void)state;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_empty_store();
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = make_sealer("BLAKE2B-256-128");
    XB_CLEANUP(xb_buf_free) struct xb_buf a = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf b = XB_BUF_INIT(100000);
    struct xb_buf *blobs[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = NULL;
        PROBE_OK(xb_pack_new(store, 'p', "s1", &pack, &err));
        (void)append(pack, sealer, 'x', 10);
        PROBE_OK(xb_pack_close(pack, sealer, &err));
        load(store, xb_pack_name(pack), blobs[i]);
    }
    assert_int_equal(probe_count(store, "p"), 2);
    assert_memory_not_equal(a.data, b.data, XB_PACK_PREAMBLE_BYTES);
    assert_memory_not_equal(a.data + 42, b.data + 42, 1000); /* padding */
}

static void an_unfinished_pack_leaves_nothing(void **state)
{
    (void)state;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_empty_store();
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = make_sealer("BLAKE2B-256-128");
    struct xb_pack *pack = NULL;
    PROBE_OK(xb_pack_new(store, 'p', "s1", &pack, &err));
    (void)append(pack, sealer, 'x', 1000);
    xb_pack_free(pack);
    assert_int_equal(probe_count(store, ""), 0);
    xb_pack_free(NULL);
    char session[200] = "";
    memset(session, 's', sizeof session - 1);
    PROBE_REFUSED(xb_pack_new(store, 'p', session, &pack, &err), XB_ERR_BUG, "name");
}

static void a_store_that_fails_is_heard(void **state)
{
    (void)state;
    static const enum xb_fault_call calls[] = {XB_FAULT_BEGIN, XB_FAULT_WRITE, XB_FAULT_COMMIT};
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = make_sealer("BLAKE2B-256-128");
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t nth = 1;; nth++) {
            XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
            XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = NULL;
            struct xb_fault *fault = NULL;
            struct xb_error why = XB_ERROR_INIT;
            struct xb_index_entry entry = {.id = {.len = 16}, .format_version = 3};
            PROBE_OK(xb_store_fault_open(probe_empty_store(), &store, &fault, &err));
            const struct xb_fault_rule rule = {calls[i], XB_FAULT_FAIL, nth, NULL, XB_ERR_IO, 0};
            PROBE_OK(xb_fault_add(fault, &rule, &err));
            int r = xb_pack_new(store, 'p', "s1", &pack, &why);
            r = r < 0 ? r : probe_pack_append(pack, "abc", 3, &entry, &why);
            r = r < 0 ? r : xb_pack_close(pack, sealer, &why);
            assert_int_equal(probe_count(store, "p"), r == 0);
            if (r == 0) {
                assert_true(nth > 1);
                break;
            }
            assert_int_equal(why.kind, XB_ERR_IO);
        }
    }
}

/* ---- the end of a pack ---- */

/* Of a pack that kopia wrote. */
static const char kopias_tail[] = "0110026cba495700dfe75453cb0ba4b0e3fc8040af015e252cad1a";

static size_t decode_hex(const char *text, unsigned char *out)
{
    PROBE_OK(xb_hex_decode(text, strlen(text), out, &err));
    return strlen(text) / 2;
}

static void kopias_tail_reads(void **state)
{
    (void)state;
    unsigned char bytes[300] = {0xff, 0xee};
    size_t len = 2 + decode_hex(kopias_tail, bytes + 2);
    struct xb_pack_tail tail;
    PROBE_OK(xb_pack_tail_parse(bytes, len, &tail, &err));
    assert_int_equal(tail.index_offset, 8192);
    assert_int_equal(tail.index_len, 175);
    assert_int_equal(tail.iv_len, 16);
    unsigned char iv[16];
    (void)decode_hex("026cba495700dfe75453cb0ba4b0e3fc", iv);
    assert_memory_equal(tail.iv, iv, 16);
}

static void altered_tails_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[64];
    struct xb_pack_tail tail;
    size_t len = decode_hex(kopias_tail, bytes);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        PROBE_REFUSED(xb_pack_tail_parse(bytes, len, &tail, &err), XB_ERR_CORRUPT,
                      "the pack's end");
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    for (size_t cut = 1; cut <= len; cut++) {
        PROBE_REFUSED(xb_pack_tail_parse(bytes, len - cut, &tail, &err), XB_ERR_CORRUPT,
                      "the pack's end");
        PROBE_REFUSED(xb_pack_tail_parse(bytes + cut, len - cut, &tail, &err), XB_ERR_CORRUPT,
                      "the pack's end");
    }
    PROBE_REFUSED(xb_pack_tail_parse(NULL, 0, &tail, &err), XB_ERR_CORRUPT, NULL);
}

/* Well-formed frames (the checksum fits) around what cannot be. */
static void impossible_tails_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool good;
    } cases[] = {
        {"0101aa0000", true},
        {"0101aa8100", false}, /* the last number is missing */
        {"0201aa0000", false}, /* version */
        {"01000000", false},   /* no IV */
        {"0121"
         "000000000000000000000000000000000000000000000000000000000000000000"
         "0000",
         false},                                     /* IV too long */
        {"0105aa0000", false},                       /* IV cut */
        {"0101aa000000", false},                     /* more behind it */
        {"0101aaffffffffffffffffffffff0000", false}, /* a number without an end */
        {"0101aaffffffffffffffff7f00", true},
        {"0101aaffffffffffffffffff0100", false}, /* more than 63 bits */
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[300];
        struct xb_pack_tail tail;
        size_t len = decode_hex(cases[i].body, bytes);
        uint32_t crc = 0xffffffffU;
        for (size_t k = 0; k < len; k++) {
            crc ^= bytes[k];
            for (int bit = 0; bit < 8; bit++) {
                crc = crc & 1U ? crc >> 1 ^ 0xedb88320U : crc >> 1;
            }
        }
        crc = ~crc;
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes[len++] = (unsigned char)(crc >> shift);
        }
        bytes[len] = (unsigned char)len;
        len++;
        if (cases[i].good) {
            PROBE_OK(xb_pack_tail_parse(bytes, len, &tail, &err));
        } else {
            PROBE_REFUSED(xb_pack_tail_parse(bytes, len, &tail, &err), XB_ERR_CORRUPT, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),
        cmocka_unit_test(an_aligned_pack_gets_a_whole_block),
        cmocka_unit_test(names_and_preambles_differ),
        cmocka_unit_test(an_unfinished_pack_leaves_nothing),
        cmocka_unit_test(a_store_that_fails_is_heard),
        cmocka_unit_test(kopias_tail_reads),
        cmocka_unit_test(altered_tails_are_refused),
        cmocka_unit_test(impossible_tails_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
