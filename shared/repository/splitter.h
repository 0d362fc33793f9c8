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

/* Where the scan of one chunk stands; all zeros at its start. */
struct xb_splitter_state {
    size_t scanned; /* bytes of the chunk looked at */
    uint64_t hash;
};

/* `chunk` holds `len` bytes from the chunk's start, of which state->scanned were seen before.
 * Returns the chunk's length if it ends within them (the state is reset), else 0. */
size_t xb_splitter_scan(const struct xb_splitter *splitter, struct xb_splitter_state *state,
                        const unsigned char *chunk, size_t len);

/* For splitter.c only: goes on from chunk[at] with *hash to the first cut, and returns where it
 * lies, or to limit, and returns 0. Nothing is tested before the chunk is `min` bytes long. */
size_t xb_rabin_karp_scan(const struct xb_splitter *splitter, uint64_t *hash,
                          const unsigned char *chunk, size_t at, size_t limit);

enum { XB_SPLITTER_WINDOW = 64 }; /* bytes that the hash of either kind sees */
