/* SPDX-License-Identifier: Apache-2.0
 *
 * kdf.h - keys from passwords and keys from keys.
 *
 * Threads:   any.
 * Blocking:  CPU: xb_kdf_password takes 0.2 s and 64 MiB with scrypt; run it on a worker. One
 *            caller at a time in the process: the others wait.
 * Errors:    INVALID for an unknown algorithm; FULL without the memory.
 * Source:    kopia-format section 2; RFC 7914 (scrypt), RFC 8018 (PBKDF2), RFC 5869 (HKDF).
 */
#pragma once

#include <stddef.h>

#include "shared/base/error.h"
#include "shared/base/secret.h"

/* HKDF-SHA256 into out[0..out_len). `info` is text, may be "". */
int xb_kdf_hkdf(const struct xb_secret *key, const void *salt, size_t salt_len, const char *info,
                unsigned char *out, size_t out_len, struct xb_error *err) XB_MUST_CHECK;

/* `algorithm`: "scrypt-65536-8-1" or "pbkdf2-sha256-600000". Fills out[0..out_len). */
int xb_kdf_password(const char *algorithm, const struct xb_secret *password, const void *salt,
                    size_t salt_len, unsigned char *out, size_t out_len,
                    struct xb_error *err) XB_MUST_CHECK;
