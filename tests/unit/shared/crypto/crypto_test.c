/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes, keys and seals match the vectors of kopia's format, and refuse what was tampered with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/crypto/aead.h"
#include "shared/crypto/hash.h"
#include "shared/crypto/kdf.h"

/* Which build this is: both are right, and each test knows which one it runs. */
#ifdef XB_HAVE_BLAKE3
static const bool built_with_blake3 = true;
#else
static const bool built_with_blake3 = false;
#endif

static const char plain[] = "The quick brown fox jumps over the lazy dog";
enum { PLAIN_BYTES = sizeof plain - 1, SEALED_BYTES = PLAIN_BYTES + XB_AEAD_OVERHEAD_BYTES };

/* The synthetic repository: secret 00..1f, master key 20..3f, unique id 40..5f. */
static void count_up(unsigned char out[32], unsigned first)
{
    for (unsigned i = 0; i < 32; i++) {
        out[i] = (unsigned char)(first + i);
    }
}

static void unhex(const char *text, unsigned char *out)
{
    for (size_t i = 0; text[i]; i += 2) {
        unsigned byte;
        assert_int_equal(sscanf(text + i, "%2x", &byte), 1);
        out[i / 2] = (unsigned char)byte;
    }
}

static void assert_hex(const unsigned char *data, size_t len, const char *want)
{
    char text[2 * SEALED_BYTES + 1] = "";
    assert_true(len <= SEALED_BYTES);
    for (size_t i = 0; i < len; i++) {
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    }
    assert_string_equal(text, want);
}

static struct xb_secret *secret_of(const void *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_secret *secret = NULL;
    assert_int_equal(xb_secret_new(data, len, &secret, &err), 0);
    return secret;
}

/* Each hash that kopia names gives the digest that kopia gives. */
static void hash_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *want;
    } vectors[] = {
        {"BLAKE2B-256-128", "5d9461aff732d77d0cc98725ea29298c"},
        {"BLAKE2S-128", "4e2219ec6d234a478e4ace91429bbce4"},
        {"HMAC-SHA256-128", "f87ad256151fc7b4c5dffa4adb3ebe91"},
        {"HMAC-SHA3-224", "c058b4ace7a24b83460c1cb59a43c777a2b927b7ffb4b976cc26377e"},
    };
    unsigned char key[32];
    count_up(key, 0);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
        unsigned char out[XB_HASH_BYTES_MAX];
        assert_int_equal(xb_hash_new(vectors[i].name, key, sizeof key, &hash, &err), 0);
        assert_int_equal(xb_hash_bytes(hash), strlen(vectors[i].want) / 2);
        for (int again = 0; again < 2; again++) { /* a hash is not used up */
            assert_int_equal(xb_hash_compute(hash, plain, PLAIN_BYTES, out, &err), 0);
            assert_hex(out, xb_hash_bytes(hash), vectors[i].want);
        }
    }
}

