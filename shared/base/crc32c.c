/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/crc32c.h"

#include <pthread.h>

#include "shared/base/crc_fold.h"

enum { SLICES = 8 };
#define POLYNOMIAL UINT32_C(0x82f63b78)

/* tables[k][b]: what byte b does when k more bytes follow it. */
static uint32_t tables[SLICES][256];
static struct xb_crc_fold fold;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        tables[0][b] = crc;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < SLICES; k++) {
            uint32_t before = tables[k - 1][b];
            tables[k][b] = before >> 8 ^ tables[0][before & 255];
        }
    }
    xb_crc_fold_prepare(POLYNOMIAL, &fold);
}

/* Without the inversions at both ends. */
static uint32_t by_tables(uint32_t crc, const unsigned char *p, size_t len)
{
    for (; len >= SLICES; len -= SLICES, p += SLICES) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                              (uint32_t)p[3] << 24);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
              tables[0][p[7]];
    }
    for (; len; len--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 255];
    }
    return crc;
}

uint32_t xb_crc32c(uint32_t crc, const void *data, size_t len)
{
    unsigned char rest[XB_CRC_FOLD_BYTES];
    pthread_once(&tables_once, make_tables);
    size_t used = xb_crc_fold(&fold, ~crc, data, len, rest);
    uint32_t state = used ? by_tables(0, rest, sizeof rest) : ~crc;
    return ~by_tables(state, (const unsigned char *)data + used, len - used);
}
