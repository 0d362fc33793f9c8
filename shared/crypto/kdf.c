/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/crypto/kdf.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum {
    SCRYPT_N = 65536,
    SCRYPT_R = 8,
    SCRYPT_P = 1,
    SCRYPT_MEMORY_MAX = 96 * 1024 * 1024, /* 128*N*r is 64 MiB, and a little more */
    PBKDF2_ROUNDS = 600000
};

int xb_kdf_hkdf(const struct xb_secret *key, const void *salt, size_t salt_len, const char *info,
                unsigned char *out, size_t out_len, struct xb_error *err)
{
    char digest[] = "SHA2-256";
    size_t info_len = strlen(info);
    /* OpenSSL takes inputs as pointers to non-const and only reads them. */
    union {
        const void *in;
        void *out;
    } salt_bytes = {.in = salt}, info_bytes = {.in = info};
    OSSL_PARAM params[5];
    size_t n = 0;
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->data, key->len);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_bytes.out, salt_len);
    if (info_len > 0) {
        params[n++] =
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info_bytes.out, info_len);
    }
    params[n] = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok ? 0 : xb_error_set(err, XB_ERR_BUG, -EIO, "HKDF failed in OpenSSL");
}

int xb_kdf_password(const char *algorithm, const struct xb_secret *password, const void *salt,
                    size_t salt_len, unsigned char *out, size_t out_len, struct xb_error *err)
{
    const char *text = (const char *)password->data;
    if (salt_len > INT_MAX || out_len > INT_MAX || password->len > INT_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "key derivation input is too long");
    }
    if (strcmp(algorithm, "scrypt-65536-8-1") == 0) {
        /* One at a time: an agent that opens a repository for each of several volumes at once needs
         * the 64 MiB once. */
        static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&one);
        int done = EVP_PBE_scrypt(text, password->len, salt, salt_len, SCRYPT_N, SCRYPT_R, SCRYPT_P,
                                  SCRYPT_MEMORY_MAX, out, out_len);
        pthread_mutex_unlock(&one);
        if (done != 1) {
            return xb_error_set(err, XB_ERR_FULL, -ENOMEM,
                                "scrypt failed: it needs 64 MiB of memory for a moment");
        }
        return 0;
    }
    if (strcmp(algorithm, "pbkdf2-sha256-600000") == 0) {
        if (PKCS5_PBKDF2_HMAC(text, (int)password->len, salt, (int)salt_len, PBKDF2_ROUNDS,
                              EVP_sha256(), (int)out_len, out) != 1) {
            return xb_error_set(err, XB_ERR_BUG, -EIO, "PBKDF2 failed in OpenSSL");
        }
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                        "key algorithm %.40s is unknown (known: scrypt-65536-8-1, "
                        "pbkdf2-sha256-600000)",
                        algorithm);
}
