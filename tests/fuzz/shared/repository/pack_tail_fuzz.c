/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a pack, once as it is, and once with a checksum that fits, so that what lies behind
 * that is reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "shared/repository/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_pack_tail tail;
    if (xb_pack_tail_parse(data, len, &tail, &err) < 0) {
        if (err.kind != XB_ERR_CORRUPT) {
            abort();
        }
        return;
    }
    if (tail.iv_len == 0 || tail.iv_len > sizeof tail.iv || tail.index_offset > INT64_MAX ||
        tail.index_len > INT64_MAX) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum { BODY_BYTES_MAX = 251 };
    try(data, len);
    size_t body = len < BODY_BYTES_MAX ? len : BODY_BYTES_MAX;
    uint8_t *whole = malloc(body + 5);
    if (!whole) {
        return 0;
    }
    if (body) {
        memcpy(whole, data, body);
    }
    uint32_t crc = (uint32_t)crc32(0, whole, (unsigned)body);
    for (size_t i = 0; i < 4; i++) {
        whole[body + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    whole[body + 4] = (uint8_t)(body + 4);
    try(whole, body + 5);
    free(whole);
    return 0;
}
