/* SPDX-License-Identifier: Apache-2.0
 *
 * blake2b_kernel.h - the compression function in four lanes; for blake2b_avx*.c only.
 *
 * What for:  one text for several instruction sets. Before it is included, XB_TARGET names them as
 *            a function attribute and rotate_right(x, n) is defined for n = 32, 24, 16 and 63.
 * Shapes:    words[i] holds word i of all lanes' blocks; row[0..15] is the working vector.
 * Threads:   any.    Blocking: never.
 * Source:    RFC 7693 section 3.2.
 */
#pragma once

#include <immintrin.h>
#include <string.h>

#include "shared/crypto/blake2b_lanes.h"

#define XB_KERNEL static inline __attribute__((always_inline)) XB_TARGET

enum { ROUNDS = 12, WORDS = 16 };

/* In which order each round takes the words; rounds 10 and 11 are as 0 and 1. */
static const unsigned char blake2b_order[ROUNDS][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

/* What is known early is added early: left to itself the compiler adds in another order, and so
 * makes the longest chain of dependent instructions, which is what the time goes into, longer. */
XB_KERNEL __m256i add_first(__m256i a, __m256i word)
{
    a = _mm256_add_epi64(a, word);
    __asm__("" : "+v"(a));
    return a;
}

/* Mixes the columns (turn 0) or the diagonals (turn 1), two of the four at a time, step by step: so
 * no step waits for the one just before it, and 16 registers nearly do. */
#define XB_A(i) row[i]
#define XB_B(i) row[4 + ((i) + turn) % 4]
#define XB_C(i) row[8 + ((i) + 2 * turn) % 4]
#define XB_D(i) row[12 + ((i) + 3 * turn) % 4]
#define XB_WORD(i, k) words[order[8 * turn + 2 * (i) + (k)]]
#define XB_ADD_WORD0(i) XB_A(i) = add_first(XB_A(i), XB_WORD(i, 0))
#define XB_ADD_WORD1(i) XB_A(i) = add_first(XB_A(i), XB_WORD(i, 1))
#define XB_ADD_B(i) XB_A(i) = _mm256_add_epi64(XB_A(i), XB_B(i))
#define XB_ADD_C(i) XB_C(i) = _mm256_add_epi64(XB_C(i), XB_D(i))
#define XB_TURN_D32(i) XB_D(i) = rotate_right(_mm256_xor_si256(XB_D(i), XB_A(i)), 32)
#define XB_TURN_D16(i) XB_D(i) = rotate_right(_mm256_xor_si256(XB_D(i), XB_A(i)), 16)
#define XB_TURN_B24(i) XB_B(i) = rotate_right(_mm256_xor_si256(XB_B(i), XB_C(i)), 24)
#define XB_TURN_B63(i) XB_B(i) = rotate_right(_mm256_xor_si256(XB_B(i), XB_C(i)), 63)

#define XB_MIX_TWO(i, k)                                                                           \
    XB_ADD_WORD0(i), XB_ADD_WORD0(k);                                                              \
    XB_ADD_B(i), XB_ADD_B(k);                                                                      \
    XB_TURN_D32(i), XB_TURN_D32(k);                                                                \
    XB_ADD_C(i), XB_ADD_C(k);                                                                      \
    XB_TURN_B24(i), XB_TURN_B24(k);                                                                \
    XB_ADD_WORD1(i), XB_ADD_WORD1(k);                                                              \
    XB_ADD_B(i), XB_ADD_B(k);                                                                      \
    XB_TURN_D16(i), XB_TURN_D16(k);                                                                \
    XB_ADD_C(i), XB_ADD_C(k);                                                                      \
    XB_TURN_B63(i), XB_TURN_B63(k);

XB_KERNEL void mix(__m256i row[WORDS], const __m256i words[WORDS], const unsigned char *order,
                   const int turn){XB_MIX_TWO(0, 1) XB_MIX_TWO(2, 3)}

/* Word 4 * part + i of lane k, for i and k = 0 to 3, to words[4 * part + i], place k. */
XB_KERNEL void load_part(__m256i words[4], const unsigned char *const in[], size_t at)
{
    __m256i from0 = _mm256_loadu_si256((const __m256i *)(const void *)(in[0] + at));
    __m256i from1 = _mm256_loadu_si256((const __m256i *)(const void *)(in[1] + at));
    __m256i from2 = _mm256_loadu_si256((const __m256i *)(const void *)(in[2] + at));
    __m256i from3 = _mm256_loadu_si256((const __m256i *)(const void *)(in[3] + at));
    __m256i low01 = _mm256_unpacklo_epi64(from0, from1);
    __m256i high01 = _mm256_unpackhi_epi64(from0, from1);
    __m256i low23 = _mm256_unpacklo_epi64(from2, from3);
    __m256i high23 = _mm256_unpackhi_epi64(from2, from3);
    words[0] = _mm256_permute2x128_si256(low01, low23, 0x20);
    words[1] = _mm256_permute2x128_si256(high01, high23, 0x20);
    words[2] = _mm256_permute2x128_si256(low01, low23, 0x31);
    words[3] = _mm256_permute2x128_si256(high01, high23, 0x31);
}

XB_KERNEL void take_block(__m256i h[8], const __m256i words[WORDS], __m256i counted, __m256i last)
{
    __m256i row[WORDS];
    for (size_t i = 0; i < 8; i++) {
        row[i] = h[i];
        row[8 + i] = _mm256_set1_epi64x((long long)xb_blake2b_iv[i]);
    }
    row[12] = _mm256_xor_si256(row[12], counted);
    row[14] = _mm256_xor_si256(row[14], last);
#define XB_ROUND(i)                                                                                \
    mix(row, words, blake2b_order[i], 0);                                                          \
    mix(row, words, blake2b_order[i], 1);
    XB_ROUND(0)
    XB_ROUND(1)
    XB_ROUND(2)
    XB_ROUND(3)
    XB_ROUND(4)
    XB_ROUND(5)
    XB_ROUND(6)
    XB_ROUND(7)
    XB_ROUND(8)
    XB_ROUND(9)
    XB_ROUND(10)
    XB_ROUND(11)
    for (size_t i = 0; i < 8; i++) {
        h[i] = _mm256_xor_si256(h[i], _mm256_xor_si256(row[i], row[8 + i]));
    }
}

XB_KERNEL void take_blocks(struct xb_blake2b_lanes *lanes, size_t blocks)
{
    __m256i h[8], words[WORDS];
    __m256i counted = _mm256_load_si256((const __m256i *)lanes->counted);
    __m256i add = _mm256_load_si256((const __m256i *)lanes->add);
    __m256i last = _mm256_load_si256((const __m256i *)lanes->last);
    for (size_t i = 0; i < 8; i++) {
        h[i] = _mm256_load_si256((const __m256i *)lanes->h[i]);
    }
    for (size_t block = 0; block < blocks; block++) {
        size_t at = block * XB_BLAKE2B_BLOCK_BYTES;
        load_part(words, lanes->in, at);
        load_part(words + 4, lanes->in, at + 32);
        load_part(words + 8, lanes->in, at + 64);
        load_part(words + 12, lanes->in, at + 96);
        counted = _mm256_add_epi64(counted, add);
        take_block(h, words, counted, last);
    }
    for (size_t i = 0; i < 8; i++) {
        _mm256_store_si256((__m256i *)lanes->h[i], h[i]);
    }
    _mm256_store_si256((__m256i *)lanes->counted, counted);
}
