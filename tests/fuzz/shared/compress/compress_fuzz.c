/* SPDX-License-Identifier: Apache-2.0
 *
 * The first two bytes are the length that an index promises, the rest a content: refused, or of
 * exactly that length. The same bytes are also taken as a gzip stream, and compressed.
 */
#include "shared/compress/compress.h"
#include "tests/harness/fuzz.h"

static void check_decode(const uint8_t *data, size_t len, size_t promised)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 16);
    uint32_t id = 0;
    for (size_t i = 0; i < 4 && len >= 4; i++) {
        id = id << 8 | data[i];
    }
    need(xb_buf_append(&out, "abc", 3, &err) == 0);
    int r = xb_compress_decode(id, data, len, promised, &out, &err);
    need(out.len == (r == 0 ? 3 + promised : 3) && memcmp(out.data, "abc", 3) == 0);
    need(out.data[out.len] == '\0');
    xb_buf_clear(&out);
    r = xb_compress_gunzip(data, len, &out, &err);
    need(r == 0 || out.len == 0);
    xb_buf_free(&out);
}

static void check_encode(const uint8_t *data, size_t len)
{
    static const uint32_t ids[] = {XB_COMPRESS_ZSTD, XB_COMPRESS_ZSTD_FASTEST};
    const struct iovec part = {(void *)(uintptr_t)data, len};
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < 2; i++) {
        struct xb_buf out = XB_BUF_INIT(1 << 24), back = XB_BUF_INIT(len);
        bool smaller = false;
        need(xb_compress_encode_parts(ids[i], &part, 1, &out, &smaller, &err) == 0);
        need(smaller ? out.len < len && out.len > XB_COMPRESS_HEADER_BYTES : out.len == 0);
        if (smaller) {
            need(xb_compress_decode(ids[i], out.data, out.len, len, &back, &err) == 0);
            need(back.len == len && memcmp(back.data, data, len) == 0);
        }
        xb_buf_free(&out);
        xb_buf_free(&back);
    }
    struct xb_buf out = XB_BUF_INIT(1 << 24), back = XB_BUF_INIT(len);
    need(xb_compress_gzip(data, len, &out, &err) == 0);
    need(xb_compress_gunzip(out.data, out.len, &back, &err) == 0);
    need(back.len == len && memcmp(back.data, data, len) == 0);
    xb_buf_free(&out);
    xb_buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2 || len > 1 << 20) {
        return 0;
    }
    check_decode(data + 2, len - 2, (size_t)data[0] << 8 | data[1]);
    check_encode(data + 2, len - 2);
    return 0;
}
