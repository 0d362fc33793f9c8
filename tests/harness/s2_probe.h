/* SPDX-License-Identifier: Apache-2.0
 *
 * s2_probe.h - makes S2 streams for tests, piece by piece.
 *
 * What for:  kopia's own streams show few of the forms that the format has; here each can be asked
 *            for.
 * Shapes:    every function appends to `out` at `at` and returns the new end.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "shared/base/crc32c.h"

enum { S2_BLOCK_MAX = 4 << 20, S2_REPEAT_MAX = 65540 + 0xffffff };

static inline size_t s2_le(unsigned char *out, size_t at, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[at++] = (unsigned char)(value >> 8 * i);
    }
    return at;
}

static inline size_t s2_identifier(unsigned char *out, size_t at)
{
    memcpy(out + at, "\xff\x06\0\0S2sTwO", 10);
    return at + 10;
}

/* Header and checksum of a chunk whose body of `body` bytes follows. */
static inline size_t s2_chunk(unsigned char *out, size_t at, unsigned type, size_t body,
                              const unsigned char *plain, size_t len)
{
    uint32_t crc = xb_crc32c(0, plain, len);
    out[at++] = (unsigned char)type;
    at = s2_le(out, at, (uint32_t)body + 4, 3);
    return s2_le(out, at, (crc >> 15 | crc << 17) + 0xa282ead8U, 4);
}

static inline size_t s2_size(unsigned char *out, size_t at, size_t len)
{
    for (; len > 127; len >>= 7) {
        out[at++] = (unsigned char)(len | 128);
    }
    out[at++] = (unsigned char)len;
    return at;
}

/* 1 to 2^32 bytes as they are; `extra` bytes of length (0: the shortest form that fits). */
static inline size_t s2_literal(unsigned char *out, size_t at, const unsigned char *data,
                                size_t len, unsigned extra)
{
    uint32_t n = (uint32_t)len - 1;
    while (extra < 4 && (extra ? n >> 8 * extra : n >= 60)) {
        extra++;
    }
    if (extra == 0) {
        out[at++] = (unsigned char)(n << 2);
    } else {
        out[at++] = (unsigned char)((59 + extra) << 2);
        at = s2_le(out, at, n, extra);
    }
    memcpy(out + at, data, len);
    return at + len;
}

/* 4 to 11 bytes from at most 2047 before. */
static inline size_t s2_copy_1(unsigned char *out, size_t at, uint32_t offset, uint32_t len)
{
    out[at++] = (unsigned char)(offset >> 8 << 5 | (len - 4) << 2 | 1);
    out[at++] = (unsigned char)offset;
    return at;
}

/* 1 to 64 bytes from before; `bytes` of the offset: 2 or 4. */
static inline size_t s2_copy(unsigned char *out, size_t at, uint32_t offset, uint32_t len,
                             unsigned bytes)
{
    out[at++] = (unsigned char)((len - 1) << 2 | (bytes == 2 ? 2 : 3));
    return s2_le(out, at, offset, bytes);
}

/* 4 to S2_REPEAT_MAX bytes from where the last copy took them. */
static inline size_t s2_repeat(unsigned char *out, size_t at, uint32_t len)
{
    unsigned more = len <= 8 ? 0 : len < 8 + 256 ? 1 : len < 260 + 65536 ? 2 : 3;
    static const uint32_t base[] = {4, 8, 260, 65540};
    out[at++] = (unsigned char)((more ? 4 + more : len - 4) << 2 | 1);
    out[at++] = 0;
    return s2_le(out, at, len - base[more], more);
}

/* A whole compressed chunk in which runs of one byte are the only matches. */
static inline size_t s2_runs_chunk(unsigned char *out, size_t at, const unsigned char *data,
                                   size_t len)
{
    size_t start = at;
    bool copied = false;
    at = s2_size(out, at + 8, len);
    for (size_t i = 0; i < len;) {
        size_t run = 0, end = i;
        while (i > 0 && i + run < len && run < S2_REPEAT_MAX && data[i + run] == data[i - 1]) {
            run++;
        }
        if (run >= 4) {
            run = copied || run < 11 ? run : 11;
            at = copied ? s2_repeat(out, at, (uint32_t)run) : s2_copy_1(out, at, 1, (uint32_t)run);
            copied = true;
            i += run;
            continue;
        }
        while (end < len && end - i < 1000 &&
               (end == i || end + 3 >= len || memcmp(data + end - 1, data + end, 4) != 0)) {
            end++;
        }
        at = s2_literal(out, at, data + i, end - i, 0);
        i = end;
    }
    s2_chunk(out, start, 0, at - start - 8, data, len);
    return at;
}
