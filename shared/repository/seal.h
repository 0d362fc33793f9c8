/* SPDX-License-Identifier: Apache-2.0
 *
 * seal.h - a repository's keys at work: ids from bytes, sealed bytes from plain ones.
 *
 * What for:  the three ways of section 4 to choose an IV, in one place. Internal to the repository.
 * Ownership: the caller frees the sealer; keys are kept in secrets, zeroed on free.
 * Threads:   one sealer may be used by any number of threads at once.
 * Blocking:  never; CPU only.
 * Errors:    CORRUPT when a seal does not fit; INVALID for unknown algorithms, by name.
 * Source:    kopia-format sections 3 and 4.
 */
#pragma once

#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/secret.h"
#include "shared/crypto/aead.h"
#include "shared/crypto/hash.h"
#include "shared/repository/repository.h"

enum { XB_SEAL_OVERHEAD_BYTES = XB_AEAD_OVERHEAD_BYTES, XB_SEAL_BLOB_NAME_BYTES = 192 };

struct xb_sealer;

/* Names as kopia.repository has them. */
int xb_sealer_new(const char *hash, const char *encryption, const struct xb_secret *hash_secret,
                  const struct xb_secret *master_key, struct xb_sealer **ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_sealer_free(struct xb_sealer *sealer);
XB_DEFINE_CLEANUP(xb_sealer_freep, struct xb_sealer, xb_sealer_free);

size_t xb_sealer_hash_bytes(const struct xb_sealer *sealer);
int xb_sealer_hash(const struct xb_sealer *sealer, const void *data, size_t len,
                   unsigned char out[XB_CONTENT_HASH_BYTES_MAX],
                   struct xb_error *err) XB_MUST_CHECK;

/* How many inputs at once are hashed in about the time of one; and so many of them. */
size_t xb_sealer_lanes(const struct xb_sealer *sealer);
int xb_sealer_hash_many(const struct xb_sealer *sealer, const struct xb_hash_job *jobs,
                        size_t count, struct xb_error *err) XB_MUST_CHECK;

int xb_sealer_content_id(const struct xb_sealer *sealer, char prefix, const void *data, size_t len,
                         struct xb_content_id *ret, struct xb_error *err) XB_MUST_CHECK;

/* Appends data sealed under an IV (any length up to 32). `nonce` NULL: random. */
int xb_seal(const struct xb_sealer *sealer, const unsigned char *iv, size_t iv_len,
            const unsigned char *nonce, const void *data, size_t len, struct xb_buf *out,
            struct xb_error *err) XB_MUST_CHECK;
int xb_unseal(const struct xb_sealer *sealer, const unsigned char *iv, size_t iv_len,
              const void *sealed, size_t len, struct xb_buf *out,
              struct xb_error *err) XB_MUST_CHECK;

/* The same with a content's IV: the last 16 bytes of its hash. */
int xb_unseal_content(const struct xb_sealer *sealer, const struct xb_content_id *id,
                      const void *sealed, size_t len, struct xb_buf *out,
                      struct xb_error *err) XB_MUST_CHECK;

/* Opens a content where it lies: its len - XB_SEAL_OVERHEAD_BYTES plain bytes then stand at
 * XB_AEAD_NONCE_BYTES. What does not open is spoilt. */
int xb_unseal_content_here(const struct xb_sealer *sealer, const struct xb_content_id *id,
                           char *sealed, size_t len, struct xb_error *err) XB_MUST_CHECK;

/* The same for bytes in parts; where nonce and tag go is the caller's business. */
int xb_seal_content_parts(const struct xb_sealer *sealer, const struct xb_content_id *id,
                          const struct xb_aead_parts *parts, struct xb_aead_ends *ret,
                          struct xb_error *err) XB_MUST_CHECK;

/* A whole blob: ret_name = prefix, hex of the plain bytes' hash, and "-suffix" unless that is NULL.
 */
int xb_seal_blob(const struct xb_sealer *sealer, const char *prefix, const char *suffix,
                 const void *data, size_t len, char ret_name[XB_SEAL_BLOB_NAME_BYTES],
                 struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* Appends the plain bytes of a blob of that name. */
int xb_unseal_blob(const struct xb_sealer *sealer, const char *name, const void *sealed, size_t len,
                   struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* The same into `out`, which has room for `len` bytes; *ret_len: how many are plain. For blobs that
 * are too large for memory. */
int xb_unseal_blob_to(const struct xb_sealer *sealer, const char *name, const void *sealed,
                      size_t len, unsigned char *out, size_t *ret_len,
                      struct xb_error *err) XB_MUST_CHECK;