/* The names without a vector of kopia's: RFC 4231 case 2, and lengths as the format lists them. */
static void hash_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t bytes;
    } names[] = {{"BLAKE2B-256-128", 16}, {"BLAKE2B-256", 32},     {"BLAKE2S-128", 16},
                 {"BLAKE2S-256", 32},     {"HMAC-SHA256-128", 16}, {"HMAC-SHA256", 32},
                 {"HMAC-SHA224", 28},     {"HMAC-SHA3-224", 28},   {"HMAC-SHA3-256", 32}};
    struct xb_error err = XB_ERROR_INIT;
    unsigned char out[XB_HASH_BYTES_MAX];
    size_t known = 0;
    for (; xb_hash_name(known); known++) {
        assert_true(xb_hash_available(xb_hash_name(known)) || !built_with_blake3);
    }
    assert_int_equal(known, sizeof names / sizeof *names + 2); /* and the BLAKE3s */
    assert_false(xb_hash_available("MD5"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
        assert_int_equal(xb_hash_new(names[i].name, "k", 1, &hash, &err), 0);
        assert_int_equal(xb_hash_bytes(hash), names[i].bytes);
        assert_int_equal(xb_hash_compute(hash, NULL, 0, out, &err), 0);
    }
    static const char text[] = "what do ya want for nothing?";
    static const char *const rfc4231[][2] = {
        {"HMAC-SHA256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"HMAC-SHA224", "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"}};
    for (size_t i = 0; i < 2; i++) {
        XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
        assert_int_equal(xb_hash_new(rfc4231[i][0], "Jefe", 4, &hash, &err), 0);
        assert_int_equal(xb_hash_compute(hash, text, sizeof text - 1, out, &err), 0);
        assert_hex(out, xb_hash_bytes(hash), rfc4231[i][1]);
    }
}

/* The short form is the beginning of the long one, but for BLAKE2S, whose length is an input. */
static void hash_truncation(void **state)
{
    (void)state;
    static const struct {
        const char *shorter, *longer;
        bool prefix;
    } pairs[] = {{"BLAKE2B-256-128", "BLAKE2B-256", true},
                 {"HMAC-SHA256-128", "HMAC-SHA256", true},
                 {"BLAKE2S-128", "BLAKE2S-256", false}};
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_hash_freep) struct xb_hash *a = NULL;
        XB_CLEANUP(xb_hash_freep) struct xb_hash *b = NULL;
        unsigned char short_out[XB_HASH_BYTES_MAX];
        unsigned char long_out[XB_HASH_BYTES_MAX];
        assert_int_equal(xb_hash_new(pairs[i].shorter, "key", 3, &a, &err), 0);
        assert_int_equal(xb_hash_new(pairs[i].longer, "key", 3, &b, &err), 0);
        assert_int_equal(xb_hash_compute(a, plain, PLAIN_BYTES, short_out, &err), 0);
        assert_int_equal(xb_hash_compute(b, plain, PLAIN_BYTES, long_out, &err), 0);
        assert_int_equal(memcmp(short_out, long_out, 16) == 0, pairs[i].prefix);
    }
}

static void hash_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"BLAKE3-128", "BLAKE3-256-1288", "MD5", "",
                                        "BLAKE2B-256-1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_hash *hash = NULL;
        assert_true(xb_hash_new(names[i], "key", 3, &hash, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_non_null(strstr(err.text, names[i]));
        assert_null(hash);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_hash *hash = NULL;
    char long_key[65] = "";
    assert_int_equal(xb_hash_new("BLAKE2B-256", "", 0, &hash, &err), -EINVAL);
    assert_int_equal(xb_hash_new("BLAKE2B-256", long_key, sizeof long_key, &hash, &err), -EINVAL);
    assert_int_equal(xb_hash_new("BLAKE2S-256", long_key, 33, &hash, &err), -EINVAL);
    assert_null(hash);
    xb_hash_free(NULL);
}

/* The inputs of BLAKE3's own published vectors: bytes that count to 250 and start again. */
static void count_to_250(unsigned char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (unsigned char)(i % 251);
    }
}

/* BLAKE3 gives what kopia gives, what its authors publish (their key, one block to many chunks, so
 * that every vector width is passed through), and derives a key from a secret that is too short. */
static void hash_blake3(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *want;
    } published[] = {
        {0, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"},
        {1, "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"},
        {1024, "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4"},
        {31744, "efa53b389ab67c593dba624d898d0f7353ab99e4ac9d42302ee64cbf9939a419"},
        {102400, "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7"},
    };
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    unsigned char key[32];
    unsigned char out[XB_HASH_BYTES_MAX];
    count_up(key, 0);
    if (!built_with_blake3) {
        assert_int_equal(xb_hash_new("BLAKE3-256-128", key, 32, &hash, &err), -ENOTSUP);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_non_null(strstr(err.text, "this build has no BLAKE3"));
        assert_false(xb_hash_available("BLAKE3-256-128"));
        return;
    }
    assert_int_equal(xb_hash_new("BLAKE3-256-128", key, 32, &hash, &err), 0);
    assert_int_equal(xb_hash_compute(hash, plain, PLAIN_BYTES, out, &err), 0);
    assert_hex(out, xb_hash_bytes(hash), "f1c78a63454ec51f42b9d88ac4913394");
    XB_CLEANUP(xb_hash_freep) struct xb_hash *short_key = NULL;
    assert_int_equal(xb_hash_new("BLAKE3-256-128", key, 16, &short_key, &err), 0);
    assert_int_equal(xb_hash_compute(short_key, plain, PLAIN_BYTES, out, &err), 0);
    assert_hex(out, 16, "292c0f974a92a7792e5a76a8e5f70391");

    static unsigned char input[102400];
    XB_CLEANUP(xb_hash_freep) struct xb_hash *whole = NULL;
    count_to_250(input, sizeof input);
    assert_int_equal(
        xb_hash_new("BLAKE3-256", "whats the Elvish word for friend, and more", 42, &whole, &err),
        0);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        assert_int_equal(xb_hash_compute(whole, input, published[i].len, out, &err), 0);
        assert_hex(out, xb_hash_bytes(whole), published[i].want);
    }
}

