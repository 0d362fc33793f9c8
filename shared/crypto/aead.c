/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/crypto/aead.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "shared/base/random.h"
#include "shared/base/spares.h"
#include "shared/crypto/gcm.h"

struct xb_aead {
    bool gcm; /* by our own code; else by OpenSSL */
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
    aead->gcm = strcmp(name, "AES-256-GCM") == 0 && xb_gcm_here();
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

static int too_large(size_t len, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "cannot seal or open %zu bytes at once", len);
}

/* OpenSSL counts in int. */
static int check_parts(const struct xb_aead_parts *parts, struct xb_error *err)
{
    size_t len = 0, room = 0;
    for (size_t i = 0; i < parts->from_count; i++) {
        size_t one = parts->from[i].iov_len;
        if (one > INT_MAX - XB_AEAD_OVERHEAD_BYTES - len) {
            return too_large(one, err);
        }
        len += one;
    }
    for (size_t i = 0; i < parts->to_count && room < len; i++) {
        size_t one = parts->to[i].iov_len;
        room += one < len ? one : len;
    }
    return room >= len ? 0
                       : xb_error_set(err, XB_ERR_BUG, -ENOBUFS,
                                      "%zu bytes to seal or open, room for %zu", len, room);
}

/* Where a walk through parts stands. */
struct cursor {
    const struct iovec *part;
    size_t left; /* parts, this one too */
    size_t at;   /* bytes of this one that are done */
};

/* The rest of the first part that is not at its end; 0 behind the last. */
static size_t ahead(struct cursor *cursor)
{
    while (cursor->left > 0 && cursor->at == cursor->part->iov_len) {
        cursor->part++;
        cursor->left--;
        cursor->at = 0;
    }
    return cursor->left > 0 ? cursor->part->iov_len - cursor->at : 0;
}

/* The next run of bytes of which both ends lie in one piece; its length, 0 at the end. */
static size_t next_run(struct cursor *from, struct cursor *to, const unsigned char **ret_in,
                       unsigned char **ret_out)
{
    size_t in = ahead(from), out = ahead(to);
    size_t run = in < out ? in : out;
    if (run > 0) {
        *ret_in = (const unsigned char *)from->part->iov_base + from->at;
        *ret_out = (unsigned char *)to->part->iov_base + to->at;
        from->at += run;
        to->at += run;
    }
    return run;
}

/* Starts, feeds everything; what follows is the tag. */
static bool run_cipher(EVP_CIPHER_CTX *ctx, const struct xb_aead_data *associated,
                       const struct xb_aead_parts *parts)
{
    struct cursor from = {parts->from, parts->from_count, 0};
    struct cursor to = {parts->to, parts->to_count, 0};
    const unsigned char *in = NULL;
    unsigned char *out = NULL;
    int len = 0;
    bool ok = associated->len == 0 ||
              EVP_CipherUpdate(ctx, NULL, &len, associated->data, (int)associated->len) == 1;
    for (size_t run; ok && (run = next_run(&from, &to, &in, &out)) > 0;) {
        ok = EVP_CipherUpdate(ctx, out, &len, in, (int)run) == 1;
    }
    return ok;
}

static bool seal(EVP_CIPHER_CTX *ctx, const struct xb_aead *aead, const unsigned char *key,
                 const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                 struct xb_aead_ends *ends)
{
    int len = 0;
    unsigned char end[1]; /* final writes nothing in these modes */
    return EVP_EncryptInit_ex2(ctx, aead->cipher, key, ends->nonce, NULL) == 1 &&
           run_cipher(ctx, associated, parts) && EVP_EncryptFinal_ex(ctx, end, &len) == 1 &&
           len == 0 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof ends->tag, ends->tag) == 1;
}

/* All of a message, both ways; the tag that it should have. */
static void run_gcm(bool sealing, const unsigned char *key, const struct xb_aead_data *associated,
                    const struct xb_aead_parts *parts, struct xb_aead_ends *ends)
{
    struct cursor from = {parts->from, parts->from_count, 0};
    struct cursor to = {parts->to, parts->to_count, 0};
    const unsigned char *in = NULL;
    unsigned char *out = NULL;
    struct xb_gcm gcm;
    xb_gcm_start(&gcm, key, ends->nonce, associated->data, associated->len);
    for (size_t run; (run = next_run(&from, &to, &in, &out)) > 0;) {
        xb_gcm_run(&gcm, sealing, in, out, run);
    }
    xb_gcm_end(&gcm, ends->tag);
    explicit_bzero(&gcm, sizeof gcm);
}

/* Under the nonce that is in *ends. */
static int seal_with(const struct xb_aead *aead, const unsigned char *key,
                     const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                     struct xb_aead_ends *ends, struct xb_error *err)
{
    int r = check_parts(parts, err);
    if (r < 0) {
        return r;
    }
    if (aead->gcm) {
        run_gcm(true, key, associated, parts, ends);
        return 0;
    }
    EVP_CIPHER_CTX *ctx = take_context(aead);
    bool ok = ctx && seal(ctx, aead, key, associated, parts, ends);
    give_context(aead, ctx, ok);
    return ok ? 0 : xb_error_set(err, XB_ERR_BUG, -EIO, "sealing failed in OpenSSL");
}

