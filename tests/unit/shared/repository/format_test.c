/* SPDX-License-Identifier: Apache-2.0
 *
 * kopia.repository: a file that Velero made opens, what we make says the same, and what we cannot
 * serve is refused by its name.
 */
#include "tests/harness/repository_probe.h"

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/crypto/aead.h"
#include "shared/repository/format.h"

/* kopia.repository of a real repository (password static-passw0rd). */
static const char velero_outer[] =
    "{\n"
    "  \"tool\": \"https://github.com/kopia/kopia\",\n"
    "  \"buildVersion\": \"v1.18.3\",\n"
    "  \"buildInfo\": \"-(unknown_revision)\",\n"
    "  \"uniqueID\": \"qiR92+O9U44xIZKNoQbunyWjqtQhiYz1zdbwvxz0rOU=\",\n"
    "  \"keyAlgo\": \"scrypt-65536-8-1\",\n"
    "  \"encryption\": \"AES256_GCM\",\n"
    "  \"encryptedBlockFormat\": \""
    "95oxtZfwRtaO9M1M8rNdsBqVhpPPO4mAaEKxQyQzjbF6YLtN0XMktkz3E22dhSPVg5fjQkxwctZ/az2cye73Ct+nSIBP"
    "dfPbQGgUJhtbG1K47W7Npp+otXH8u53oK5UMy8pEugmLaadXqUUpgH6IB2x8VyqdKov5a/OUImN64DMIZYE970soNeaG"
    "5Fdi26uw8fZuIyGxlnbCBVbnj5cwWYyze87mgJYIORJXwa38aV6PUYttbteNZXFUK4pcWEEmPV/yQkGJ6jJCE0a2LLRA"
    "mWH7op+7UT9BKChqXIEDWg+9rDRGtAqdRqaBAJb9HCeqwVdJOp/wRlO6CNpJh4ErsSPl8gtKGdq3lUUK577JYdFP92wB"
    "tqsRuo7A4fenYa27oinvnrFuo71gNk0GSiK1EGdr9mZYogWTqmeyjWMXLYhFoqQr0c2P8O2txefoAM9kqvB567aRuIwW"
    "QTwx6Q2pLvR/nRGts/y0rdwM2EQnS5gh/k9ikHHJ/7ijye8JBXkNtRvYitesPg0gytjNqETFQyMMkGEqj1YU2P14pYKc"
    "4lMcH6GyDt0ByQZ0BBX76+0b+DuxgVBlUyJAVanTwv08n6jS9a+q/LPxyjSZvmqUTw6Mr0mRMakmkAQBqiNz9fwgIYC2"
    "psXLCis1jRD/PPWjnZIyDUEqfqCC6KZgBowEXAb6uIJaN9r7aQ4eyzxjepadGwGPNknWWqRjaxMRZ6zbemwAEkGg7ugt"
    "2KS3E6d7x5sOUui6/bx2KUG06btvNeUoE52ms8B1vCm5K6MSNFBG2lykC6lVwCg9XzvJnkXN8g==\"\n}\n";

/* What is sealed in it. */
static const char velero_plain[] =
    "{\"format\":{\"hash\":\"BLAKE2B-256-128\",\"encryption\":\"AES256-GCM-HMAC-SHA256\","
    "\"secret\":\"/tkHncGFl9L2dj+cfQCxxOUA/BperrrtpmWFwctiPhI=\","
    "\"masterKey\":\"AkyWuaU0IrptcNQK/ryJPhFoWRwPnDtiTqDdQeqA6Oc=\",\"version\":3,"
    "\"maxPackSize\":20971520,\"indexVersion\":2,\"epochParameters\":{\"Enabled\":true,"
    "\"EpochRefreshFrequency\":1200000000000,\"FullCheckpointFrequency\":7,"
    "\"CleanupSafetyMargin\":14400000000000,\"MinEpochDuration\":86400000000000,"
    "\"EpochAdvanceOnCountThreshold\":20,\"EpochAdvanceOnTotalSizeBytesThreshold\":10485760,"
    "\"DeleteParallelism\":4},\"enablePasswordChange\":true,\"splitter\":\"DYNAMIC-4M-BUZHASH\"}}";

static const unsigned char velero_blobcfg[] = {
    0x59, 0xa7, 0x8e, 0x4c, 0xfe, 0x72, 0x6d, 0xc2, 0x1d, 0x55, 0x87, 0x59, 0x92, 0xb4, 0x0c,
    0xc6, 0x9e, 0x0d, 0x26, 0x87, 0x04, 0xfb, 0x2e, 0x1d, 0xb9, 0x9b, 0xb6, 0x82, 0x01, 0xd6};

