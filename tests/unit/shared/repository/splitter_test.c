/* SPDX-License-Identifier: Apache-2.0
 *
 * The splitter cuts where kopia's does, whatever the sizes of the writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cpu.h"
#include "shared/repository/splitter.h"

enum { STREAM_BYTES = 64 << 20, CUTS_MAX = 1024 };

/* The AES-256-CTR keystream of a key and counter of zeros. */
static unsigned char *stream;

static int make_stream(void **state)
{
    (void)state;
    static const unsigned char zeros[32];
    int len = 0;
    stream = calloc(1, STREAM_BYTES);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ok = stream && ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, zeros, zeros) == 1 &&
             EVP_EncryptUpdate(ctx, stream, &len, stream, STREAM_BYTES) == 1 && len == STREAM_BYTES;
    EVP_CIPHER_CTX_free(ctx);
    static const unsigned char first[] = {0xdc, 0x95, 0xc0, 0x78, 0xa2, 0x40, 0x89, 0x89};
    return ok && memcmp(stream, first, sizeof first) == 0 ? 0 : -1;
}

static int free_stream(void **state)
{
    (void)state;
    free(stream);
    return 0;
}

static struct xb_splitter parse(const char *name)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_splitter splitter;
    assert_int_equal(xb_splitter_parse(name, &splitter, &err), 0);
    return splitter;
}

/* Cuts as a writer does that gets `step` bytes at a time. The end of the data is no cut. */
static size_t cut(const struct xb_splitter *splitter, const unsigned char *data, size_t len,
                  size_t step, size_t cuts[CUTS_MAX])
{
    struct xb_splitter_state state = {.scanned = 0};
    size_t start = 0;
    size_t count = 0;
    for (size_t at = 0, got = 0; at < len; at += got) {
        size_t block = step - at % step;
        block = block < len - at ? block : len - at;
        got = xb_splitter_feed(splitter, &state, data + at, block);
        assert_true(got <= block);
        if (got) {
            assert_true(at + got - start <= splitter->max);
            assert_true(at + got - start >= splitter->min);
            assert_int_equal(state.scanned, 0);
            start = at + got;
            assert_true(count < CUTS_MAX);
            cuts[count++] = start;
        }
        got = got ? got : block;
        assert_true(at + got - start < splitter->max);
    }
    return count;
}

static void vectors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t count;
        size_t cuts[8];
    } want[] = {
        {"DYNAMIC-4M-BUZHASH",
         8,
         {8388608, 16504118, 24892726, 33281334, 41106191, 49494799, 54681591, 63070199}},
        {"DYNAMIC-1M-BUZHASH", 49, {1048007, 1984962, 2854543, 3709105, 5806257, 7903409, 9606656}},
        {"DYNAMIC-128K-BUZHASH", 394, {127964, 263942, 408067, 670211, 932355, 1048007, 1151295}},
        {"DYNAMIC-4M-RABINKARP",
         12,
         {4791946, 10762721, 17412947, 23448046, 28776671, 37165279, 40450293, 46769101}},
        {"DYNAMIC-1M-RABINKARP",
         49,
         {1247875, 2233930, 3121927, 4271550, 6022991, 6759793, 8856945, 10762721}},
        {"DYNAMIC-128K-RABINKARP",
         403,
         {156619, 297287, 485713, 687337, 757497, 881204, 1143348, 1247875}},
    };
    static const size_t steps[] = {STREAM_BYTES, 1 << 20, 262144, 65537, 4093};
    static size_t cuts[CUTS_MAX];
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct xb_splitter splitter = parse(want[i].name);
        size_t step_count = splitter.rabin_karp ? 1 : sizeof steps / sizeof *steps;
        for (size_t k = 0; k < step_count; k++) {
            size_t count = cut(&splitter, stream, STREAM_BYTES, steps[k], cuts);
            assert_int_equal(count, want[i].count);
            for (size_t j = 0; j < 8 && want[i].cuts[j]; j++) {
                assert_int_equal(cuts[j], want[i].cuts[j]);
            }
        }
    }
}

/* Each step size gives all the cuts of any other, one byte at a time too. */
static void steps_change_nothing(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    static size_t whole[CUTS_MAX];
    static size_t cuts[CUTS_MAX];
    static const size_t steps[] = {1, 2, 63, 64, 65, 1000, 65535, 65536, 131072, 262144};
    static const char *const both[] = {"DYNAMIC-128K-BUZHASH", "DYNAMIC-128K-RABINKARP"};
    for (size_t i = 0; i < 2; i++) {
        struct xb_splitter splitter = parse(both[i]);
        size_t count = cut(&splitter, stream, BYTES, BYTES, whole);
        assert_true(count > 10);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            assert_int_equal(cut(&splitter, stream, BYTES, steps[k], cuts), count);
            assert_memory_equal(cuts, whole, count * sizeof *cuts);
        }
    }
}

