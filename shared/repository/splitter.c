/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/splitter.h"

#include <errno.h>
#include <string.h>

enum { WINDOW = XB_SPLITTER_WINDOW };

/* The low halves of the first numbers of Go's generator with seed 1, repeats left out
 * (kopia-format section 9). */
static const uint32_t table[256] = {
    0x07fcfd52, 0x5f3f164f, 0x6695721d, 0x7b4d7c03, 0x49c6e2d1, 0x0d1d68d8, 0x7916001e, 0x22c4d294,
    0x392907a0, 0x189deb99, 0xf3875d04, 0x95e94627, 0xba517936, 0x83c471d4, 0x7cb3ad0b, 0xa42655d9,
    0x7c4e0b68, 0xd4491d1b, 0x25632186, 0xa9d78d73, 0x169c1121, 0xbb158644, 0xb68e6a3f, 0x759805f5,
    0x2cdf5b8a, 0x57d29245, 0xc5d6d268, 0x6b83d0e2, 0x7674cb74, 0xb068d9db, 0xbb9457d8, 0xa15d523b,
    0x794209ff, 0x9da1d7eb, 0x5a25e0cb, 0xf840ec4b, 0x36d4ff9b, 0xf4a5ee3b, 0x5ad145f4, 0xf6740304,
    0x3f71f8cb, 0x91018d7c, 0xfccae224, 0xb186b51f, 0x7d9e8fbc, 0x93f93f33, 0xf63a5b6f, 0x19476c36,
    0xbc897d06, 0x169873f5, 0x724c7af1, 0x581eeb39, 0x2257bb7d, 0x6f269a28, 0xbe8e9981, 0x7039374b,
    0x25416fed, 0xded7e411, 0x6678e7aa, 0x244fcd36, 0x56aa6b86, 0xde4561ad, 0x3e99b0a8, 0xbed80a3a,
    0xe58348b0, 0xaf63e58d, 0x406aec9d, 0xc233f007, 0xa5ead0bd, 0x050143a6, 0x738b6829, 0x3699caf3,
    0x967cd710, 0x06f665a6, 0x25fd3d7f, 0x0fd6e479, 0x26fbf29b, 0x16de4c35, 0x2bf3394b, 0x4af864ba,
    0x1cb9e6c6, 0x41439089, 0x69a39144, 0xc34f182d, 0x421657ff, 0xf9fc6568, 0x8b02c917, 0x6c9c64b7,
    0x83d17909, 0xea3d4ca5, 0xaf635d47, 0x7fc78769, 0xbe14186f, 0x3539b1ea, 0xe9174548, 0xc051e18a,
    0x07b73658, 0x29ec300c, 0xa250bf34, 0xa7ed5d97, 0xfe3dea79, 0xb8b352f7, 0xc9b344e9, 0x8e5f0475,
    0x1941e52a, 0x2694763d, 0x6b40eabc, 0x8485d68b, 0x336eacca, 0x4399a363, 0x67149b9c, 0xae10a901,
    0x5a5ffefb, 0x563b26de, 0x6f00f02b, 0x9f06397d, 0x545836c4, 0x31d6416b, 0x12f4128d, 0x752f33ff,
    0x4a305605, 0x0c8dc214, 0x72521a90, 0x8eb3e4a1, 0x83efc6c6, 0x090ec04f, 0xc1540864, 0xec2c8aaa,
    0x70ab53ba, 0x38d3b494, 0x878d4063, 0xa317ae3f, 0x3cb62f07, 0xf360412c, 0x4ffbf3a9, 0x22d554b4,
    0x3f190476, 0x0796a710, 0xf5c353cf, 0x04f59bb7, 0x2d230176, 0xe2d6a9ce, 0x3f1d7427, 0xafd915bb,
    0xb01aa47d, 0xcde2c269, 0x7417bf38, 0x1e094f9a, 0x55ece0ea, 0xcb94539b, 0x13d346b5, 0x54e0c0c1,
    0x6db30e37, 0xdc02b390, 0xa6e222f5, 0xe2f8c1fe, 0x2e166bdf, 0x67588a74, 0x21898f34, 0x4c330f1d,
    0x19af53ba, 0x70658b94, 0x133c9673, 0x4efeeadd, 0x0f212551, 0x070f0914, 0x6f241c57, 0xf13e41b7,
    0x3be70cb0, 0xf4b6f47f, 0x20f31127, 0x6551cb89, 0x289cbd2c, 0x8946f23d, 0x40a79c3b, 0x03c6d982,
    0x0365790c, 0x0cf52517, 0x0bb131e8, 0x3da5475c, 0x139efcca, 0xbcd44eb4, 0xa54af747, 0xb73c32ed,
    0x9f6c47ac, 0xe8ba8f22, 0x54043a66, 0x3b0a7f20, 0xb4926431, 0xe17c02d5, 0x8f0d2558, 0x014fbff2,
    0x7f803594, 0x79b76fbe, 0x33fe2656, 0x792c8ee8, 0x6b41292d, 0xfdff9c32, 0x82093298, 0x59483870,
    0xb2d5a113, 0x2dd96e5a, 0x5b8e56a9, 0xebd9dda9, 0x04f9ce92, 0xcb440950, 0xa67e52b1, 0x49f6d261,
    0x92417fc3, 0x1c3b6bd9, 0xb027b7e0, 0x1f765a41, 0x44c9ab40, 0x45d99121, 0xfd7a84af, 0x99b75788,
    0xe3abff4a, 0xa88aa67f, 0x736e41cc, 0x9cbcbe5e, 0x7b3ccebc, 0xe1b7fa93, 0x315ae6af, 0x9cced2e2,
    0x19ea0f2f, 0xa9770722, 0x84a6bfdc, 0x88f03f07, 0xa44a03a4, 0x27a6b885, 0xb580c8ba, 0x018153da,
    0xb648e604, 0x51180278, 0x893a310f, 0x728f5f4c, 0x37f5198b, 0x3cc0ea9b, 0xe39d02db, 0x13883142,
    0xca599392, 0xc12d154e, 0xc176163d, 0x5c92e2b8, 0xf9f95ede, 0xb802bdfc, 0x8a928585, 0xdca6e10b,
    0x887953e8, 0x48b9e962, 0xe533e9a3, 0x5e0ce6e5, 0x1dba77ae, 0xc8214b8a, 0x53b428d7, 0x4cf20a65,
};

