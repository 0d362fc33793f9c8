/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/crypto/blake3_keyed.h"

#include <stdlib.h>
#include <string.h>

#ifdef XB_HAVE_BLAKE3
#include <blake3.h>

/* kopia's words; they are part of the format. */
#define DERIVE_CONTEXT "kopia blake3 derived key v1"

bool xb_blake3_built(void)
{
    return true;
}

void xb_blake3_key(const void *secret, size_t len, unsigned char out[XB_BLAKE3_BYTES])
{
    if (len >= XB_BLAKE3_BYTES) {
        memcpy(out, secret, XB_BLAKE3_BYTES);
        return;
    }
    blake3_hasher hasher;
    blake3_hasher_init_derive_key(&hasher, DERIVE_CONTEXT);
    blake3_hasher_update(&hasher, secret, len);
    blake3_hasher_finalize(&hasher, out, XB_BLAKE3_BYTES);
    explicit_bzero(&hasher, sizeof hasher);
}

void xb_blake3_keyed(const unsigned char key[XB_BLAKE3_BYTES], const struct iovec *parts,
                     size_t count, unsigned char out[XB_BLAKE3_BYTES])
{
    blake3_hasher hasher;
    blake3_hasher_init_keyed(&hasher, key);
    for (size_t i = 0; i < count; i++) {
        blake3_hasher_update(&hasher, parts[i].iov_base, parts[i].iov_len);
    }
    blake3_hasher_finalize(&hasher, out, XB_BLAKE3_BYTES);
    explicit_bzero(&hasher, sizeof hasher);
}

#else

bool xb_blake3_built(void)
{
    return false;
}

/* Whoever asks for a hash is refused before it comes to this. */
void xb_blake3_key(const void *secret, size_t len, unsigned char out[XB_BLAKE3_BYTES])
{
    (void)secret, (void)len, (void)out;
    abort();
}

void xb_blake3_keyed(const unsigned char key[XB_BLAKE3_BYTES], const struct iovec *parts,
                     size_t count, unsigned char out[XB_BLAKE3_BYTES])
{
    (void)key, (void)parts, (void)count, (void)out;
    abort();
}

#endif
