/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/text_hash.h"

#include <string.h>

#include "shared/base/random.h"
#include "shared/crypto/hash.h"

enum { KEY_BYTES = 32 };

int xb_text_hash(struct xb_hash **key, const char *text, uint64_t *ret, struct xb_error *err)
{
    unsigned char bytes[KEY_BYTES], out[XB_HASH_BYTES_MAX];
    uint64_t hash = 0;
    int r = 0;
    if (!*key) {
        xb_random_bytes(bytes, sizeof bytes);
        r = xb_hash_new("BLAKE2B-256-128", bytes, sizeof bytes, key, err);
    }
    if (r < 0 || (r = xb_hash_compute(*key, text, strlen(text), out, err)) < 0) {
        return r;
    }
    memcpy(&hash, out, sizeof hash);
    *ret = hash ? hash : 1;
    return 0;
}
