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

/* BLAKE3 hashes pieces of 1 KiB, sixteen at once in the widest registers. An update that does not
 * begin or end at a multiple of that many is done in smaller and smaller steps, which takes as long
 * as much more data does: so what lies across the border of two parts is put together first. */
enum { GROUP_BYTES = 16 * 1024 };

/* `held` bytes of *group have not been hashed; returns how many there are now. */
static size_t add_part(blake3_hasher *hasher, const struct iovec *part,
                       unsigned char group[GROUP_BYTES], size_t held)
{
    const unsigned char *data = part->iov_base;
    size_t left = part->iov_len;
    if (held > 0) {
        size_t more = left < GROUP_BYTES - held ? left : GROUP_BYTES - held;
        memcpy(group + held, data, more);
        held += more;
        if (held < GROUP_BYTES) {
            return held;
        }
        blake3_hasher_update(hasher, group, GROUP_BYTES);
        data += more;
        left -= more;
    }
    size_t rest = left % GROUP_BYTES;
    blake3_hasher_update(hasher, data, left - rest);
    memcpy(group, data + (left - rest), rest);
    return rest;
}

void xb_blake3_keyed(const unsigned char key[XB_BLAKE3_BYTES], const struct iovec *parts,
                     size_t count, unsigned char out[XB_BLAKE3_BYTES])
{
    unsigned char group[GROUP_BYTES];
    blake3_hasher hasher;
    blake3_hasher_init_keyed(&hasher, key);
    size_t held = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        held = add_part(&hasher, &parts[i], group, held);
    }
    if (count > 0 && held > 0) {
        held = add_part(&hasher, &parts[count - 1], group, held);
    } else if (count > 0) {
        blake3_hasher_update(&hasher, parts[count - 1].iov_base, parts[count - 1].iov_len);
    }
    blake3_hasher_update(&hasher, group, held);
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
