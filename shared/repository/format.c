/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/crypto/aead.h"
#include "shared/crypto/kdf.h"
#include "shared/repository/splitter.h"

enum {
    KEY_BYTES = 32,
    UNIQUE_ID_BYTES_MIN = 16,
    FEATURES_MAX = 64,
    PACK_BYTES_MIN = 1 << 20,
    PACK_BYTES_MAX = 512 << 20
};

static int copy_name(xb_json *json, const char *path, char out[XB_FORMAT_NAME_BYTES],
                     struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, path, true, &text, err);
    if (r < 0) {
        return r;
    }
    size_t len = strlen(text);
    if (len == 0 || len >= XB_FORMAT_NAME_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s: not a name", path);
    }
    memcpy(out, text, len + 1);
    return 0;
}

static int decode_field(xb_json *json, const char *path, struct xb_buf *out, struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, path, true, &text, err);
    if (r == 0) {
        r = xb_base64_decode(text, strlen(text), out, err);
    }
    return r < 0 ? xb_error_wrap(err, "field %s", path) : 0;
}

static int parse_outer(xb_json *json, struct xb_format_outer *outer, struct xb_error *err)
{
    char encryption[XB_FORMAT_NAME_BYTES];
    int r = copy_name(json, "keyAlgo", outer->key_algorithm, err);
    if (r < 0 || (r = copy_name(json, "encryption", encryption, err)) < 0) {
        return r;
    }
    if (strcmp(encryption, "AES256_GCM") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "its format block is encrypted with %s; known is AES256_GCM",
                            encryption);
    }
    XB_CLEANUP(xb_buf_free) struct xb_buf id = XB_BUF_INIT(XB_FORMAT_UNIQUE_ID_BYTES_MAX);
    if ((r = decode_field(json, "uniqueID", &id, err)) < 0 ||
        (r = decode_field(json, "encryptedBlockFormat", &outer->sealed, err)) < 0) {
        return r;
    }
    if (id.len < UNIQUE_ID_BYTES_MIN || outer->sealed.len < XB_AEAD_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "it is cut short");
    }
    memcpy(outer->unique_id, id.data, id.len);
    outer->unique_id_len = id.len;
    return 0;
}

int xb_format_outer_parse(const char *text, size_t len, struct xb_format_outer *ret,
                          struct xb_error *err)
{
    struct xb_format_outer outer = {.sealed = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX)};
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    int r = xb_json_parse(text, len, &json, err);
    if (r == 0) {
        r = parse_outer(json, &outer, err);
    }
    if (r < 0) {
        xb_format_outer_free(&outer);
        return xb_error_wrap(err, "%s", XB_FORMAT_BLOB);
    }
    *ret = outer;
    return 0;
}

void xb_format_outer_free(struct xb_format_outer *outer)
{
    xb_buf_free(&outer->sealed);
}

int xb_format_keys_derive(const struct xb_format_outer *outer, const struct xb_secret *password,
                          struct xb_format_keys *ret, struct xb_error *err)
{
    unsigned char bytes[KEY_BYTES];
    unsigned char sub[KEY_BYTES];
    struct xb_format_keys keys = {.key = NULL};
    XB_CLEANUP(xb_secret_freep) struct xb_secret *k = NULL;
    int r = xb_kdf_password(outer->key_algorithm, password, outer->unique_id, outer->unique_id_len,
                            bytes, sizeof bytes, err);
    if (r == 0) {
        r = xb_secret_new(bytes, sizeof bytes, &k, err);
    }
    if (r == 0) {
        r = xb_kdf_hkdf(k, outer->unique_id, outer->unique_id_len, "AES", sub, sizeof sub, err);
    }
    if (r == 0) {
        r = xb_secret_new(sub, sizeof sub, &keys.key, err);
    }
    if (r == 0) {
        r = xb_kdf_hkdf(k, outer->unique_id, outer->unique_id_len, "CHECKSUM", sub, sizeof sub,
                        err);
    }
    if (r == 0) {
        r = xb_secret_new(sub, sizeof sub, &keys.associated, err);
    }
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(sub, sizeof sub);
    if (r < 0) {
        xb_format_keys_free(&keys);
        return r;
    }
    *ret = keys;
    return 0;
}

