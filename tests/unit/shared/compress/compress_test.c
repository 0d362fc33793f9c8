/* SPDX-License-Identifier: Apache-2.0
 *
 * What one side compresses the other gets back; what is damaged, cut, longer or unknown is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <lz4frame.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "shared/base/crc32c.h"
#include "shared/compress/compress.h"
#include "tests/harness/s2_probe.h"

enum { STREAM_BYTES_MAX = 1 << 20, RAW_DEFLATE = -15, GZIP = 15 + 16 };

/* Text that compresses well, but not to nothing. */
static void fill(unsigned char *out, size_t len)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        out[i] = (unsigned char)("abcdefgh  "[(x >> 24) % 10]);
    }
}

static void fill_random(unsigned char *out, size_t len)
{
    uint64_t x = 88172645463325252;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (unsigned char)x;
    }
}

static size_t header(uint32_t id, unsigned char *out)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (unsigned char)(id >> (24 - 8 * i));
    }
    return 4;
}

/* A stream by zlib itself, appended at out; returns its length. */
static size_t zlib_stream(int window, unsigned char *data, size_t len, unsigned char *out)
{
    z_stream stream = {.next_in = data, .avail_in = (uInt)len};
    stream.next_out = out;
    stream.avail_out = STREAM_BYTES_MAX;
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

/* As kopia's writer makes it: a frame that does not say how long it is. */
static size_t zstd_stream(const unsigned char *data, size_t len, int checksum, unsigned char *out)
{
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    assert_non_null(ctx);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
    ZSTD_inBuffer in = {data, len, 0};
    ZSTD_outBuffer to = {out, STREAM_BYTES_MAX, 0};
    while (in.pos < len) {
        assert_false(ZSTD_isError(ZSTD_compressStream2(ctx, &to, &in, ZSTD_e_continue)));
    }
    assert_int_equal(ZSTD_compressStream2(ctx, &to, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(ctx);
    assert_true(ZSTD_getFrameContentSize(out, to.pos) == ZSTD_CONTENTSIZE_UNKNOWN);
    return to.pos;
}

/* Of data in one piece. */
static int encode(uint32_t id, const void *data, size_t len, struct xb_buf *out, bool *ret_smaller,
                  struct xb_error *err)
{
    const struct iovec part = {(void *)(uintptr_t)data, len};
    return xb_compress_encode_parts(id, &part, 1, out, ret_smaller, err);
}

/* What is asked for is appended behind what was there. */
static void round_trip(void **state)
{
    (void)state;
    static const uint32_t ids[] = {XB_COMPRESS_ZSTD, XB_COMPRESS_ZSTD_FASTEST};
    static const size_t sizes[] = {400, 401, 4096, 65536, 65537, 3000000};
    unsigned char *data = malloc(3000000);
    assert_non_null(data);
    fill(data, 3000000);
    for (size_t i = 0; i < 12; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(4000000), back = XB_BUF_INIT(sizes[i / 2] + 3);
        size_t len = sizes[i / 2];
        bool smaller = false;
        assert_int_equal(xb_buf_append(&out, "xyz", 3, &err), 0);
        assert_int_equal(xb_buf_append(&back, "abc", 3, &err), 0);
        assert_int_equal(encode(ids[i % 2], data, len, &out, &smaller, &err), 0);
        assert_true(smaller);
        assert_true(out.len - 3 < len);
        unsigned char want[4];
        header(ids[i % 2], want);
        assert_memory_equal(out.data, "xyz", 3);
        assert_memory_equal(out.data + 3, want, 4);
        assert_int_equal(
            xb_compress_decode(ids[i % 2], out.data + 3, out.len - 3, len, &back, &err), 0);
        assert_int_equal(back.len, len + 3);
        assert_memory_equal(back.data, "abc", 3);
        assert_memory_equal(back.data + 3, data, len);
        assert_int_equal(err.code, 0);
        xb_buf_free(&out);
        xb_buf_free(&back);
    }
    free(data);
}

/* Random or tiny data gets no smaller: nothing is appended, and that is no error. */
static void not_smaller(void **state)
{
    (void)state;
    static unsigned char data[100000];
    fill_random(data, sizeof data);
    static const size_t sizes[] = {0, 1, 4, 5, 6, 7, 20, 4096, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(200000);
        bool smaller = true;
        assert_int_equal(xb_buf_append(&out, "xyz", 3, &err), 0);
        assert_int_equal(encode(XB_COMPRESS_ZSTD_FASTEST, data, sizes[i], &out, &smaller, &err), 0);
        assert_false(smaller);
        assert_string_equal(out.data, "xyz");
        assert_int_equal(out.len, 3);
        xb_buf_free(&out);
    }
}

/* Blocks as they are and compressed ones in turn, with padding and an index between them. */
static size_t s2_stream(const unsigned char *data, size_t len, unsigned char *out)
{
    size_t at = s2_identifier(out, 0);
    for (size_t i = 0, block = 0; i < len; block++) {
        size_t size = len - i < S2_BLOCK_MAX / 2 ? (len - i + 1) / 2 : S2_BLOCK_MAX / 2;
        out[at++] = block % 2 ? 0xfe : 0x99;
        at = s2_le(out, at, 0, 3);
        if (block % 2 == 1 && size < 100000) {
            memcpy(out + s2_chunk(out, at, 1, size, data + i, size), data + i, size);
            at += 8 + size;
        } else {
            at = s2_runs_chunk(out, at, data + i, size);
        }
        i += size;
    }
    return at;
}

static size_t lz4_stream(const unsigned char *data, size_t len, unsigned char *out)
{
    static const LZ4F_preferences_t how = {
        .frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled}};
    size_t room = LZ4F_compressFrameBound(len, &how);
    unsigned char *whole = malloc(room);
    assert_non_null(whole);
    size_t got = LZ4F_compressFrame(whole, room, data, len, &how);
    assert_true(!LZ4F_isError(got) && got <= STREAM_BYTES_MAX);
    memcpy(out, whole, got);
    free(whole);
    return got;
}

/* One stream of each kind that kopia's clients may have written, by id. Returns its length. */
static size_t foreign(uint32_t id, unsigned char *data, size_t len, unsigned char *out)
{
    size_t used = header(id, out);
    switch (id & 0xff00) {
    case XB_COMPRESS_ZSTD:
        return used + zstd_stream(data, len, id == 0x1102, out + used);
    case XB_COMPRESS_S2:
        return used + s2_stream(data, len, out + used);
    case XB_COMPRESS_LZ4:
        return used + lz4_stream(data, len, out + used);
    case XB_COMPRESS_PGZIP: /* several members */
        used += zlib_stream(GZIP, data, len / 3, out + used);
        return used + zlib_stream(GZIP, data + len / 3, len - len / 3, out + used);
    case XB_COMPRESS_GZIP:
        return used + zlib_stream(GZIP, data, len, out + used);
    default:
        return used + zlib_stream(RAW_DEFLATE, data, len, out + used);
    }
}

static const uint32_t readable[] = {0x1000, 0x1001, 0x1002, 0x1100, 0x1101, 0x1102,
                                    0x1103, 0x1200, 0x1201, 0x1202, 0x1203, 0x1300,
                                    0x1301, 0x1302, 0x1400, 0x1500, 0x1501, 0x1502};
enum { READABLE = sizeof readable / sizeof *readable };

/* Decodes a copy that ends where its memory ends, so that a sanitizer sees each byte too far. */
static int decode(uint32_t id, const unsigned char *data, size_t len, size_t plain_len,
                  struct xb_buf *out, struct xb_error *err)
{
    unsigned char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    int r = xb_compress_decode(id, copy, len, plain_len, out, err);
    free(copy);
    return r;
}

static void assert_refused(uint32_t id, const unsigned char *data, size_t len, size_t plain_len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(2 * STREAM_BYTES_MAX);
    assert_int_equal(xb_buf_append(&out, "xyz", 3, &err), 0);
    int r = decode(id, data, len, plain_len, &out, &err);
    if (r == 0) {
        print_message("id 0x%x, %zu bytes, want %zu: accepted\n", id, len, plain_len);
    }
    assert_int_equal(r, -EBADMSG);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_string_equal(out.data, "xyz");
    xb_buf_free(&out);
}

static void foreign_streams(void **state)
{
    (void)state;
    static unsigned char data[200000], stream[STREAM_BYTES_MAX + 100];
    static const size_t sizes[] = {0, 1, 100, 65536, 200000};
    fill(data, sizeof data);
    for (size_t i = 0; i < 5 * READABLE; i++) {
        struct xb_error err = XB_ERROR_INIT;
        uint32_t id = readable[i % READABLE];
        size_t plain = sizes[i / READABLE];
        size_t len = foreign(id, data, plain, stream);
        struct xb_buf out = XB_BUF_INIT(plain);
        assert_int_equal(decode(id, stream, len, plain, &out, &err), 0);
        assert_int_equal(out.len, plain);
        assert_memory_equal(out.data, data, plain);
        xb_buf_free(&out);
        assert_refused(id, stream, len, plain + 1);
        if (plain > 0) {
            assert_refused(id, stream, len, plain - 1);
            assert_refused(id, stream, len, 0);
        }
        memset(stream + len, 'x', 3); /* other bytes behind the end */
        assert_refused(id, stream, len + 3, plain);
        memset(stream + len, 0, 3);
        assert_refused(id, stream, len + 1, plain);
        assert_refused(id ^ 1, stream, len, plain); /* the index says another id */
    }
}

/* Cut at every byte, and with every bit flipped once. */
static void damaged_streams(void **state)
{
    (void)state;
    static unsigned char data[300], stream[STREAM_BYTES_MAX + 100];
    fill(data, sizeof data);
    for (size_t i = 0; i < READABLE; i++) {
        uint32_t id = readable[i];
        size_t len = foreign(id, data, sizeof data, stream);
        for (size_t cut = 0; cut < len; cut++) {
            assert_refused(id, stream, cut, sizeof data);
        }
        uint32_t kind = id & 0xff00;
        bool checked = kind != XB_COMPRESS_ZSTD && kind != XB_COMPRESS_DEFLATE;
        for (size_t bit = 0; bit < 8 * len; bit++) {
            struct xb_error err = XB_ERROR_INIT;
            struct xb_buf out = XB_BUF_INIT(sizeof data);
            stream[bit / 8] ^= (unsigned char)(1U << bit % 8);
            int r = decode(id, stream, len, sizeof data, &out, &err);
            stream[bit / 8] ^= (unsigned char)(1U << bit % 8);
            /* Without a checksum a flip may pass here; the seal around it does not let it. */
            assert_true(r == -EBADMSG || (r == 0 && out.len == sizeof data));
            assert_true(bit >= 32 || r == -EBADMSG);
            assert_true(!checked || r < 0 || memcmp(out.data, data, sizeof data) == 0);
            xb_buf_free(&out);
        }
    }
    /* Nothing behind the header is no stream, also when nothing is expected. */
    for (size_t i = 0; i < READABLE; i++) {
        assert_refused(readable[i], stream, header(readable[i], stream), 0);
    }
}

/* An id that nobody has given out is named. */
static void unknown_ids(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *word;
    } ids[] = {{0x1204, "unknown"}, {0, "unknown"},     {0x1104, "0x1104"}, {0x1003, "0x1003"},
               {0x1303, "0x1303"},  {0x1401, "0x1401"}, {0x1503, "0x1503"}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(100);
        unsigned char stream[10] = {0};
        header(ids[i].id, stream);
        bool smaller = false;
        assert_int_equal(xb_compress_decode(ids[i].id, stream, 10, 5, &out, &err), -ENOTSUP);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_non_null(strstr(err.text, ids[i].word));
        assert_int_equal(encode(ids[i].id, stream, 10, &out, &smaller, &err), -ENOTSUP);
        assert_int_equal(out.len, 0);
        xb_buf_free(&out);
    }
}

/* Streams that the writers inside kopia made (its s2 and lz4 packages, at the versions that Velero
 * pins), of the same eight lines and 70,000 times "z". */
static void written_by_kopia(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *hex;
    } streams[] = {
        {0x1200, "ff06000053327354774f006000003b411e3be0a50484746865207261696e20696e20737061696e20"
                 "7374617973206d61696e6c7920696e2001221c706c61696e2c2030b22e0000311500250032150025"
                 "003315002500341500250035150025003615002504377a11011d00631100991c0000733269647800"
                 "c0cb08dc018080800102001420000000007864693273"},
        {0x1201, "ff06000053327354774f005d00003b411e3be0a50434746865207261696e20696e2073700109"
                 "2c7374617973206d61696e6c79011601221c706c61696e2c2030b22e0000311500250032150025"
                 "003315002500341500250035150025003615002504377a11011d00631100fe0400001234567"
                 "8"},
    };
    static unsigned char plain[70368];
    size_t at = 0;
    for (int i = 0; i < 8; i++) {
        memcpy(plain + at, "the rain in spain stays mainly in the plain, ", 45);
        plain[at + 45] = (unsigned char)('0' + i);
        at += 46;
    }
    memset(plain + at, 'z', sizeof plain - at);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(sizeof plain);
        unsigned char stream[300];
        size_t len = header(streams[i].id, stream);
        for (const char *hex = streams[i].hex; *hex; hex += 2) {
            const char digits[3] = {hex[0], hex[1], '\0'};
            stream[len++] = (unsigned char)strtoul(digits, NULL, 16);
        }
        assert_int_equal(decode(streams[i].id, stream, len, sizeof plain, &out, &err), 0);
        assert_memory_equal(out.data, plain, sizeof plain);
        xb_buf_free(&out);
    }
    assert_int_equal(xb_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(xb_crc32c(xb_crc32c(0, "1", 1), "23456789", 8), 0xe3069283);
}