/* Wherever a content is cut into parts, BLAKE3 gives the same: at its pieces of 1 KiB, at sixteen
 * of them, beside both, in parts that are shorter than either, and in empty ones. */
static void hash_blake3_parts(void **state)
{
    (void)state;
    static unsigned char input[102400];
    static const size_t cuts[] = {0, 1, 63, 1023, 1024, 16383, 16384, 16385, 32768, 50001};
    enum { CUTS = sizeof cuts / sizeof *cuts };
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    unsigned char want[XB_HASH_BYTES_MAX], got[XB_HASH_BYTES_MAX];
    if (!built_with_blake3) {
        return;
    }
    count_to_250(input, sizeof input);
    assert_int_equal(xb_hash_new("BLAKE3-256", "whats the Elvish word for friend", 32, &hash, &err),
                     0);
    for (size_t len = sizeof input; len > 60000; len -= 8191) {
        assert_int_equal(xb_hash_compute(hash, input, len, want, &err), 0);
        for (size_t i = 0; i < CUTS; i++) {
            for (size_t j = i; j < CUTS; j++) {
                const struct iovec parts[] = {{input, cuts[i]},
                                              {input + cuts[i], cuts[j] - cuts[i]},
                                              {input + cuts[j], len - cuts[j]}};
                const struct xb_hash_job job = {parts, 3, got};
                assert_int_equal(xb_hash_compute_many(hash, &job, 1, &err), 0);
                assert_memory_equal(got, want, 32);
                const struct xb_hash_job first = {parts, 2, got};
                assert_int_equal(xb_hash_compute_many(hash, &first, 1, &err), 0);
                unsigned char alone[XB_HASH_BYTES_MAX];
                assert_int_equal(xb_hash_compute(hash, input, cuts[j], alone, &err), 0);
                assert_memory_equal(got, alone, 32);
            }
        }
    }
}

static void *hash_many(void *context)
{
    const struct xb_hash *hash = context;
    struct xb_error err = XB_ERROR_INIT;
    unsigned char out[XB_HASH_BYTES_MAX];
    for (int i = 0; i < 500; i++) {
        if (xb_hash_compute(hash, plain, PLAIN_BYTES, out, &err) < 0 || out[0] != 0x5d ||
            out[15] != 0x8c) {
            return &hash_many; /* anything but NULL */
        }
    }
    return NULL;
}

/* One hash, many threads. */
static void hash_threads(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    unsigned char key[32];
    count_up(key, 0);
    assert_int_equal(xb_hash_new("BLAKE2B-256-128", key, sizeof key, &hash, &err), 0);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hash_many, hash), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

/* The sealed bytes are those that kopia makes with this key and nonce, and open again. */
static void aead_vectors(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"AES-256-GCM", "000102030405060708090a0b5fd5a7efa0cec40c52b8c1c4bf004bdbafb695ab70e617e41c"
                        "0d9c617bb8384e00"
                        "f3ad62c779f98ffa9a66c6fa1ac2246d32745d35fce2771472a5"},
        {"CHACHA20-POLY1305", "000102030405060708090a0b4a5dcb1dbe185bdb99d4e5501647f0a93b31e7ae2be1"
                              "1e627c973e86ea1add5c94"
                              "b52bbcf83722cd0b2311f97a45f5e07b7b448697354be08db49f"}};
    unsigned char key[32], nonce[32], iv[16], sealed[SEALED_BYTES], opened[PLAIN_BYTES];
    unhex("70279ac3afd6f4dac91924707a1c03857aaf29637a697923dba327fd207d2f17", key);
    unhex("5d9461aff732d77d0cc98725ea29298c", iv);
    count_up(nonce, 0);
    struct xb_aead_data associated = {iv, sizeof iv};
    struct xb_aead_data in = {plain, PLAIN_BYTES};
    for (size_t i = 0; i < 2; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
        assert_int_equal(xb_aead_new(vectors[i][0], &aead, &err), 0);
        assert_int_equal(xb_aead_seal(aead, key, nonce, &associated, &in, sealed, &err), 0);
        assert_hex(sealed, sizeof sealed, vectors[i][1]);
        struct xb_aead_data back = {sealed, sizeof sealed};
        assert_int_equal(xb_aead_open(aead, key, &associated, &back, opened, &err), 0);
        assert_memory_equal(opened, plain, PLAIN_BYTES);
    }
}

