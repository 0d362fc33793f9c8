/* SPDX-License-Identifier: Apache-2.0
 * A block is kept as the number that has its first byte on top (`turned`): counters are added to as
 * numbers, and the bits of the hash's polynomials are in the order that the multiplication takes.
 * Powers of the hash key are kept divided by x, which makes up for the bit by which the product of
 * two such numbers is off. */
#include "shared/crypto/gcm.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "shared/base/cpu.h"

#define TARGET                                                                                     \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,vaes,vpclmulqdq,aes,pclmul,sse4."    \
                          "1")))
#define KERNEL static inline __attribute__((always_inline)) TARGET

enum { BLOCK = XB_GCM_BLOCK_BYTES, ROUNDS = XB_GCM_ROUND_KEYS - 1, BATCH = XB_GCM_AT_ONCE * BLOCK };

/* clang 14 has no names for the last two. The level tells that the kernel keeps the registers. */
bool xb_gcm_here(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return xb_cpu_level() >= XB_CPU_AVX512_VBMI && __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (c & bit_VAES) && (c & bit_VPCLMULQDQ);
}

KERNEL __m128i load(const void *from)
{
    return _mm_loadu_si128(from);
}

KERNEL void store(void *to, __m128i block)
{
    _mm_storeu_si128(to, block);
}

KERNEL __m128i turned(__m128i block)
{
    return _mm_shuffle_epi8(block,
                            _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* ---- AES ---- */

#define EXPAND_EVEN(i, round_constant)                                                             \
    key[i] = _mm_xor_si128(                                                                        \
        spread(key[(i)-2]),                                                                        \
        _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[(i)-1], round_constant), 0xff))
#define EXPAND_ODD(i)                                                                              \
    key[i] = _mm_xor_si128(spread(key[(i)-2]),                                                     \
                           _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[(i)-1], 0), 0xaa))

/* Each word xored with all before it. */
KERNEL __m128i spread(__m128i words)
{
    words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
    return _mm_xor_si128(words, _mm_slli_si128(words, 8));
}

KERNEL void expand_key(const unsigned char bytes[32], __m128i key[XB_GCM_ROUND_KEYS])
{
    key[0] = load(bytes);
    key[1] = load(bytes + BLOCK);
    EXPAND_EVEN(2, 0x01);
    EXPAND_ODD(3);
    EXPAND_EVEN(4, 0x02);
    EXPAND_ODD(5);
    EXPAND_EVEN(6, 0x04);
    EXPAND_ODD(7);
    EXPAND_EVEN(8, 0x08);
    EXPAND_ODD(9);
    EXPAND_EVEN(10, 0x10);
    EXPAND_ODD(11);
    EXPAND_EVEN(12, 0x20);
    EXPAND_ODD(13);
    EXPAND_EVEN(14, 0x40);
}

KERNEL __m128i encrypt(const struct xb_gcm *gcm, __m128i block)
{
    block = _mm_xor_si128(block, load(gcm->keys[0]));
    for (int i = 1; i < ROUNDS; i++) {
        block = _mm_aesenc_si128(block, load(gcm->keys[i]));
    }
    return _mm_aesenclast_si128(block, load(gcm->keys[ROUNDS]));
}

/* The key stream of the next block. */
KERNEL __m128i next_stream(struct xb_gcm *gcm)
{
    __m128i counter = load(gcm->counter);
    store(gcm->counter, _mm_add_epi32(counter, _mm_setr_epi32(1, 0, 0, 0)));
    return encrypt(gcm, turned(counter));
}

/* ---- GHASH ---- */

/* x^-128 modulo the polynomial, less what the folding does anyway. */
#define FOLD_HIGH ((long long)UINT64_C(0xc200000000000000))

/* a * b * x^-127: one factor is divided by x. */
KERNEL __m128i multiply(__m128i a, __m128i b)
{
    const __m128i fold = _mm_set_epi64x(FOLD_HIGH, 1);
    __m128i low = _mm_clmulepi64_si128(a, b, 0x00);
    __m128i middle =
        _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
    __m128i high = _mm_clmulepi64_si128(a, b, 0x11);
    middle = _mm_xor_si128(
        middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(fold, low, 0x01)));
    return _mm_xor_si128(high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4e),
                                             _mm_clmulepi64_si128(fold, middle, 0x01)));
}