/* Large data is judged by a few slices: what does not shrink is not tried, what shrinks anywhere
 * among them is. */
static void sampling(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static unsigned char data[BYTES];
    for (int half = 0; half < 3; half++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(BYTES);
        bool smaller = half == 0;
        fill_random(data, BYTES);
        if (half > 0) {
            fill(half == 1 ? data : data + BYTES / 2, BYTES / 2);
        }
        assert_int_equal(encode(XB_COMPRESS_ZSTD_FASTEST, data, BYTES, &out, &smaller, &err), 0);
        assert_int_equal(smaller, half > 0);
        assert_true(half > 0 ? out.len < BYTES * 3 / 4 : out.cap == 0); /* not even room was made */
        xb_buf_free(&out);
    }
}

/* Small data whose bytes are spread as noise is not tried; text, tables of numbers and base64 are.
 */
static void small_noise(void **state)
{
    (void)state;
    static unsigned char data[50000];
    static const size_t sizes[] = {1500, 4096, 20000, 50000};
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < 4; i++) {
            struct xb_error err = XB_ERROR_INIT;
            struct xb_buf out = XB_BUF_INIT(sizeof data);
            bool smaller = kind == 0;
            fill_random(data, sizeof data);
            if (kind == 1) {
                fill(data, sizeof data);
            }
            for (size_t k = 0; kind == 3 && k < sizeof data; k++) {
                data[k] = ' ' + data[k] % 64; /* as base64 is: three quarters of it are needed */
            }
            for (size_t k = 0; kind == 2 && k < sizeof data; k += 4) {
                data[k + 1] = data[k + 2] = data[k + 3] = 0; /* little numbers */
            }
            assert_int_equal(encode(XB_COMPRESS_ZSTD_FASTEST, data, sizes[i], &out, &smaller, &err),
                             0);
            assert_int_equal(smaller, kind > 0);
            assert_true(kind > 0 || out.cap == 0);
            xb_buf_free(&out);
        }
    }
}