void xb_format_keys_free(struct xb_format_keys *keys)
{
    xb_secret_free(keys->key);
    xb_secret_free(keys->associated);
    *keys = (struct xb_format_keys){.key = NULL};
}

static int check_features(xb_json *root, struct xb_error *err)
{
    xb_json *list = NULL;
    int r = xb_json_need_array(root, "format.requiredFeatures", false, &list, err);
    size_t count = list ? json_object_array_length(list) : 0;
    if (r == 0 && count > FEATURES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "too many required features");
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        const char *name = xb_json_str(one, "feature", "?");
        if (strcmp(name, "index-v1") == 0 || strcmp(name, "index-v2") == 0 ||
            xb_json_bool(one, "ifNotUnderstood.warn", false)) {
            continue;
        }
        r = xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                         "the repository needs feature '%.60s', which is not supported", name);
    }
    return r;
}

/* An upgrade that is announced locks everyone out once its drain time begins. */
static int check_upgrade(xb_json *root, int64_t now_ns, struct xb_error *err)
{
    xb_json *lock = xb_json_get(root, "format.upgradeLock");
    if (!lock) {
        return 0;
    }
    const char *owner = xb_json_str(lock, "ownerID", "?");
    int64_t created = 0;
    const char *text = xb_json_str(lock, "creationTime", "");
    int r = xb_time_parse(text, &created, err);
    if (r < 0) {
        return xb_error_wrap(err, "upgradeLock.creationTime");
    }
    int64_t notice = xb_json_int(lock, "advanceNoticeDuration", 0);
    int64_t drift = xb_json_int(lock, "maxPermittedClockDrift", 0);
    int64_t drain = xb_json_int(lock, "ioDrainTimeout", 0);
    int64_t starts = 0;
    if (notice < 0 || drift < 0 || drain < 0 || drain > INT64_MAX / 4 || drift > INT64_MAX / 4 ||
        __builtin_add_overflow(created, notice - (drift + 2 * drain), &starts)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "upgradeLock: times out of range");
    }
    if (notice < drift + 2 * drain || now_ns >= starts) {
        return xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                            "the repository is being upgraded by %.100s; try again when that has "
                            "ended",
                            owner);
    }
    return 0;
}

static int parse_secret(xb_json *root, const char *path, struct xb_secret **ret,
                        struct xb_error *err)
{
    struct xb_buf bytes = XB_BUF_INIT(1024);
    int r = decode_field(root, path, &bytes, err);
    if (r == 0 && bytes.len < 16) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s: too short for a key", path);
    }
    if (r == 0) {
        r = xb_secret_new(bytes.data, bytes.len, ret, err);
    }
    xb_buf_wipe(&bytes);
    return r;
}

static int parse_numbers(xb_json *root, struct xb_format *format, struct xb_error *err)
{
    int64_t version = 0, index_version = 0, pack = 0;
    int r = xb_json_need_int(root, "format.version", true, &version, err);
    if (r < 0 || (r = xb_json_need_int(root, "format.maxPackSize", true, &pack, err)) < 0 ||
        (r = xb_json_need_int(root, "format.indexVersion", false, &index_version, err)) < 0) {
        return r;
    }
    if (version != 2 && version != XB_FORMAT_VERSION) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "format version %lld is not supported (2 and 3 are)",
                            (long long)version);
    }
    if (pack < PACK_BYTES_MIN || pack > PACK_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "maxPackSize %lld is out of range",
                            (long long)pack);
    }
    if (xb_json_str(root, "format.ecc", "")[0] &&
        xb_json_int(root, "format.eccOverheadPercent", 0) > 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "error correction (%.40s) is not supported",
                            xb_json_str(root, "format.ecc", ""));
    }
    format->version = (unsigned)version;
    format->index_version = index_version == 1 ? 1 : 2;
    format->pack_bytes_max = (uint64_t)pack;
    format->epochs = xb_json_bool(root, "format.epochParameters.Enabled", false);
    format->epoch_refresh_ns =
        xb_json_int(root, "format.epochParameters.EpochRefreshFrequency", 1200 * XB_NS_PER_S);
    if (!format->epochs || format->epoch_refresh_ns < XB_NS_PER_S) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "a repository without epochs is not supported; upgrade it with kopia");
    }
    return 0;
}

