/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h - keyed hashes by the names that kopia's repositories give them.
 *
 * What for:  content ids, blob names, and HMAC-SHA256 for key derivation and signed links.
 * Ownership: the caller frees a hash; it keeps no pointer to the key.
 * Threads:   one hash may be used by any number of threads at once; nothing is locked and nothing
 *            is fetched per call (contexts are kept and used again).
 * Blocking:  never; CPU only.
 * Shapes:    output of xb_hash_bytes() bytes, at most XB_HASH_BYTES_MAX. The bytes of one input may
 *            lie in several parts, which are hashed as if they lay one after the other.
 * Errors:    INVALID for an unknown name (listed), for BLAKE3 in a build without it (said so), or
 *            for a key that the algorithm cannot take.
 * Source:    kopia-format section 3; RFC 7693 (BLAKE2), RFC 2104 (HMAC), the BLAKE3 paper.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_HASH_BYTES_MAX = 32 };

struct xb_hash;

/* The name of the i-th algorithm that the format knows, fastest families first; NULL at the end. */
const char *xb_hash_name(size_t i);
/* Whether it can be used in this build (BLAKE3 may be missing). */
bool xb_hash_available(const char *name);

/* `name`: "BLAKE3-256-128", "HMAC-SHA256", ... (kopia-format section 3). */
int xb_hash_new(const char *name, const void *key, size_t key_len, struct xb_hash **ret,
                struct xb_error *err) XB_MUST_CHECK;

size_t xb_hash_bytes(const struct xb_hash *hash);

/* One input that lies in one piece: fills `out` with xb_hash_bytes(hash) bytes. */
int xb_hash_compute(const struct xb_hash *hash, const void *data, size_t len, unsigned char *out,
                    struct xb_error *err) XB_MUST_CHECK;

/* One input and the place for its hash. */
struct xb_hash_job {
    const struct iovec *parts;
    size_t part_count;
    unsigned char *out; /* xb_hash_bytes() bytes */
};

/* How many inputs at once this machine hashes in about the time of one. To give more than that is
 * never slower: an input that is done makes room for the next, so lengths may differ. */
size_t xb_hash_lanes(const struct xb_hash *hash);

/* All of them, or an error and nothing to rely on in any `out`. */
int xb_hash_compute_many(const struct xb_hash *hash, const struct xb_hash_job *jobs, size_t count,
                         struct xb_error *err) XB_MUST_CHECK;

/* Plain SHA-256, no key. */
enum { XB_SHA256_BYTES = 32 };
int xb_sha256(const void *data, size_t len, unsigned char out[XB_SHA256_BYTES],
              struct xb_error *err) XB_MUST_CHECK;

void xb_hash_free(struct xb_hash *hash);
XB_DEFINE_CLEANUP(xb_hash_freep, struct xb_hash, xb_hash_free);