static void assert_hex(const void *data, size_t len, const char *want)
{
    char text[400];
    assert_true(2 * len < sizeof text);
    xb_hex_encode(data, len, text);
    assert_string_equal(text, want);
}

static struct xb_format_outer parse_outer(const char *text)
{
    struct xb_format_outer outer;
    PROBE_OK(xb_format_outer_parse(text, strlen(text), &outer, &err));
    return outer;
}

static struct xb_format_keys derive(const struct xb_format_outer *outer, const char *password)
{
    struct xb_format_keys keys;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = probe_password(password);
    PROBE_OK(xb_format_keys_derive(outer, secret, &keys, &err));
    return keys;
}

/* Opens bytes under the format keys. */
static void unseal(const struct xb_format_keys *keys, const void *sealed, size_t len,
                   struct xb_buf *out)
{
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    PROBE_OK(xb_aead_new("AES-256-GCM", &aead, &err));
    PROBE_OK(xb_buf_reserve(out, len, &err));
    const struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    const struct xb_aead_data input = {sealed, len};
    PROBE_OK(
        xb_aead_open(aead, keys->key->data, &associated, &input, (unsigned char *)out->data, &err));
    out->len = len - XB_AEAD_OVERHEAD_BYTES;
    out->data[out->len] = '\0';
}

/* ---- vectors ---- */

static void keys_of_the_synthetic_repository(void **state)
{
    (void)state;
    struct xb_format_outer outer = {.unique_id_len = 32, .key_algorithm = "scrypt-65536-8-1"};
    for (size_t i = 0; i < 32; i++) {
        outer.unique_id[i] = (unsigned char)(0x40 + i);
    }
    struct xb_format_keys keys = derive(&outer, PROBE_PASSWORD);
    assert_hex(keys.key->data, keys.key->len,
               "d330dfbbea6dbdff162f867eb7bef4942510b01da768d32fe76fcd4c01187bf8");
    assert_hex(keys.associated->data, keys.associated->len,
               "b7137d2539466077a01936fb8ae42d283a9b6480b7c972b7877c6dd23206e762");
    xb_format_keys_free(&keys);
}

static void veleros_file_opens(void **state)
{
    (void)state;
    struct xb_format_outer outer = parse_outer(velero_outer);
    struct xb_format_keys keys = derive(&outer, PROBE_PASSWORD);
    struct xb_format format;
    assert_int_equal(outer.unique_id_len, 32);
    assert_hex(keys.key->data, keys.key->len,
               "ad22cfac811cd0045887d632ce0d3cf4a4e063e22e90c4430f72a8a0c03c8624");
    assert_hex(keys.associated->data, keys.associated->len,
               "150e9d27d9b6af824ac6d1492fc3d799a3f09fa1c312f9d7eaa86bf826663376");
    PROBE_OK(xb_format_open(&outer, &keys, xb_clock_wall_ns(), &format, &err));
    assert_string_equal(format.hash, "BLAKE2B-256-128");
    assert_string_equal(format.encryption, "AES256-GCM-HMAC-SHA256");
    assert_string_equal(format.splitter, "DYNAMIC-4M-BUZHASH");
    assert_int_equal(format.version, 3);
    assert_int_equal(format.index_version, 2);
    assert_int_equal(format.pack_bytes_max, 20971520);
    assert_true(format.epochs);
    assert_int_equal(format.epoch_refresh_ns, 1200 * XB_NS_PER_S);
    assert_hex(format.hash_secret->data, format.hash_secret->len,
               "fed9079dc18597d2f6763f9c7d00b1c4e500fc1a5eaebaeda66585c1cb623e12");
    assert_hex(format.master_key->data, format.master_key->len,
               "024c96b9a53422ba6d70d40afebc893e1168591c0f9c3b624ea0dd41ea80e8e7");
    XB_CLEANUP(xb_buf_free) struct xb_buf config = XB_BUF_INIT(1000);
    unseal(&keys, velero_blobcfg, sizeof velero_blobcfg, &config);
    assert_string_equal(config.data, "{}");
    xb_format_free(&format);
    xb_format_keys_free(&keys);
    xb_format_outer_free(&outer);
}

/* From the same secrets we make the very bytes that kopia has made, and a frame around them that
 * reads back. */
