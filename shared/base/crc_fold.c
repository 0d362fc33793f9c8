/* SPDX-License-Identifier: Apache-2.0
 * Bits that stand D places before others count x^D times as much, and x^D modulo the polynomial is
 * short: so the front of the input is multiplied by that and added to what lies D bits on. Products
 * of reflected numbers are one bit off, which the constants make up for. */
#include "shared/base/crc_fold.h"

#include <string.h>

#include "shared/base/cpu.h"

/* x^n modulo the polynomial, reflected, times x. */
static uint64_t power(uint32_t polynomial, unsigned n)
{
    uint32_t value = UINT32_C(1) << 31;
    for (unsigned i = 0; i < n; i++) {
        value = value >> 1 ^ (value & 1 ? polynomial : 0);
    }
    return (uint64_t)value << 1;
}

static struct xb_crc_step step(uint32_t polynomial, unsigned bits)
{
    return (struct xb_crc_step){power(polynomial, bits + 32), power(polynomial, bits - 32)};
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define TARGET_128 __attribute__((target("sse2,pclmul")))
#define TARGET_512 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,vpclmulqdq,pclmul")))
#define KERNEL_128 static inline __attribute__((always_inline)) TARGET_128
#define KERNEL_512 static inline __attribute__((always_inline)) TARGET_512

enum { BLOCK = 64, WIDE_BLOCK = 256 };

/* ---- 128 bits ---- */

KERNEL_128 __m128i load_step(struct xb_crc_step by)
{
    return _mm_set_epi64x((long long)by.high, (long long)by.low);
}

KERNEL_128 __m128i fold(__m128i sum, __m128i by, __m128i next)
{
    return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(sum, by, 0x00),
                                             _mm_clmulepi64_si128(sum, by, 0x11)));
}

KERNEL_128 __m128i load(const unsigned char *from)
{
    return _mm_loadu_si128((const void *)from);
}

/* `len` is at least BLOCK. */
TARGET_128 static size_t fold_narrow(const struct xb_crc_fold *how, uint32_t state,
                                     const unsigned char *data, size_t len, unsigned char *ret_rest)
{
    __m128i far = load_step(how->by512);
    __m128i near = load_step(how->by128);
    __m128i sums[4];
    size_t used = BLOCK;
    for (size_t i = 0; i < 4; i++) {
        sums[i] = load(data + i * 16);
    }
    sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128((int)state));
    for (; len - used >= BLOCK; used += BLOCK) {
        for (size_t i = 0; i < 4; i++) {
            sums[i] = fold(sums[i], far, load(data + used + i * 16));
        }
    }
    __m128i whole = sums[0];
    for (size_t i = 1; i < 4; i++) {
        whole = fold(whole, near, sums[i]);
    }
    _mm_storeu_si128((void *)ret_rest, whole);
    return used;
}

/* ---- 512 bits ---- */

KERNEL_512 __m512i fold_wide(__m512i sum, __m512i by, __m512i next)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, by, 0x00),
                                     _mm512_clmulepi64_epi128(sum, by, 0x11), next, 0x96);
}

KERNEL_512 __m512i load_wide(const unsigned char *from)
{
    return _mm512_loadu_si512(from);
}

/* `len` is at least WIDE_BLOCK. */
TARGET_512 static size_t fold_whole(const struct xb_crc_fold *how, uint32_t state,
                                    const unsigned char *data, size_t len, unsigned char *ret_rest)
{
    __m512i far = _mm512_broadcast_i32x4(load_step(how->by2048));
    __m512i near = _mm512_broadcast_i32x4(load_step(how->by512));
    __m128i nearest = load_step(how->by128);
    __m512i sums[4];
    size_t used = WIDE_BLOCK;
    for (size_t i = 0; i < 4; i++) {
        sums[i] = load_wide(data + i * 64);
    }
    sums[0] = _mm512_xor_si512(sums[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    for (; len - used >= WIDE_BLOCK; used += WIDE_BLOCK) {
        for (size_t i = 0; i < 4; i++) {
            sums[i] = fold_wide(sums[i], far, load_wide(data + used + i * 64));
        }
    }
    __m512i wide = sums[0];
    for (size_t i = 1; i < 4; i++) {
        wide = fold_wide(wide, near, sums[i]);
    }
    __m128i whole = _mm512_extracti32x4_epi32(wide, 0);
    whole = fold(whole, nearest, _mm512_extracti32x4_epi32(wide, 1));
    whole = fold(whole, nearest, _mm512_extracti32x4_epi32(wide, 2));
    whole = fold(whole, nearest, _mm512_extracti32x4_epi32(wide, 3));
    _mm_storeu_si128((void *)ret_rest, whole);
    return used;
}

/* clang 14 has no name for it. */
static bool wide_here(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VPCLMULQDQ);
}

/* The level tells that the kernel keeps the registers. */
size_t xb_crc_fold(const struct xb_crc_fold *how, uint32_t state, const void *data, size_t len,
                   unsigned char ret_rest[XB_CRC_FOLD_BYTES])
{
    if (len < 2 * (size_t)WIDE_BLOCK || xb_cpu_level() < XB_CPU_AVX2 ||
        !__builtin_cpu_supports("pclmul")) {
        return 0;
    }
    return how->wide && xb_cpu_level() >= XB_CPU_AVX512
               ? fold_whole(how, state, data, len, ret_rest)
               : fold_narrow(how, state, data, len, ret_rest);
}

#else

static bool wide_here(void)
{
    return false;
}

size_t xb_crc_fold(const struct xb_crc_fold *how, uint32_t state, const void *data, size_t len,
                   unsigned char ret_rest[XB_CRC_FOLD_BYTES])
{
    (void)how;
    (void)state;
    (void)data;
    (void)len;
    (void)ret_rest;
    return 0;
}

#endif

/* In a virtual machine, asking the processor is a trip to the host: it is done here, once. */
void xb_crc_fold_prepare(uint32_t polynomial, struct xb_crc_fold *ret)
{
    *ret = (struct xb_crc_fold){.by128 = step(polynomial, 128),
                                .by512 = step(polynomial, 512),
                                .by2048 = step(polynomial, 2048),
                                .wide = wide_here()};
}
