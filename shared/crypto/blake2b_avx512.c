/* SPDX-License-Identifier: Apache-2.0
 * With AVX-512VL a rotation is one instruction, and the working vector stays in registers. For one
 * or two inputs, four words of each in a row is the faster way: half of the lanes would be idle. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

#define XB_TARGET __attribute__((target("avx512f,avx512vl")))
#define rotate_right(x, n) ((n) == 32 ? _mm256_shuffle_epi32(x, 0xb1) : _mm256_ror_epi64(x, n))

#include "shared/crypto/blake2b_kernel.h"

XB_TARGET void xb_blake2b_avx512(struct xb_blake2b_lanes *lanes, size_t blocks)
{
    take_blocks(lanes, blocks);
}

/* ---- two inputs ---- */

enum { PAIR = 2, ROW = 4, HALVES = 2 };

/* The words that each half of a round adds: four at first, four later. */
struct picks {
    _Alignas(64) uint64_t of[ROUNDS][HALVES][2 * ROW];
};

struct rows {
    __m256i a, b, c, d;
};

/* Row b stays where it is, since everything waits for it, and the others are turned: so place j of
 * a diagonal step is diagonal j - 1. */
XB_KERNEL void make_picks(struct picks *picks)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        const unsigned char *order = blake2b_order[round];
        for (size_t j = 0; j < ROW; j++) {
            size_t diagonal = 8 + 2 * ((j + 3) % ROW);
            picks->of[round][0][j] = order[2 * j];
            picks->of[round][0][ROW + j] = order[2 * j + 1];
            picks->of[round][1][j] = order[diagonal];
            picks->of[round][1][ROW + j] = order[diagonal + 1];
        }
    }
}

XB_KERNEL void mix_rows(struct rows *rows, __m512i words)
{
    __m256i a = add_first(rows->a, _mm512_castsi512_si256(words));
    a = _mm256_add_epi64(a, rows->b);
    rows->d = rotate_right(_mm256_xor_si256(rows->d, a), 32);
    rows->c = _mm256_add_epi64(rows->c, rows->d);
    rows->b = rotate_right(_mm256_xor_si256(rows->b, rows->c), 24);
    a = add_first(a, _mm512_extracti64x4_epi64(words, 1));
    rows->a = _mm256_add_epi64(a, rows->b);
    rows->d = rotate_right(_mm256_xor_si256(rows->d, rows->a), 16);
    rows->c = _mm256_add_epi64(rows->c, rows->d);
    rows->b = rotate_right(_mm256_xor_si256(rows->b, rows->c), 63);
}

XB_KERNEL void to_diagonals(struct rows *rows)
{
    rows->a = _mm256_permute4x64_epi64(rows->a, _MM_SHUFFLE(2, 1, 0, 3));
    rows->c = _mm256_permute4x64_epi64(rows->c, _MM_SHUFFLE(0, 3, 2, 1));
    rows->d = _mm256_permute4x64_epi64(rows->d, _MM_SHUFFLE(1, 0, 3, 2));
}

XB_KERNEL void to_columns(struct rows *rows)
{
    rows->a = _mm256_permute4x64_epi64(rows->a, _MM_SHUFFLE(0, 3, 2, 1));
    rows->c = _mm256_permute4x64_epi64(rows->c, _MM_SHUFFLE(2, 1, 0, 3));
    rows->d = _mm256_permute4x64_epi64(rows->d, _MM_SHUFFLE(1, 0, 3, 2));
}

/* One input on its way. */
struct single {
    __m256i low, high; /* its state */
    struct rows rows;
    __m512i words[2];
};

XB_KERNEL void start_single(struct single *one, const struct xb_blake2b_lanes *lanes, size_t lane)
{
    uint64_t h[2 * ROW];
    for (size_t i = 0; i < 2 * ROW; i++) {
        h[i] = lanes->h[i][lane];
    }
    one->low = _mm256_loadu_si256((const __m256i *)(const void *)h);
    one->high = _mm256_loadu_si256((const __m256i *)(const void *)(h + ROW));
}

XB_KERNEL void end_single(const struct single *one, struct xb_blake2b_lanes *lanes, size_t lane)
{
    uint64_t h[2 * ROW];
    _mm256_storeu_si256((__m256i *)(void *)h, one->low);
    _mm256_storeu_si256((__m256i *)(void *)(h + ROW), one->high);
    for (size_t i = 0; i < 2 * ROW; i++) {
        lanes->h[i][lane] = h[i];
    }
}

XB_KERNEL void begin_block(struct single *one, const struct xb_blake2b_lanes *lanes, size_t lane,
                           size_t block)
{
    const unsigned char *from = lanes->in[lane] + block * XB_BLAKE2B_BLOCK_BYTES;
    const __m256i *iv = (const __m256i *)(const void *)xb_blake2b_iv;
    uint64_t counted = lanes->counted[lane] + (block + 1) * lanes->add[lane];
    const __m256i about =
        _mm256_setr_epi64x((long long)counted, 0, (long long)lanes->last[lane], 0);
    one->words[0] = _mm512_loadu_si512(from);
    one->words[1] = _mm512_loadu_si512(from + 64);
    one->rows = (struct rows){one->low, one->high, _mm256_loadu_si256(iv),
                              _mm256_xor_si256(_mm256_loadu_si256(iv + 1), about)};
}

XB_KERNEL void end_block(struct single *one)
{
    one->low = _mm256_xor_si256(one->low, _mm256_xor_si256(one->rows.a, one->rows.c));
    one->high = _mm256_xor_si256(one->high, _mm256_xor_si256(one->rows.b, one->rows.d));
}

XB_KERNEL void half_round(struct single *one, const uint64_t which[2 * ROW])
{
    __m512i index = _mm512_load_si512(which);
    mix_rows(&one->rows, _mm512_permutex2var_epi64(one->words[0], index, one->words[1]));
}

XB_KERNEL void take_round(struct single *one, const struct picks *picks, size_t round)
{
    half_round(one, picks->of[round][0]);
    to_diagonals(&one->rows);
    half_round(one, picks->of[round][1]);
    to_columns(&one->rows);
}

XB_KERNEL void run_pair(struct xb_blake2b_lanes *lanes, const size_t lane[PAIR], size_t blocks,
                        const bool both)
{
    struct picks picks;
    struct single one, two;
    make_picks(&picks);
    start_single(&one, lanes, lane[0]);
    start_single(&two, lanes, lane[1]);
    for (size_t block = 0; block < blocks; block++) {
        begin_block(&one, lanes, lane[0], block);
        begin_block(&two, lanes, lane[1], block);
        for (size_t round = 0; round < ROUNDS; round++) {
            take_round(&one, &picks, round);
            if (both) {
                take_round(&two, &picks, round);
            }
        }
        end_block(&one);
        end_block(&two);
    }
    end_single(&one, lanes, lane[0]);
    lanes->counted[lane[0]] += blocks * lanes->add[lane[0]];
    if (both) {
        end_single(&two, lanes, lane[1]);
        lanes->counted[lane[1]] += blocks * lanes->add[lane[1]];
    }
}

XB_TARGET void xb_blake2b_pair_avx512(struct xb_blake2b_lanes *lanes, const size_t lane[2],
                                      size_t blocks)
{
    if (lane[0] == lane[1]) {
        run_pair(lanes, lane, blocks, false);
    } else {
        run_pair(lanes, lane, blocks, true);
    }
}
#endif
