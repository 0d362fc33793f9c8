/* SPDX-License-Identifier: Apache-2.0
 *
 * aead.h - authenticated encryption with associated data.
 *
 * What for:  seal and open everything that a repository keeps.
 * Ownership: the caller frees it. Keys are passed per call; our own code wipes what it makes of
 *            them, OpenSSL's spare contexts hold the last one until they are used again or freed.
 * Threads:   one object may be used by any number of threads at once.
 * Blocking:  never; CPU only.
 * Shapes:    sealed = nonce (12) then ciphertext (as long as the plain bytes) then tag (16). Where
 *            the text lies in parts, nonce and tag stand apart, for one writev of all of them.
 * Errors:    INVALID for an unknown name; CORRUPT when the tag does not fit: the bytes, the key or
 *            the associated data are not those that were sealed. Then the output holds zeros.
 * Limits:    2 GiB less the overhead in one message.
 * Source:    kopia-format section 4; RFC 5116, RFC 8439.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_AEAD_KEY_BYTES = 32,
    XB_AEAD_NONCE_BYTES = 12,
    XB_AEAD_TAG_BYTES = 16,
    XB_AEAD_OVERHEAD_BYTES = XB_AEAD_NONCE_BYTES + XB_AEAD_TAG_BYTES
};

struct xb_aead;

/* "AES-256-GCM" or "CHACHA20-POLY1305". */
int xb_aead_new(const char *name, struct xb_aead **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_aead_free(struct xb_aead *aead);
XB_DEFINE_CLEANUP(xb_aead_freep, struct xb_aead, xb_aead_free);

struct xb_aead_data {
    const void *data;
    size_t len;
};

/* Writes plain->len + XB_AEAD_OVERHEAD_BYTES bytes to `out`, which must not overlap. `nonce` NULL:
 * a random one, as it must be outside of tests. */
int xb_aead_seal(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const unsigned char *nonce, const struct xb_aead_data *associated,
                 const struct xb_aead_data *plain, unsigned char *out,
                 struct xb_error *err) XB_MUST_CHECK;

/* Writes sealed->len - XB_AEAD_OVERHEAD_BYTES bytes to `out`, which must not overlap. */
int xb_aead_open(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                 const struct xb_aead_data *associated, const struct xb_aead_data *sealed,
                 unsigned char *out, struct xb_error *err) XB_MUST_CHECK;

/* A message in parts: as many bytes as `from` holds are written to `to`, which holds at least as
 * many and may be cut elsewhere. It may be `from` itself (in place); else they must not overlap. */
struct xb_aead_parts {
    const struct iovec *from;
    size_t from_count;
    const struct iovec *to;
    size_t to_count;
};

/* What stands before and after the ciphertext. */
struct xb_aead_ends {
    unsigned char nonce[XB_AEAD_NONCE_BYTES];
    unsigned char tag[XB_AEAD_TAG_BYTES];
};

/* Under a random nonce. */
int xb_aead_seal_parts(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                       const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                       struct xb_aead_ends *ret, struct xb_error *err) XB_MUST_CHECK;
int xb_aead_open_parts(const struct xb_aead *aead, const unsigned char key[XB_AEAD_KEY_BYTES],
                       const struct xb_aead_data *associated, const struct xb_aead_parts *parts,
                       const struct xb_aead_ends *ends, struct xb_error *err) XB_MUST_CHECK;
