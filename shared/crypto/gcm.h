/* SPDX-License-Identifier: Apache-2.0
 *
 * gcm.h - AES-256-GCM in 512-bit registers; for aead.c only.
 *
 * What for:  processors with VAES and VPCLMULQDQ do four blocks per instruction; the OpenSSL of
 *            today's distributions does one. And each content has a key of its own: to begin with
 *            one costs a tenth here.
 * Ownership: the struct is the caller's, who wipes it.
 * Threads:   any number, each with its own struct.    Blocking: never; CPU only.
 * Shapes:    start, run any number of times, end. 96-bit nonces only.
 * Limits:    no look-up depends on a secret, and no branch does.
 * Source:    NIST SP 800-38D, FIPS 197; S. Gueron, M. Kounavis, Carry-Less Multiplication (2010).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { XB_GCM_BLOCK_BYTES = 16, XB_GCM_ROUND_KEYS = 15, XB_GCM_AT_ONCE = 16 };

struct xb_gcm {
    _Alignas(64) unsigned char powers[XB_GCM_AT_ONCE][XB_GCM_BLOCK_BYTES]; /* of the hash key, the
                                                                            * highest first */
    unsigned char keys[XB_GCM_ROUND_KEYS][XB_GCM_BLOCK_BYTES];
    unsigned char counter[XB_GCM_BLOCK_BYTES]; /* of the next block; the last byte first, as all of
                                                * what is a number here */
    unsigned char sum[XB_GCM_BLOCK_BYTES];
    unsigned char tag_mask[XB_GCM_BLOCK_BYTES];
    uint64_t associated_bytes, bytes;
    /* The block that the last run has begun: its key stream, and its ciphertext so far. */
    unsigned char stream[XB_GCM_BLOCK_BYTES], begun[XB_GCM_BLOCK_BYTES];
};

/* Whether this processor can; if not, nothing else here may be called. */
bool xb_gcm_here(void);

void xb_gcm_start(struct xb_gcm *gcm, const unsigned char key[32], const unsigned char nonce[12],
                  const void *associated, size_t associated_len);

/* `out` is `in` or does not overlap it. */
void xb_gcm_run(struct xb_gcm *gcm, bool sealing, const unsigned char *in, unsigned char *out,
                size_t len);

void xb_gcm_end(struct xb_gcm *gcm, unsigned char tag[XB_GCM_BLOCK_BYTES]);
