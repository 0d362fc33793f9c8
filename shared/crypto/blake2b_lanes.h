/* SPDX-License-Identifier: Apache-2.0
 *
 * blake2b_lanes.h - keyed BLAKE2b-256 of four inputs at once; for hash.c only.
 *
 * What for:  one BLAKE2b is a long chain of additions that depend on each other; four of them side
 *            by side in 256-bit registers take as long as one.
 * Ownership: the caller frees the object, which keeps what the key makes of the state, not the key.
 * Threads:   any number with one object.    Blocking: never; CPU only.
 * Errors:    INVALID for a key that is empty or longer than 64 bytes.
 * Source:    RFC 7693.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/crypto/hash.h"

enum { XB_BLAKE2B_LANES = 4, XB_BLAKE2B_BLOCK_BYTES = 128, XB_BLAKE2B_BYTES = 32 };

struct xb_blake2b;

/* *ret stays NULL where this processor has no code for it: then OpenSSL does it. */
int xb_blake2b_new(const void *key, size_t key_len, struct xb_blake2b **ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_blake2b_free(struct xb_blake2b *hash);

/* Whether a single input is faster here than with OpenSSL: with AVX2 only, it would leave three
 * lanes empty for nothing. */
bool xb_blake2b_fast_alone(const struct xb_blake2b *hash);

/* Writes the first `bytes` (at most XB_BLAKE2B_BYTES) of each hash. Cannot fail. */
void xb_blake2b_many(const struct xb_blake2b *hash, const struct xb_hash_job *jobs, size_t count,
                     size_t bytes);

/* The states of all lanes, and what goes into them next. */
struct xb_blake2b_lanes {
    _Alignas(32) uint64_t h[8][XB_BLAKE2B_LANES];
    _Alignas(32) uint64_t counted[XB_BLAKE2B_LANES]; /* bytes, those of the key's block too */
    _Alignas(32) uint64_t add[XB_BLAKE2B_LANES];     /* bytes that each block brings */
    _Alignas(32) uint64_t last[XB_BLAKE2B_LANES];    /* all ones: the block is the last one */
    const unsigned char *in[XB_BLAKE2B_LANES];
};

extern const uint64_t xb_blake2b_iv[8];

/* Takes `blocks` blocks into each lane, from in[lane] on. */
void xb_blake2b_avx2(struct xb_blake2b_lanes *lanes, size_t blocks);
void xb_blake2b_avx512(struct xb_blake2b_lanes *lanes, size_t blocks);

/* The same for two of the lanes, or for one, which is named twice; the others stand still. */
void xb_blake2b_pair_avx512(struct xb_blake2b_lanes *lanes, const size_t lane[2], size_t blocks);
