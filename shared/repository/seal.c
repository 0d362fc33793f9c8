/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/crypto/kdf.h"

enum { IV_BYTES = 16, KEY_BYTES = XB_AEAD_KEY_BYTES };

struct xb_sealer {
    struct xb_hash *hash;
    struct xb_hash *derive; /* HMAC-SHA256 under the derived secret: IV to key */
    struct xb_aead *aead;
};

static const char *cipher_name(const char *encryption)
{
    if (strcmp(encryption, "AES256-GCM-HMAC-SHA256") == 0) {
        return "AES-256-GCM";
    }
    if (strcmp(encryption, "CHACHA20-POLY1305-HMAC-SHA256") == 0) {
        return "CHACHA20-POLY1305";
    }
    return NULL;
}

static int derive_new(const struct xb_secret *master_key, struct xb_hash **ret,
                      struct xb_error *err)
{
    unsigned char derived[KEY_BYTES];
    static const char salt[] = "encryption";
    int r = xb_kdf_hkdf(master_key, salt, sizeof salt - 1, "", derived, sizeof derived, err);
    if (r == 0) {
        r = xb_hash_new("HMAC-SHA256", derived, sizeof derived, ret, err);
    }
    explicit_bzero(derived, sizeof derived);
    return r;
}

int xb_sealer_new(const char *hash, const char *encryption, const struct xb_secret *hash_secret,
                  const struct xb_secret *master_key, struct xb_sealer **ret, struct xb_error *err)
{
    const char *cipher = cipher_name(encryption);
    if (!cipher) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "encryption %.60s is unknown (known: AES256-GCM-HMAC-SHA256, "
                            "CHACHA20-POLY1305-HMAC-SHA256)",
                            encryption);
    }
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = calloc(1, sizeof *sealer);
    if (!sealer) {
        return xb_error_no_memory(err, "a repository");
    }
    int r = xb_hash_new(hash, hash_secret->data, hash_secret->len, &sealer->hash, err);
    if (r < 0 || (r = derive_new(master_key, &sealer->derive, err)) < 0 ||
        (r = xb_aead_new(cipher, &sealer->aead, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(sealer);
    return 0;
}

void xb_sealer_free(struct xb_sealer *sealer)
{
    if (!sealer) {
        return;
    }
    xb_hash_free(sealer->hash);
    xb_hash_free(sealer->derive);
    xb_aead_free(sealer->aead);
    free(sealer);
}

size_t xb_sealer_hash_bytes(const struct xb_sealer *sealer)
{
    return xb_hash_bytes(sealer->hash);
}

int xb_sealer_hash(const struct xb_sealer *sealer, const void *data, size_t len,
                   unsigned char out[XB_CONTENT_HASH_BYTES_MAX], struct xb_error *err)
{
    return xb_hash_compute(sealer->hash, data, len, out, err);
}

size_t xb_sealer_lanes(const struct xb_sealer *sealer)
{
    return xb_hash_lanes(sealer->hash);
}

int xb_sealer_hash_many(const struct xb_sealer *sealer, const struct xb_hash_job *jobs,
                        size_t count, struct xb_error *err)
{
    return xb_hash_compute_many(sealer->hash, jobs, count, err);
}

int xb_sealer_content_id(const struct xb_sealer *sealer, char prefix, const void *data, size_t len,
                         struct xb_content_id *ret, struct xb_error *err)
{
    struct xb_content_id id = {.prefix = prefix, .len = (uint8_t)xb_sealer_hash_bytes(sealer)};
    int r = xb_sealer_hash(sealer, data, len, id.hash, err);
    if (r < 0) {
        return r;
    }
    *ret = id;
    return 0;
}

int xb_seal(const struct xb_sealer *sealer, const unsigned char *iv, size_t iv_len,
            const unsigned char *nonce, const void *data, size_t len, struct xb_buf *out,
            struct xb_error *err)
{
    unsigned char key[KEY_BYTES];
    int r = xb_buf_reserve(out, len + XB_SEAL_OVERHEAD_BYTES, err);
    if (r < 0 || (r = xb_hash_compute(sealer->derive, iv, iv_len, key, err)) < 0) {
        return r;
    }
    struct xb_aead_data associated = {iv, iv_len};
    struct xb_aead_data plain = {data, len};
    r = xb_aead_seal(sealer->aead, key, nonce, &associated, &plain,
                     (unsigned char *)out->data + out->len, err);
    explicit_bzero(key, sizeof key);
    if (r < 0) {
        return r;
    }
    out->len += len + XB_SEAL_OVERHEAD_BYTES;
    out->data[out->len] = '\0';
    return 0;
}

/* Into `out`, which has room for plain_len(sealed->len) bytes. */
static int unseal_to(const struct xb_sealer *sealer, const struct xb_aead_data *associated,
                     const struct xb_aead_data *sealed, unsigned char *out, struct xb_error *err)
{
    unsigned char key[KEY_BYTES];
    int r = xb_hash_compute(sealer->derive, associated->data, associated->len, key, err);
    if (r < 0) {
        return r;
    }
    r = xb_aead_open(sealer->aead, key, associated, sealed, out, err);
    explicit_bzero(key, sizeof key);
    return r;
}

static size_t plain_len(size_t sealed_len)
{
    return sealed_len < XB_SEAL_OVERHEAD_BYTES ? 0 : sealed_len - XB_SEAL_OVERHEAD_BYTES;
}

int xb_unseal(const struct xb_sealer *sealer, const unsigned char *iv, size_t iv_len,
              const void *sealed, size_t len, struct xb_buf *out, struct xb_error *err)
{
    const struct xb_aead_data associated = {iv, iv_len};
    const struct xb_aead_data input = {sealed, len};
    int r = xb_buf_reserve(out, plain_len(len), err);
    if (r < 0) {
        return r;
    }
    r = unseal_to(sealer, &associated, &input, (unsigned char *)out->data + out->len, err);
    out->len += r == 0 ? plain_len(len) : 0;
    out->data[out->len] = '\0';
    return r;
}

static const unsigned char *content_iv(const struct xb_content_id *id, size_t *ret_len)
{
    *ret_len = id->len < IV_BYTES ? id->len : IV_BYTES;
    return id->hash + id->len - *ret_len;
}

int xb_seal_content_parts(const struct xb_sealer *sealer, const struct xb_content_id *id,
                          const struct xb_aead_parts *parts, struct xb_aead_ends *ret,
                          struct xb_error *err)
{
    unsigned char key[KEY_BYTES];
    struct xb_aead_data associated = {.data = NULL};
    associated.data = content_iv(id, &associated.len);
    int r = xb_hash_compute(sealer->derive, associated.data, associated.len, key, err);
    if (r == 0) {
        r = xb_aead_seal_parts(sealer->aead, key, &associated, parts, ret, err);
    }
    explicit_bzero(key, sizeof key);
    return r;
}

int xb_unseal_content(const struct xb_sealer *sealer, const struct xb_content_id *id,
                      const void *sealed, size_t len, struct xb_buf *out, struct xb_error *err)
{
    size_t iv_len = 0;
    const unsigned char *iv = content_iv(id, &iv_len);
    return xb_unseal(sealer, iv, iv_len, sealed, len, out, err);
}

int xb_unseal_content_here(const struct xb_sealer *sealer, const struct xb_content_id *id,
                           char *sealed, size_t len, struct xb_error *err)
{
    unsigned char key[KEY_BYTES];
    struct xb_aead_data associated;
    struct xb_aead_ends ends;
    const struct iovec text = {sealed + XB_AEAD_NONCE_BYTES, plain_len(len)};
    const struct xb_aead_parts parts = {&text, 1, &text, 1};
    if (len < XB_SEAL_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "too short to be sealed (%zu bytes)",
                            len);
    }
    memcpy(ends.nonce, sealed, sizeof ends.nonce);
    memcpy(ends.tag, sealed + len - sizeof ends.tag, sizeof ends.tag);
    associated.data = content_iv(id, &associated.len);
    int r = xb_hash_compute(sealer->derive, associated.data, associated.len, key, err);
    if (r == 0) {
        r = xb_aead_open_parts(sealer->aead, key, &associated, &parts, &ends, err);
    }
    explicit_bzero(key, sizeof key);
    return r;
}

/* The 32 hex digits before the first dash, or before the end. */
static int blob_iv(const char *name, unsigned char iv[IV_BYTES], struct xb_error *err)
{
    const char *dash = strchr(name, '-');
    size_t len = dash ? (size_t)(dash - name) : strlen(name);
    if (len < 2 * IV_BYTES ||
        xb_hex_decode(name + len - 2 * (size_t)IV_BYTES, 2 * (size_t)IV_BYTES, iv, err) < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "blob %s: its name carries no hash",
                            name);
    }
    return 0;
}