static void encoding_is_kopias(void **state)
{
    (void)state;
    struct xb_format_outer outer = parse_outer(velero_outer);
    struct xb_format_keys keys = derive(&outer, PROBE_PASSWORD);
    struct xb_format format;
    struct xb_format_outer again;
    PROBE_OK(xb_format_open(&outer, &keys, xb_clock_wall_ns(), &format, &err));
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    PROBE_OK(xb_format_encode(&format, &outer, &keys, &text, &err));
    PROBE_OK(xb_format_outer_parse(text.data, text.len, &again, &err));
    assert_int_equal(text.data[text.len - 1], '\n');
    assert_int_equal(again.unique_id_len, outer.unique_id_len);
    assert_memory_equal(again.unique_id, outer.unique_id, outer.unique_id_len);
    assert_string_equal(again.key_algorithm, "scrypt-65536-8-1");
    assert_memory_not_equal(again.sealed.data, outer.sealed.data, XB_AEAD_NONCE_BYTES);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    unseal(&keys, again.sealed.data, again.sealed.len, &plain);
    assert_string_equal(plain.data, velero_plain);
    xb_format_outer_free(&again);
    xb_format_free(&format);
    xb_format_keys_free(&keys);
    xb_format_outer_free(&outer);
}

/* ---- the outer part ---- */

static void wrong_password_is_denied(void **state)
{
    (void)state;
    struct xb_format_outer outer = parse_outer(velero_outer);
    struct xb_format_keys keys = derive(&outer, "static-passw0rd ");
    struct xb_format format;
    PROBE_REFUSED(xb_format_open(&outer, &keys, 0, &format, &err), XB_ERR_DENIED, "password");
    xb_format_keys_free(&keys);
    keys = derive(&outer, PROBE_PASSWORD);
    for (size_t at = 0; at < outer.sealed.len; at += 97) {
        outer.sealed.data[at] ^= 4;
        PROBE_REFUSED(xb_format_open(&outer, &keys, 0, &format, &err), XB_ERR_DENIED, "altered");
        outer.sealed.data[at] ^= 4;
    }
    outer.sealed.len = XB_AEAD_OVERHEAD_BYTES;
    PROBE_REFUSED(xb_format_open(&outer, &keys, 0, &format, &err), XB_ERR_DENIED, NULL);
    xb_format_keys_free(&keys);
    xb_format_outer_free(&outer);
}

static void outer_parts_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum xb_error_kind kind;
        const char *words;
    } cases[] = {
        {"", XB_ERR_CORRUPT, NULL},
        {"[]", XB_ERR_CORRUPT, NULL},
        {"{}", XB_ERR_CORRUPT, "keyAlgo"},
        {"{\"keyAlgo\":7}", XB_ERR_CORRUPT, "keyAlgo"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"ROT13\"}", XB_ERR_INVALID, "ROT13"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"AES256_GCM\"}", XB_ERR_CORRUPT, "uniqueID"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"AES256_GCM\",\"uniqueID\":\"!\"}", XB_ERR_CORRUPT,
         "uniqueID"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"AES256_GCM\",\"uniqueID\":\"AAAA\","
         "\"encryptedBlockFormat\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         XB_ERR_CORRUPT, "short"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"AES256_GCM\",\"uniqueID\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAA\",\"encryptedBlockFormat\":\"AAAA\"}",
         XB_ERR_CORRUPT, "short"},
        {"{\"keyAlgo\":\"x\",\"encryption\":\"AES256_GCM\",\"uniqueID\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAA\"}",
         XB_ERR_CORRUPT, "encryptedBlockFormat"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_format_outer outer;
        PROBE_REFUSED(xb_format_outer_parse(cases[i].text, strlen(cases[i].text), &outer, &err),
                      cases[i].kind, cases[i].words);
    }
}

static void unknown_key_derivation_is_named(void **state)
{
    (void)state;
    struct xb_format_outer outer = {.unique_id_len = 32, .key_algorithm = "argon-17"};
    struct xb_format_keys keys;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = probe_password(PROBE_PASSWORD);
    PROBE_REFUSED(xb_format_keys_derive(&outer, secret, &keys, &err), XB_ERR_INVALID, "argon-17");
}

/* ---- the sealed part ---- */

