/* SPDX-License-Identifier: Apache-2.0
 *
 * splitter.h - where a stream is cut into chunks, equal to kopia's to the byte.
 *
 * What for:  the same bytes cut in the same places are stored once, whoever wrote them. Internal.
 * Ownership: plain values.    Threads: none shared.    Blocking: never (pure).
 * Shapes:    a chunk is at least min (but for the last one) and at most max bytes.
 * Errors:    INVALID for a splitter that is not known, by name.
 * Source:    kopia-format section 9; M. O. Rabin, Fingerprinting by Random Polynomials (1981).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

struct xb_splitter {
    uint32_t min, max, mask; /* mask 0: fixed size, min == max */
    bool rabin_karp;         /* by fingerprints modulo a polynomial instead of buzhash */
};

int xb_splitter_parse(const char *name, struct xb_splitter *ret,
                      struct xb_error *err) XB_MUST_CHECK;

enum { XB_SPLITTER_WINDOW = 64 }; /* bytes that the hash of either kind sees */

/* Where the scan of one chunk stands; all zeros at its start. */
struct xb_splitter_state {
    size_t scanned;                         /* bytes of the chunk looked at */
    unsigned char last[XB_SPLITTER_WINDOW]; /* its latest bytes, the newest at the end */
};

/* `block` holds the bytes of the chunk that follow those fed before; where they lie is all the
 * same, and so is how many they are. Returns how many of them belong to the chunk if it ends within
 * them (the state is reset: what follows begins the next one), else 0: all of them do. */
size_t xb_splitter_feed(const struct xb_splitter *splitter, struct xb_splitter_state *state,
                        const unsigned char *block, size_t len);

/* For the splitter's own files: these look at `count` windows, of which the first begins at
 * window[0] and each further one a byte later. They return the number of the first that is a cut,
 * from 1 on, or 0. */
size_t xb_rabin_karp_find(uint32_t mask, const unsigned char *window, size_t count);
size_t xb_buzhash_find(uint32_t mask, const unsigned char *window, size_t count);

/* This one needs XB_CPU_AVX512_VBMI and returns how many of them, from the first on, are no cuts
 * for sure: nearly all, or nearly all before the first cut. */
size_t xb_buzhash_clear_avx512(uint32_t mask, const unsigned char *window, size_t count);
extern const uint32_t xb_buzhash_table[256];
