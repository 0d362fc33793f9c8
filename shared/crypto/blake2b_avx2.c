/* SPDX-License-Identifier: Apache-2.0
 * AVX2 has no rotation: by whole bytes it is a shuffle, by 63 an addition and a shift. */
#if defined(__x86_64__)
#include <immintrin.h>

#define XB_TARGET __attribute__((target("avx2")))
#define rotate_right(x, n) rotate_right_##n(x)

#define XB_ROTATE static inline __attribute__((always_inline)) XB_TARGET

XB_ROTATE __m256i rotate_right_32(__m256i x)
{
    return _mm256_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1));
}

XB_ROTATE __m256i rotate_right_24(__m256i x)
{
    const __m256i from = _mm256_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, 3,
                                          4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
    return _mm256_shuffle_epi8(x, from);
}

XB_ROTATE __m256i rotate_right_16(__m256i x)
{
    const __m256i from = _mm256_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, 2,
                                          3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
    return _mm256_shuffle_epi8(x, from);
}

XB_ROTATE __m256i rotate_right_63(__m256i x)
{
    return _mm256_or_si256(_mm256_srli_epi64(x, 63), _mm256_add_epi64(x, x));
}

#include "shared/crypto/blake2b_kernel.h"

XB_TARGET void xb_blake2b_avx2(struct xb_blake2b_lanes *lanes, size_t blocks)
{
    take_blocks(lanes, blocks);
}
#endif