/* velero_plain with its first `from` replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(velero_plain, from);
    assert_non_null(at);
    char *text = NULL;
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - velero_plain), velero_plain, to,
                         at + strlen(from)) > 0);
    return text;
}

static int parse(const char *text, int64_t now_ns, struct xb_error *err)
{
    struct xb_format format;
    int r = xb_format_parse(text, strlen(text), now_ns, &format, err);
    if (r == 0) {
        xb_format_free(&format);
    }
    return r;
}

static void accepts(const char *from, const char *to)
{
    XB_CLEANUP(xb_freep) char *text = changed(from, to);
    PROBE_OK(parse(text, 0, &err));
}

static void refuses(const char *from, const char *to, enum xb_error_kind kind, const char *words)
{
    XB_CLEANUP(xb_freep) char *text = changed(from, to);
    PROBE_REFUSED(parse(text, 0, &err), kind, words);
}

static void versions(void **state)
{
    (void)state;
    accepts("\"version\":3", "\"version\":2");
    refuses("\"version\":3", "\"version\":1", XB_ERR_INVALID, "version 1");
    refuses("\"version\":3", "\"version\":4", XB_ERR_INVALID, "version 4");
    refuses("\"version\":3", "\"version\":0", XB_ERR_INVALID, "version 0");
    refuses("\"version\":3", "\"version\":-3", XB_ERR_INVALID, "version -3");
    refuses("\"version\":3", "\"version\":\"3\"", XB_ERR_CORRUPT, "version");
    refuses("\"version\":3", "\"version\":3.5", XB_ERR_CORRUPT, "version");
    refuses("\"version\":3,", "", XB_ERR_CORRUPT, "version");
    refuses("\"Enabled\":true", "\"Enabled\":false", XB_ERR_INVALID, "epochs");
    accepts("\"indexVersion\":2,", "");
    refuses("\"indexVersion\":2", "\"indexVersion\":\"2\"", XB_ERR_CORRUPT, "indexVersion");
}

static void fields_are_checked(void **state)
{
    (void)state;
    refuses("\"maxPackSize\":20971520", "\"maxPackSize\":0", XB_ERR_CORRUPT, "maxPackSize");
    refuses("\"maxPackSize\":20971520", "\"maxPackSize\":-1", XB_ERR_CORRUPT, "maxPackSize");
    refuses("\"maxPackSize\":20971520", "\"maxPackSize\":99999999999999", XB_ERR_CORRUPT,
            "maxPackSize");
    refuses("\"hash\":\"BLAKE2B-256-128\"", "\"hash\":1", XB_ERR_CORRUPT, "hash");
    refuses("\"hash\":\"BLAKE2B-256-128\"", "\"hash\":\"\"", XB_ERR_CORRUPT, "hash");
    refuses("\"splitter\":\"DYNAMIC-4M-BUZHASH\"", "\"splitter\":null", XB_ERR_CORRUPT, "splitter");
    refuses("\"secret\":\"/tkHncGFl9L2dj+cfQCxxOUA/BperrrtpmWFwctiPhI=\"", "\"secret\":\"AAAA\"",
            XB_ERR_CORRUPT, "secret");
    refuses("\"masterKey\":\"AkyW", "\"masterKey\":\"####", XB_ERR_CORRUPT, "masterKey");
    refuses("\"masterKey\"", "\"master\"", XB_ERR_CORRUPT, "masterKey");
    refuses("}}", "}", XB_ERR_CORRUPT, NULL);
    accepts("\"version\":3", "\"future\":{\"a\":[1,2,{}]},\"version\":3");
    accepts("\"enablePasswordChange\":true,", "");
}

static void error_correction_is_refused(void **state)
{
    (void)state;
    refuses("\"version\":3",
            "\"ecc\":\"REED-SOLOMON-CRC32\",\"eccOverheadPercent\":2,\"version\":3", XB_ERR_INVALID,
            "REED-SOLOMON-CRC32");
    accepts("\"version\":3",
            "\"ecc\":\"REED-SOLOMON-CRC32\",\"eccOverheadPercent\":0,\"version\":3");
    accepts("\"version\":3", "\"ecc\":\"\",\"eccOverheadPercent\":2,\"version\":3");
}

static void required_features(void **state)
{
    (void)state;
    accepts("\"version\":3", "\"requiredFeatures\":null,\"version\":3");
    accepts("\"version\":3", "\"requiredFeatures\":[],\"version\":3");
    accepts("\"version\":3", "\"requiredFeatures\":[{\"feature\":\"index-v2\"},"
                             "{\"feature\":\"index-v1\"}],\"version\":3");
    accepts("\"version\":3", "\"requiredFeatures\":[{\"feature\":\"shiny\",\"ifNotUnderstood\":"
                             "{\"warn\":true}}],\"version\":3");
    refuses("\"version\":3",
            "\"requiredFeatures\":[{\"feature\":\"index-v2\"},{\"feature\":\"shiny\","
            "\"ifNotUnderstood\":{\"warn\":false}}],\"version\":3",
            XB_ERR_INVALID, "'shiny'");
    refuses("\"version\":3", "\"requiredFeatures\":[\"shiny\"],\"version\":3", XB_ERR_INVALID,
            "feature");
    refuses("\"version\":3", "\"requiredFeatures\":\"shiny\",\"version\":3", XB_ERR_CORRUPT,
            "requiredFeatures");
}

/* Announced at 12:00 with an hour's notice; drift 5 min and twice 10 min of draining: nobody may
 * begin from 12:35 on. */