int xb_format_parse(const char *text, size_t len, int64_t now_ns, struct xb_format *ret,
                    struct xb_error *err)
{
    struct xb_format format = {.version = 0};
    XB_CLEANUP(xb_json_putp) xb_json *root = NULL;
    int r = xb_json_parse(text, len, &root, err);
    if (r == 0 && (r = check_features(root, err)) == 0 &&
        (r = check_upgrade(root, now_ns, err)) == 0 &&
        (r = copy_name(root, "format.hash", format.hash, err)) == 0 &&
        (r = copy_name(root, "format.encryption", format.encryption, err)) == 0 &&
        (r = copy_name(root, "format.splitter", format.splitter, err)) == 0 &&
        (r = parse_numbers(root, &format, err)) == 0 &&
        (r = parse_secret(root, "format.secret", &format.hash_secret, err)) == 0) {
        r = parse_secret(root, "format.masterKey", &format.master_key, err);
    }
    if (r < 0) {
        xb_format_free(&format);
        return r;
    }
    *ret = format;
    return 0;
}

int xb_format_unseal(const struct xb_format_keys *keys, const char *name,
                     const struct xb_buf *sealed, struct xb_buf *plain, struct xb_error *err)
{
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    if (sealed->len < XB_AEAD_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s is cut short", name);
    }
    int r = xb_aead_new("AES-256-GCM", &aead, err);
    if (r < 0 || (r = xb_buf_reserve(plain, sealed->len, err)) < 0) {
        return r;
    }
    struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    struct xb_aead_data input = {sealed->data, sealed->len};
    r = xb_aead_open(aead, keys->key->data, &associated, &input, (unsigned char *)plain->data, err);
    if (r < 0 && err->kind == XB_ERR_CORRUPT) {
        return xb_error_set(err, XB_ERR_DENIED, -EACCES,
                            "wrong password (or %s was altered): the repository's key does not "
                            "open",
                            name);
    }
    plain->len = r == 0 ? sealed->len - XB_AEAD_OVERHEAD_BYTES : 0;
    return r;
}

int xb_format_open(const struct xb_format_outer *outer, const struct xb_format_keys *keys,
                   int64_t now_ns, struct xb_format *ret, struct xb_error *err)
{
    struct xb_buf plain = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    int r = xb_format_unseal(keys, XB_FORMAT_BLOB, &outer->sealed, &plain, err);
    if (r == 0) {
        r = xb_format_parse(plain.data, plain.len, now_ns, ret, err);
        r = r < 0 ? xb_error_wrap(err, "%s", XB_FORMAT_BLOB) : 0;
    }
    xb_buf_wipe(&plain);
    return r;
}

void xb_format_free(struct xb_format *format)
{
    xb_secret_free(format->hash_secret);
    xb_secret_free(format->master_key);
    format->hash_secret = NULL;
    format->master_key = NULL;
}

static int fill_name(char out[XB_FORMAT_NAME_BYTES], const char *name, struct xb_error *err)
{
    size_t len = strlen(name);
    if (len == 0 || len >= XB_FORMAT_NAME_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.80s' is not the name of an algorithm",
                            name);
    }
    memcpy(out, name, len + 1);
    return 0;
}

int xb_format_make(const char *hash, const char *encryption, const char *splitter,
                   struct xb_format *ret, struct xb_error *err)
{
    struct xb_format format = {.version = XB_FORMAT_VERSION,
                               .index_version = 2,
                               .pack_bytes_max = 20971520,
                               .epochs = true,
                               .epoch_refresh_ns = 1200 * XB_NS_PER_S};
    unsigned char bytes[KEY_BYTES];
    struct xb_splitter known; /* a repository that nobody can write to is not made */
    int r = fill_name(format.hash, hash, err);
    if (r < 0 || (r = fill_name(format.encryption, encryption, err)) < 0 ||
        (r = fill_name(format.splitter, splitter, err)) < 0 ||
        (r = xb_splitter_parse(format.splitter, &known, err)) < 0) {
        return r;
    }
    xb_random_bytes(bytes, sizeof bytes);
    r = xb_secret_new(bytes, sizeof bytes, &format.hash_secret, err);
    if (r == 0) {
        xb_random_bytes(bytes, sizeof bytes);
        r = xb_secret_new(bytes, sizeof bytes, &format.master_key, err);
    }
    explicit_bzero(bytes, sizeof bytes);
    if (r < 0) {
        xb_format_free(&format);
        return r;
    }
    *ret = format;
    return 0;
}