static uint32_t rotate(uint32_t value)
{
    return value << 1 | value >> 31;
}

/* "128K" to "8M"; 0 for anything else. */
static uint32_t parse_size(const char *text, size_t len)
{
    static const char *const names[] = {"128K", "256K", "512K", "1M", "2M", "4M", "8M"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == len && memcmp(text, names[i], len) == 0) {
            return UINT32_C(131072) << i;
        }
    }
    return 0;
}

int xb_splitter_parse(const char *name, struct xb_splitter *ret, struct xb_error *err)
{
    const char *use = strcmp(name, "DYNAMIC") == 0 ? "DYNAMIC-4M-BUZHASH"
                      : strcmp(name, "FIXED") == 0 ? "FIXED-4M"
                                                   : name;
    uint32_t size = 0;
    const char *tail = strrchr(use, '-');
    if (strncmp(use, "FIXED-", 6) == 0) {
        size = parse_size(use + 6, strlen(use + 6));
        if (size) {
            *ret = (struct xb_splitter){.min = size, .max = size};
            return 0;
        }
    } else if (strncmp(use, "DYNAMIC-", 8) == 0 && tail > use + 8) {
        bool rabin_karp = strcmp(tail, "-RABINKARP") == 0;
        size = parse_size(use + 8, (size_t)(tail - use - 8));
        if (size && (rabin_karp || strcmp(tail, "-BUZHASH") == 0)) {
            *ret = (struct xb_splitter){
                .min = size / 2, .max = 2 * size, .mask = size - 1, .rabin_karp = rabin_karp};
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                        "splitter %.60s is unknown (known: FIXED-n, DYNAMIC-n-BUZHASH and "
                        "DYNAMIC-n-RABINKARP for n from 128K to 8M)",
                        name);
}

/* The counterpart of xb_rabin_karp_find. */
static size_t buzhash_find(uint32_t mask, const unsigned char *window, size_t count)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < WINDOW; i++) {
        hash = rotate(hash) ^ table[window[i]];
    }
    for (size_t i = 0; i < count; i++) {
        if ((hash & mask) == 0) {
            return i + 1;
        }
        if (i + 1 < count) {
            hash = rotate(hash) ^ table[window[i]] ^ table[window[i + WINDOW]];
        }
    }
    return 0;
}

static size_t find(const struct xb_splitter *splitter, const unsigned char *window, size_t count)
{
    return splitter->rabin_karp ? xb_rabin_karp_find(splitter->mask, window, count)
                                : buzhash_find(splitter->mask, window, count);
}

/* Tests the ends of the windows that begin before the block, and then of those within it. A chunk
 * of n bytes is tested from n = min on: then all its windows lie within it. */
static size_t find_cut(const struct xb_splitter *splitter, const struct xb_splitter_state *state,
                       const unsigned char *block, size_t len)
{
    size_t before = state->scanned;
    size_t first = before + 1 > splitter->min ? 1 : splitter->min - before;
    size_t across_end = len < WINDOW ? len + 1 : WINDOW; /* so many bytes of the block are inside */
    if (first < across_end) {
        unsigned char across[2 * WINDOW];
        memcpy(across, state->last, WINDOW);
        memcpy(across + WINDOW, block, across_end - 1);
        size_t at = find(splitter, across + first, across_end - first);
        if (at) {
            return first + at - 1;
        }
        first = across_end;
    }
    if (first > len) {
        return 0;
    }
    size_t at = find(splitter, block + first - WINDOW, len - first + 1);
    return at ? first + at - 1 : 0;
}

static void remember(struct xb_splitter_state *state, const unsigned char *block, size_t len)
{
    state->scanned += len;
    if (len >= WINDOW) {
        memcpy(state->last, block + len - WINDOW, WINDOW);
    } else {
        memmove(state->last, state->last + len, WINDOW - len);
        memcpy(state->last + WINDOW - len, block, len);
    }
}

size_t xb_splitter_feed(const struct xb_splitter *splitter, struct xb_splitter_state *state,
                        const unsigned char *block, size_t len)
{
    size_t room = splitter->max - state->scanned;
    size_t limit = len < room ? len : room;
    size_t cut = splitter->mask ? find_cut(splitter, state, block, limit) : 0;
    if (!cut && limit == room) {
        cut = room;
    }
    if (cut) {
        *state = (struct xb_splitter_state){.scanned = 0};
    } else if (limit > 0) {
        remember(state, block, limit);
    }
    return cut;
}

size_t xb_splitter_scan(const struct xb_splitter *splitter, struct xb_splitter_state *state,
                        const unsigned char *chunk, size_t len)
{
    size_t seen = state->scanned;
    size_t more = len > seen ? xb_splitter_feed(splitter, state, chunk + seen, len - seen) : 0;
    return more ? seen + more : 0;
}