static void upgrade_lock(void **state)
{
    (void)state;
    int64_t noon = 0;
    const int64_t minute = 60 * XB_NS_PER_S;
    PROBE_OK(xb_time_parse("2026-01-01T12:00:00Z", &noon, &err));
    XB_CLEANUP(xb_freep)
    char *text =
        changed("\"version\":3", "\"upgradeLock\":{\"ownerID\":\"carol\",\"creationTime\":"
                                 "\"2026-01-01T12:00:00Z\",\"advanceNoticeDuration\":3600000000000,"
                                 "\"maxPermittedClockDrift\":300000000000,"
                                 "\"ioDrainTimeout\":600000000000},\"version\":3");
    PROBE_OK(parse(text, noon, &err));
    PROBE_OK(parse(text, noon + 35 * minute - 1, &err));
    PROBE_REFUSED(parse(text, noon + 35 * minute, &err), XB_ERR_RETRY, "carol");
    PROBE_REFUSED(parse(text, noon + 3000 * minute, &err), XB_ERR_RETRY, "carol");
    /* Notice that is shorter than the time to drain locks at once. */
    refuses("\"version\":3",
            "\"upgradeLock\":{\"ownerID\":\"dave\",\"creationTime\":\"2026-01-01T12:00:00Z\","
            "\"advanceNoticeDuration\":1,\"ioDrainTimeout\":600000000000},\"version\":3",
            XB_ERR_RETRY, "dave");
    refuses("\"version\":3", "\"upgradeLock\":{\"creationTime\":\"noon\"},\"version\":3",
            XB_ERR_CORRUPT, "upgradeLock");
    refuses("\"version\":3",
            "\"upgradeLock\":{\"creationTime\":\"2026-01-01T12:00:00Z\","
            "\"ioDrainTimeout\":9223372036854775807},\"version\":3",
            XB_ERR_CORRUPT, "upgradeLock");
    accepts("\"version\":3", "\"upgradeLock\":null,\"version\":3");
}

/* ---- new ones ---- */

static void new_formats(void **state)
{
    (void)state;
    struct xb_format a;
    struct xb_format b;
    PROBE_OK(xb_format_make("BLAKE2B-256-128", "AES256-GCM-HMAC-SHA256", "DYNAMIC-4M-BUZHASH", &a,
                            &err));
    PROBE_OK(xb_format_make("HMAC-SHA256", "CHACHA20-POLY1305-HMAC-SHA256", "FIXED-1M", &b, &err));
    assert_string_equal(a.hash, "BLAKE2B-256-128");
    assert_string_equal(a.encryption, "AES256-GCM-HMAC-SHA256");
    assert_string_equal(a.splitter, "DYNAMIC-4M-BUZHASH");
    assert_string_equal(b.hash, "HMAC-SHA256");
    assert_string_equal(b.encryption, "CHACHA20-POLY1305-HMAC-SHA256");
    assert_string_equal(b.splitter, "FIXED-1M");
    assert_int_equal(a.hash_secret->len, 32);
    assert_int_equal(a.master_key->len, 32);
    assert_memory_not_equal(a.hash_secret->data, a.master_key->data, 32);
    assert_memory_not_equal(a.hash_secret->data, b.hash_secret->data, 32);
    assert_memory_not_equal(a.master_key->data, b.master_key->data, 32);
    xb_format_free(&a);
    xb_format_free(&b);
    PROBE_REFUSED(xb_format_make("", "x", "FIXED", &a, &err), XB_ERR_INVALID, NULL);
    PROBE_REFUSED(xb_format_make("x", "x", "DYNAMIC-3M-BUZHASH", &a, &err), XB_ERR_INVALID,
                  "DYNAMIC-3M-BUZHASH");
    char name[100] = "";
    memset(name, 'A', sizeof name - 1);
    PROBE_REFUSED(xb_format_make("x", "x", name, &a, &err), XB_ERR_INVALID, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_the_synthetic_repository),
        cmocka_unit_test(veleros_file_opens),
        cmocka_unit_test(encoding_is_kopias),
        cmocka_unit_test(wrong_password_is_denied),
        cmocka_unit_test(outer_parts_are_checked),
        cmocka_unit_test(unknown_key_derivation_is_named),
        cmocka_unit_test(versions),
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(error_correction_is_refused),
        cmocka_unit_test(required_features),
        cmocka_unit_test(upgrade_lock),
        cmocka_unit_test(new_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
