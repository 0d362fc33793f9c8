/* SPDX-License-Identifier: Apache-2.0
 *
 * text_hash.h - tells texts apart by eight bytes each.
 *
 * What for:  tables of names that are too many to keep. The names are chosen by users, so the hash
 *            has a random key of the table's own: nobody can choose two names that are one here.
 * Ownership: the caller frees the key (xb_hash_free).
 * Threads:   one per key.    Blocking: never.
 * Errors:    of making the key and of hashing.
 */
#pragma once

#include <stdint.h>

#include "shared/base/error.h"

struct xb_hash;

/* *key is made when it is NULL. *ret is never 0, which tables have for a free slot. */
int xb_text_hash(struct xb_hash **key, const char *text, uint64_t *ret,
                 struct xb_error *err) XB_MUST_CHECK;
