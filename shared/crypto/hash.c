/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/crypto/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "shared/base/spares.h"
#include "shared/crypto/blake2b_lanes.h"
#include "shared/crypto/blake3_keyed.h"

struct algorithm {
    const char *name;
    const char *mac;    /* OpenSSL's name of the MAC; NULL: BLAKE3 */
    const char *digest; /* for HMAC */
    size_t mac_bytes;   /* what the MAC is asked for */
    size_t bytes;       /* how many of them are kept */
};

static const struct algorithm algorithms[] = {
    {"BLAKE3-256-128", NULL, NULL, 32, 16},          {"BLAKE3-256", NULL, NULL, 32, 32},
    {"HMAC-SHA256-128", "HMAC", "SHA2-256", 32, 16}, {"HMAC-SHA256", "HMAC", "SHA2-256", 32, 32},
    {"BLAKE2B-256-128", "BLAKE2BMAC", NULL, 32, 16}, {"BLAKE2B-256", "BLAKE2BMAC", NULL, 32, 32},
    {"BLAKE2S-128", "BLAKE2SMAC", NULL, 16, 16},     {"BLAKE2S-256", "BLAKE2SMAC", NULL, 32, 32},
    {"HMAC-SHA224", "HMAC", "SHA2-224", 28, 28},     {"HMAC-SHA3-224", "HMAC", "SHA3-224", 28, 28},
    {"HMAC-SHA3-256", "HMAC", "SHA3-256", 32, 32},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

struct xb_hash {
    const struct algorithm *algorithm;
    struct xb_blake2b *blake2b; /* NULL: another algorithm, or no such code for this machine */
    EVP_MAC *mac;
    EVP_MAC_CTX *prepared;    /* keyed, nothing fed; only ever copied */
    struct xb_spares *spares; /* used copies, keyed too */
    unsigned char blake3_key[XB_BLAKE3_BYTES];
};

const char *xb_hash_name(size_t i)
{
    return i < ALGORITHMS ? algorithms[i].name : NULL;
}

bool xb_hash_available(const char *name)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return algorithms[i].mac || xb_blake3_built();
        }
    }
    return false;
}

static int find_algorithm(const char *name, const struct algorithm **ret, struct xb_error *err)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (strcmp(algorithms[i].name, name) != 0) {
            continue;
        }
        if (!algorithms[i].mac && !xb_blake3_built()) {
            return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                                "hash %s: this build has no BLAKE3; run deploy/blake3/fetch (it "
                                "needs cargo) and build again",
                                name);
        }
        *ret = &algorithms[i];
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                        "hash %.40s is unknown (known: BLAKE3-256-128, BLAKE3-256, "
                        "HMAC-SHA256-128, HMAC-SHA256, BLAKE2B-256-128, BLAKE2B-256, BLAKE2S-128, "
                        "BLAKE2S-256, HMAC-SHA224, HMAC-SHA3-224, HMAC-SHA3-256)",
                        name);
}

static bool prepare_mac(struct xb_hash *hash, const void *key, size_t key_len)
{
    const struct algorithm *a = hash->algorithm;
    hash->mac = EVP_MAC_fetch(NULL, a->mac, NULL);
    hash->prepared = hash->mac ? EVP_MAC_CTX_new(hash->mac) : NULL;
    if (!hash->prepared) {
        return false;
    }
    char digest[32] = "";
    size_t mac_bytes = a->mac_bytes;
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &mac_bytes),
                            OSSL_PARAM_construct_end()};
    if (a->digest) {
        memcpy(digest, a->digest, strlen(a->digest) + 1);
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    }
    return EVP_MAC_init(hash->prepared, key, key_len, params) == 1;
}

static int prepare(struct xb_hash *hash, const void *key, size_t key_len, struct xb_error *err)
{
    const struct algorithm *a = hash->algorithm;
    if (!a->mac) {
        xb_blake3_key(key, key_len, hash->blake3_key);
        return 0;
    }
    if (strcmp(a->mac, "BLAKE2BMAC") == 0) {
        int r = xb_blake2b_new(key, key_len, &hash->blake2b, err);
        if (r < 0) {
            return r;
        }
    }
    return prepare_mac(hash, key, key_len)
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                              "hash %s cannot be used here with a key of %zu bytes", a->name,
                              key_len);
}