KERNEL __m128i divided_by_x(__m128i number)
{
    __m128i tops = _mm_srli_epi64(number, 63);
    __m128i shifted = _mm_or_si128(_mm_slli_epi64(number, 1), _mm_slli_si128(tops, 8));
    __m128i out = _mm_sub_epi64(_mm_setzero_si128(), _mm_unpackhi_epi64(tops, tops));
    return _mm_xor_si128(shifted, _mm_and_si128(out, _mm_set_epi64x(FOLD_HIGH, 1)));
}

KERNEL void make_powers(struct xb_gcm *gcm)
{
    const __m128i first = divided_by_x(turned(encrypt(gcm, _mm_setzero_si128())));
    __m128i power = first;
    for (size_t i = XB_GCM_AT_ONCE; i-- > 0;) {
        store(gcm->powers[i], power);
        power = multiply(power, first);
    }
}

KERNEL void add_block(struct xb_gcm *gcm, __m128i block)
{
    __m128i sum = _mm_xor_si128(load(gcm->sum), block);
    store(gcm->sum, multiply(sum, load(gcm->powers[XB_GCM_AT_ONCE - 1])));
}

/* ---- 16 blocks at once ---- */

struct batch {
    __m512i counter; /* of the next four blocks */
    __m128i sum;
    const __m512i *keys;
};

KERNEL __m512i turned_four(__m512i blocks)
{
    const __m128i by = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(by));
}

KERNEL __m512i next_four(struct batch *batch)
{
    __m512i blocks = _mm512_xor_si512(turned_four(batch->counter), batch->keys[0]);
    batch->counter =
        _mm512_add_epi32(batch->counter, _mm512_broadcast_i32x4(_mm_setr_epi32(4, 0, 0, 0)));
    return blocks;
}

#define ROUND(i)                                                                                   \
    stream[0] = _mm512_aesenc_epi128(stream[0], batch->keys[i]);                                   \
    stream[1] = _mm512_aesenc_epi128(stream[1], batch->keys[i]);                                   \
    stream[2] = _mm512_aesenc_epi128(stream[2], batch->keys[i]);                                   \
    stream[3] = _mm512_aesenc_epi128(stream[3], batch->keys[i])

KERNEL void make_stream(struct batch *batch, __m512i stream[4])
{
    stream[0] = next_four(batch);
    stream[1] = next_four(batch);
    stream[2] = next_four(batch);
    stream[3] = next_four(batch);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    ROUND(8);
    ROUND(9);
    ROUND(10);
    ROUND(11);
    ROUND(12);
    ROUND(13);
    stream[0] = _mm512_aesenclast_epi128(stream[0], batch->keys[ROUNDS]);
    stream[1] = _mm512_aesenclast_epi128(stream[1], batch->keys[ROUNDS]);
    stream[2] = _mm512_aesenclast_epi128(stream[2], batch->keys[ROUNDS]);
    stream[3] = _mm512_aesenclast_epi128(stream[3], batch->keys[ROUNDS]);
}

/* Sums of products before they are reduced. */
struct product {
    __m512i low, middle, high;
};

KERNEL void add_product(struct product *product, __m512i blocks, const void *powers)
{
    __m512i by = _mm512_load_si512(powers);
    product->low = _mm512_xor_si512(product->low, _mm512_clmulepi64_epi128(blocks, by, 0x00));
    product->middle = _mm512_ternarylogic_epi64(
        product->middle, _mm512_clmulepi64_epi128(blocks, by, 0x01),
        _mm512_clmulepi64_epi128(blocks, by, 0x10), 0x96); /* xor of the three */
    product->high = _mm512_xor_si512(product->high, _mm512_clmulepi64_epi128(blocks, by, 0x11));
}