static void assert_refused(const struct xb_aead *aead, const unsigned char *key,
                           const struct xb_aead_data *associated, const struct xb_aead_data *sealed)
{
    static const unsigned char zeros[PLAIN_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    unsigned char out[PLAIN_BYTES];
    memset(out, 0xee, sizeof out);
    assert_int_equal(xb_aead_open(aead, key, associated, sealed, out, &err), -EBADMSG);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    if (sealed->len > XB_AEAD_OVERHEAD_BYTES) {
        assert_memory_equal(out, zeros, sealed->len - XB_AEAD_OVERHEAD_BYTES);
    }
}

/* Every flipped bit, every cut, another key and other associated data: refused, nothing leaks. */
static void aead_tampered(void **state)
{
    (void)state;
    static const char *const names[] = {"AES-256-GCM", "CHACHA20-POLY1305"};
    unsigned char key[32], sealed[SEALED_BYTES];
    count_up(key, 7);
    struct xb_aead_data associated = {"iv", 2};
    struct xb_aead_data in = {plain, PLAIN_BYTES};
    for (size_t n = 0; n < 2; n++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
        assert_int_equal(xb_aead_new(names[n], &aead, &err), 0);
        assert_int_equal(xb_aead_seal(aead, key, NULL, &associated, &in, sealed, &err), 0);
        struct xb_aead_data whole = {sealed, sizeof sealed};
        for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
            sealed[bit / 8] ^= (unsigned char)(1U << bit % 8);
            assert_refused(aead, key, &associated, &whole);
            sealed[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
        for (size_t len = 0; len < sizeof sealed; len++) {
            struct xb_aead_data cut = {sealed, len};
            assert_refused(aead, key, &associated, &cut);
        }
        struct xb_aead_data other = {"iW", 2}, none = {"", 0};
        assert_refused(aead, key, &other, &whole);
        assert_refused(aead, key, &none, &whole);
        key[31] ^= 1;
        assert_refused(aead, key, &associated, &whole);
        key[31] ^= 1;
        unsigned char out[PLAIN_BYTES];
        assert_int_equal(xb_aead_open(aead, key, &associated, &whole, out, &err), 0);
        assert_memory_equal(out, plain, PLAIN_BYTES);
    }
}

/* Nothing at all can be sealed too; random nonces differ. */
static void aead_edges(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    unsigned char key[32], first[XB_AEAD_OVERHEAD_BYTES], second[XB_AEAD_OVERHEAD_BYTES], out[1];
    count_up(key, 0);
    struct xb_aead_data none = {NULL, 0};
    assert_int_equal(xb_aead_new("AES-256-GCM", &aead, &err), 0);
    assert_int_equal(xb_aead_seal(aead, key, NULL, &none, &none, first, &err), 0);
    assert_int_equal(xb_aead_seal(aead, key, NULL, &none, &none, second, &err), 0);
    assert_memory_not_equal(first, second, XB_AEAD_NONCE_BYTES);
    struct xb_aead_data sealed = {first, sizeof first};
    assert_int_equal(xb_aead_open(aead, key, &none, &sealed, out, &err), 0);
    struct xb_aead *unknown = NULL;
    assert_int_equal(xb_aead_new("AES-128-GCM", &unknown, &err), -ENOTSUP);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "AES-128-GCM"));
    assert_null(unknown);
    xb_aead_free(NULL);
}

