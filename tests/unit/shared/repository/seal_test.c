/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids, keys and sealed bytes are those of kopia's format; what does not fit its seal is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/seal.h"
#include "tests/harness/pack_probe.h"

static const char plain[] = "The quick brown fox jumps over the lazy dog";
enum { PLAIN_BYTES = sizeof plain - 1 };

static const char *const hash_names[] = {"BLAKE2B-256-128", "BLAKE2B-256",     "BLAKE2S-128",
                                         "BLAKE2S-256",     "HMAC-SHA256-128", "HMAC-SHA256",
                                         "HMAC-SHA224",     "HMAC-SHA3-224",   "HMAC-SHA3-256"};
enum { HASHES = sizeof hash_names / sizeof *hash_names };
static const char aes[] = "AES256-GCM-HMAC-SHA256";
static const char chacha[] = "CHACHA20-POLY1305-HMAC-SHA256";

static struct xb_sealer *sealer_of(const char *hash, const char *encryption, const void *secret,
                                   const void *master)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *hash_key = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *master_key = NULL;
    struct xb_sealer *sealer = NULL;
    assert_int_equal(xb_secret_new(secret, 32, &hash_key, &err), 0);
    assert_int_equal(xb_secret_new(master, 32, &master_key, &err), 0);
    assert_int_equal(xb_sealer_new(hash, encryption, hash_key, master_key, &sealer, &err), 0);
    return sealer;
}

/* The synthetic repository: secret 00..1f, master key 20..3f. */
static struct xb_sealer *synthetic(const char *hash, const char *encryption)
{
    unsigned char keys[64];
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = (unsigned char)i;
    }
    return sealer_of(hash, encryption, keys, keys + 32);
}

static void assert_hex(const void *data, size_t len, const char *want)
{
    char text[400];
    assert_true(2 * len < sizeof text);
    xb_hex_encode(data, len, text);
    assert_string_equal(text, want);
}

static void content_ids(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = synthetic("BLAKE2B-256-128", aes);
    struct xb_content_id id;
    char text[XB_CONTENT_ID_TEXT_BYTES];
    assert_int_equal(xb_sealer_hash_bytes(sealer), 16);
    assert_int_equal(xb_sealer_content_id(sealer, 0, plain, PLAIN_BYTES, &id, &err), 0);
    xb_content_id_format(&id, text);
    assert_string_equal(text, "5d9461aff732d77d0cc98725ea29298c");
    assert_int_equal(xb_sealer_content_id(sealer, 'k', plain, PLAIN_BYTES, &id, &err), 0);
    xb_content_id_format(&id, text);
    assert_string_equal(text, "k5d9461aff732d77d0cc98725ea29298c");
}

/* The keys of a repository that Velero made: its hash of P, an empty directory's id. */
static void fixture_ids(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf secret = XB_BUF_INIT(32), master = XB_BUF_INIT(32);
    static const char secret_text[] = "/tkHncGFl9L2dj+cfQCxxOUA/BperrrtpmWFwctiPhI=";
    static const char master_text[] = "AkyWuaU0IrptcNQK/ryJPhFoWRwPnDtiTqDdQeqA6Oc=";
    assert_int_equal(xb_base64_decode(secret_text, 44, &secret, &err), 0);
    assert_int_equal(xb_base64_decode(master_text, 44, &master, &err), 0);
    XB_CLEANUP(xb_sealer_freep)
    struct xb_sealer *sealer = sealer_of("BLAKE2B-256-128", aes, secret.data, master.data);
    unsigned char hash[XB_CONTENT_HASH_BYTES_MAX];
    assert_int_equal(xb_sealer_hash(sealer, plain, PLAIN_BYTES, hash, &err), 0);
    assert_hex(hash, 16, "bceb243bd58dcda9d65c63fb71d21cc0");
    static const char directory[] =
        "{\"stream\":\"kopia:directory\",\"entries\":null,\"summary\":{\"size\":0,\"files\":0,"
        "\"symlinks\":0,\"dirs\":1,\"maxTime\":\"2026-11-23T01:02:03.39465576Z\","
        "\"numFailed\":0}}\n";
    struct xb_content_id id;
    char text[XB_CONTENT_ID_TEXT_BYTES];
    assert_int_equal(xb_sealer_content_id(sealer, 'k', directory, sizeof directory - 1, &id, &err),
                     0);
    xb_content_id_format(&id, text);
    assert_string_equal(text, "k71ac110e67ead91e44463745ea55695d");
    xb_buf_free(&secret);
    xb_buf_free(&master);
}

