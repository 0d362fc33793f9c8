/* SPDX-License-Identifier: Apache-2.0
 *
 * zone.h - time zones: the offset from UTC that holds at a moment.
 *
 * What for:  schedules in the time of a place, with its summer time. The C library knows one zone
 *            per process, changed by an environment variable that all threads share; here each
 *            schedule has its own.
 * Ownership: the caller frees the zone.
 * Threads:   any; a zone does not change.
 * Blocking:  xb_zone_load reads one small file; the rest never (pure).
 * Shapes:    times in seconds since 1970-01-01 UTC; offsets in seconds east of Greenwich.
 * Errors:    CORRUPT: bytes that are no such file; INVALID: a name that is none; NOT_FOUND.
 * Limits:    XB_ZONE_*.
 * Source:    RFC 8536 (files), POSIX.1 (the rule for the years behind the table).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_ZONE_NAME_BYTES = 64,
    XB_ZONE_FILE_BYTES_MAX = 64 * 1024,
    XB_ZONE_TRANSITIONS_MAX = 4096,
    XB_ZONE_TYPES_MAX = 256
};

/* Where Debian, and the image, keep the files. */
#define XB_ZONE_FOLDER "/usr/share/zoneinfo"

struct xb_zone;

int xb_zone_parse(const void *data, size_t len, struct xb_zone **ret,
                  struct xb_error *err) XB_MUST_CHECK;

/* The zone of a name ("Europe/Berlin", "UTC") in a folder of such files. */
int xb_zone_load(const char *folder, const char *name, struct xb_zone **ret,
                 struct xb_error *err) XB_MUST_CHECK;

void xb_zone_free(struct xb_zone *zone);
XB_DEFINE_CLEANUP(xb_zone_freep, struct xb_zone, xb_zone_free);

/* The offset at `utc_s`; it holds up to, and not at, *ret_until_s (INT64_MAX: for ever). */
int32_t xb_zone_offset(const struct xb_zone *zone, int64_t utc_s, int64_t *ret_until_s);