/* Blocks that reach before their beginning, or repeat what never was, are refused. */
static void s2_reach(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        /* Behind the "xyz" that is in the buffer already, this is what a copy from too far gives.
         */
        const unsigned char *plain =
            (const unsigned char *)(kind == 1 ? "abcdzabcdzab" : "abcdabcdabcd");
        unsigned char body[64], stream[100];
        size_t at = kind == 4 ? 0 : s2_literal(body, 0, plain, 4, 0);
        at = kind == 0   ? s2_copy_1(body, at, 4, 8)
             : kind == 1 ? s2_copy_1(body, at, 5, 8)
             : kind == 2 ? s2_copy(body, at, 0, 8, 2)
                         : s2_repeat(body, at, kind == 4 ? 12 : 8);
        size_t len = s2_identifier(stream, header(0x1200, stream));
        len = s2_chunk(stream, len, 0, at + 1, plain, 12);
        len = s2_size(stream, len, 12);
        memcpy(stream + len, body, at);
        if (kind > 0) {
            assert_refused(0x1200, stream, len + at, 12);
            continue;
        }
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(12);
        assert_int_equal(decode(0x1200, stream, len + at, 12, &out, &err), 0);
        assert_memory_equal(out.data, plain, 12);
        xb_buf_free(&out);
    }
}