/* Content 5d94... sealed with the nonce 00..0b. */
static void sealed_vectors(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {aes, "000102030405060708090a0b5fd5a7efa0cec40c52b8c1c4bf004bdbafb695ab70e617e41c0d9c617bb8"
              "384e00f3ad62c779f98ffa9a66c6fa1ac2246d32745d35fce2771472a5"},
        {chacha, "000102030405060708090a0b4a5dcb1dbe185bdb99d4e5501647f0a93b31e7ae2be11e627c973e86"
                 "ea1add5c94b52bbcf83722cd0b2311f97a45f5e07b7b448697354be08db49f"}};
    unsigned char nonce[XB_AEAD_NONCE_BYTES];
    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] = (unsigned char)i;
    }
    for (size_t i = 0; i < 2; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_sealer_freep)
        struct xb_sealer *sealer = synthetic("BLAKE2B-256-128", vectors[i][0]);
        struct xb_content_id id;
        struct xb_buf sealed = XB_BUF_INIT(PLAIN_BYTES + XB_SEAL_OVERHEAD_BYTES);
        struct xb_buf back = XB_BUF_INIT(PLAIN_BYTES); /* a ceiling of the plain bytes is enough */
        assert_int_equal(xb_sealer_content_id(sealer, 0, plain, PLAIN_BYTES, &id, &err), 0);
        assert_int_equal(xb_seal(sealer, id.hash, id.len, nonce, plain, PLAIN_BYTES, &sealed, &err),
                         0);
        assert_hex(sealed.data, sealed.len, vectors[i][1]);
        assert_int_equal(xb_unseal_content(sealer, &id, sealed.data, sealed.len, &back, &err), 0);
        assert_string_equal(back.data, plain);
        assert_int_equal(err.code, 0);
        xb_buf_free(&sealed);
        xb_buf_free(&back);
    }
}

static int unseal(const struct xb_sealer *sealer, const struct xb_content_id *id,
                  const void *sealed, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1000);
    assert_int_equal(xb_buf_append(&out, "abc", 3, &err), 0);
    int r = xb_unseal_content(sealer, id, sealed, len, &out, &err);
    if (r < 0) {
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_string_equal(out.data, "abc");
        assert_int_equal(out.len, 3);
    }
    xb_buf_free(&out);
    return r;
}

/* By every hash: a content opens under its id, and only under it; every flip and cut is refused. */
static void contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * HASHES; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_sealer_freep)
        struct xb_sealer *sealer = synthetic(hash_names[i / 2], i % 2 ? aes : chacha);
        struct xb_content_id id;
        struct xb_buf sealed = XB_BUF_INIT(1000);
        assert_int_equal(xb_sealer_content_id(sealer, 'm', plain, PLAIN_BYTES, &id, &err), 0);
        assert_int_equal(id.len, xb_sealer_hash_bytes(sealer));
        assert_int_equal(probe_seal_content(sealer, &id, plain, PLAIN_BYTES, &sealed), 0);
        assert_int_equal(sealed.len, PLAIN_BYTES + XB_SEAL_OVERHEAD_BYTES);
        assert_int_equal(unseal(sealer, &id, sealed.data, sealed.len), 0);
        id.prefix = 0; /* the seal binds bytes to the hash, not to the letter */
        assert_int_equal(unseal(sealer, &id, sealed.data, sealed.len), 0);
        id.hash[id.len - 1] ^= 1;
        assert_int_equal(unseal(sealer, &id, sealed.data, sealed.len), -EBADMSG);
        id.hash[id.len - 1] ^= 1;
        id.hash[id.len - 16] ^= 0x80;
        assert_int_equal(unseal(sealer, &id, sealed.data, sealed.len), -EBADMSG);
        id.hash[id.len - 16] ^= 0x80;
        for (size_t len = 0; len < sealed.len; len++) {
            assert_int_equal(unseal(sealer, &id, sealed.data, len), -EBADMSG);
        }
        for (size_t bit = 0; bit < 8 * sealed.len; bit += i ? 7 : 1) {
            sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
            assert_int_equal(unseal(sealer, &id, sealed.data, sealed.len), -EBADMSG);
            sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
        }
        xb_buf_free(&sealed);
    }
}

