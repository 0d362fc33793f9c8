/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/crypto/aead.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "shared/base/random.h"
#include "shared/base/spares.h"

struct xb_aead {
    EVP_CIPHER *cipher;
    struct xb_spares *spares; /* contexts; each use gives them another key */
};

static EVP_CIPHER_CTX *take_context(const struct xb_aead *aead)
{
    EVP_CIPHER_CTX *ctx = xb_spares_take(aead->spares);
    return ctx ? ctx : EVP_CIPHER_CTX_new();
}

/* One that has failed is in a state that nobody knows. */
static void give_context(const struct xb_aead *aead, EVP_CIPHER_CTX *ctx, bool ok)
{
    EVP_CIPHER_CTX_free(ok ? xb_spares_give(aead->spares, ctx) : ctx);
}

int xb_aead_new(const char *name, struct xb_aead **ret, struct xb_error *err)
{
    const char *fetched = NULL;
    if (strcmp(name, "AES-256-GCM") == 0) {
        fetched = "AES-256-GCM";
    } else if (strcmp(name, "CHACHA20-POLY1305") == 0) {
        fetched = "ChaCha20-Poly1305";
    } else {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "cipher %.40s is unknown (known: AES-256-GCM, CHACHA20-POLY1305)",
                            name);
    }
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = calloc(1, sizeof *aead);
    if (!aead || !(aead->spares = calloc(1, sizeof *aead->spares))) {
        return xb_error_no_memory(err, "a cipher");
    }
    aead->cipher = EVP_CIPHER_fetch(NULL, fetched, NULL);
    if (!aead->cipher) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "this machine's OpenSSL does not offer %s", fetched);
    }
    *ret = XB_TAKE(aead);
    return 0;
}

void xb_aead_free(struct xb_aead *aead)
{
    if (!aead) {
        return;
    }
    EVP_CIPHER_CTX *ctx = NULL;
    while (aead->spares && (ctx = xb_spares_take(aead->spares))) {
        EVP_CIPHER_CTX_free(ctx);
    }
    EVP_CIPHER_free(aead->cipher);
    free(aead->spares);
    free(aead);
}

static int check_len(size_t len, struct xb_error *err)
{
    /* OpenSSL counts in int. */
    if (len > INT_MAX - XB_AEAD_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "cannot seal or open %zu bytes at once",
                            len);
    }
    return 0;
}

static bool seal(EVP_CIPHER_CTX *ctx, const struct xb_aead *aead, const unsigned char *key,
                 const struct xb_aead_data *associated, const struct xb_aead_data *plain,
                 unsigned char *out)
{
    int part = 0;
    unsigned char *body = out + XB_AEAD_NONCE_BYTES;
    return EVP_EncryptInit_ex2(ctx, aead->cipher, key, out, NULL) == 1 &&
           (associated->len == 0 ||
            EVP_EncryptUpdate(ctx, NULL, &part, associated->data, (int)associated->len) == 1) &&
           (plain->len == 0 ||
            EVP_EncryptUpdate(ctx, body, &part, plain->data, (int)plain->len) == 1) &&
           EVP_EncryptFinal_ex(ctx, body + plain->len, &part) == 1 && part == 0 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, XB_AEAD_TAG_BYTES, body + plain->len) ==
               1;
}

int xb_aead_seal(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const unsigned char *nonce, const struct xb_aead_data *associated,
                 const struct xb_aead_data *plain, unsigned char *out, struct xb_error *err)
{
    int r = check_len(plain->len, err);
    if (r < 0) {
        return r;
    }
    if (nonce) {
        memcpy(out, nonce, XB_AEAD_NONCE_BYTES);
    } else {
        xb_random_bytes(out, XB_AEAD_NONCE_BYTES);
    }
    EVP_CIPHER_CTX *ctx = take_context(aead);
    bool ok = ctx && seal(ctx, aead, key, associated, plain, out);
    give_context(aead, ctx, ok);
    return ok ? 0 : xb_error_set(err, XB_ERR_BUG, -EIO, "sealing failed in OpenSSL");
}

static bool unseal(EVP_CIPHER_CTX *ctx, const struct xb_aead *aead, const unsigned char *key,
                   const struct xb_aead_data *associated, const struct xb_aead_data *sealed,
                   unsigned char *out)
{
    const unsigned char *nonce = sealed->data;
    const unsigned char *body = nonce + XB_AEAD_NONCE_BYTES;
    size_t body_len = sealed->len - XB_AEAD_OVERHEAD_BYTES;
    unsigned char tag[XB_AEAD_TAG_BYTES];
    memcpy(tag, body + body_len, sizeof tag);
    int part = 0;
    unsigned char end[1]; /* final writes nothing in these modes */
    return EVP_DecryptInit_ex2(ctx, aead->cipher, key, nonce, NULL) == 1 &&
           (associated->len == 0 ||
            EVP_DecryptUpdate(ctx, NULL, &part, associated->data, (int)associated->len) == 1) &&
           (body_len == 0 || EVP_DecryptUpdate(ctx, out, &part, body, (int)body_len) == 1) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, XB_AEAD_TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, end, &part) == 1 && part == 0;
}

int xb_aead_open(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const struct xb_aead_data *associated, const struct xb_aead_data *sealed,
                 unsigned char *out, struct xb_error *err)
{
    int r = check_len(sealed->len, err);
    if (r < 0) {
        return r;
    }
    if (sealed->len < XB_AEAD_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%zu bytes are too few for anything sealed", sealed->len);
    }
    EVP_CIPHER_CTX *ctx = take_context(aead);
    if (!ctx) {
        return xb_error_no_memory(err, "a cipher context");
    }
    bool ok = unseal(ctx, aead, key, associated, sealed, out);
    give_context(aead, ctx, ok);
    if (!ok) {
        /* Bytes that nobody vouches for must not be used, not even by a caller that forgets to
         * look. */
        memset(out, 0, sealed->len - XB_AEAD_OVERHEAD_BYTES);
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the seal does not fit: damaged bytes or another key");
    }
    return 0;
}