/* Megabytes hidden in a few bytes never get further than what was promised, or allowed. */
static void bombs(void **state)
{
    (void)state;
    static unsigned char data[8 << 20], stream[STREAM_BYTES_MAX + 100];
    for (size_t i = 0; i < READABLE; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf out = XB_BUF_INIT(64 << 20);
        size_t len = foreign(readable[i], data, sizeof data, stream);
        assert_int_equal(decode(readable[i], stream, len, 1000, &out, &err), -EBADMSG);
        assert_true(out.cap < 200000);
        assert_int_equal(out.len, 0);
        out.max = 5000; /* the ceiling counts, whatever the index promises */
        assert_true(decode(readable[i], stream, len, sizeof data, &out, &err) < 0);
        assert_true(out.cap < 200000);
        assert_int_equal(out.len, 0);
        xb_buf_free(&out);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(5000);
    size_t len = zlib_stream(GZIP, data, sizeof data, stream);
    assert_true(xb_compress_gunzip(stream, len, &out, &err) < 0);
    assert_int_equal(out.len, 0);
    assert_true(out.cap <= 5001);
    xb_buf_free(&out);
}

/* Whole gzip streams: same bytes for same data, no time and no name in them, and back again. */
static void gzip(void **state)
{
    (void)state;
    static unsigned char data[200000];
    static const size_t sizes[] = {0, 1, 100, 200000};
    fill(data, sizeof data);
    for (size_t i = 0; i < 4; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf one = XB_BUF_INIT(400000), two = XB_BUF_INIT(400000);
        struct xb_buf back = XB_BUF_INIT(sizes[i]);
        assert_int_equal(xb_compress_gzip(data, sizes[i], &one, &err), 0);
        assert_int_equal(xb_compress_gzip(data, sizes[i], &two, &err), 0);
        assert_int_equal(one.len, two.len);
        assert_memory_equal(one.data, two.data, one.len);
        assert_memory_equal(one.data, "\x1f\x8b\x08\0\0\0\0\0", 8);
        assert_int_equal(xb_compress_gunzip(one.data, one.len, &back, &err), 0);
        assert_int_equal(back.len, sizes[i]);
        assert_memory_equal(back.data, data, sizes[i]);
        xb_buf_clear(&back);
        for (size_t cut = 0; cut < one.len && cut < 100; cut++) {
            assert_int_equal(xb_compress_gunzip(one.data, cut, &back, &err), -EBADMSG);
            assert_int_equal(xb_compress_gunzip(one.data, one.len - 1 - cut, &back, &err),
                             -EBADMSG);
            assert_int_equal(back.len, 0);
        }
        back.max = 2 * sizes[i];
        assert_int_equal(xb_buf_append(&one, two.data, two.len, &err), 0);
        assert_int_equal(xb_compress_gunzip(one.data, one.len, &back, &err), 0);
        assert_int_equal(back.len, 2 * sizes[i]);
        xb_buf_clear(&back);
        assert_int_equal(xb_buf_append(&one, "\x1f", 1, &err), 0);
        assert_int_equal(xb_compress_gunzip(one.data, one.len, &back, &err), -EBADMSG);
        assert_int_equal(back.len, 0);
        xb_buf_free(&one);
        xb_buf_free(&two);
        xb_buf_free(&back);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf tight = XB_BUF_INIT(5);
    assert_int_equal(xb_compress_gzip(data, 100, &tight, &err), -E2BIG);
    assert_int_equal(err.kind, XB_ERR_FULL);
    xb_buf_free(&tight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(not_smaller),
        cmocka_unit_test(foreign_streams),
        cmocka_unit_test(damaged_streams),
        cmocka_unit_test(unknown_ids),
        cmocka_unit_test(written_by_kopia),
        cmocka_unit_test(sampling),
        cmocka_unit_test(small_noise),
        cmocka_unit_test(s2_reach),
        cmocka_unit_test(bombs),
        cmocka_unit_test(gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
