/* SPDX-License-Identifier: Apache-2.0
 *
 * blake3_keyed.h - BLAKE3 in keyed mode, if this build has it; for hash.c only.
 *
 * What for:  the one place that knows the code of BLAKE3's authors.
 * Threads:   any.    Blocking: never; CPU only.
 * Source:    kopia-format section 3; the BLAKE3 paper.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum { XB_BLAKE3_BYTES = 32 };

bool xb_blake3_built(void);

/* A secret of 32 bytes or more is cut to the key; a shorter one is stretched to one. */
void xb_blake3_key(const void *secret, size_t len, unsigned char out[XB_BLAKE3_BYTES]);

void xb_blake3_keyed(const unsigned char key[XB_BLAKE3_BYTES], const struct iovec *parts,
                     size_t count, unsigned char out[XB_BLAKE3_BYTES]);