/* Whole blobs: the name carries the hash of the plain bytes, and its last 32 digits the IV. */
static void blobs(void **state)
{
    (void)state;
    for (size_t i = 0; i < HASHES; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = synthetic(hash_names[i], aes);
        char name[XB_SEAL_BLOB_NAME_BYTES], hex[2 * XB_CONTENT_HASH_BYTES_MAX + 1], want[200];
        unsigned char hash[XB_CONTENT_HASH_BYTES_MAX];
        struct xb_buf sealed = XB_BUF_INIT(1000), back = XB_BUF_INIT(1000);
        assert_int_equal(xb_sealer_hash(sealer, plain, PLAIN_BYTES, hash, &err), 0);
        size_t bytes = xb_sealer_hash_bytes(sealer);
        xb_hex_encode(hash, bytes, hex);
        assert_int_equal(xb_seal_blob(sealer, "xn0_", "s0123456789abcdef147-c1", plain, PLAIN_BYTES,
                                      name, &sealed, &err),
                         0);
        snprintf(want, sizeof want, "xn0_%s-s0123456789abcdef147-c1", hex);
        assert_string_equal(name, want);
        assert_int_equal(xb_unseal_blob(sealer, name, sealed.data, sealed.len, &back, &err), 0);
        assert_string_equal(back.data, plain);
        /* The IV is the 16 bytes before the dash, whatever stands around them. */
        xb_buf_clear(&back);
        assert_int_equal(
            xb_unseal(sealer, hash + bytes - 16, 16, sealed.data, sealed.len, &back, &err), 0);
        xb_buf_clear(&back);
        snprintf(want, sizeof want, "other_%s", hex);
        assert_int_equal(xb_unseal_blob(sealer, want, sealed.data, sealed.len, &back, &err), 0);
        xb_buf_clear(&back);
        name[4 + 2 * bytes - 1] = name[4 + 2 * bytes - 1] == '0' ? '1' : '0';
        assert_int_equal(xb_unseal_blob(sealer, name, sealed.data, sealed.len, &back, &err),
                         -EBADMSG);
        assert_non_null(strstr(err.text, name));
        assert_int_equal(back.len, 0);
        xb_buf_clear(&sealed);
        assert_int_equal(xb_seal_blob(sealer, "s", NULL, "", 0, name, &sealed, &err), 0);
        assert_int_equal(strlen(name), 1 + 2 * bytes);
        assert_int_equal(xb_unseal_blob(sealer, name, sealed.data, sealed.len, &back, &err), 0);
        assert_int_equal(back.len, 0);
        xb_buf_free(&sealed);
        xb_buf_free(&back);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "-",
                                        "xn0_",
                                        "xn0_0123456789abcdef0123456789abcde-s",
                                        "s0123456789abcdef0123456789abcdeg",
                                        "x-0123456789abcdef0123456789abcdef",
                                        "0123456789abcdef01234567_9abcdef"};
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = synthetic("BLAKE2B-256-128", aes);
    unsigned char sealed[100] = {0};
    struct xb_buf out = XB_BUF_INIT(1000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xb_error err = XB_ERROR_INIT;
        assert_int_equal(xb_unseal_blob(sealer, names[i], sealed, sizeof sealed, &out, &err),
                         -EBADMSG);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
    }
    struct xb_error err = XB_ERROR_INIT;
    char name[XB_SEAL_BLOB_NAME_BYTES], long_suffix[200];
    memset(long_suffix, 'x', sizeof long_suffix);
    long_suffix[199] = '\0';
    assert_int_equal(xb_seal_blob(sealer, "s", long_suffix, "", 0, name, &out, &err),
                     -ENAMETOOLONG);
    assert_int_equal(out.len, 0);
    xb_buf_free(&out);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    assert_int_equal(xb_secret_new("0123456789abcdef0123456789abcdef", 32, &key, &err), 0);
    struct xb_sealer *none = NULL;
    assert_int_equal(xb_sealer_new("BLAKE2B-256", "AES256-GCM", key, key, &none, &err), -ENOTSUP);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_int_equal(xb_sealer_new("SHA1-160", aes, key, key, &none, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "SHA1-160"));
    assert_null(none);
    xb_sealer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_ids),    cmocka_unit_test(fixture_ids),
        cmocka_unit_test(sealed_vectors), cmocka_unit_test(contents),
        cmocka_unit_test(blobs),          cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
