/* SPDX-License-Identifier: Apache-2.0
 * Buzhash in 16 lanes: each goes over a stretch of its own, after the 63 bytes before it, which
 * fill its window. That is much like 16 of the simple loops; what makes it fast is that the numbers
 * of 64 bytes are looked up at once, in a table that lies in 16 registers: one register for 64
 * entries of a plane, four planes for the four bytes of a number. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

#include "shared/repository/splitter.h"

#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi")))
#define KERNEL static inline __attribute__((always_inline)) TARGET

enum {
    WINDOW = XB_SPLITTER_WINDOW,
    LANES = 16,
    PLANES = 4,
    TURN_BYTES = 64, /* of each lane at a time: a window, so that what leaves was looked up
                      * in the turn before */
    TURNS_MIN = 5,   /* of a stretch */
    TURNS_MAX = 63,
    MASK_SHARE = 32 * LANES, /* the first cut in 16 stretches makes the rest of them futile: they
                              * are short beside a chunk */
    STEPS = 4                /* bytes of each lane in one register */
};

/* The table, plane by plane. */
struct bytes {
    unsigned char of[PLANES][256];
};

static void make_planes(struct bytes *planes)
{
    for (size_t plane = 0; plane < PLANES; plane++) {
        for (size_t i = 0; i < 256; i++) {
            planes->of[plane][i] = (unsigned char)(xb_buzhash_table[i] >> 8 * plane);
        }
    }
}

/* And in registers. */
struct planes {
    __m512i quarter[PLANES][4];
};

KERNEL void load_planes(const struct bytes *bytes, struct planes *planes)
{
    for (size_t plane = 0; plane < PLANES; plane++) {
        planes->quarter[plane][0] = _mm512_loadu_si512(bytes->of[plane]);
        planes->quarter[plane][1] = _mm512_loadu_si512(bytes->of[plane] + 64);
        planes->quarter[plane][2] = _mm512_loadu_si512(bytes->of[plane] + 128);
        planes->quarter[plane][3] = _mm512_loadu_si512(bytes->of[plane] + 192);
    }
}

/* The bytes of one plane for 64 bytes; `high` are those from 128 on. */
KERNEL __m512i look_up(const __m512i quarter[4], __m512i bytes, __mmask64 high)
{
    __m512i low_half = _mm512_permutex2var_epi8(quarter[0], bytes, quarter[1]);
    __m512i high_half = _mm512_permutex2var_epi8(quarter[2], bytes, quarter[3]);
    return _mm512_mask_blend_epi8(high, low_half, high_half);
}

/* 16 bytes of one lane in four, beginning with the one at `from`. */
KERNEL __m512i every_fourth(const unsigned char *from, size_t stretch)
{
    __m128i piece[4];
    for (size_t i = 0; i < 4; i++) {
        piece[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + 4 * i * stretch));
    }
    __m512i all = _mm512_castsi128_si512(piece[0]);
    all = _mm512_mask_broadcast_i32x4(all, 0x00f0, piece[1]);
    all = _mm512_mask_broadcast_i32x4(all, 0x0f00, piece[2]);
    return _mm512_mask_broadcast_i32x4(all, 0xf000, piece[3]);
}