int xb_hash_new(const char *name, const void *key, size_t key_len, struct xb_hash **ret,
                struct xb_error *err)
{
    const struct algorithm *algorithm = NULL;
    int r = find_algorithm(name, &algorithm, err);
    if (r < 0) {
        return r;
    }
    if (key_len == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "hash %s needs a key", name);
    }
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = calloc(1, sizeof *hash);
    if (!hash || !(hash->spares = calloc(1, sizeof *hash->spares))) {
        return xb_error_no_memory(err, "a hash");
    }
    hash->algorithm = algorithm;
    if ((r = prepare(hash, key, key_len, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(hash);
    return 0;
}

size_t xb_hash_bytes(const struct xb_hash *hash)
{
    return hash->algorithm->bytes;
}

/* A keyed context with nothing fed. One that was used keeps its key and only starts anew. */
static EVP_MAC_CTX *take_context(const struct xb_hash *hash)
{
    EVP_MAC_CTX *ctx = xb_spares_take(hash->spares);
    if (ctx && EVP_MAC_init(ctx, NULL, 0, NULL) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx ? ctx : EVP_MAC_CTX_dup(hash->prepared);
}

static bool compute_mac(const struct xb_hash *hash, const struct xb_hash_job *job,
                        unsigned char full[XB_HASH_BYTES_MAX])
{
    size_t full_len = 0;
    EVP_MAC_CTX *ctx = take_context(hash);
    bool ok = ctx;
    for (size_t i = 0; ok && i < job->part_count; i++) {
        const struct iovec *part = &job->parts[i];
        ok = part->iov_len == 0 || EVP_MAC_update(ctx, part->iov_base, part->iov_len) == 1;
    }
    ok = ok && EVP_MAC_final(ctx, full, &full_len, XB_HASH_BYTES_MAX) == 1 &&
         full_len == hash->algorithm->mac_bytes;
    EVP_MAC_CTX_free(ok ? xb_spares_give(hash->spares, ctx) : ctx);
    return ok;
}

size_t xb_hash_lanes(const struct xb_hash *hash)
{
    return hash->blake2b ? XB_BLAKE2B_LANES : 1;
}

int xb_hash_compute_many(const struct xb_hash *hash, const struct xb_hash_job *jobs, size_t count,
                         struct xb_error *err)
{
    unsigned char full[XB_HASH_BYTES_MAX];
    bool ok = true;
    if (hash->blake2b && (count > 1 || xb_blake2b_fast_alone(hash->blake2b))) {
        xb_blake2b_many(hash->blake2b, jobs, count, hash->algorithm->bytes);
        return 0;
    }
    for (size_t i = 0; ok && i < count; i++) {
        if (hash->algorithm->mac) {
            ok = compute_mac(hash, &jobs[i], full);
        } else {
            xb_blake3_keyed(hash->blake3_key, jobs[i].parts, jobs[i].part_count, full);
        }
        memcpy(jobs[i].out, full, ok ? hash->algorithm->bytes : 0);
    }
    explicit_bzero(full, sizeof full); /* derived keys are made this way, too */
    return ok ? 0
              : xb_error_set(err, XB_ERR_BUG, -EIO, "hash %s failed in OpenSSL",
                             hash->algorithm->name);
}

int xb_hash_compute(const struct xb_hash *hash, const void *data, size_t len, unsigned char *out,
                    struct xb_error *err)
{
    struct iovec part = {.iov_len = len};
    memcpy(&part.iov_base, &data, sizeof data); /* it is only read */
    const struct xb_hash_job job = {&part, 1, out};
    return xb_hash_compute_many(hash, &job, 1, err);
}

void xb_hash_free(struct xb_hash *hash)
{
    if (!hash) {
        return;
    }
    EVP_MAC_CTX *ctx = NULL;
    while (hash->spares && (ctx = xb_spares_take(hash->spares))) {
        EVP_MAC_CTX_free(ctx);
    }
    xb_blake2b_free(hash->blake2b);
    EVP_MAC_CTX_free(hash->prepared);
    EVP_MAC_free(hash->mac);
    free(hash->spares);
    explicit_bzero(hash->blake3_key, sizeof hash->blake3_key);
    free(hash);
}

int xb_sha256(const void *data, size_t len, unsigned char out[XB_SHA256_BYTES],
              struct xb_error *err)
{
    if (EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) != 1) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "SHA-256 failed");
    }
    return 0;
}
