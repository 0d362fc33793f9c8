/* SPDX-License-Identifier: Apache-2.0
 *
 * fnv.h - a quick hash of a text, for tables in memory and for telling names apart.
 *
 * What for:  hash tables, sets, and names made from names. Not for anything that an attacker must
 *            not be able to collide: that is shared/crypto/hash.h.
 * Threads:   any.    Blocking: never (pure).    Source: FNV-1a, 64 bit.
 */
#pragma once

#include <stdint.h>

static inline uint64_t xb_fnv1a(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}
