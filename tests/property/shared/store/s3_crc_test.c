/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32 and CRC-32C of random bytes, of every length around the blocks of each form and of random
 * ones, at any address, in one piece and cut in two: what the definition gives, bit by bit. With
 * all instructions that this machine has, and with fewer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "shared/base/cpu.h"
#include "shared/base/crc32c.h"
#include "shared/store/s3/checksum.h"
#include "tests/harness/property.h"

enum { SMALL_MAX = 1100, LARGE_MAX = 70000, ROUNDS = 60 };

static const enum xb_cpu levels[] = {XB_CPU_AVX512_VBMI, XB_CPU_AVX2, XB_CPU_PORTABLE};

/* The definition. */
static uint32_t by_bits(uint32_t polynomial, const unsigned char *data, size_t len)
{
    uint32_t state = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        state ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            state = state >> 1 ^ (state & 1 ? polynomial : 0);
        }
    }
    return ~state;
}

/* The bytes have memory of their own, so that a sanitizer sees every one read beside them. */
static void check(struct property *source, size_t len)
{
    size_t skew = property_below(source, 8);
    unsigned char *all = malloc(skew + len + 1);
    assert_non_null(all);
    unsigned char *data = all + skew;
    for (size_t i = 0; i < len; i++) {
        data[i] = (unsigned char)property_below(source, 256);
    }
    size_t cut = property_below(source, len + 1);
    uint32_t crc32 = by_bits(UINT32_C(0xedb88320), data, len);
    uint32_t crc32c = by_bits(UINT32_C(0x82f63b78), data, len);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        xb_cpu_limit(levels[i]);
        assert_int_equal(xb_s3_crc(XB_S3_CRC32, 0, data, len), crc32);
        assert_int_equal(xb_crc32c(0, data, len), crc32c);
        uint32_t front = xb_s3_crc(XB_S3_CRC32, 0, data, cut);
        assert_int_equal(xb_s3_crc(XB_S3_CRC32, front, data + cut, len - cut), crc32);
        assert_int_equal(xb_crc32c(xb_crc32c(0, data, cut), data + cut, len - cut), crc32c);
    }
    xb_cpu_limit(XB_CPU_AVX512_VBMI);
    free(all);
}

static void crcs(void **state)
{
    (void)state;
    struct property source = property_begin("crc");
    for (size_t len = 0; len < SMALL_MAX; len++) {
        check(&source, len);
    }
    for (int round = 0; round < ROUNDS; round++) {
        check(&source, property_below(&source, LARGE_MAX));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(crcs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