int xb_seal_blob(const struct xb_sealer *sealer, const char *prefix, const char *suffix,
                 const void *data, size_t len, char ret_name[XB_SEAL_BLOB_NAME_BYTES],
                 struct xb_buf *out, struct xb_error *err)
{
    unsigned char hash[XB_CONTENT_HASH_BYTES_MAX];
    char hex[2 * XB_CONTENT_HASH_BYTES_MAX + 1];
    unsigned char iv[IV_BYTES];
    int r = xb_sealer_hash(sealer, data, len, hash, err);
    if (r < 0) {
        return r;
    }
    xb_hex_encode(hash, xb_sealer_hash_bytes(sealer), hex);
    int written = snprintf(ret_name, XB_SEAL_BLOB_NAME_BYTES, "%s%s%s%s", prefix, hex,
                           suffix ? "-" : "", suffix ? suffix : "");
    if (written < 0 || written >= XB_SEAL_BLOB_NAME_BYTES) {
        return xb_error_set(err, XB_ERR_BUG, -ENAMETOOLONG, "the name of a blob is too long");
    }
    if ((r = blob_iv(ret_name, iv, err)) < 0) {
        return r;
    }
    return xb_seal(sealer, iv, sizeof iv, NULL, data, len, out, err);
}

int xb_unseal_blob(const struct xb_sealer *sealer, const char *name, const void *sealed, size_t len,
                   struct xb_buf *out, struct xb_error *err)
{
    unsigned char iv[IV_BYTES];
    int r = blob_iv(name, iv, err);
    if (r < 0) {
        return r;
    }
    r = xb_unseal(sealer, iv, sizeof iv, sealed, len, out, err);
    return r < 0 ? xb_error_wrap(err, "blob %s", name) : 0;
}

int xb_unseal_blob_to(const struct xb_sealer *sealer, const char *name, const void *sealed,
                      size_t len, unsigned char *out, size_t *ret_len, struct xb_error *err)
{
    unsigned char iv[IV_BYTES];
    const struct xb_aead_data associated = {iv, sizeof iv};
    const struct xb_aead_data input = {sealed, len};
    int r = blob_iv(name, iv, err);
    if (r < 0) {
        return r;
    }
    if ((r = unseal_to(sealer, &associated, &input, out, err)) < 0) {
        return xb_error_wrap(err, "blob %s", name);
    }
    *ret_len = plain_len(len);
    return 0;
}
