/* SPDX-License-Identifier: Apache-2.0
 * Rabin's fingerprint of the last bytes: they are the coefficients of a polynomial over GF(2), and
 * its remainder modulo a fixed irreducible one is the hash. */
#include <pthread.h>

#include "shared/repository/splitter.h"

enum { WINDOW = XB_SPLITTER_WINDOW, DEGREE = 53 };

/* The polynomial that kopia's splitter takes: the first irreducible one of this degree from Go's
 * generator with seed 1. */
static const uint64_t polynomial = UINT64_C(0x2e3e3e4a305605);

/* leaving[b]: what byte b contributes when it is the oldest of a full window. reducing[b]: what
 * takes bits DEGREE and up, when they are b, away and adds their remainder. */
static uint64_t leaving[256], reducing[256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* value * x, reduced; value is reduced already. */
static uint64_t times_x(uint64_t value)
{
    value <<= 1;
    return value >> DEGREE & 1 ? value ^ polynomial : value;
}

static void make_tables(void)
{
    for (uint64_t b = 0; b < 256; b++) {
        uint64_t value = b; /* below degree 8, so reduced */
        for (int i = 0; i < 8 * (WINDOW - 1); i++) {
            value = times_x(value);
        }
        leaving[b] = value;
        value = b;
        for (int i = 0; i < DEGREE; i++) {
            value = times_x(value);
        }
        reducing[b] = value ^ b << DEGREE;
    }
}

static uint64_t append(uint64_t hash, unsigned char byte)
{
    unsigned top = (unsigned)(hash >> (DEGREE - 8));
    return (hash << 8 | byte) ^ reducing[top];
}

size_t xb_rabin_karp_find(uint32_t mask, const unsigned char *window, size_t count)
{
    uint64_t value = 0;
    pthread_once(&tables_once, make_tables);
    for (size_t i = 0; i < WINDOW; i++) {
        value = append(value, window[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if ((value & mask) == 0) {
            return i + 1;
        }
        if (i + 1 < count) {
            value = append(value ^ leaving[window[i]], window[i + WINDOW]);
        }
    }
    return 0;
}