/* Password to key, key to keys: as the synthetic and the real repository have them. */
static void kdf_vectors(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    unsigned char unique[32], key[32], out[32];
    count_up(unique, 0x40);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = secret_of("static-passw0rd", 15);
    assert_int_equal(xb_kdf_password("scrypt-65536-8-1", password, unique, 32, key, 32, &err), 0);
    assert_hex(key, 32, "776548307652a9091358e4247fc7a60af65ca95422c6cba1f62f3aa2582488a9");
    XB_CLEANUP(xb_secret_freep) struct xb_secret *k = secret_of(key, 32);
    assert_int_equal(xb_kdf_hkdf(k, unique, 32, "AES", out, 32, &err), 0);
    assert_hex(out, 32, "d330dfbbea6dbdff162f867eb7bef4942510b01da768d32fe76fcd4c01187bf8");
    assert_int_equal(xb_kdf_hkdf(k, unique, 32, "CHECKSUM", out, 32, &err), 0);
    assert_hex(out, 32, "b7137d2539466077a01936fb8ae42d283a9b6480b7c972b7877c6dd23206e762");
    count_up(key, 0x20);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *master = secret_of(key, 32);
    assert_int_equal(xb_kdf_hkdf(master, "encryption", 10, "", out, 32, &err), 0);
    assert_hex(out, 32, "49cbbd8ec38e25389b29de48aa0a383cb3aa37e0e2aa4e02e75c7894aebfacce");
    assert_int_equal(xb_kdf_hkdf(master, unique, 32, "maintenance schedule", out, 32, &err), 0);
    assert_hex(out, 32, "790dae050a242c02dcde30cf1f6656366615cddbe518cb2235767b81816a9b34");
}

/* The same for a repository that Velero made. */
static void kdf_fixture(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    unsigned char key[32], out[32], unique[32], master_bytes[32];
    unhex("aa247ddbe3bd538e3121928da106ee9f25a3aad421898cf5cdd6f0bf1cf4ace5", unique);
    unhex("024c96b9a53422ba6d70d40afebc893e1168591c0f9c3b624ea0dd41ea80e8e7", master_bytes);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = secret_of("static-passw0rd", 15);
    assert_int_equal(xb_kdf_password("scrypt-65536-8-1", password, unique, 32, key, 32, &err), 0);
    assert_hex(key, 32, "41e6a5caca0814e8715b1a9add3b819993980cbb5117268e5647cfcfddd4d81f");
    XB_CLEANUP(xb_secret_freep) struct xb_secret *k = secret_of(key, 32);
    assert_int_equal(xb_kdf_hkdf(k, unique, 32, "AES", out, 32, &err), 0);
    assert_hex(out, 32, "ad22cfac811cd0045887d632ce0d3cf4a4e063e22e90c4430f72a8a0c03c8624");
    assert_int_equal(xb_kdf_hkdf(k, unique, 32, "CHECKSUM", out, 32, &err), 0);
    assert_hex(out, 32, "150e9d27d9b6af824ac6d1492fc3d799a3f09fa1c312f9d7eaa86bf826663376");
    XB_CLEANUP(xb_secret_freep)
    struct xb_secret *master = secret_of(master_bytes, 32);
    assert_int_equal(xb_kdf_hkdf(master, "encryption", 10, "", out, 32, &err), 0);
    assert_hex(out, 32, "14380509551c65e74631b44ed85708d4e6386172ea56a3c6c9d2daaa15983ee4");
    assert_int_equal(xb_kdf_hkdf(master, unique, 32, "maintenance schedule", out, 32, &err), 0);
    assert_hex(out, 32, "88f98954ddd87564e2592012cd33e53e984aad9855769e493f5ab24a4137c200");
}

/* PBKDF2 answers (checked against Python's hashlib); unknown algorithms are named. */
static void kdf_others(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    unsigned char out[32];
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = secret_of("static-passw0rd", 15);
    assert_int_equal(
        xb_kdf_password("pbkdf2-sha256-600000", password, "0123456789abcdef", 16, out, 32, &err),
        0);
    assert_hex(out, 32, "fc1bf05049f5d9bc2a92582b1005d7e0cb2f8017995e02994fdc06b3a1374e57");
    assert_int_equal(xb_kdf_password("scrypt-1024-8-1", password, "salt", 4, out, 32, &err),
                     -ENOTSUP);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "scrypt-1024-8-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_vectors),      cmocka_unit_test(hash_lengths),
        cmocka_unit_test(hash_truncation),   cmocka_unit_test(hash_refused),
        cmocka_unit_test(hash_threads),      cmocka_unit_test(hash_blake3),
        cmocka_unit_test(aead_vectors),      cmocka_unit_test(aead_tampered),
        cmocka_unit_test(aead_edges),        cmocka_unit_test(kdf_vectors),
        cmocka_unit_test(kdf_fixture),       cmocka_unit_test(kdf_others),
        cmocka_unit_test(hash_blake3_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
