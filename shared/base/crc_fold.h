/* SPDX-License-Identifier: Apache-2.0
 *
 * crc_fold.h - long input of a CRC of 32 bits, made short by carry-less multiplication.
 *
 * What for:  crc32c.h and S3's CRC-32: 10 times as fast as tables. What is left, 16 bytes and an
 *            end, goes through the caller's tables, which do all of it where the processor has no
 *            such multiplication.
 * Ownership: everything is the caller's.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    reflected polynomials, the highest power in the lowest bit; a state is a CRC without
 *            the inversions at both ends.
 * Source:    Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ" (2009).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { XB_CRC_FOLD_BYTES = 16 };

/* What moves a sum of 128 bits forward over so many bits: for its lower half, and its upper. */
struct xb_crc_step {
    uint64_t low, high;
};

struct xb_crc_fold {
    struct xb_crc_step by128, by512, by2048;
    bool wide; /* there are multiplications of 512 bits */
};

void xb_crc_fold_prepare(uint32_t polynomial, struct xb_crc_fold *ret);

/* Returns how many bytes of the front it has taken, perhaps none. If any, the state after them is
 * that of the bytes in `ret_rest` from the state 0. */
size_t xb_crc_fold(const struct xb_crc_fold *fold, uint32_t state, const void *data, size_t len,
                   unsigned char ret_rest[XB_CRC_FOLD_BYTES]);
