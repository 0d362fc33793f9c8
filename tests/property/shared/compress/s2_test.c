/* SPDX-License-Identifier: Apache-2.0
 *
 * S2 blocks made of every form of literal, copy and repeat, at random: decoded they are what the
 * forms say; with a bit flipped or cut anywhere they are refused or unchanged, never wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "shared/compress/compress.h"
#include "tests/harness/property.h"
#include "tests/harness/s2_probe.h"

enum { PLAIN_MAX = 300000, STREAM_MAX = 2 * PLAIN_MAX, ROUNDS = 100, DAMAGES = 40 };

struct block {
    unsigned char plain[PLAIN_MAX], body[STREAM_MAX];
    size_t done, at;
    uint32_t offset;
};

static void literal(struct property *source, struct block *block, size_t len)
{
    unsigned extra = property_once_in(source, 4) ? (unsigned)property_below(source, 5) : 0;
    for (size_t i = 0; i < len; i++) {
        block->plain[block->done + i] = (unsigned char)property_next(source);
    }
    block->at = s2_literal(block->body, block->at, block->plain + block->done, len, extra);
    block->done += len;
}

static void match(struct block *block, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++, block->done++) {
        block->plain[block->done] = block->plain[block->done - block->offset];
    }
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* One more piece; something of at least 4 bytes fits. */
static void piece(struct property *source, struct block *block)
{
    uint64_t room = PLAIN_MAX - block->done;
    uint32_t len = 0;
    uint64_t kind = block->done ? property_below(source, 5) : 0;
    if (kind == 0 || (kind == 4 && block->offset == 0)) {
        literal(source, block,
                least(room, 1 + property_below(source, 1 << property_below(source, 13))));
        return;
    }
    if (kind == 4) {
        len = 4 + (uint32_t)property_below(source, UINT64_C(1) << property_below(source, 18));
        len = least(len, room);
        block->at = s2_repeat(block->body, block->at, len);
    } else if (kind == 1) {
        block->offset = 1 + (uint32_t)property_below(source, least(block->done, 2047));
        len = 4 + (uint32_t)property_below(source, least(room - 3, 8));
        block->at = s2_copy_1(block->body, block->at, block->offset, len);
    } else {
        uint32_t far = kind == 2 ? 65535 : UINT32_MAX;
        block->offset = 1 + (uint32_t)property_below(source, least(block->done, far));
        len = 1 + (uint32_t)property_below(source, least(room, 64));
        block->at = s2_copy(block->body, block->at, block->offset, len, kind == 2 ? 2 : 4);
    }
    match(block, len);
}

/* A content with one such block. Returns its length. */
static size_t make(struct property *source, struct block *block, unsigned char *out)
{
    uint64_t pieces = 1 + property_below(source, 200);
    block->done = block->at = 0;
    block->offset = 0;
    for (uint64_t i = 0; i < pieces && PLAIN_MAX - block->done >= 4; i++) {
        piece(source, block);
    }
    unsigned char size[8];
    size_t size_len = s2_size(size, 0, block->done);
    memcpy(out, "\0\0\x12\0", 4);
    size_t at = s2_identifier(out, 4);
    at = s2_chunk(out, at, 0, size_len + block->at, block->plain, block->done);
    memcpy(out + at, size, size_len);
    memcpy(out + at + size_len, block->body, block->at);
    return at + size_len + block->at;
}

static int decode(const unsigned char *data, size_t len, size_t plain, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_buf_clear(out);
    return xb_compress_decode(XB_COMPRESS_S2, data, len, plain, out, &err);
}

static void blocks(void **state)
{
    (void)state;
    static struct block block;
    static unsigned char stream[STREAM_MAX + 100];
    struct property source = property_begin("s2");
    struct xb_buf out = XB_BUF_INIT(PLAIN_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = make(&source, &block, stream);
        assert_int_equal(decode(stream, len, block.done, &out), 0);
        assert_int_equal(out.len, block.done);
        assert_memory_equal(out.data, block.plain, block.done);
        for (int i = 0; i < DAMAGES; i++) {
            size_t bit = property_below(&source, 8 * len);
            stream[bit / 8] ^= (unsigned char)(1U << bit % 8);
            int r = decode(stream, len, block.done, &out);
            assert_true(r == -EBADMSG || (r == 0 && memcmp(out.data, block.plain, out.len) == 0));
            stream[bit / 8] ^= (unsigned char)(1U << bit % 8);
            assert_int_equal(decode(stream, property_below(&source, len), block.done, &out),
                             -EBADMSG);
            assert_int_equal(out.len, 0);
        }
    }
    xb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