/* The next 16 bytes of all lanes: in column i bytes 4i to 4i + 3 of each. Element k is lane k. */
KERNEL void load_columns(const unsigned char *from, size_t stretch, __m512i columns[4])
{
    __m512i lanes0 = every_fourth(from, stretch);
    __m512i lanes1 = every_fourth(from + stretch, stretch);
    __m512i lanes2 = every_fourth(from + 2 * stretch, stretch);
    __m512i lanes3 = every_fourth(from + 3 * stretch, stretch);
    __m512i low01 = _mm512_unpacklo_epi32(lanes0, lanes1);
    __m512i high01 = _mm512_unpackhi_epi32(lanes0, lanes1);
    __m512i low23 = _mm512_unpacklo_epi32(lanes2, lanes3);
    __m512i high23 = _mm512_unpackhi_epi32(lanes2, lanes3);
    columns[0] = _mm512_unpacklo_epi64(low01, low23);
    columns[1] = _mm512_unpackhi_epi64(low01, low23);
    columns[2] = _mm512_unpacklo_epi64(high01, high23);
    columns[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* The numbers of a column's bytes: entering[i] those of byte i of each lane. */
KERNEL void look_up_column(const struct planes *planes, __m512i column, __m512i entering[STEPS])
{
    const __m512i by_step =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i bytes = _mm512_shuffle_epi8(column, by_step);
    __mmask64 high = _mm512_movepi8_mask(bytes);
    __m512i plane0 = look_up(planes->quarter[0], bytes, high);
    __m512i plane1 = look_up(planes->quarter[1], bytes, high);
    __m512i plane2 = look_up(planes->quarter[2], bytes, high);
    __m512i plane3 = look_up(planes->quarter[3], bytes, high);
    __m512i low01 = _mm512_unpacklo_epi8(plane0, plane1);
    __m512i high01 = _mm512_unpackhi_epi8(plane0, plane1);
    __m512i low23 = _mm512_unpacklo_epi8(plane2, plane3);
    __m512i high23 = _mm512_unpackhi_epi8(plane2, plane3);
    entering[0] = _mm512_unpacklo_epi16(low01, low23);
    entering[1] = _mm512_unpackhi_epi16(low01, low23);
    entering[2] = _mm512_unpacklo_epi16(high01, high23);
    entering[3] = _mm512_unpackhi_epi16(high01, high23);
}

struct scan {
    __m512i hash, mask;
    __m512i least; /* of all masked hashes so far: 0 where there was a cut */
};

/* `ago` holds the numbers of the bytes that leave, and gets those of the ones that enter. */
KERNEL void take_step(struct scan *scan, __m512i entering, __m512i *ago)
{
    __m512i turned = _mm512_rol_epi32(scan->hash, 1);
    scan->hash = _mm512_ternarylogic_epi32(turned, entering, *ago, 0x96); /* xor of the three */
    scan->least = _mm512_min_epu32(scan->least, _mm512_and_si512(scan->hash, scan->mask));
    *ago = entering;
}

KERNEL void take_turn(const struct planes *planes, struct scan *scan, const unsigned char *from,
                      size_t stretch, __m512i ago[TURN_BYTES])
{
    __m512i columns[TURN_BYTES / STEPS], entering[STEPS];
    for (size_t i = 0; i < TURN_BYTES / 16; i++) {
        load_columns(from + 16 * i, stretch, columns + 4 * i);
    }
    for (size_t i = 0; i < TURN_BYTES / STEPS; i++) {
        look_up_column(planes, columns[i], entering);
        take_step(scan, entering[0], &ago[STEPS * i]);
        take_step(scan, entering[1], &ago[STEPS * i + 1]);
        take_step(scan, entering[2], &ago[STEPS * i + 2]);
        take_step(scan, entering[3], &ago[STEPS * i + 3]);
    }
}

/* Lane k tests the windows k * stretch to (k + 1) * stretch, both. Returns the lanes with a cut. */
TARGET static unsigned scan_stretches(const struct bytes *bytes, uint32_t mask,
                                      const unsigned char *window, size_t stretch)
{
    struct planes planes;
    struct scan scan = {.hash = _mm512_setzero_si512(), .mask = _mm512_set1_epi32((int)mask)};
    __m512i ago[TURN_BYTES];
    load_planes(bytes, &planes);
    for (size_t i = 0; i < TURN_BYTES; i++) {
        ago[i] = _mm512_setzero_si512();
    }
    for (size_t at = 0; at <= stretch; at += TURN_BYTES) {
        take_turn(&planes, &scan, window + at, stretch, ago);
        if (at == 0) { /* only now the windows are full */
            scan.least = _mm512_and_si512(scan.hash, scan.mask);
        }
    }
    return _mm512_testn_epi32_mask(scan.least, scan.least);
}

/* How many turns; odd, so that the lanes' bytes do not all fall on the same few lines of the
 * cache. */
static size_t choose_turns(uint32_t mask, size_t count)
{
    size_t turns = mask / (TURN_BYTES * MASK_SHARE);
    size_t possible = (count - 1) / (LANES * TURN_BYTES);
    turns = turns < TURNS_MIN ? TURNS_MIN : turns > TURNS_MAX ? TURNS_MAX : turns;
    turns = turns < possible ? turns : possible;
    return turns - (turns % 2 == 0);
}

TARGET size_t xb_buzhash_clear_avx512(uint32_t mask, const unsigned char *window, size_t count)
{
    enum { LEAST = LANES * TURN_BYTES };
    struct bytes planes;
    size_t clear = 0;
    if (count > LEAST) {
        make_planes(&planes);
    }
    while (count - clear > LEAST) {
        size_t stretch = TURN_BYTES * choose_turns(mask, count - clear);
        unsigned cuts = scan_stretches(&planes, mask, window + clear, stretch);
        if (cuts) {
            return clear + (size_t)__builtin_ctz(cuts) * stretch;
        }
        clear += LANES * stretch;
    }
    return clear;
}
#endif
