/* SPDX-License-Identifier: Apache-2.0
 * With AVX-512VL a rotation is one instruction, and the working vector stays in registers. */
#if defined(__x86_64__)
#include <immintrin.h>

#define XB_TARGET __attribute__((target("avx512vl")))
#define rotate_right(x, n) ((n) == 32 ? _mm256_shuffle_epi32(x, 0xb1) : _mm256_ror_epi64(x, n))

#include "shared/crypto/blake2b_kernel.h"

XB_TARGET void xb_blake2b_avx512(struct xb_blake2b_lanes *lanes, size_t blocks)
{
    take_blocks(lanes, blocks);
}
#endif
