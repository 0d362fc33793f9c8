/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own AES-256-GCM beside OpenSSL's: published vectors; every cut of short messages into two and
 * three runs; random lengths, cuts, addresses and associated data, in place and elsewhere; and a
 * counter that passes 2^32, of which only the last word may wrap. Where the processor lacks the
 * instructions there is nothing to test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "shared/crypto/gcm.h"
#include "tests/harness/property.h"

enum { KEY = 32, NONCE = 12, TAG = 16, LEN_MAX = 70000, GUARD = 64, CUT_LEN = 2 * 256 + 35 };

static unsigned char plain[LEN_MAX], want[LEN_MAX], bytes[LEN_MAX + 2 * GUARD];

/* What OpenSSL makes of it. */
struct reference {
    const unsigned char *key, *iv;
    size_t iv_len;
    const unsigned char *associated;
    size_t associated_len, len;
    unsigned char tag[TAG];
};

static void seal_by_openssl(struct reference *about)
{
    int len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_non_null(ctx);
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)about->iv_len, NULL),
                     1);
    assert_int_equal(EVP_EncryptInit_ex(ctx, NULL, NULL, about->key, about->iv), 1);
    if (about->associated_len > 0) {
        assert_int_equal(
            EVP_EncryptUpdate(ctx, NULL, &len, about->associated, (int)about->associated_len), 1);
    }
    assert_int_equal(EVP_EncryptUpdate(ctx, want, &len, plain, (int)about->len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, want + about->len, &len), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, about->tag), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void start(struct xb_gcm *gcm, const struct reference *about)
{
    memset(gcm, 0xa5, sizeof *gcm); /* whatever lay there before */
    xb_gcm_start(gcm, about->key, about->iv, about->associated, about->associated_len);
}

static void assert_tag(struct xb_gcm *gcm, const struct reference *about)
{
    unsigned char tag[TAG];
    xb_gcm_end(gcm, tag);
    assert_memory_equal(tag, about->tag, TAG);
}

static void fill(struct property *source, unsigned char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (unsigned char)property_next(source);
    }
}

static size_t unhex(const char *text, unsigned char *out)
{
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return len;
}

/* McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, cases 13 to 16. */
static void vectors(void **state)
{
    (void)state;
#define ZEROS "00000000000000000000000000000000"
#define LONG_KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define TEXT                                                                                       \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                             \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define SEALED                                                                                     \
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                             \
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    static const struct {
        const char *key, *nonce, *associated, *plain, *sealed, *tag;
    } cases[] = {
        {ZEROS ZEROS, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
        {ZEROS ZEROS, "000000000000000000000000", "", ZEROS, "cea7403d4d606b6e074ec5d3baf39d18",
         "d0d1c8a799996bf0265b98b5d48ab919"},
        {LONG_KEY, "cafebabefacedbaddecaf888", "", TEXT "1aafd255", SEALED "898015ad",
         "b094dac5d93471bdec1a502270e3cc6c"},
        {LONG_KEY, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", TEXT,
         SEALED, "76fc6ece0f4e1768cddf8853bb2d551b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char key[KEY], nonce[NONCE], associated[32], tag[TAG], got[TAG];
        struct xb_gcm gcm;
        unhex(cases[i].key, key);
        unhex(cases[i].nonce, nonce);
        unhex(cases[i].tag, tag);
        size_t associated_len = unhex(cases[i].associated, associated);
        size_t len = unhex(cases[i].plain, bytes);
        assert_int_equal(unhex(cases[i].sealed, want), len);
        xb_gcm_start(&gcm, key, nonce, associated, associated_len);
        xb_gcm_run(&gcm, true, bytes, bytes, len);
        assert_memory_equal(bytes, want, len);
        xb_gcm_end(&gcm, got);
        assert_memory_equal(got, tag, TAG);
    }
}

/* One message in three runs, there and back. */
static void cut_once(const struct reference *about, size_t first, size_t second)
{
    struct xb_gcm gcm;
    const size_t ends[] = {first, first + second, about->len};
    for (int sealing = 1; sealing >= 0; sealing--) {
        const unsigned char *from = sealing ? plain : want;
        size_t at = 0;
        start(&gcm, about);
        for (size_t i = 0; i < 3; i++) {
            xb_gcm_run(&gcm, sealing, from + at, bytes + at, ends[i] - at);
            at = ends[i];
        }
        assert_memory_equal(bytes, sealing ? want : plain, about->len);
        assert_tag(&gcm, about);
    }
}

static void every_cut(void **state)
{
    (void)state;
    struct property source = property_begin("gcm");
    unsigned char key[KEY], nonce[NONCE];
    struct reference about = {.key = key, .iv = nonce, .iv_len = NONCE, .len = CUT_LEN};
    fill(&source, key, sizeof key);
    fill(&source, nonce, sizeof nonce);
    fill(&source, plain, CUT_LEN);
    seal_by_openssl(&about);
    for (size_t first = 0; first <= about.len; first++) {
        cut_once(&about, first, about.len - first);
    }
    about.len = 3 * 16 + 5;
    seal_by_openssl(&about);
    for (size_t first = 0; first <= about.len; first++) {
        for (size_t second = 0; first + second <= about.len; second++) {
            cut_once(&about, first, second);
        }
    }
}

static size_t some_len(struct property *source, size_t most)
{
    static const size_t most_of[] = {3, 40, 300, 2000};
    size_t kind = property_below(source, 6);
    size_t limit = kind < 4 && most_of[kind] < most ? most_of[kind] : most;
    return property_below(source, limit + 1);
}

/* From `in` to `out` in runs of any length; the same address in both is in place. */
static void run_cut(struct property *source, struct xb_gcm *gcm, bool sealing,
                    const unsigned char *in, size_t len)
{
    unsigned char *out = bytes + GUARD;
    out += in == out ? 0 : property_below(source, GUARD / 2);
    memset(out + len, 0xee, GUARD / 2);
    for (size_t at = 0, some; at < len; at += some) {
        some = some_len(source, len - at);
        xb_gcm_run(gcm, sealing, in + at, out + at, some);
    }
    memmove(bytes + GUARD, out, len + GUARD / 2);
    for (size_t i = 0; i < GUARD / 2; i++) {
        assert_int_equal(bytes[GUARD + len + i], 0xee);
    }
}

static void random_messages(void **state)
{
    (void)state;
    enum { MESSAGES = 400 };
    struct property source = property_begin("gcm");
    unsigned char key[KEY], nonce[NONCE], associated[300];
    for (size_t i = 0; i < MESSAGES; i++) {
        struct xb_gcm gcm;
        struct reference about = {.key = key, .iv = nonce, .iv_len = NONCE};
        fill(&source, key, sizeof key);
        fill(&source, nonce, sizeof nonce);
        fill(&source, associated, sizeof associated);
        about.associated = associated;
        about.associated_len = some_len(&source, sizeof associated);
        about.len = some_len(&source, LEN_MAX);
        fill(&source, plain, about.len);
        seal_by_openssl(&about);
        bool in_place = property_below(&source, 2) == 0;
        const unsigned char *in = in_place ? bytes + GUARD : plain;
        memcpy(bytes + GUARD, plain, in_place ? about.len : 0);
        start(&gcm, &about);
        run_cut(&source, &gcm, true, in, about.len);
        assert_memory_equal(bytes + GUARD, want, about.len);
        assert_tag(&gcm, &about);
        start(&gcm, &about);
        run_cut(&source, &gcm, false, in_place ? in : want, about.len);
        assert_memory_equal(bytes + GUARD, plain, about.len);
        assert_tag(&gcm, &about);
    }
}

/* OpenSSL makes the first counter of a longer nonce by a hash: this search finds nonces for which
 * it ends shortly before 2^32. The tag of nothing is that counter, encrypted. */
static bool find_late_counter(EVP_CIPHER_CTX *seal, EVP_CIPHER_CTX *block, unsigned char iv[16],
                              unsigned char counter[16])
{
    unsigned char tag[TAG];
    int len = 0;
    for (uint32_t i = 0; i < UINT32_C(1) << 24; i++) {
        memcpy(iv, &i, sizeof i);
        if (EVP_EncryptInit_ex(seal, NULL, NULL, NULL, iv) != 1 ||
            EVP_EncryptFinal_ex(seal, tag, &len) != 1 ||
            EVP_CIPHER_CTX_ctrl(seal, EVP_CTRL_AEAD_GET_TAG, TAG, tag) != 1 ||
            EVP_DecryptUpdate(block, counter, &len, tag, TAG) != 1) {
            return false;
        }
        if (counter[12] == 0xff && counter[13] == 0xff && counter[14] >= 0xf0) {
            return true;
        }
    }
    return false;
}

static void counter_wraps(void **state)
{
    (void)state;
    unsigned char key[KEY] = "a key for the end of the counter", iv[16] = {0}, counter[16];
    struct reference about = {.key = key, .iv = iv, .iv_len = sizeof iv, .len = LEN_MAX};
    EVP_CIPHER_CTX *seal = EVP_CIPHER_CTX_new(), *block = EVP_CIPHER_CTX_new();
    struct xb_gcm gcm;
    assert_true(seal && block);
    assert_int_equal(EVP_EncryptInit_ex(seal, EVP_aes_256_gcm(), NULL, NULL, NULL), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(seal, EVP_CTRL_AEAD_SET_IVLEN, sizeof iv, NULL), 1);
    assert_int_equal(EVP_EncryptInit_ex(seal, NULL, NULL, key, iv), 1);
    assert_int_equal(EVP_DecryptInit_ex(block, EVP_aes_256_ecb(), NULL, key, NULL), 1);
    assert_int_equal(EVP_CIPHER_CTX_set_padding(block, 0), 1);
    assert_true(find_late_counter(seal, block, iv, counter));
    EVP_CIPHER_CTX_free(seal);
    EVP_CIPHER_CTX_free(block);
    seal_by_openssl(&about);
    start(&gcm, &about);
    uint32_t low = (uint32_t)counter[12] << 24 | (uint32_t)counter[13] << 16 |
                   (uint32_t)counter[14] << 8 | counter[15];
    for (size_t i = 0; i < 12; i++) {
        gcm.counter[15 - i] = counter[i];
    }
    low++;
    memcpy(gcm.counter, &low, sizeof low);
    xb_gcm_run(&gcm, true, plain, bytes, 7);
    xb_gcm_run(&gcm, true, plain + 7, bytes + 7, about.len - 7);
    assert_memory_equal(bytes, want, about.len);
    assert_true((uint32_t)(low + about.len / 16) < low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(random_messages),
        cmocka_unit_test(counter_wraps),
    };
    if (!xb_gcm_here()) {
        print_message("this processor has no VAES: nothing to test\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