/* Seals `plain` under the format keys and appends it as base64. */
static int seal_base64(const struct xb_format_keys *keys, const struct xb_buf *plain,
                       struct xb_buf *out, struct xb_error *err)
{
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    size_t sealed_len = plain->len + XB_AEAD_OVERHEAD_BYTES;
    int r = xb_aead_new("AES-256-GCM", &aead, err);
    if (r < 0 || (r = xb_buf_reserve(&sealed, sealed_len, err)) < 0) {
        return r;
    }
    struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    struct xb_aead_data input = {plain->data, plain->len};
    r = xb_aead_seal(aead, keys->key->data, NULL, &associated, &input, (unsigned char *)sealed.data,
                     err);
    return r < 0 ? r : xb_base64_encode(sealed.data, sealed_len, out, err);
}

static int encode_plain(const struct xb_format *format, struct xb_buf *out, struct xb_error *err)
{
    int r =
        xb_buf_printf(out, err, "{\"format\":{\"hash\":\"%s\",\"encryption\":\"%s\",\"secret\":\"",
                      format->hash, format->encryption);
    if (r == 0) {
        r = xb_base64_encode(format->hash_secret->data, format->hash_secret->len, out, err);
    }
    if (r == 0) {
        r = xb_buf_append_str(out, "\",\"masterKey\":\"", err);
    }
    if (r == 0) {
        r = xb_base64_encode(format->master_key->data, format->master_key->len, out, err);
    }
    return r < 0 ? r
                 : xb_buf_printf(out, err,
                                 "\",\"version\":%u,\"maxPackSize\":%llu,\"indexVersion\":%u,"
                                 "\"epochParameters\":{\"Enabled\":true,"
                                 "\"EpochRefreshFrequency\":1200000000000,"
                                 "\"FullCheckpointFrequency\":7,"
                                 "\"CleanupSafetyMargin\":14400000000000,"
                                 "\"MinEpochDuration\":86400000000000,"
                                 "\"EpochAdvanceOnCountThreshold\":20,"
                                 "\"EpochAdvanceOnTotalSizeBytesThreshold\":10485760,"
                                 "\"DeleteParallelism\":4},\"enablePasswordChange\":true,"
                                 "\"splitter\":\"%s\"}}",
                                 format->version, (unsigned long long)format->pack_bytes_max,
                                 format->index_version, format->splitter);
}

int xb_format_encode(const struct xb_format *format, const struct xb_format_outer *outer,
                     const struct xb_format_keys *keys, struct xb_buf *out, struct xb_error *err)
{
    struct xb_buf plain = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    int r = encode_plain(format, &plain, err);
    if (r == 0) {
        r = xb_buf_append_str(out,
                              "{\n  \"tool\": \"https://github.com/kopia/kopia\",\n"
                              "  \"buildVersion\": \"xebec-" XB_VERSION "\",\n"
                              "  \"buildInfo\": \"xebec\",\n  \"uniqueID\": \"",
                              err);
    }
    if (r == 0) {
        r = xb_base64_encode(outer->unique_id, outer->unique_id_len, out, err);
    }
    if (r == 0) {
        r = xb_buf_printf(out, err,
                          "\",\n  \"keyAlgo\": \"%s\",\n  \"encryption\": \"AES256_GCM\",\n"
                          "  \"encryptedBlockFormat\": \"",
                          outer->key_algorithm);
    }
    if (r == 0) {
        r = seal_base64(keys, &plain, out, err);
    }
    xb_buf_wipe(&plain);
    return r < 0 ? r : xb_buf_append_str(out, "\"\n}\n", err);
}
