/* SPDX-License-Identifier: Apache-2.0
 *
 * crc32c.h - the CRC with Castagnoli's polynomial.
 *
 * What for:  checksums inside S2 streams, of S3's objects, and of file systems.
 * Threads:   any.    Blocking: never (pure but for its tables, made once).
 * Source:    RFC 3720, appendix B.4.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0, or what the bytes before gave. */
uint32_t xb_crc32c(uint32_t crc, const void *data, size_t len);
