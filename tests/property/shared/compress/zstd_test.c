/* SPDX-License-Identifier: Apache-2.0
 *
 * What lies in any number of parts is compressed as what lies in one: it comes back whole, text is
 * made smaller, noise is left alone. Each part has memory of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compress/compress.h"
#include "tests/harness/property.h"

enum { ROUNDS = 300, LEN_MAX = 1500000, PARTS_MAX = 30 };
enum kind { TEXT, NOISE, HALVES, BARELY, KINDS };

static unsigned char data[LEN_MAX];

/* BARELY: noise but for a run that makes up for little more or less than the frame's own bytes. */
static void make(struct property *source, enum kind kind, size_t len)
{
    size_t zeros = kind == BARELY ? property_below(source, 60) : 0;
    for (size_t i = 0; i < len; i++) {
        bool text = kind == TEXT || (kind == HALVES && i < len / 2);
        data[i] = text        ? (unsigned char)("etaoin shrdlu"[property_below(source, 13)])
                  : i < zeros ? 0
                              : (unsigned char)property_next(source);
    }
}

static size_t cut(struct property *source, size_t len, struct iovec parts[PARTS_MAX])
{
    size_t count = 0;
    for (size_t at = 0; at < len || count == 0;) {
        size_t some = property_once_in(source, 5)   ? property_below(source, 300)
                      : property_once_in(source, 3) ? property_below(source, 5000)
                                                    : property_below(source, len - at + 1);
        some = some < len - at && count + 1 < PARTS_MAX ? some : len - at;
        parts[count] = (struct iovec){malloc(some ? some : 1), some};
        assert_non_null(parts[count].iov_base);
        memcpy(parts[count++].iov_base, data + at, some);
        at += some;
    }
    return count;
}

static void one_round(struct property *source)
{
    struct xb_error err = XB_ERROR_INIT;
    enum kind kind = (enum kind)property_below(source, KINDS);
    uint32_t id = property_once_in(source, 2) ? XB_COMPRESS_ZSTD : XB_COMPRESS_ZSTD_FASTEST;
    size_t len = property_below(source, LEN_MAX >> property_below(source, 17));
    struct xb_buf out = XB_BUF_INIT(LEN_MAX + 100), back = XB_BUF_INIT(len);
    struct iovec parts[PARTS_MAX];
    bool smaller = kind == NOISE;
    make(source, kind, len);
    size_t count = cut(source, len, parts);
    assert_int_equal(xb_compress_encode_parts(id, parts, count, &out, &smaller, &err), 0);
    assert_true(smaller ? out.len < len : out.len == 0);
    assert_true(smaller || kind != TEXT || len < 100);
    assert_true(smaller || kind != HALVES || len < 65536);
    assert_true(!smaller || kind != NOISE);
    if (smaller) {
        assert_int_equal(xb_compress_decode(id, out.data, out.len, len, &back, &err), 0);
        assert_memory_equal(back.data, data, len);
    }
    for (size_t i = 0; i < count; i++) {
        free(parts[i].iov_base);
    }
    xb_buf_free(&out);
    xb_buf_free(&back);
}

static void parts(void **state)
{
    (void)state;
    struct property source = property_begin("zstd");
    for (size_t round = 0; round < ROUNDS; round++) {
        one_round(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
