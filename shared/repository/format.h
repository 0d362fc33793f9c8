/* SPDX-License-Identifier: Apache-2.0
 *
 * format.h - kopia.repository: what a repository is, and its keys.
 *
 * What for:  make, seal, open and judge the format blob. Internal to the repository.
 * Ownership: the caller frees a format; its keys are secrets, zeroed on free.
 * Threads:   read-only after it was made.
 * Blocking:  CPU: xb_format_keys_derive takes 0.2 s and 64 MiB with scrypt.
 * Errors:    DENIED: wrong password (the seal does not fit and the blob is well-formed); CORRUPT:
 *            not a format blob; INVALID: a version, hash, encryption or feature that is not
 *            supported, by name; RETRY: an upgrade holds its lock.
 * Source:    kopia-format section 2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/secret.h"

enum {
    XB_FORMAT_NAME_BYTES = 64,
    XB_FORMAT_BLOB_BYTES_MAX = 1024 * 1024,
    XB_FORMAT_UNIQUE_ID_BYTES_MAX = 32,
    XB_FORMAT_VERSION = 3
};

#define XB_FORMAT_BLOB "kopia.repository"
#define XB_FORMAT_BLOBCFG "kopia.blobcfg"

/* What is readable without the password. */
struct xb_format_outer {
    unsigned char unique_id[XB_FORMAT_UNIQUE_ID_BYTES_MAX];
    size_t unique_id_len;
    char key_algorithm[XB_FORMAT_NAME_BYTES];
    struct xb_buf sealed;
};

/* Keys that open the two blobs; they depend on the password and the unique id. */
struct xb_format_keys {
    struct xb_secret *key;        /* AES-256 */
    struct xb_secret *associated; /* authenticated with it */
};

struct xb_format {
    char hash[XB_FORMAT_NAME_BYTES];
    char encryption[XB_FORMAT_NAME_BYTES];
    char splitter[XB_FORMAT_NAME_BYTES];
    struct xb_secret *hash_secret, *master_key;
    unsigned version, index_version;
    uint64_t pack_bytes_max;
    bool epochs;
    int64_t epoch_refresh_ns;
};

int xb_format_outer_parse(const char *text, size_t len, struct xb_format_outer *ret,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_format_outer_free(struct xb_format_outer *outer); /* what it owns */

int xb_format_keys_derive(const struct xb_format_outer *outer, const struct xb_secret *password,
                          struct xb_format_keys *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_format_keys_free(struct xb_format_keys *keys);

/* Opens what either blob seals, into an empty buffer. DENIED: other keys sealed it. */
int xb_format_unseal(const struct xb_format_keys *keys, const char *name,
                     const struct xb_buf *sealed, struct xb_buf *plain,
                     struct xb_error *err) XB_MUST_CHECK;

/* Opens the sealed part and judges it; `now_ns` decides whether an upgrade lock holds. */
int xb_format_open(const struct xb_format_outer *outer, const struct xb_format_keys *keys,
                   int64_t now_ns, struct xb_format *ret, struct xb_error *err) XB_MUST_CHECK;
/* The plain JSON of the sealed part (pure; the fuzz target). */
int xb_format_parse(const char *text, size_t len, int64_t now_ns, struct xb_format *ret,
                    struct xb_error *err) XB_MUST_CHECK;
void xb_format_free(struct xb_format *format); /* what it owns */

/* A new repository's parameters with fresh random keys. */
int xb_format_make(const char *hash, const char *encryption, const char *splitter,
                   struct xb_format *ret, struct xb_error *err) XB_MUST_CHECK;

/* Appends the text of kopia.repository. `outer` needs its unique id and key algorithm. */
int xb_format_encode(const struct xb_format *format, const struct xb_format_outer *outer,
                     const struct xb_format_keys *keys, struct xb_buf *out,
                     struct xb_error *err) XB_MUST_CHECK;