/* As the end of multiply(), in all four; then their sum. */
KERNEL __m128i reduced(const struct product *product)
{
    const __m512i fold = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_HIGH, 1));
    __m512i middle = _mm512_ternarylogic_epi64(
        product->middle, _mm512_shuffle_epi32(product->low, _MM_PERM_BADC),
        _mm512_clmulepi64_epi128(fold, product->low, 0x01), 0x96);
    __m512i high =
        _mm512_ternarylogic_epi64(product->high, _mm512_shuffle_epi32(middle, _MM_PERM_BADC),
                                  _mm512_clmulepi64_epi128(fold, middle, 0x01), 0x96);
    __m256i two =
        _mm256_xor_si256(_mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

KERNEL void add_batch(struct batch *batch, const struct xb_gcm *gcm, const __m512i blocks[4])
{
    const __m512i none = _mm512_setzero_si512();
    struct product product = {none, none, none};
    __m512i first = _mm512_xor_si512(turned_four(blocks[0]), _mm512_zextsi128_si512(batch->sum));
    add_product(&product, first, gcm->powers[0]);
    add_product(&product, turned_four(blocks[1]), gcm->powers[4]);
    add_product(&product, turned_four(blocks[2]), gcm->powers[8]);
    add_product(&product, turned_four(blocks[3]), gcm->powers[12]);
    batch->sum = reduced(&product);
}

KERNEL void load_batch(const unsigned char *from, __m512i blocks[4])
{
    blocks[0] = _mm512_loadu_si512(from);
    blocks[1] = _mm512_loadu_si512(from + 64);
    blocks[2] = _mm512_loadu_si512(from + 128);
    blocks[3] = _mm512_loadu_si512(from + 192);
}

KERNEL void xor_batch(const __m512i stream[4], const __m512i from[4], unsigned char *out)
{
    _mm512_storeu_si512(out, _mm512_xor_si512(from[0], stream[0]));
    _mm512_storeu_si512(out + 64, _mm512_xor_si512(from[1], stream[1]));
    _mm512_storeu_si512(out + 128, _mm512_xor_si512(from[2], stream[2]));
    _mm512_storeu_si512(out + 192, _mm512_xor_si512(from[3], stream[3]));
}

KERNEL void run_batches(struct xb_gcm *gcm, bool sealing, const unsigned char *in,
                        unsigned char *out, size_t count)
{
    __m512i keys[XB_GCM_ROUND_KEYS], stream[4], from[4];
    struct batch batch = {.keys = keys, .sum = load(gcm->sum)};
    for (int i = 0; i < XB_GCM_ROUND_KEYS; i++) {
        keys[i] = _mm512_broadcast_i32x4(load(gcm->keys[i]));
    }
    batch.counter =
        _mm512_add_epi32(_mm512_broadcast_i32x4(load(gcm->counter)),
                         _mm512_setr_epi32(0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0));
    for (size_t i = 0; i < count; i++) {
        make_stream(&batch, stream);
        if (sealing && i > 0) {
            load_batch(out + (i - 1) * BATCH, from);
            add_batch(&batch, gcm, from);
        }
        load_batch(in + i * BATCH, from);
        xor_batch(stream, from, out + i * BATCH);
        if (!sealing) {
            add_batch(&batch, gcm, from);
        }
    }
    if (sealing) {
        load_batch(out + (count - 1) * BATCH, from);
        add_batch(&batch, gcm, from);
    }
    store(gcm->sum, batch.sum);
    store(gcm->counter, _mm512_castsi512_si128(batch.counter));
    explicit_bzero(keys, sizeof keys); /* no caller sees this copy of the key */
}

TARGET static void seal_batches(struct xb_gcm *gcm, const unsigned char *in, unsigned char *out,
                                size_t count)
{
    run_batches(gcm, true, in, out, count);
}

TARGET static void open_batches(struct xb_gcm *gcm, const unsigned char *in, unsigned char *out,
                                size_t count)
{
    run_batches(gcm, false, in, out, count);
}

/* ---- messages ---- */

TARGET void xb_gcm_start(struct xb_gcm *gcm, const unsigned char key[32],
                         const unsigned char nonce[12], const void *associated,
                         size_t associated_len)
{
    __m128i keys[XB_GCM_ROUND_KEYS];
    unsigned char block[BLOCK] = {[BLOCK - 1] = 1};
    expand_key(key, keys);
    for (size_t i = 0; i < XB_GCM_ROUND_KEYS; i++) {
        store(gcm->keys[i], keys[i]);
    }
    make_powers(gcm);
    memcpy(block, nonce, 12);
    store(gcm->counter, turned(load(block)));
    store(gcm->tag_mask, next_stream(gcm));
    memset(gcm->sum, 0, sizeof gcm->sum);
    for (size_t at = 0; at < associated_len; at += BLOCK) {
        size_t some = associated_len - at < BLOCK ? associated_len - at : BLOCK;
        memset(block, 0, sizeof block);
        memcpy(block, (const unsigned char *)associated + at, some);
        add_block(gcm, turned(load(block)));
    }
    gcm->associated_bytes = associated_len;
    gcm->bytes = 0;
    explicit_bzero(keys, sizeof keys);
}

/* Bytes of a block that is begun or will not be ended now; returns how many it took. */
TARGET static size_t run_bytes(struct xb_gcm *gcm, bool sealing, const unsigned char *in,
                               unsigned char *out, size_t len)
{
    size_t at = gcm->bytes % BLOCK, some = BLOCK - at < len ? BLOCK - at : len;
    if (at == 0) {
        store(gcm->stream, next_stream(gcm));
        memset(gcm->begun, 0, sizeof gcm->begun);
    }
    for (size_t i = 0; i < some; i++) {
        unsigned char from = in[i], to = from ^ gcm->stream[at + i];
        gcm->begun[at + i] = sealing ? to : from;
        out[i] = to;
    }
    gcm->bytes += some;
    if (gcm->bytes % BLOCK == 0) {
        add_block(gcm, turned(load(gcm->begun)));
    }
    return some;
}

TARGET void xb_gcm_run(struct xb_gcm *gcm, bool sealing, const unsigned char *in,
                       unsigned char *out, size_t len)
{
    size_t done = gcm->bytes % BLOCK && len ? run_bytes(gcm, sealing, in, out, len) : 0;
    size_t batches = (len - done) / BATCH;
    if (batches > 0) {
        (sealing ? seal_batches : open_batches)(gcm, in + done, out + done, batches);
        gcm->bytes += batches * BATCH;
        done += batches * BATCH;
    }
    while (len - done >= BLOCK) {
        __m128i from = load(in + done), to = _mm_xor_si128(from, next_stream(gcm));
        store(out + done, to);
        add_block(gcm, turned(sealing ? to : from));
        gcm->bytes += BLOCK;
        done += BLOCK;
    }
    if (done < len) {
        run_bytes(gcm, sealing, in + done, out + done, len - done);
    }
}

TARGET void xb_gcm_end(struct xb_gcm *gcm, unsigned char tag[BLOCK])
{
    if (gcm->bytes % BLOCK) {
        add_block(gcm, turned(load(gcm->begun)));
    }
    add_block(gcm,
              _mm_set_epi64x((long long)(8 * gcm->associated_bytes), (long long)(8 * gcm->bytes)));
    store(tag, _mm_xor_si128(turned(load(gcm->sum)), load(gcm->tag_mask)));
}

#else
#include <stdlib.h>

bool xb_gcm_here(void)
{
    return false;
}

void xb_gcm_start(struct xb_gcm *gcm, const unsigned char key[32], const unsigned char nonce[12],
                  const void *associated, size_t associated_len)
{
    (void)gcm, (void)key, (void)nonce, (void)associated, (void)associated_len;
    abort();
}

void xb_gcm_run(struct xb_gcm *gcm, bool sealing, const unsigned char *in, unsigned char *out,
                size_t len)
{
    (void)gcm, (void)sealing, (void)in, (void)out, (void)len;
    abort();
}

void xb_gcm_end(struct xb_gcm *gcm, unsigned char tag[XB_GCM_BLOCK_BYTES])
{
    (void)gcm, (void)tag;
    abort();
}
#endif
