/* SPDX-License-Identifier: Apache-2.0
 *
 * checksum.h - the checksums that S3 knows, computed piece by piece.
 *
 * What for:  Content-MD5, x-amz-checksum-* and the SHA-256 of signed payloads, in one pass over the
 *            bytes.
 * Ownership: the caller owns the struct; begin makes OpenSSL's contexts, done frees them, and a
 *            zeroed struct may be done.
 * Threads:   one at a time per struct.    Blocking: never; CPU only.
 * Shapes:    digests are raw bytes, CRCs big-endian, as S3 sends them in base64.
 * Source:    S3's "Checking object integrity"; CRC-32 (ISO-HDLC) and CRC-32C (Castagnoli).
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum xb_s3_checksum {
    XB_S3_CRC32,
    XB_S3_CRC32C,
    XB_S3_SHA1,
    XB_S3_SHA256,
    XB_S3_MD5,
    XB_S3_CHECKSUMS /* how many there are; also "none" */
};

enum { XB_S3_DIGEST_BYTES_MAX = 32, XB_S3_DIGEST_TEXT_BYTES = 48 };

/* "CRC32" and so on; NULL for none. */
const char *xb_s3_checksum_name(enum xb_s3_checksum which);
/* The header of an object's checksum in small letters ("x-amz-checksum-crc32"); NULL for MD5. */
const char *xb_s3_checksum_header(enum xb_s3_checksum which);
/* "" is none; NULL is CRC32. INVALID names those known. */
int xb_s3_checksum_parse(const char *name, enum xb_s3_checksum *ret,
                         struct xb_error *err) XB_MUST_CHECK;

uint32_t xb_s3_crc(enum xb_s3_checksum which, uint32_t crc, const void *data, size_t len);

struct xb_s3_digests {
    unsigned wanted; /* a bit per enum xb_s3_checksum */
    uint32_t crc[2];
    EVP_MD_CTX *contexts[XB_S3_CHECKSUMS];
};

/* `wanted`: 1u << XB_S3_MD5 | ... */
int xb_s3_digests_begin(struct xb_s3_digests *digests, unsigned wanted,
                        struct xb_error *err) XB_MUST_CHECK;
int xb_s3_digests_add(struct xb_s3_digests *digests, const void *data, size_t len,
                      struct xb_error *err) XB_MUST_CHECK;
/* Raw bytes of one that was wanted, once. */
int xb_s3_digests_end(struct xb_s3_digests *digests, enum xb_s3_checksum which,
                      unsigned char out[XB_S3_DIGEST_BYTES_MAX],
                      struct xb_error *err) XB_MUST_CHECK;
/* The same in base64. */
int xb_s3_digests_text(struct xb_s3_digests *digests, enum xb_s3_checksum which,
                       char out[XB_S3_DIGEST_TEXT_BYTES], struct xb_error *err) XB_MUST_CHECK;
void xb_s3_digests_done(struct xb_s3_digests *digests);