/* A chunk depends on nothing before it: a stream that begins at a cut is cut the same. */
static void chunks_are_local(void **state)
{
    (void)state;
    enum { BYTES = 4 << 20 };
    static size_t whole[CUTS_MAX];
    static size_t rest[CUTS_MAX];
    struct xb_splitter splitter = parse("DYNAMIC-128K-BUZHASH");
    size_t count = cut(&splitter, stream, BYTES, BYTES, whole);
    for (size_t first = 0; first < 5; first++) {
        size_t start = whole[first];
        size_t more = cut(&splitter, stream + start, BYTES - start, 10000, rest);
        assert_int_equal(more, count - first - 1);
        for (size_t i = 0; i < more; i++) {
            assert_int_equal(start + rest[i], whole[first + 1 + i]);
        }
    }
}

static void constant_bytes_are_cut_at_the_least(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static size_t cuts[CUTS_MAX];
    struct xb_splitter splitter = parse("DYNAMIC-128K-BUZHASH");
    unsigned char *data = malloc(BYTES);
    assert_non_null(data);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < BYTES; i++) {
            data[i] = kind == 2 ? stream[i % 32] : kind ? 'x' : 0;
        }
        size_t count = cut(&splitter, data, BYTES, 30000, cuts);
        assert_int_equal(count, BYTES / 65536);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(cuts[i], (i + 1) * 65536);
        }
    }
    free(data);
}

static void fixed_sizes(void **state)
{
    (void)state;
    static size_t cuts[CUTS_MAX];
    struct xb_splitter splitter = parse("FIXED-1M");
    size_t count = cut(&splitter, stream, (5 << 20) + 5, 12345, cuts);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cuts[i], (i + 1) << 20);
    }
}

/* The lanes do the work, but for a little at the end, and up to a cut. */
static void lanes_leave_little(void **state)
{
    (void)state;
#if defined(__x86_64__)
    enum { BYTES = 256 * 1024, LITTLE = 1025 };
    static unsigned char data[BYTES + XB_SPLITTER_WINDOW];
    if (xb_cpu_level() < XB_CPU_AVX512_VBMI) {
        skip();
    }
    for (size_t len = 1; len <= BYTES; len = 2 * len + 1) {
        size_t clear = xb_buzhash_clear_avx512(UINT32_MAX, stream, len);
        assert_true(clear <= len && len - clear < LITTLE);
        assert_int_equal(xb_buzhash_clear_avx512(UINT32_MAX, data, len), 0); /* all are cuts */
    }
    memcpy(data, stream, BYTES / 2); /* then zeros: the first cut is the first window of them */
    size_t clear = xb_buzhash_clear_avx512(UINT32_MAX, data, BYTES);
    assert_true(clear <= BYTES / 2 && clear > BYTES / 2 - 4096);
#endif
}

static void names(void **state)
{
    (void)state;
    static const char *const sizes[] = {"128K", "256K", "512K", "1M", "2M", "4M", "8M"};
    char name[64];
    for (size_t i = 0; i < 7; i++) {
        uint32_t size = UINT32_C(131072) << i;
        snprintf(name, sizeof name, "DYNAMIC-%s-BUZHASH", sizes[i]);
        struct xb_splitter splitter = parse(name);
        assert_int_equal(splitter.min, size / 2);
        assert_int_equal(splitter.max, 2 * size);
        assert_int_equal(splitter.mask, size - 1);
        assert_false(splitter.rabin_karp);
        snprintf(name, sizeof name, "DYNAMIC-%s-RABINKARP", sizes[i]);
        splitter = parse(name);
        assert_int_equal(splitter.min, size / 2);
        assert_int_equal(splitter.mask, size - 1);
        assert_true(splitter.rabin_karp);
        snprintf(name, sizeof name, "FIXED-%s", sizes[i]);
        splitter = parse(name);
        assert_int_equal(splitter.min, size);
        assert_int_equal(splitter.max, size);
        assert_int_equal(splitter.mask, 0);
    }
    assert_int_equal(parse("DYNAMIC").mask, (4 << 20) - 1);
    assert_int_equal(parse("FIXED").max, 4 << 20);
    static const char *const unknown[] = {
        "",          "DYNAMIC-",           "DYNAMIC-4M",          "DYNAMIC-4M-RABINKARP2",
        "FIXED-",    "DYNAMIC-3M-BUZHASH", "DYNAMIC--BUZHASH",    "DYNAMIC-BUZHASH",
        "FIXED-16M", "dynamic-4M-BUZHASH", "DYNAMIC-4M-BUZHASH2", "FIXED-4M-BUZHASH"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_splitter splitter;
        assert_true(xb_splitter_parse(unknown[i], &splitter, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_non_null(strstr(err.text, unknown[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(steps_change_nothing),
        cmocka_unit_test(chunks_are_local),
        cmocka_unit_test(constant_bytes_are_cut_at_the_least),
        cmocka_unit_test(fixed_sizes),
        cmocka_unit_test(lanes_leave_little),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, make_stream, free_stream);
}