int xb_aead_seal_parts(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                       const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                       struct xb_aead_ends *ret, struct xb_error *err)
{
    struct xb_aead_ends ends;
    xb_random_bytes(ends.nonce, sizeof ends.nonce);
    int r = seal_with(aead, key, associated, parts, &ends, err);
    if (r == 0) {
        *ret = ends;
    }
    return r;
}

static struct iovec whole(const void *data, size_t len)
{
    struct iovec part = {.iov_len = len};
    memcpy(&part.iov_base, &data, sizeof data); /* where it is read only, no one writes */
    return part;
}

int xb_aead_seal(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const unsigned char *nonce, const struct xb_aead_data *associated,
                 const struct xb_aead_data *plain, unsigned char *out, struct xb_error *err)
{
    unsigned char *body = out + XB_AEAD_NONCE_BYTES;
    struct iovec from = whole(plain->data, plain->len), to = whole(body, plain->len);
    struct xb_aead_parts parts = {&from, 1, &to, 1};
    struct xb_aead_ends ends;
    if (nonce) {
        memcpy(ends.nonce, nonce, sizeof ends.nonce);
    } else {
        xb_random_bytes(ends.nonce, sizeof ends.nonce);
    }
    int r = seal_with(aead, key, associated, &parts, &ends, err);
    if (r == 0) {
        memcpy(out, ends.nonce, sizeof ends.nonce);
        memcpy(body + plain->len, ends.tag, sizeof ends.tag);
    }
    return r;
}

static bool unseal(EVP_CIPHER_CTX *ctx, const struct xb_aead *aead, const unsigned char *key,
                   const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                   const struct xb_aead_ends *ends)
{
    unsigned char tag[XB_AEAD_TAG_BYTES];
    memcpy(tag, ends->tag, sizeof tag);
    int len = 0;
    unsigned char end[1]; /* final writes nothing in these modes */
    return EVP_DecryptInit_ex2(ctx, aead->cipher, key, ends->nonce, NULL) == 1 &&
           run_cipher(ctx, associated, parts) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, end, &len) == 1 && len == 0;
}

static int open_with(const struct xb_aead *aead, const unsigned char *key,
                     const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                     const struct xb_aead_ends *ends, bool *ret_fits, struct xb_error *err)
{
    if (aead->gcm) {
        struct xb_aead_ends own = *ends;
        run_gcm(false, key, associated, parts, &own);
        *ret_fits = CRYPTO_memcmp(own.tag, ends->tag, sizeof own.tag) == 0;
        return 0;
    }
    EVP_CIPHER_CTX *ctx = take_context(aead);
    if (!ctx) {
        return xb_error_no_memory(err, "a cipher context");
    }
    *ret_fits = unseal(ctx, aead, key, associated, parts, ends);
    give_context(aead, ctx, *ret_fits);
    return 0;
}

/* Bytes that nobody vouches for must not be used, not even by a caller that forgets to look. */
static void wipe(const struct xb_aead_parts *parts)
{
    struct cursor from = {parts->from, parts->from_count, 0};
    struct cursor to = {parts->to, parts->to_count, 0};
    const unsigned char *in = NULL;
    unsigned char *out = NULL;
    for (size_t run; (run = next_run(&from, &to, &in, &out)) > 0;) {
        memset(out, 0, run);
    }
}

int xb_aead_open_parts(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                       const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                       const struct xb_aead_ends *ends, struct xb_error *err)
{
    bool fits = false;
    int r = check_parts(parts, err);
    if (r < 0 || (r = open_with(aead, key, associated, parts, ends, &fits, err)) < 0) {
        return r;
    }
    if (!fits) {
        wipe(parts);
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the seal does not fit: damaged bytes or another key");
    }
    return 0;
}

int xb_aead_open(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const struct xb_aead_data *associated, const struct xb_aead_data *sealed,
                 unsigned char *out, struct xb_error *err)
{
    if (sealed->len < XB_AEAD_OVERHEAD_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%zu bytes are too few for anything sealed", sealed->len);
    }
    const unsigned char *nonce = sealed->data;
    const unsigned char *body = nonce + XB_AEAD_NONCE_BYTES;
    size_t len = sealed->len - XB_AEAD_OVERHEAD_BYTES;
    struct iovec from = whole(body, len), to = whole(out, len);
    struct xb_aead_parts parts = {&from, 1, &to, 1};
    struct xb_aead_ends ends;
    memcpy(ends.nonce, nonce, sizeof ends.nonce);
    memcpy(ends.tag, body + len, sizeof ends.tag);
    return xb_aead_open_parts(aead, key, associated, &parts, &ends, err);
}
