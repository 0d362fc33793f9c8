/* SPDX-License-Identifier: Apache-2.0
 *
 * Format blobs of every hash, encryption and splitter come back as they were made; cut ones are
 * refused, and whatever bit is flipped, keys and algorithms are never others than those made.
 */
#include "tests/harness/repository_probe.h"

#include "shared/crypto/hash.h"
#include "shared/repository/format.h"
#include "tests/harness/property.h"

static void same(const struct xb_format *want, const struct xb_format *got)
{
    assert_string_equal(got->hash, want->hash);
    assert_string_equal(got->encryption, want->encryption);
    assert_string_equal(got->splitter, want->splitter);
    assert_int_equal(got->version, want->version);
    assert_int_equal(got->index_version, want->index_version);
    assert_true(got->pack_bytes_max == want->pack_bytes_max);
    assert_int_equal(got->hash_secret->len, want->hash_secret->len);
    assert_memory_equal(got->hash_secret->data, want->hash_secret->data, want->hash_secret->len);
    assert_int_equal(got->master_key->len, want->master_key->len);
    assert_memory_equal(got->master_key->data, want->master_key->data, want->master_key->len);
}

/* Opens the text; what opens is what was made. */
static int reopen(const struct xb_format *want, const struct xb_format_keys *keys, const char *text,
                  size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_format_outer outer;
    struct xb_format got;
    int r = xb_format_outer_parse(text, len, &outer, &err);
    if (r < 0) {
        return r;
    }
    r = xb_format_open(&outer, keys, 0, &got, &err);
    xb_format_outer_free(&outer);
    if (r == 0) {
        same(want, &got);
        xb_format_free(&got);
    }
    return r;
}

static void try_format(struct property *source, const char *hash, const char *encryption,
                       const char *splitter)
{
    struct xb_format_outer outer = {.unique_id_len = 32, .sealed = XB_BUF_INIT(1)};
    struct xb_format_keys keys = {.key = NULL};
    struct xb_format made;
    unsigned char random[64];
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    xb_random_bytes(random, sizeof random);
    xb_random_bytes(outer.unique_id, outer.unique_id_len);
    snprintf(outer.key_algorithm, sizeof outer.key_algorithm, "scrypt-65536-8-1");
    PROBE_OK(xb_secret_new(random, 32, &keys.key, &err));
    PROBE_OK(xb_secret_new(random + 32, 32, &keys.associated, &err));
    PROBE_OK(xb_format_make(hash, encryption, splitter, &made, &err));
    PROBE_OK(xb_format_encode(&made, &outer, &keys, &text, &err));
    assert_int_equal(reopen(&made, &keys, text.data, text.len), 0);
    size_t whole = text.len;
    while (whole > 0 && text.data[whole - 1] != '}') {
        whole--; /* white space behind it may be missing */
    }
    for (size_t cut = 0; cut < whole; cut++) {
        assert_true(reopen(&made, &keys, text.data, cut) < 0);
    }
    for (int i = 0; i < 200; i++) {
        size_t bit = property_below(source, 8 * text.len);
        text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
        (void)reopen(&made, &keys, text.data, text.len);
        text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
    }
    xb_format_free(&made);
    xb_format_keys_free(&keys);
}

static void formats_come_back(void **state)
{
    (void)state;
    static const char *const encryptions[] = {"AES256-GCM-HMAC-SHA256",
                                              "CHACHA20-POLY1305-HMAC-SHA256"};
    static const char *const splitters[] = {"DYNAMIC-4M-BUZHASH", "FIXED-1M", "DYNAMIC-1M-BUZHASH"};
    struct property source = property_begin("format");
    for (size_t i = 0; xb_hash_name(i); i++) {
        if (xb_hash_available(xb_hash_name(i))) {
            try_format(&source, xb_hash_name(i), encryptions[i % 2], splitters[i % 3]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formats_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
